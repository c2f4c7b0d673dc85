"""Manual pages in the man(7) macros, which groff and mandoc read; and Markdown of docs/ brought into them."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

WIDTH: Final = 78
_BULLET: Final = r"\(bu"
_BLOCKS: Final = re.compile(r"\n{2,}")
_LINK: Final = re.compile(r"!?\[([^]]*)\]\([^)]*\)")
_CODE: Final = re.compile(r"(``.+?``|`[^`]+`)")
_STRONG: Final = re.compile(r"\*\*(.+?)\*\*|\*(.+?)\*")


def escaped(text: str) -> str:
    """Text in which nothing is an instruction: every sign means itself, on any terminal."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    text = "".join(sign if ord(sign) < 128 else f"\\[u{ord(sign):04X}]" for sign in text)
    return f"\\&{text}" if text.startswith(".") else text


def bold(text: str) -> str:
    """Escaped, in bold."""
    return f"\\fB{escaped(text)}\\fR"


def inline(text: str) -> str:
    """One paragraph of Markdown as one line: code in bold, stress underlined, links as words."""
    parts = []
    for part in _CODE.split(_LINK.sub(r"\1", " ".join(text.split()))):
        if part.startswith("`"):
            parts.append(bold(part.strip("`").strip()))
            continue
        at = 0
        for found in _STRONG.finditer(part):
            parts.append(escaped(part[at : found.start()]))
            parts.append(f"\\fI{escaped(found[1] or found[2])}\\fR")
            at = found.end()
        parts.append(escaped(part[at:]))
    line = "".join(parts)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def example(text: str) -> list[str]:
    """Lines as they stand."""
    lines = [escaped(line) for line in text.rstrip().splitlines()]
    return [".PP", ".RS 4", ".EX", *(line or "\\&" for line in lines), ".EE", ".RE"]


def entry(tag: str, text: str) -> list[str]:
    """A term (roff already) and what it is."""
    return [".TP", tag, text or "\\&"]


def markdown(text: str, *, without: Sequence[str] = ()) -> list[str]:
    """A piece of a page; tables whose first heading is in `without` are left out, headings become `.SS`."""
    lines: list[str] = []
    for block in _pieces(text):
        if block.startswith("```"):
            lines += example("\n".join(block.splitlines()[1:-1]))
        elif block.startswith("|"):
            lines += _table(block, without)
        elif block.startswith("#"):
            lines.append(f".SS {inline(block.lstrip('# '))}")
        elif re.match(r"([-*]|\d+\.) ", block):
            lines += _list(block)
        elif not block.startswith("<!--"):
            lines += [".PP", inline(block)]
    return lines


def _pieces(text: str) -> Iterator[str]:
    """Blocks; what is fenced stays in one piece."""
    for number, part in enumerate(re.split(r"^(```.*?^```)$", text, flags=re.MULTILINE | re.DOTALL)):
        if number % 2:
            yield part
        else:
            yield from (block.strip("\n") for block in _BLOCKS.split(part) if block.strip())


def _table(block: str, without: Sequence[str]) -> list[str]:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in block.splitlines()]
    heading, rows = rows[0], rows[2:]
    if heading[0] in without:
        return []
    lines = []
    for first, *others in rows:
        told = [
            text if number == len(others) else f"{title}: {text};"
            for number, (title, text) in enumerate(zip(heading[1:], others, strict=True), start=1)
            if text
        ]
        lines += entry(inline(first.replace("\\|", "|")), inline(" ".join(told).replace("\\|", "|")))
    return lines


def _list(block: str) -> list[str]:
    lines = []
    for item in re.split(r"^(?=(?:[-*]|\d+\.) )", block, flags=re.MULTILINE):
        if item.strip():
            mark, _, text = item.strip().partition(" ")
            lines += [f".IP {_BULLET if mark in '-*' else mark} 4", inline(text)]
    return lines


def section(page: str, title: str) -> str:
    """What stands below a heading, up to the next one of its rank.  Raises `KeyError`."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(title)
    return found[2]


def titled(name: str, number: int, *, version: str, epoch: int, purpose: str) -> list[str]:
    """How a page begins."""
    day = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")
    return [
        f'.TH {escaped(name.upper())} {number} {day} "Recado {escaped(version)}" Recado',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(purpose)}",
    ]


def finished(lines: Sequence[str]) -> str:
    """The page: nothing superfluous, and no line of text longer than editors and `mandoc -T lint` like."""
    kept: list[str] = []
    before, verbatim = "", False
    for line in lines:
        verbatim = line == ".EX" or (verbatim and line != ".EE")
        if line == ".PP" and before.startswith((".SH", ".SS")):
            continue
        if verbatim or line.startswith(".") or before == ".TP":
            kept.append(line)
        else:
            kept += _wrapped(line)
        before = line
    return "\n".join([*kept, ""])


def _wrapped(line: str) -> list[str]:
    rows = textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"\\&{row}" if row.startswith((".", "'")) else row for row in rows]
