"""In which line of a configuration file a setting stands."""

import re
from collections.abc import Mapping
from pathlib import Path

_TABLE = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.\- ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")


def lines_of(path: Path) -> dict[str, int]:
    """The first line (from 1) of each ``section.name`` in a file; {} if it can't be read.

    Goes by the form of the lines.  What merely looks like a setting, inside a text of several lines, is
    found too: ask for keys that are known to be there.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = header[1].replace(" ", "")
            found.setdefault(table, number)
        elif setting := _KEY.match(line):
            name = re.sub(r"\s", "", setting[1])
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


class Lines:
    """Sources with their lines, each file read once."""

    def __init__(self) -> None:
        self._files: dict[str, Mapping[str, int]] = {}

    def of(self, source: str, key: str) -> str:
        """``FILE:LINE`` if `source` is a file with a line for `key`, else `source`."""
        number = self.number(source, key)
        return f"{source}:{number}" if number else source

    def number(self, source: str, key: str) -> int | None:
        """The line, or that of the table in which it stands."""
        if not source.endswith(".toml") and "/" not in source:
            return None
        if source not in self._files:
            self._files[source] = lines_of(Path(source))
        lines = self._files[source]
        plain = key.partition("[")[0]
        return lines.get(plain) or lines.get(plain.rpartition(".")[0]) if plain else None
