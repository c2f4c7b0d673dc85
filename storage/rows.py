"""What goes into the replica and what comes out of it: values, and entries as rows and back."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from recado.protocol.entry import encode_header, hash16
from recado.protocol.messages import Entry, Kind

_SHOWN_KINDS: Final[frozenset[int]] = frozenset(map(int, Kind))
# Of which the body is stored as text where it is UTF-8: messages, and rules in JSON.
_TEXT_KINDS: Final = frozenset(range(1, 7))

# Columns of `entry` that make its bytes, in the order of `EntryRow`'s fields after the first.
ENTRY_COLUMNS: Final = "seq, lamport, wall, kind, author, id, target, prev, body, extra, hash"


class PeerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the view `peers`: what this node last knew of another.  Times in milliseconds."""

    name: str
    rank: int | None = None
    address: str | None = None
    confirmed_entries: int | None = None
    heard_ms: int | None = None
    offset_ms: float | None = None


class Quarantined(msgspec.Struct, frozen=True):
    """Something refused: why, its bytes as far as they help, and who sent it."""

    origin: str
    seq: int
    reason: str
    raw: bytes | None = None
    from_node: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit makes durable.

    `entries`: own and peers' mixed, each origin's in order of seq.  `meta`: values that are bytes or
    fit into JSON.  `states`: origins that are no longer ``open``.  `now_ms`: the node's clock.
    `repairs`: entries to be put in the place of damaged or missing rows (A34).  `signatures`: of the
    origin's node over the entry (origin, seq), which is in this batch or durable; None takes one away.
    """

    entries: Sequence[Entry] = ()
    repairs: Sequence[Entry] = ()
    meta: Mapping[str, Any] = {}
    peers: Sequence[PeerRow] = ()
    quarantined: Sequence[Quarantined] = ()
    states: Mapping[str, str] = {}
    signatures: Mapping[tuple[str, int], bytes | None] = {}
    now_ms: int = 0


class FoundEntry(NamedTuple):
    """A durable entry with an id that was asked for."""

    author: bytes | None
    kind: int
    target: str | bytes | None
    body_hash16: bytes
    origin: str
    seq: int
    lamport: int


class MessageRow(NamedTuple):
    """A shown message.  `to`: the channel, or the destination's name; `author`: the user id."""

    kind: int
    user: str
    to: str
    message: str
    wall_ms: int
    lamport: int
    origin: str
    seq: int
    prev: int
    id: bytes | None
    author: bytes

    @property
    def key(self) -> tuple[int, str, int]:
        return (self.lamport, self.origin, self.seq)


class Counts(msgspec.Struct, frozen=True):
    """How much there is, as far as it is durable."""

    entries: int
    origins: int
    users: int
    channels: int


class EntryRow(NamedTuple):
    """An entry as it is stored; `body` is text or bytes, `hash` what was stored with it."""

    origin: str
    seq: int
    lamport: int
    wall: int
    kind: int
    author: bytes | None
    id: bytes | None
    target: str | bytes | None
    prev: int
    body: str | bytes
    extra: bytes | None
    hash: bytes

    def frames(self) -> tuple[bytes, bytes] | None:
        """(canonical header, body) byte for byte as they arrived; None if the row's types are damaged."""
        try:
            body = self.body.encode() if isinstance(self.body, str) else self.body
            return encode_header(*self[:9], hash16(body), self.extra), body
        except (TypeError, ValueError, OverflowError):
            return None

    def entry(self) -> Entry | None:
        """The entry; None if the row's types are damaged."""
        frames = self.frames()
        return None if frames is None else Entry(*self[:9], frames[1], self.extra, frames[0], self.hash)


def stored_body(kind: int, body: bytes) -> str | bytes:
    """Messages and rules in UTF-8 are text, so that people and views can read them; all else stays bytes."""
    if kind in _TEXT_KINDS:
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body
    return body


def known_kinds() -> frozenset[int]:
    """The kinds that this program shows to people."""
    return _SHOWN_KINDS


def is_known_kind(kind: int) -> bool:
    return kind in _SHOWN_KINDS
