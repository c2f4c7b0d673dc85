"""Blocks of the documents that are executed: those whose fence says ``sh run`` or ``python run``."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(?P<language>sh|python) run\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One block: where it stands, in which language, and what it says."""

    page: str
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def all_examples() -> list[Example]:
    """Every marked block, page by page, in the order in which a reader meets them."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in _BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            name = str(page.relative_to(ROOT))
            found.append(Example(name, line, block["language"], block["code"]))
    return found
