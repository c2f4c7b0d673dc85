"""What a batch of entries changes in the derived rows: users, channels.

Every derived row is a minimum over the set of entries (A18, R9), kept in memory so that SQL is touched
only when one really moves.  Changes are undone if the batch is not committed.

A name belongs to the user id that registered it with the smallest key; who else goes by it (concurrent
registrations, secured mode only: without keys the name makes the id) is shown as `views.other_name` says.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from recado.protocol import entry as entries
from recado.protocol import rules
from recado.protocol.limits import TEXT_BYTES_MAX
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import holder_of, other_name
from storage.rows import is_known_kind

Key = tuple[int, str, int]  # (lamport, origin, seq): the total order

NOT_SHOWN_KIND: Final = "unknown kind"
_CHANNEL_MESSAGE: Final = int(Kind.CHANNEL_MESSAGE)  # comparing with an enumeration takes three times as long
_USER_MESSAGE: Final = int(Kind.USER_MESSAGE)


class UserRow(NamedTuple):
    """A user as far as it is known: without `key` only the name that a message carried is.

    `shown`: the name as people see it, if that is another one.
    """

    name: str
    wall: int | None = None
    key: Key | None = None
    shown: str | None = None

    @property
    def shown_name(self) -> str:
        return self.name if self.shown is None else self.shown


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
        private: set[str],
    ) -> None:
        self.numbers = numbers  # origin → its number in this file
        self.origins = {number: origin for origin, number in numbers.items()}
        self.users = users
        self.channels = channels
        self.private = dict.fromkeys(private, True)  # channels that an entry has said to be private
        self.renamed: set[bytes] = set()  # users whose shown name another one's registration has changed
        self.registered = sum(row.key is not None for row in users.values())
        self._bearers: dict[str, tuple[bytes, ...]] = {}  # name → who registered it, or is told to have
        for uid, row in users.items():
            self._bearers[row.name] = (*self._bearers.get(row.name, ()), uid)
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
        self.renamed.clear()
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

    def moves_nothing(self, entry: Entry, body: str | bytes) -> bool:
        """Whether it is plain that the entry is shown and changes no derived row, as nearly every message.

        `body`: as it is stored.  False means only that the others here are to be asked.
        """
        kind = entry.kind
        if kind == _CHANNEL_MESSAGE:
            channel = self.channels.get(entry.target)  # type: ignore[arg-type]
            if channel is None or channel.key[0] >= entry.lamport:
                return False
        elif kind != _USER_MESSAGE or type(entry.target) is not bytes:
            return False
        return (
            is_known_kind(kind)
            and entry.extra is None
            and entry.author is not None
            and type(body) is str
            and len(entry.body) <= TEXT_BYTES_MAX
            and bool(body.strip())
        )

    def problem(self, entry: Entry) -> str | None:
        """Why the entry is not shown, `NOT_SHOWN_KIND` if we do not know its kind; None: it is shown."""
        return entries.shape_problem(entry) if is_known_kind(entry.kind) else NOT_SHOWN_KIND

    def user_of(self, entry: Entry) -> UserRow | None:
        """The user row of the entry's author if this entry changes it."""
        author = entry.author
        if author is None:
            return None
        known = self.users.get(author)
        if entry.kind == Kind.LOGIN:
            if known is None or known.key is None or entry.key < known.key:
                self.registered += known is None or known.key is None
                return self._name(author, UserRow(str(entry.target), entry.wall_ms, entry.key))
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
        return self._name(uid, UserRow(name))

    def _name(self, uid: bytes, row: UserRow) -> UserRow:
        """Put the user's row in place, and the shown names of all whom its name concerns."""
        before = self.users.get(uid)
        self._set(self.users, uid, row)
        if before is None or before.name != row.name:
            if before is not None:
                rest = tuple(u for u in self._bearers[before.name] if u != uid)
                self._set(self._bearers, before.name, rest)
                self._settle(before.name)
            self._set(self._bearers, row.name, (*self._bearers.get(row.name, ()), uid))
        self._settle(row.name)
        return self.users[uid]

    def _settle(self, name: str) -> None:
        bearers = self._bearers[name]
        rows = {uid: self.users[uid] for uid in bearers}
        holder = holder_of({uid: row.key for uid, row in rows.items() if row.key is not None})
        for uid, row in rows.items():
            shown = None if holder in (None, uid) else other_name(name, uid)
            if shown != row.shown:
                self._set(self.users, uid, row._replace(shown=shown))
                self.renamed.add(uid)

    def now_private(self, entry: Entry) -> str | None:
        """The channel that this entry, a creation or a rule, says to be private; None if it was known."""
        name = str(entry.target)
        if name in self.private or not _says_private(entry):
            return None
        self._set(self.private, name, True)
        return name

    def channel_of(self, entry: Entry) -> ChannelRow | None:
        """The row of the entry's channel if this entry changes it."""
        known = self.channels.get(entry.target)  # type: ignore[arg-type]
        # The stamp alone nearly always decides; the whole key only between equal ones.
        if known is not None and (known.key[0] < entry.lamport or known.key < entry.key):
            return None
        row = ChannelRow(entry.wall_ms, entry.key)
        self._set(self.channels, entry.target, row)
        return row


def _says_private(entry: Entry) -> bool:
    if not entry.body:
        return False
    if entry.kind == Kind.CHANNEL:
        creation = rules.channel_of(entry.body)
        return creation is not None and creation.private
    deed = rules.channel_deed_of(entry.body)
    return deed is not None and deed.do == "private"


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
