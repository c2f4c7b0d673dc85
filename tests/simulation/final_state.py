"""What a replica holds at the end, read from its disk: the entries, and the views as SQL gives them."""

import sqlite3
from typing import Any

import msgspec

from recado.protocol.entry import EMPTY, Head, parse
from recado.protocol.messages import Entry
from recado.protocol.views import Named, Shown, Views
from storage.replica import Replica

_NAMED = "select name, timestamp, lamport, origin, seq from {}"
_CHANNEL_MESSAGES = "select user, channel, message, timestamp, lamport, origin, seq from channel_messages"
_USER_MESSAGES = "select src, dst, message, timestamp, lamport, origin, seq from user_messages"
_PAGE = 2000


class FinalState(msgspec.Struct, frozen=True, kw_only=True):
    """One server's replica.  `quarantined`: (origin, seq, reason) of what it refused."""

    server: str
    entries: tuple[Entry, ...]  # by origin and seq
    views: Views
    quarantined: tuple[tuple[str, int, str], ...] = ()

    @property
    def heads(self) -> dict[str, tuple[int, bytes]]:
        return {entry.origin: (entry.seq, entry.hash) for entry in self.entries}


def read(server: str, image: bytes) -> FinalState:
    """The state of a disk.  Raises `storage` errors if a chain hash does not match."""
    replica = Replica.in_memory(server, image)
    try:
        entries = tuple(entry for origin in sorted(replica.heads()) for entry in _log(replica, origin))
    finally:
        replica.close()
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(image)
        return FinalState(
            server=server,
            entries=entries,
            views=_views(connection),
            quarantined=tuple(connection.execute("select origin, seq, reason from quarantine")),
        )
    finally:
        connection.close()


def _log(replica: Replica, origin: str) -> list[Entry]:
    entries: list[Entry] = []
    head = EMPTY
    while (run := replica.run_after(origin, head.seq, entries_max=_PAGE, bytes_max=2**30)) is not None:
        for header, body in run.entries:
            entry = parse(header, body, head)
            entries.append(entry)
            head = Head(entry.seq, entry.lamport, entry.hash)
    return entries


def _views(connection: sqlite3.Connection) -> Views:
    def named(view: str) -> list[Named]:
        return [Named(n, _ms(t), *key) for n, t, *key in connection.execute(_NAMED.format(view))]

    def shown(query: str) -> list[Shown]:
        return [Shown(a, to, text, _ms(t), *key) for a, to, text, t, *key in connection.execute(query)]

    return Views(named("users"), named("channels"), shown(_CHANNEL_MESSAGES), shown(_USER_MESSAGES))


def _ms(seconds: Any) -> int:
    return round(seconds * 1000)
