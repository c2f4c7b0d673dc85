"""Which users and channels exist here, for the checks that every write makes.

What is appended but not yet durable exists for the writes behind it on the same log, but not for
anybody outside (I4): `pending_*` says so.
"""

from collections.abc import Iterable, Mapping

from recado.protocol.entry import shape_problem, told_names
from recado.protocol.messages import Entry, Kind
from recado.protocol.names import UNKNOWN_NAME

USER_MESSAGE, CHANNEL_MESSAGE = Kind.USER_MESSAGE, Kind.CHANNEL_MESSAGE


class Directory:
    """Names by user id, and channels.  Committed entries only, plus what is pending beside it."""

    def __init__(
        self, users: Mapping[bytes, str], channels: Iterable[str], *, heard_of: Mapping[bytes, str]
    ) -> None:
        self.users: dict[bytes, str] = dict(users)
        self.channels: set[str] = set(channels)
        self.version = 0  # grows when the lists of users and channels may have changed
        self.heard_of: dict[bytes, str] = dict(heard_of)  # by messages, before their registration arrived
        self._pending_users: set[bytes] = set()
        self._pending_channels: set[str] = set()

    def reload(
        self, users: Mapping[bytes, str], channels: Iterable[str], *, heard_of: Mapping[bytes, str]
    ) -> None:
        """Everything anew from the store, while nothing is pending."""
        self.users, self.channels, self.heard_of = dict(users), set(channels), dict(heard_of)
        self.abandoned()
        self.version += 1

    def has_user(self, uid: bytes) -> bool:
        return uid in self.users or uid in self._pending_users

    def has_channel(self, name: str) -> bool:
        return name in self.channels or name in self._pending_channels

    def is_pending(self, target: str | bytes) -> bool:
        """Whether it exists only in entries that are not durable yet."""
        return target in self._pending_users or target in self._pending_channels

    def name_of(self, uid: bytes | None) -> str:
        """The name to show for a user id."""
        key = uid or b""
        return self.users.get(key) or self.heard_of.get(key) or UNKNOWN_NAME

    def appended(self, entry: Entry) -> None:
        """An own entry waits for its commit."""
        if entry.kind == Kind.LOGIN and entry.author is not None and entry.author not in self.users:
            self._pending_users.add(entry.author)
        elif entry.kind == Kind.CHANNEL and entry.target not in self.channels:
            self._pending_channels.add(str(entry.target))

    def committed(self, entries: Iterable[Entry]) -> None:
        """Entries, own or peers', are durable.  A message makes its channel known too (A18)."""
        channels = self.channels
        for entry in entries:
            nothing_new = entry.kind == USER_MESSAGE or (
                entry.kind == CHANNEL_MESSAGE and entry.target in channels
            )
            if not nothing_new or entry.extra is not None:
                self._committed(entry)

    def _committed(self, entry: Entry) -> None:
        kind = entry.kind
        if shape_problem(entry) is not None:
            return
        if kind == Kind.LOGIN and entry.author is not None:
            self.version += 1  # also if the user is known: a smaller key changes the order
            self.users.setdefault(entry.author, str(entry.target))
            self._pending_users.discard(entry.author)
        elif kind in (Kind.CHANNEL, Kind.CHANNEL_MESSAGE):
            # A second creation may have the smaller key, which changes the order.
            self.version += kind == Kind.CHANNEL or entry.target not in self.channels
            self.channels.add(str(entry.target))
            self._pending_channels.discard(str(entry.target))
        self.heard_of.update(told_names(entry))

    def abandoned(self) -> None:
        """The pending entries are void."""
        self._pending_users.clear()
        self._pending_channels.clear()
