"""The generated parts of docs/protocol.md: the limits, and the bytes of its examples."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from recado.protocol import codec, limits

BEGIN = "<!-- limits: written by `make docs` -->"
END = "<!-- end of limits -->"
# A value as Python writes it, and right after it the same in MessagePack.
EXAMPLE = re.compile(r"```python\n(?P<value>.*?)```\n\n```hex\n(?P<hex>.*?)```", re.DOTALL)
_BYTES_PER_LINE = 32
_UNITS = frozenset({"KIB", "MIB"})


class Limit(NamedTuple):
    """One line of the file of limits: under which heading, its name, value, and what it bounds."""

    heading: str
    name: str
    value: int | float
    bounds: str


def all_limits() -> list[Limit]:
    """Every limit in the order of its file, with the comment on its line."""
    found: list[Limit] = []
    heading = ""
    for line in Path(limits.__file__).read_text("utf-8").splitlines():
        if title := re.match(r"^# (.+?) -{3,}$", line):
            heading = title[1].strip()
        if (line_of := re.match(r"^([A-Z_]+): Final = [^#]*(?:#\s*(.*))?$", line)) and line_of[
            1
        ] not in _UNITS:
            name = line_of[1]
            found.append(Limit(heading, name, getattr(limits, name), line_of[2] or ""))
    return found


def limits_table() -> str:
    """One Markdown table, between the two marks."""
    rows = [BEGIN, "", "| limit | value | what it bounds |", "|---|---|---|"]
    heading = ""
    for limit in all_limits():
        if limit.heading != heading:
            heading = limit.heading
            rows.append(f"| **{heading}** | | |")
        bounds = limit.bounds.replace("|", "\\|")
        rows.append(f"| `{limit.name}` | {shown_number(limit.value)} | {bounds} |")
    return "\n".join([*rows, "", END])


def shown_number(value: int | float) -> str:
    """With commas between thousands."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return f"{int(value):,}"


def hexadecimal(raw: bytes) -> str:
    """Bytes as lines of a `hex` block."""
    lines = [raw[at : at + _BYTES_PER_LINE].hex() for at in range(0, len(raw), _BYTES_PER_LINE)]
    return "\n".join(lines) + "\n"


def _with_bytes(example: re.Match[str]) -> str:
    value = ast.literal_eval(example["value"])
    return f"```python\n{example['value']}```\n\n```hex\n{hexadecimal(codec.pack(value))}```"


def rewritten(page: str) -> str:
    """The page with its limits and its examples' bytes written anew.  Raises `ValueError` without marks."""
    before, rest = page[: page.index(BEGIN)], page[page.index(END) + len(END) :]
    return EXAMPLE.sub(_with_bytes, before + limits_table() + rest)
