"""What is looked for, in the language of FTS5.

Everything is quoted: each term a string, each place a token of hexadecimal digits.  So a query can be
neither wrong nor more than it says, whatever people type.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from recado.protocol.searching import Term

SAID, DIRECT, PLACE = "said", "direct", "place"  # columns of the index

# A row's tokens in `place`, as SQL and as this module writes them.  No text gets into that column.
PLACES_SQL: Final = """case e.kind when 3 then 'c' || hex(e.target)
    else 'd' || hex(e.target) || ' d' || hex(e.author) end || ' a' || hex(e.author)"""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Messages with all `terms`: of channels (of `channel`, if given; none of `hidden`), or the direct
    messages of the user id `user` (with `peer` only, if given); of `author` only, if given.
    """

    terms: Sequence[Term]
    channel: str | None = None
    hidden: Sequence[str] = ()
    user: bytes | None = None
    peer: bytes | None = None
    author: bytes | None = None

    @property
    def kind(self) -> int:
        """Of the entries looked for."""
        return 3 if self.user is None else 4

    def match(self) -> str:
        """The expression for MATCH."""
        said = " AND ".join(map(_term, self.terms))
        parts = [f"{SAID if self.user is None else DIRECT} : ({said})"]
        places = self._places()
        if places:
            parts.append(f"{PLACE} : ({' AND '.join(places)})")
        found = " AND ".join(parts)
        if self.hidden and self.channel is None and self.user is None:
            hidden = " OR ".join(_token("c", name.encode()) for name in self.hidden)
            return f"({found}) NOT {PLACE} : ({hidden})"
        return found

    def _places(self) -> list[str]:
        places = []
        if self.user is not None:
            places += [_token("d", self.user)]
            places += [] if self.peer is None else [_token("d", self.peer)]
        elif self.channel is not None:
            places += [_token("c", self.channel.encode())]
        if self.author is not None:
            places += [_token("a", self.author)]
        return places


def _term(term: Term) -> str:
    quoted = '"' + term.words.replace('"', '""').replace("\0", " ") + '"'
    return quoted + " *" if term.prefix else quoted


def _token(kind: str, name: bytes) -> str:
    return f'"{kind}{name.hex()}"'
