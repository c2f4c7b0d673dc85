"""The full-text index of the messages: a file of its own beside the replica, made of the log (decision 0035).

It follows behind the log and never takes part in a commit of the replica.  How far it has come in each
origin's log is in the same transaction as its rows, with the hash of the entry there: an index that belongs
to another log, is damaged or lost begins anew, and nobody has to keep or copy it.  It holds no texts and
knows no rights: it gives places in the log, and who reads them looks at the replica.

A row's number is ``lamport << 10 | slot``, so that the last messages are found first and no sorting is
needed.  The slot stands for the origin: the first `OWN_SLOTS` origins have one each; of the others, which
are starts of servers long ago or long from now, each row takes one of the rest that is free at its stamp,
and is written down in `placed`.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from recado.protocol.limits import LAMPORT_LIMIT
from storage.database import make_file
from storage.replica import Replica
from storage.search_query import PLACES_SQL, Query

FILE_NAME: Final = "search.db"
FORMAT: Final = 1  # another one begins anew
SLOT_BITS: Final = 10
OWN_SLOTS: Final = 512
STRETCHES_MAX: Final = 100  # in one slice: SQLite's own limit for such a statement is 500
_SLOTS: Final = 1 << SLOT_BITS
_ALL: Final = LAMPORT_LIMIT << SLOT_BITS
_WRITER_KIB, _READER_KIB = 4096, 8192  # of pages kept in memory
_AUTOCHECKPOINT_PAGES: Final = 4000
_TABLES: Final = (
    # seq, hash: up to where this origin's log is in the index, and the hash of the entry there.
    """create table source(
        slot integer primary key, origin text not null unique, seq int not null, hash blob not null)""",
    "create table placed(number integer primary key, slot int not null, lamport int not null)",
    """create virtual table words using fts5(said, direct, place,
        content='', columnsize=0, tokenize='unicode61 remove_diacritics 2')""",
    f"pragma user_version = {FORMAT}",
)
# Not a database, not a sound one, or not one of ours.
_LOST: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
# {log}: the replica's schema; the messages of one stretch of an origin's log.
_STRETCH: Final = f"""select {{row}}, case e.kind when 3 then e.body end, case e.kind when 4 then e.body end,
    {PLACES_SQL} from {{log}}.entry e where e.number = {{number}} and e.seq > {{after}} and e.seq <= {{upto}}
    and e.kind in (3, 4) and typeof(e.body) = 'text' and e.lamport between 1 and {LAMPORT_LIMIT}"""
_INSERT: Final = "insert into words(rowid, said, direct, place)"
_INSERT_ROW: Final = f"{_INSERT} values(?, ?, ?, ?)"
_FIND: Final = """select group_concat(rowid) from (select rowid from words
    where words match ? and rowid < ? order by rowid desc limit ?)"""
_REACHED: Final = "update source set seq = ?, hash = ? where slot = ?"
_PLACED: Final = "select number, slot, lamport from placed where number between ? and ?"
# By what the replica is called where it is asked.
_MEMORY, _FILE = "main", "log"
_HASHES: Final = {
    log: f"""select e.hash from {log}.origin o cross join {log}.entry e on e.number = o.number
    where o.origin = ? and e.seq = ?"""
    for log in (_MEMORY, _FILE)
}
_NUMBERS: Final = {log: f"select number from {log}.origin where origin = ?" for log in (_MEMORY, _FILE)}


class SearchFailed(Exception):
    """The index could not be read or written.  `lost`: it is not sound, and must begin anew."""

    def __init__(self, why: str, *, lost: bool) -> None:
        super().__init__(why)
        self.lost = lost


class Interrupted(Exception):
    """`Index.interrupt` ended a search."""


class Spot(NamedTuple):
    """Where a message is: by its stamp and its origin, which no two entries share."""

    lamport: int
    origin: str


class Stretch(NamedTuple):
    """Entries of one origin behind `after`, up to `upto`."""

    origin: str
    after: int
    upto: int


class Index:
    """The index of one replica.  `take` may run in one worker thread, `find` in another.

    Every method may raise `SearchFailed`.  In memory, as the replica, it is the same with one connection.
    """

    def __init__(self, replica: Replica) -> None:
        """Open what is there, or begin anew.  `begun_anew`: why, if something was given up."""
        self._replica = replica
        self._path = None if replica.path is None else replica.path.with_name(FILE_NAME)
        self.begun_anew: str | None = None
        self.reached: dict[str, int] = {}  # origin → seq: what of its log is in the index
        self._slots: dict[str, int] = {}
        self._origins: dict[int, str] = {}
        self._connections: list[sqlite3.Connection] = []
        try:
            self._open()
            why = self._foreign()
        except SearchFailed as failed:
            if not failed.lost:
                raise
            why = str(failed)
        if why is not None:
            self.begin_anew()
            self.begun_anew = why

    def _open(self) -> None:
        with _failing():
            if self._path is not None:
                make_file(self._path)
            self._writer = self._reader = _connected(self._path)
            self._connections = [self._writer]
            try:
                if self._path is not None:
                    self._configure()
                if self._writer.execute("pragma user_version").fetchone() == (0,):
                    self._make()
                self._load()
                if self._path is not None:
                    self._reader = _connected(self._path)
                    self._connections.append(self._reader)
                    self._reader.execute(f"pragma cache_size = -{_READER_KIB}")
                    self._reader.execute("pragma query_only = 1")
            except:
                self.close()
                raise

    def _configure(self) -> None:
        """Consistent after any end; what power loss takes is indexed again."""
        assert self._replica.path is not None
        self._writer.execute("pragma journal_mode = wal")
        self._writer.execute("pragma synchronous = normal")
        self._writer.execute(f"pragma wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES}")
        self._writer.execute("pragma journal_size_limit = 0")
        self._writer.execute(f"pragma cache_size = -{_WRITER_KIB}")
        self._writer.execute("attach ? as log", (f"{self._replica.path.resolve().as_uri()}?mode=ro",))

    def _make(self) -> None:
        if self._writer.execute("select count(*) from main.sqlite_master").fetchone() != (0,):
            raise SearchFailed("not an index", lost=True)
        self._writer.execute("begin immediate")
        for statement in _TABLES:
            self._writer.execute(statement)
        self._writer.execute("commit")

    def _load(self) -> None:
        if self._writer.execute("pragma main.user_version").fetchone() != (FORMAT,):
            raise SearchFailed("another format", lost=True)
        rows = self._writer.execute("select slot, origin, seq from main.source").fetchall()
        self.reached = {origin: seq for _, origin, seq in rows}
        self._slots = {origin: slot for slot, origin, _ in rows}
        self._origins = {slot: origin for slot, origin, _ in rows}
        self._writer.execute("select rowid from main.words where words match '\"a\"' limit 1").fetchone()

    def _foreign(self) -> str | None:
        """Why the index is not one of this replica's log; None: it is."""
        with _failing():
            for origin, seq, hashed in self._writer.execute("select origin, seq, hash from main.source"):
                if seq and self._hash(origin, seq) != hashed:
                    return f"made of another log of {origin}"
        return None

    def _hash(self, origin: str, seq: int) -> bytes | None:
        if self._path is None:
            with self._replica.reading() as log:
                row = log.execute(_HASHES[_MEMORY], (origin, seq)).fetchone()
        else:
            row = self._writer.execute(_HASHES[_FILE], (origin, seq)).fetchone()
        return None if row is None else row[0]

    def begin_anew(self) -> None:
        """Give up what is there."""
        self.close()
        remove(self._replica)
        self._open()

    def close(self) -> None:
        """The end; what is in memory is gone."""
        for connection in self._connections:
            with suppress(sqlite3.Error):
                connection.close()
        self._connections = []

    def release(self) -> None:
        """Let go of the files, until `reopen`."""
        if self._path is not None:
            self.close()

    def reopen(self) -> None:
        """After `release`, and after the replica's file was exchanged for one that holds more."""
        if self._path is not None:
            self._open()
        if self._foreign() is not None:
            self.begin_anew()

    # Following --------------------------------------------------------------------------------

    def lag(self, durable: Mapping[str, int]) -> int:
        """How many entries of `durable` the index lacks."""
        reached = self.reached
        return sum(max(0, seq - reached.get(origin, 0)) for origin, seq in durable.items())

    def stretches(self, durable: Mapping[str, int], *, most: int) -> list[Stretch]:
        """What is to be taken next of `durable`: at most so many entries, of `STRETCHES_MAX` origins."""
        found: list[Stretch] = []
        for origin, last in durable.items():
            after = self.reached.get(origin, 0)
            if last > after and most > 0 and len(found) < STRETCHES_MAX:
                upto = min(last, after + most)
                found.append(Stretch(origin, after, upto))
                most -= upto - after
        return found

    def take(self, stretches: Sequence[Stretch]) -> None:
        """Put these into the index, in one transaction; entries that are there already are read again.

        At most `STRETCHES_MAX` of them.
        """
        with _failing():
            self._writer.execute("begin immediate")
            try:
                slots = {stretch.origin: self._slot(stretch.origin) for stretch in stretches}
                self._origins |= {slot: origin for origin, slot in slots.items()}  # before they are found
                self._insert(stretches, slots)
                for origin, _, upto in stretches:
                    hashed = self._hash(origin, upto)
                    if upto > self.reached.get(origin, 0) and hashed is not None:
                        self._writer.execute(_REACHED, (upto, hashed, slots[origin]))
                self._writer.execute("commit")
            except:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                raise
        for origin, _, upto in stretches:
            self._slots[origin] = slots[origin]
            self.reached[origin] = max(upto, self.reached.get(origin, 0))

    def _slot(self, origin: str) -> int:
        known = self._slots.get(origin)
        if known is not None:
            return known
        (last,) = self._writer.execute("select coalesce(max(slot), -1) from main.source").fetchone()
        self._writer.execute("insert into source values(?, ?, 0, x'')", (last + 1, origin))
        return int(last) + 1

    def _insert(self, stretches: Sequence[Stretch], slots: Mapping[str, int]) -> None:
        """All of those with slots of their own by one statement: in order it makes one segment of the
        index, and no step of Python waits for the event loop to let it go on.
        """
        if self._path is None:
            with self._replica.reading() as log:
                own, moved = _selects(stretches, slots, log=log, schema=_MEMORY)
                rows = log.execute(own).fetchall() if own else []
                far = {slot: log.execute(select).fetchall() for slot, select in moved.items()}
            self._writer.executemany(_INSERT_ROW, rows)
        else:
            own, moved = _selects(stretches, slots, log=self._writer, schema=_FILE)
            if own:
                own = f"{_INSERT} {own}"
                self._writer.execute(own)
            far = {slot: self._writer.execute(select).fetchall() for slot, select in moved.items()}
        for slot, rows in far.items():
            for lamport, *texts in rows:
                number = self._number(lamport, slot)
                self._writer.execute(_INSERT_ROW, (number, *texts))

    def _number(self, lamport: int, slot: int) -> int:
        """A row's number for an origin without a slot of its own: one that is free at this stamp.

        Should all be taken, one at the next smaller stamp where one is: it is found, and may be on the
        wrong side of a page's end.
        """
        stamp = lamport
        while True:
            first, last = (stamp << SLOT_BITS) + OWN_SLOTS, (stamp << SLOT_BITS) + _SLOTS - 1
            rows = self._writer.execute(_PLACED, (first, last)).fetchall()
            taken = {number: whose for number, *whose in rows}
            for number in range(first, last + 1):
                if taken.get(number, [slot, lamport]) == [slot, lamport]:
                    self._writer.execute(
                        "insert or replace into placed values(?, ?, ?)", (number, slot, lamport)
                    )
                    return number
            stamp -= 1

    # Finding ----------------------------------------------------------------------------------

    def find(self, query: Query, *, below: int | None, most: int) -> tuple[list[Spot], int | None]:
        """Where the last `most` rows are that match, the last first; and `below` for those before them.

        `below`: only rows with smaller numbers (`number_after`); None comes back if there are no others.
        One step of SQLite, whose length only `interrupt` bounds: then `Interrupted` is raised.
        """
        with _failing():
            # One row of text and not many of numbers: each would wait for the event loop.
            parameters = (query.match(), _ALL if below is None else below, most)
            (found,) = self._reader.execute(_FIND, parameters).fetchone()
            numbers = [int(number) for number in found.split(",")] if found else []
            spots = [spot for number in numbers if (spot := self._spot(number)) is not None]
        return spots, numbers[-1] if len(numbers) == most else None

    def _spot(self, number: int) -> Spot | None:
        slot, lamport = number & (_SLOTS - 1), stamp_of(number)
        if slot >= OWN_SLOTS:
            row = self._reader.execute(
                "select slot, lamport from placed where number = ?", (number,)
            ).fetchone()
            slot, lamport = (-1, 0) if row is None else row
        origin = self._origins.get(slot)
        return None if origin is None else Spot(lamport, origin)

    def interrupt(self) -> None:
        """End a `find` that is under way in another thread."""
        self._reader.interrupt()

    def interrupt_taking(self) -> None:
        """End a `take` likewise: nothing of it is kept.  Most take milliseconds, a merge perhaps seconds."""
        with suppress(sqlite3.ProgrammingError):  # closed
            self._writer.interrupt()


