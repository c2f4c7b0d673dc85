"""The documents hang together: links, numbers, rules, and the words of the programs that they quote."""

import re
from functools import cache
from pathlib import Path

import pytest

from clients.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
SOURCES = ("recado", "storage", "daemons", "clients")
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"\b([ABCERI][1-9][0-9]?)\b")


@cache
def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The headings' anchors, as code hosts make them."""
    headings = re.findall(r"^#+ (.+?)\s*$", _prose(page), re.MULTILINE)
    plain = (re.sub(r"[`*]", "", heading).strip().lower() for heading in headings)
    return frozenset(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain)


def _targets(page: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of every link that stays in this repository."""
    links = [link for link in _LINK.findall(_prose(page)) if "://" not in link]
    parts = [link.partition("#") for link in links]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in parts]


@cache
def _source(*rooms: str) -> str:
    return "\n".join(
        file.read_text("utf-8") for room in rooms for file in sorted((ROOT / room).rglob("*.py"))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link within the documents names a file that exists and, if any, a heading in it."""
    wrong = [
        f"{target.name}#{anchor}" if anchor else str(target)
        for target, anchor in _targets(page)
        if not target.exists() or (anchor and anchor not in _anchors(target))
    ]
    assert wrong == []


def test_every_page_can_be_found() -> None:
    """Every page is linked from the README, or from a page that can be found."""
    found: set[Path] = set()
    fresh = {ROOT / "README.md"}
    while fresh:
        found |= fresh
        linked = {target for page in fresh for target, _ in _targets(page) if target.suffix == ".md"}
        fresh = linked - found
    assert set(PAGES) - found == set()


def test_decisions_are_numbered_without_gaps() -> None:
    """Decisions are 0001, 0002, … each once; a page begins with its number and stands in the index."""
    pages = sorted(DOCS.glob("decisions/0*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    assert [page.name for page in pages if not page.read_text().startswith(f"# {page.name[:4]}. ")] == []


def test_every_rule_that_is_cited_is_written_down() -> None:
    """Rule numbers in code and tests stand in docs/rules.md."""
    known = set(re.findall(r"^\| ([ABCERI][0-9]+) \|", (DOCS / "rules.md").read_text(), re.MULTILINE))
    cited = {
        rule for rule in _RULE.findall(_source(*SOURCES, "tests")) if not re.fullmatch(r"[ABCERI]0", rule)
    }
    assert cited - known == set()


def _quoted(page: Path, *, until: str) -> list[str]:
    text = page.read_text("utf-8").partition(until)[0]
    return [
        quote
        for heading in re.findall(r"^### (.+)$", text, re.MULTILINE)
        for quote in _QUOTE.findall(heading)
    ]


_QUOTE = re.compile(r"`([^`]+)`")


def test_troubleshooting_quotes_what_the_programs_say() -> None:
    """Every message that heads a trouble is found in the sources, its `…` standing for anything."""
    code = _source(*SOURCES)
    quotes = _quoted(DOCS / "troubleshooting.md", until="## Seeing")
    assert len(quotes) > 30
    pieces = {quote: [piece.strip() for piece in quote.split("…")] for quote in quotes}
    assert [quote for quote, parts in pieces.items() if not all(part in code for part in parts)] == []


def test_the_page_quotes_the_log_lines() -> None:
    """Every event in the table of log lines is one that a daemon or a machine writes."""
    code = _source("daemons", "recado")
    section = (DOCS / "daemons.md").read_text("utf-8").partition("## Logs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| [a-z, ]+ \|", section, re.MULTILINE)
    events = [
        event.strip()
        for row in rows
        for event in re.findall(r"``(.+?)``|`([^`]+)`", row)
        for event in event
        if event
    ]
    assert len(events) > 30
    assert [event for event in events if f'"{event}' not in code] == []


def test_every_command_is_in_the_readme() -> None:
    """The README names each command, and no other."""
    readme = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"`recado ([a-z]+)", readme))
    assert named == {name for name, *_ in COMMANDS}


def test_every_warning_is_explained() -> None:
    """Each warning and error that a daemon logs stands in troubleshooting."""
    page = (DOCS / "troubleshooting.md").read_text("utf-8")
    said = set(re.findall(r'log\.(?:warning|error)\(\s*"([^"]+)"', _source("daemons")))
    assert len(said) > 20
    assert {event for event in said if event not in page} == set()
