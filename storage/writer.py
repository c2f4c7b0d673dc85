"""The write path: a batch of entries, and everything derived from it, as one transaction (A4).

`write` leaves the transaction open, `commit` makes it durable and may run in a worker thread; nothing
else touches the connection in between.  Rows go in many to a statement (`storage.bulk`), and copies of a
message are found by one look-up per 512 ids; only the smallest key stays shown (A8).
Rows of users and channels are rare: each is written inside a SAVEPOINT, so that what cannot be
materialised is quarantined and never stops replication (A35).
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from recado.protocol.entry import origin_node
from recado.protocol.limits import MILESTONE_MS, QUARANTINE_ROWS_MAX
from recado.protocol.messages import Entry, Kind
from storage.bulk import BODY, ENTRY_VALUES, SHOWN, in_chunks, insert_entries, select_by_ids
from storage.database import Guard
from storage.derived import NOT_SHOWN_KIND, Copy, Derived, Key, larger_copies
from storage.rows import Batch, Counts, PeerRow, Quarantined, stored_body

_HIDE = "update entry set shown=0 where number=? and seq=?"
_INSERT_USER = "insert or replace into user values(?,?,?,?,?,?,?)"
_INSERT_CHANNEL = "insert or replace into channel values(?,?,?,?,?)"
_INSERT_PRIVATE = "insert or ignore into private_channel values(?)"
_INSERT_SIGNATURE = "insert or replace into signature values(?,?,?)"
_DELETE_SIGNATURE = "delete from signature where number=? and seq=?"
_INSERT_QUARANTINE = "insert or ignore into quarantine values(?,?,?,?,?)"
# What a derived row can raise by its content; a full or failing disk raises OperationalError.
_CONTENT_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    UnicodeError,
    OverflowError,
)

_LOGIN: Final = Kind.LOGIN
_OF_CHANNELS: Final = frozenset({Kind.CHANNEL_MESSAGE, Kind.CHANNEL})
_ABOUT_CHANNELS: Final = frozenset({Kind.CHANNEL, Kind.CHANNEL_RULE})

_SELECT_COPIES: Final = select_by_ids(
    "e.id, e.author, e.kind, e.target, e.body, e.lamport, e.number, e.seq", also="where e.shown"
)


class Writer:
    """The writing connection of a replica and what it remembers of it."""

    def __init__(
        self, connection: sqlite3.Connection, *, guard: Guard, derived: Derived, durable: dict[str, int]
    ) -> None:
        self.connection = connection
        self.durable = durable  # origin → seq, committed
        self.counts = Counts(0, 0, 0, 0)
        self._guard = guard
        self._derived = derived
        self._staged: Batch | None = None
        rows = connection.execute("select number, max(seq), max(time_ms) from milestone group by number")
        marked = {derived.origins[number]: (seq, time_ms) for number, seq, time_ms in rows}
        self._grown = {o for o, seq in durable.items() if seq > marked.get(o, (0, 0))[0]}
        self._milestone_ms = max((time_ms for _, time_ms in marked.values()), default=0)
        self._milestone_taken_ms: int | None = None
        self._count(sum(durable.values()))

    @property
    def staged(self) -> bool:
        """Whether a batch is written and not yet committed."""
        return self._staged is not None

    def write(self, batch: Batch) -> None:
        """Everything of `batch` in a transaction that stays open.  After an error nothing is left."""
        if self._staged is not None:
            raise RuntimeError("the batch before this one is not committed")
        try:
            with self._guard():
                self.connection.execute("begin immediate")
                self._write(batch)
            self._staged = batch
        finally:
            if self._staged is None:
                self.rollback()

    def commit(self) -> None:
        """Make the written batch durable.  After an error nothing of it is kept in memory."""
        batch, self._staged = self._staged, None
        if batch is None:
            raise RuntimeError("nothing is staged")
        committed = False
        try:
            with self._guard():
                self.connection.execute("commit")
            committed = True
        finally:
            if not committed:
                self.rollback()
        self._derived.keep()
        if self._milestone_due(batch.now_ms):
            self._milestone_taken_ms = batch.now_ms
            self._milestone_ms = max(batch.now_ms, self._milestone_ms + 1)
            self._grown.clear()
        last = {entry.origin: entry.seq for entry in batch.entries}
        self.durable.update(last)
        self._grown.update(last)
        self._count(self.counts.entries + len(batch.entries))

    def rollback(self) -> None:
        """Forget the open transaction, if there is one."""
        self._staged = None
        self._derived.undo()
        if self.connection.in_transaction:
            with self._guard():
                self.connection.execute("rollback")

    def _count(self, entries: int) -> None:
        derived = self._derived
        self.counts = Counts(
            entries,
            len(self.durable),
            derived.registered,
            len(derived.channels),
        )

    def _write(self, batch: Batch) -> None:
        execute, executemany = self.connection.execute, self.connection.executemany
        if batch.repairs:
            self._take_out(batch.repairs)
            self._write_entries(batch.repairs)
        if batch.entries:
            self._write_entries(batch.entries)
        for (origin, seq), signature in batch.signatures.items():
            place = (self._number(origin), seq)
            if signature is None:
                execute(_DELETE_SIGNATURE, place)
            else:
                execute(_INSERT_SIGNATURE, (*place, signature))
        for origin, state in batch.states.items():
            execute("update origin set state=? where number=?", (state, self._number(origin)))
        if batch.meta:
            executemany("insert or replace into meta values(?,?)", map(_meta_row, batch.meta.items()))
        if batch.peers:
            executemany("insert or replace into peer values(?,?,?,?,?,?)", map(_peer_row, batch.peers))
        if batch.quarantined:
            self._quarantine_foreign(batch.quarantined)
        if self._milestone_due(batch.now_ms):
            # The heads *before* this batch: it is not durable yet at this time.
            time_ms = max(batch.now_ms, self._milestone_ms + 1)
            rows = [(self._derived.numbers[o], time_ms, self.durable[o]) for o in self._grown]
            executemany("insert or replace into milestone values(?,?,?)", rows)

    def _milestone_due(self, now_ms: int) -> bool:
        taken = self._milestone_taken_ms
        return bool(self._grown) and (taken is None or abs(now_ms - taken) >= MILESTONE_MS)

    def _number(self, origin: str) -> int:
        number = self._derived.number(origin)
        if number is None:
            number = self._derived.new_number(origin)
            self.connection.execute(
                "insert into origin(number, origin, node) values(?,?,?)",
                (number, origin, origin_node(origin)),
            )
        return number

    def _take_out(self, entries: Sequence[Entry]) -> None:
        """Delete the damaged rows that these entries replace, if they are there at all."""
        for e in entries:
            place = (self._number(e.origin), e.seq)
            self.connection.execute("delete from entry where number=? and seq=?", place)

    # Entries -----------------------------------------------------------------------------------

    def _write_entries(self, entries: Sequence[Entry]) -> None:
        derived, moved = self._derived, _Moved()
        numbers, moves_nothing = derived.numbers, derived.moves_nothing
        values: list[Any] = []
        ids: list[bytes] = []  # of what is shown
        for e in entries:
            number = numbers.get(e.origin) or self._number(e.origin)
            kind, author, id_ = e.kind, e.author, e.id
            body = stored_body(kind, e.body)
            shown = 1 if moves_nothing(e, body) or self._is_shown(e, moved) else 0
            if shown and id_ is not None:
                ids.append(id_)
            values += (
                number,
                e.seq,
                e.lamport,
                e.wall_ms,
                kind,
                author and bytearray(author),
                e.target,
                id_ and bytearray(id_),
                e.prev,
                body,
                e.extra,
                bytearray(e.hash),
                shown,
            )
        self._hide_copies(entries, values, ids)
        insert_entries(self.connection, values)
        self._write_derived(moved)

    def _is_shown(self, e: Entry, moved: "_Moved") -> bool:
        """Whether people see the entry; why not, if its content is the reason, is quarantined."""
        try:
            problem = self._examine(e, moved)
        except Exception as error:  # noqa: BLE001 - A35: no content may stop replication
            problem = f"materialiser: {type(error).__name__}"
        if problem is not None and problem is not NOT_SHOWN_KIND:
            self._quarantine_own(e, problem)
        return problem is None

    def _examine(self, e: Entry, moved: "_Moved") -> str | None:
        """Why the entry is not shown, or None; the derived rows that it moves are noted in `moved`."""
        problem = self._derived.problem(e)
        if problem is not None and problem is not NOT_SHOWN_KIND:
            return problem
        kind = e.kind
        derived = self._derived
        if e.extra is not None or kind == _LOGIN:
            if derived.user_of(e) is not None:
                moved.users[e.author or b""] = e
            if derived.receiver_of(e) is not None:
                moved.users[e.target] = e  # type: ignore[index]
            for uid in derived.renamed:
                moved.users.setdefault(uid, e)
            derived.renamed.clear()
        if kind in _OF_CHANNELS and derived.channel_of(e) is not None:
            moved.channels[str(e.target)] = e
        if kind in _ABOUT_CHANNELS and (name := derived.now_private(e)) is not None:
            moved.private[name] = e
        return problem

    def _hide_copies(self, entries: Sequence[Entry], values: list[Any], ids: list[bytes]) -> None:
        """Shown = 0 for all but the smallest of copies, here and on disk."""
        copies: dict[bytes, list[Copy]] = {}
        places: dict[Key, tuple[int, int]] = {}
        for chunk in in_chunks(ids):
            for id_, author, kind, target, body, lamport, number, seq in self.connection.execute(
                _SELECT_COPIES[len(chunk)], chunk
            ):
                key = (lamport, self._derived.origins[number], seq)
                places[key] = (number, seq)
                copies.setdefault(id_, []).append(Copy((author, kind, target, body), key, None))
        repeated = {i for i, n in Counter(ids).items() if n > 1} if len(set(ids)) < len(ids) else set()
        suspects = repeated | copies.keys()
        if not suspects:
            return
        for entry, row in zip(entries, range(0, len(values), ENTRY_VALUES), strict=True):
            if entry.id in suspects and values[row + SHOWN]:
                ident = (entry.author, entry.kind, entry.target, values[row + BODY])
                copies.setdefault(entry.id, []).append(Copy(ident, entry.key, row))
        for loser in larger_copies(copies):
            if loser.place is not None:
                values[loser.place + SHOWN] = 0
            else:
                self.connection.execute(_HIDE, places[loser.key])

    # Rare rows ---------------------------------------------------------------------------------

    def _write_derived(self, moved: "_Moved") -> None:
        for uid, entry in moved.users.items():
            user = self._derived.users[uid]
            place = (None, None, None) if user.key is None else self._place(user.key)
            self._derived_row(_INSERT_USER, (uid, user.name, user.shown_name, user.wall, *place), entry)
        for name, entry in moved.channels.items():
            channel = self._derived.channels[name]
            row = (name, channel.wall, *self._place(channel.key))
            self._derived_row(_INSERT_CHANNEL, row, entry)
        for name, entry in moved.private.items():
            self._derived_row(_INSERT_PRIVATE, (name,), entry)

    def _place(self, key: Key) -> tuple[int, int, int]:
        return (key[0], self._derived.numbers[key[1]], key[2])

    def _derived_row(self, statement: str, row: tuple[Any, ...], entry: Entry) -> None:
        execute = self.connection.execute
        execute("savepoint derived")
        try:
            execute(statement, row)
        except _CONTENT_ERRORS as error:
            execute("rollback to derived")
            self._quarantine_own(entry, f"materialiser: {type(error).__name__}")
        execute("release derived")

    def _quarantine_own(self, entry: Entry, reason: str) -> None:
        self.connection.execute(_INSERT_QUARANTINE, (entry.origin, entry.seq, reason, "", None))

    def _quarantine_foreign(self, found: Sequence[Quarantined]) -> None:
        (rows,) = self.connection.execute("select count(*) from quarantine where from_node<>''").fetchone()
        for q in found[: max(0, QUARANTINE_ROWS_MAX - rows)]:
            # '' is reserved for what is in the log itself, which is not bounded by this limit.
            row = (q.origin, q.seq, q.reason, q.from_node or "?", q.raw)
            self.connection.execute(_INSERT_QUARANTINE, row)


class _Moved:
    """The derived rows that a batch changes, each with the last entry that changes it."""

    def __init__(self) -> None:
        self.users: dict[bytes, Entry] = {}
        self.channels: dict[str, Entry] = {}
        self.private: dict[str, Entry] = {}


def _meta_row(item: tuple[str, Any]) -> tuple[str, str | bytes]:
    key, value = item
    return key, value if isinstance(value, bytes) else json.dumps(value)


def _peer_row(p: PeerRow) -> tuple[Any, ...]:
    return p.name, p.rank, p.address, p.confirmed_entries, p.heard_ms, p.offset_ms