def number_after(lamport: int) -> int:
    """What all rows with at most this stamp are below."""
    return min(lamport + 1, LAMPORT_LIMIT) << SLOT_BITS


def stamp_of(number: int) -> int:
    """The stamp of the entry that a row is about."""
    return number >> SLOT_BITS


def _selects(
    stretches: Sequence[Stretch], slots: Mapping[str, int], *, log: sqlite3.Connection, schema: str
) -> tuple[str, dict[int, str]]:
    """One statement for all origins with slots of their own, in order; and one for each other slot."""
    own, moved = [], {}
    for origin, after, upto in stretches:
        row = log.execute(_NUMBERS[schema], (origin,)).fetchone()
        if row is not None:
            slot, place = slots[origin], {"log": schema, "number": row[0], "after": after, "upto": upto}
            if slot < OWN_SLOTS:
                own.append(_STRETCH.format(row=f"(e.lamport << {SLOT_BITS}) + {slot}", **place))
            else:
                moved[slot] = _STRETCH.format(row="e.lamport", **place)
    in_order = " order by 1" if len(own) > 1 else ""  # a log is in order of its stamps
    return " union all ".join(own) + in_order, moved


def _connected(path: Path | None) -> sqlite3.Connection:
    name = ":memory:" if path is None else path.resolve().as_uri()
    return sqlite3.connect(name, isolation_level=None, check_same_thread=False, uri=path is not None)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise Interrupted from None
        raise SearchFailed(str(error), lost=code in _LOST) from error
    except OSError as error:
        raise SearchFailed(str(error), lost=False) from error


def remove(replica: Replica) -> None:
    """Delete the index of a replica, which nothing has open.  Raises `SearchFailed`."""
    if replica.path is not None:
        with _failing():
            for suffix in ("", "-wal", "-shm", "-journal"):
                replica.path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
