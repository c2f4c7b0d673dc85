"""What a batch of entries changes in the derived rows: users, channels, counts.

Every derived row is a minimum over the set of entries (A18, R9), kept in memory so that SQL is touched
only when one really moves.  Changes are undone if the batch is not committed.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from recado.protocol import entry as entries
from recado.protocol.limits import TEXT_BYTES_MAX
from recado.protocol.messages import Entry, Kind
from storage.rows import is_known_kind

Key = tuple[int, str, int]  # (lamport, origin, seq): the total order

NOT_SHOWN_KIND: Final = "unknown kind"


class UserRow(NamedTuple):
    """A user as far as it is known: without `key` only the name that a message carried is."""

    name: str
    wall: int | None = None
    key: Key | None = None


class ChannelRow(NamedTuple):
    wall: int
    key: Key


class Derived:
    """Maps of what is in the derived tables, running ahead of the disk by at most one batch."""

    def __init__(
        self,
        *,
        numbers: dict[str, int],
        users: dict[bytes, UserRow],
        channels: dict[str, ChannelRow],
        shown: dict[int, int],
    ) -> None:
        self.numbers = numbers  # origin → its number in this file
        self.origins = {number: origin for origin, number in numbers.items()}
        self.users = users
        self.channels = channels
        self.shown = shown  # kind → how many entries of it are shown
        self.registered = sum(row.key is not None for row in users.values())
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._registered_before = self.registered

    def keep(self) -> None:
        """The batch is durable."""
        self._undo.clear()
        self._registered_before = self.registered

    def undo(self) -> None:
        """The batch was not kept: everything is as before it."""
        for mapping, key, before in reversed(self._undo):
            if before is None:
                del mapping[key]
            else:
                mapping[key] = before
        self._undo.clear()
        self.registered = self._registered_before

    def _set(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((mapping, key, mapping.get(key)))
        mapping[key] = value

    def number(self, origin: str) -> int | None:
        """The origin's number; None if it has none yet (see `new_number`)."""
        return self.numbers.get(origin)

    def new_number(self, origin: str) -> int:
        number = max(self.origins, default=0) + 1
        self._set(self.numbers, origin, number)
        self._set(self.origins, number, origin)
        return number

    def count(self, kind: int, change: int) -> None:
        self._set(self.shown, kind, self.shown.get(kind, 0) + change)

    def problem(self, entry: Entry) -> str | None:
        """Why the entry is not shown, `NOT_SHOWN_KIND` if we do not know its kind; None: it is shown.

        Agrees with `shape_problem`; short for messages in channels that are known already.
        """
        kind = entry.kind
        if not is_known_kind(kind):
            return NOT_SHOWN_KIND
        if entry.author is not None and (
            (kind == Kind.CHANNEL_MESSAGE and entry.target in self.channels)
            or (kind == Kind.USER_MESSAGE and type(entry.target) is bytes)
        ):
            try:
                if len(entry.body) <= TEXT_BYTES_MAX and entry.body.decode().strip():
                    return None
            except UnicodeDecodeError:
                pass
        return entries.shape_problem(entry)

    def user_of(self, entry: Entry) -> UserRow | None:
        """The user row of the entry's author if this entry changes it."""
        author = entry.author
        if author is None:
            return None
        known = self.users.get(author)
        if entry.kind == Kind.LOGIN:
            if known is None or known.key is None or entry.key < known.key:
                row = UserRow(str(entry.target), entry.wall_ms, entry.key)
                self.registered += known is None or known.key is None
                self._set(self.users, author, row)
                return row
        elif known is None and entry.extra is not None:
            return self._named(entry, author)
        return None

    def receiver_of(self, entry: Entry) -> UserRow | None:
        """The user row of a direct message's receiver if this entry is the first to tell the name."""
        receiver = entry.target
        if entry.extra is None or not isinstance(receiver, bytes) or receiver in self.users:
            return None
        return self._named(entry, receiver)

    def _named(self, entry: Entry, uid: bytes) -> UserRow | None:
        name = dict(entries.told_names(entry)).get(uid)
        if name is None:
            return None
        row = UserRow(name)
        self._set(self.users, uid, row)
        return row

    def channel_of(self, entry: Entry) -> ChannelRow | None:
        """The row of the entry's channel if this entry changes it."""
        known = self.channels.get(entry.target)  # type: ignore[arg-type]
        # The stamp alone nearly always decides; the whole key only between equal ones.
        if known is not None and (known.key[0] < entry.lamport or known.key < entry.key):
            return None
        row = ChannelRow(entry.wall_ms, entry.key)
        self._set(self.channels, entry.target, row)
        return row


class Copy(NamedTuple):
    """One entry among those that share an id; `place` in the batch, None: on disk."""

    ident: tuple[bytes | None, int, str | bytes | None, str | bytes]
    key: Key
    place: int | None


def larger_copies(copies: Mapping[bytes, list[Copy]]) -> list[Copy]:
    """Of every message that is there several times, all but the smallest key (A8)."""
    losers: list[Copy] = []
    for same_id in copies.values():
        smallest: dict[object, Copy] = {}
        for copy in same_id:
            best = smallest.setdefault(copy.ident, copy)
            if copy.key < best.key:
                losers.append(best)
                smallest[copy.ident] = copy
            elif copy is not best:
                losers.append(copy)
    return losers
