"""What people read of a replica: names, lists, messages, and the content of a plain `sync`."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final

from recado.protocol.messages import Kind
from recado.protocol.vector import Vector
from storage import history, plain_sync
from storage.database import Guard
from storage.derived import Derived, Key
from storage.rows import Counts, MessageRow
from storage.writer import Writer

_SHOWN_BY_KIND: Final = "select kind, count(*) from entry where shown group by kind"


class ReadsForPeople:
    """The reading half of `storage.replica.Replica`.  Every method may raise `StorageFailed`."""

    _guard: Guard
    _reader: sqlite3.Connection
    _derived: Derived
    _writer: Writer
    _token: str  # of this start, in the cursors of plain `sync`

    def names(self) -> tuple[dict[bytes, str], set[str]]:
        """(user id → name of all registered users, all channels)."""
        with self._guard():
            return history.people_and_channels(self._reader)

    def heard_of(self) -> dict[bytes, str]:
        """User id → name of users whose registration has not arrived, as messages named them."""
        with self._guard():
            return history.unregistered(self._reader)

    def users(self) -> list[str]:
        """Names of the registered users, in total order."""
        with self._guard():
            return [name for (name,) in self._reader.execute("select name from users")]

    def channels(self) -> list[str]:
        """Names of the channels, in total order."""
        with self._guard():
            return [name for (name,) in self._reader.execute("select name from channels")]

    def last_messages(
        self,
        *,
        channel: str | None = None,
        user: bytes | None = None,
        peer: bytes | None = None,
        before: Key | None = None,
        limit: int,
    ) -> list[MessageRow]:
        """The last `limit` messages before the key `before`, in total order.

        Of a channel, or the direct messages from and to the user id `user` (with `peer` only).
        """
        with self._guard():
            return history.last_messages(
                self._reader, channel=channel, user=user, peer=peer, before=before, limit=limit
            )

    def messages_at(
        self,
        kind: int,
        spots: Iterable[tuple[int, str]],
        *,
        user: bytes | None = None,
        peer: bytes | None = None,
    ) -> list[MessageRow]:
        """The shown messages of that kind with these (stamp, origin): what a search has found.

        Of direct messages only those to or from the user id `user` (with `peer` only).
        """
        numbers = self._derived.numbers
        with self._guard():
            return history.messages_at(
                self._reader, numbers=numbers, kind=kind, spots=spots, user=user, peer=peer
            )

    def last_heads(self, *, messages_max: int) -> list[tuple[str | bytes, str, int]]:
        """(target, origin, seq) of each origin's last message to each target, the newest last, as far as
        they are among the last `messages_max` channel messages, and as many direct ones.
        """
        with self._guard():
            return history.last_heads(self._reader, messages_max=messages_max)

    def messages_since(
        self,
        *,
        channel: str | None = None,
        user: bytes | None = None,
        peer: bytes | None = None,
        since: Mapping[str, int],
        up_to: Mapping[str, int],
        limit: int,
        bytes_max: int,
    ) -> tuple[list[MessageRow], Vector, bool]:
        """A page of what `up_to` (at most the durable vector) has beyond `since`: (messages, upto, more).

        `upto` covers exactly what was looked at, so it is the next page's `since`.
        """
        durable = self._writer.durable.copy()
        bounded = {origin: min(seq, durable.get(origin, 0)) for origin, seq in up_to.items()}
        with self._guard():
            return history.messages_since(
                self._reader,
                numbers=self._derived.numbers,
                channel=channel,
                user=user,
                peer=peer,
                since=since,
                up_to=bounded,
                limit=limit,
                bytes_max=bytes_max,
            )

    def sync_since(self, last_sync: int | str | None, *, bytes_max: int) -> dict[str, Any]:
        """A plain `sync` reply's content: what arrived here after `last_sync`, a time in milliseconds, an
        earlier reply's ``next_sync``, or None for everything.  A little may be repeated, nothing left out.
        """
        with self._guard():
            return plain_sync.sync_since(
                self._reader,
                token=self._token,
                durable=self._writer.durable.copy(),
                numbers=self._derived.numbers.copy(),
                since=last_sync,
                bytes_max=bytes_max,
            )

    def counts(self) -> Counts:
        """How much is durable here."""
        return self._writer.counts

    def message_counts(self) -> tuple[int, int]:
        """(messages in channels, direct messages) as the views show them.  Reads a whole index."""
        with self._guard():
            shown = dict(self._reader.execute(_SHOWN_BY_KIND))
        return shown.get(Kind.CHANNEL_MESSAGE, 0), shown.get(Kind.USER_MESSAGE, 0)
