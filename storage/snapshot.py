"""A whole log as one file: made by a server that has it, taken over by one that lacks most of it.

The file is a replica in itself, so taking it over costs no inserts.  It is believed as little as a
page: its tables are compared with ours (a view or a trigger in it would be another program inside this
one), every hash is checked, with keys every signature, and everything derived is made anew
(`storage.rebuild`).  Then it becomes this node's replica: its identity and its own facts are copied in,
its entries that the donor did not have are appended (a union, never a replacement), and the file takes
the old one's place at once.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from recado.protocol.entry import EMPTY, Head, parse
from recado.protocol.errors import InvalidEntry
from recado.protocol.limits import LAMPORT_LIMIT, PAGE_BYTES_MAX
from storage.database import (
    SNAPSHOT_IN,
    SNAPSHOT_OUT,
    Damaged,
    Guard,
    StorageError,
    StorageFull,
    classified,
    connect_read_only,
    make_file,
    open_memory,
    open_side,
    wal_path,
)
from storage.loading import load_derived, read_heads
from storage.migrations import bring_up_to_date
from storage.rebuild import rebuild
from storage.replica import Replica, migrate
from storage.rows import Batch
from storage.schema import REPLICA, STEPS, definitions
from storage.writer import Writer

_ROOM: Final = 1.1  # times the replica's size that must be free for a copy of it
_HASH_BYTES: Final = 32
_READ_BYTES: Final = 1 << 20
# Tables that are about this node and not about the log: emptied, and filled from the present file.
_EMPTY: Final = (
    "delete from meta",
    "delete from peer",
    "delete from quarantine",
    "delete from milestone",
    "update origin set state = 'open'",
)
_KEPT: Final = (
    ("select * from meta", "insert or replace into meta values(?,?)"),
    ("select * from peer", "insert or replace into peer values(?,?,?,?,?,?)"),
    ("select * from quarantine where from_node <> ''", "insert or replace into quarantine values(?,?,?,?,?)"),
)
_SIGNATURES: Final = """select s.seq, e.hash, s.signature from signature s
    left join entry e on e.number = s.number and e.seq = s.seq where s.number = ? order by s.seq"""
_BEYOND: Final = "select number, min(seq) from entry where lamport > ? group by number"

Verify = Callable[[str, int, bytes, bytes], bool]  # origin, seq, hash, signature: whether its node signed it


class Unusable(StorageError):
    """A peer's file can't become this node's replica; nothing was changed.  Pages still can."""


# The server that has the log ------------------------------------------------------------------------


class Source:
    """A finished file, to be read in parts: `size` in bytes, `hash` of all of it."""

    def __init__(self, file: BinaryIO, *, remove: Path | None = None) -> None:
        self._file = file
        self._remove = remove
        digest = hashlib.blake2b(digest_size=_HASH_BYTES)
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
        self.size = file.tell()
        self.hash = digest.digest()

    def read(self, offset: int, most: int) -> bytes:
        """At most `most` bytes from `offset` on; none beyond the end.  Raises OSError."""
        self._file.seek(min(offset, self.size))
        return self._file.read(most)

    def close(self) -> None:
        self._file.close()
        if self._remove is not None:
            self._remove.unlink(missing_ok=True)


def make(replica: Replica) -> Source:
    """A copy of what is durable in `replica` at this time.  May run in a worker thread beside its server.

    Raises `StorageFull` if there is no room for a copy, and other storage errors.
    """
    path = replica.path
    if path is None:
        return Source(BytesIO(replica.image()))
    out = path.with_name(SNAPSHOT_OUT)
    wal = wal_path(path)
    size = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    require_room(path, size)
    out.unlink(missing_ok=True)
    try:
        with classified(out), closing(connect_read_only(path)) as connection:
            make_file(out)  # SQLite takes an empty file, and leaves its rights as they are
            connection.execute("vacuum into ?", (str(out),))
        return Source(out.open("rb"), remove=out)
    except:
        out.unlink(missing_ok=True)
        raise


def require_room(path: Path, size_bytes: int) -> None:
    """Raise `StorageFull` unless a copy of that size has room beside `path`, and some is left."""
    found = os.statvfs(path.parent)
    if found.f_bavail * found.f_frsize < size_bytes * _ROOM:
        raise StorageFull(f"{path}: no room for a copy of {size_bytes} bytes")


# The server that lacks it -----------------------------------------------------------------------------


class Incoming:
    """A file that arrives in pieces, in order.  `close` removes it."""

    def __init__(self, replica: Replica, *, size: int) -> None:
        self._path = None if replica.path is None else replica.path.with_name(SNAPSHOT_IN)
        self._digest = hashlib.blake2b(digest_size=_HASH_BYTES)
        self.received = 0
        if self._path is not None:
            require_room(self._path, size)
            self._path.unlink(missing_ok=True)
            make_file(self._path)
        self._file: BinaryIO = BytesIO() if self._path is None else self._path.open("w+b", buffering=0)

    def write(self, piece: bytes) -> None:
        """Raises OSError, of which ENOSPC is one."""
        self._file.write(piece)
        self._digest.update(piece)
        self.received += len(piece)

    @property
    def hash(self) -> bytes:
        return self._digest.digest()

    def candidate(self) -> "Candidate":
        """What has arrived, opened.  Raises storage errors."""
        if self._path is None:
            assert isinstance(self._file, BytesIO)
            return Candidate(open_memory(self._file.getvalue()), None)
        self._file.close()
        return Candidate(open_side(self._path), self._path)

    def close(self) -> None:
        self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Candidate:
    """A peer's file on its way to being this node's replica.  Nothing here touches the replica itself,
    except `install`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._db = connection
        self._path = path
        self._guard = Guard(path or "snapshot")
        self._writer: Writer | None = None

    def examine(self, verify: Verify | None = None, *, ceiling: int = LAMPORT_LIMIT) -> int:
        """Check every hash and make everything derived anew; how many entries there are.

        `verify`: every signature is checked too.  What an origin has behind the last good one nobody
        vouches for: it is cut off, and comes in pages afterwards.  So is what is stamped above `ceiling`.

        Takes about 13 us for each entry, and what `verify` takes; may run in a worker thread.  Raises
        `Unusable`.
        """
        with self._guard():
            try:
                self._require_our_tables()
                migrate(self._db)
                self._db.execute("begin immediate")
                for statement in _EMPTY:
                    self._db.execute(statement)
                self._cut_beyond(ceiling)
                if verify is not None:
                    self._cut_unsigned(verify)
                count = rebuild(self._db, strict=True)
                self._db.execute("commit")
            except (Damaged, StorageError) as error:
                raise Unusable(str(error)) from error
            except sqlite3.DatabaseError as error:
                raise Unusable(f"not a sound replica: {error}") from error
            heads = read_heads(self._db)
            self._heads = dict(heads)
            durable = {origin: head.seq for origin, head in heads.items()}
            self._writer = Writer(
                self._db, guard=self._guard, derived=load_derived(self._db), durable=durable
            )
        return count

    def _require_our_tables(self) -> None:
        (version,) = self._db.execute("pragma user_version").fetchone()
        if not 0 < version <= len(STEPS):
            raise Unusable(f"version {version} of the schema")
        if definitions(self._db) != definitions_of_version(version):
            raise Unusable("its tables, views or triggers are not those of a replica")

    def _cut_beyond(self, ceiling: int) -> None:
        """A13: what is stamped so far ahead, and what follows it in its origin's log, is not taken now."""
        for number, first in self._db.execute(_BEYOND, (ceiling,)).fetchall():
            self._db.execute("delete from entry where number = ? and seq >= ?", (number, first))
            self._db.execute("delete from signature where number = ? and seq >= ?", (number, first))
            if first <= 1:
                self._db.execute("delete from origin where number = ?", (number,))

    def _cut_unsigned(self, verify: Verify) -> None:
        """Keep of each origin's log what its last good signature covers, and only good signatures."""
        for number, origin in self._db.execute("select number, origin from origin").fetchall():
            sound = 0
            for seq, chained, signature in self._db.execute(_SIGNATURES, (number,)).fetchall():
                whole = isinstance(chained, bytes) and isinstance(signature, bytes)
                if whole and verify(origin, seq, chained, signature):
                    sound = seq
                else:
                    self._db.execute("delete from signature where number = ? and seq = ?", (number, seq))
            self._db.execute("delete from entry where number = ? and seq > ?", (number, sound))
            if not sound:
                self._db.execute("delete from origin where number = ?", (number,))

    def merge(self, replica: Replica, *, most: int) -> int:
        """Append up to `most` entries that only `replica` has; how many were.  0: all are here.

        Raises `Unusable` where the two logs of one origin are not one, and `Damaged`.
        """
        assert self._writer is not None
        for origin, ours in replica.heads().items():
            theirs = self._heads.get(origin, EMPTY)
            if ours.seq > theirs.seq:
                return self._append(replica, origin, theirs, most)
            if self._hash_at(origin, ours.seq) != ours.hash:
                raise Unusable(f"the log of {origin} is another one there")
        return 0

    def _append(self, replica: Replica, origin: str, head: Head, most: int) -> int:
        assert self._writer is not None
        run = replica.run_after(origin, head.seq, entries_max=most, bytes_max=PAGE_BYTES_MAX)
        if run is None or (head.seq > 0 and run.previous_hash != head.hash):
            raise Unusable(f"the log of {origin} is another one there")
        entries = []
        for header, body in run.entries:
            try:
                entry = parse(header, body, head)
            except InvalidEntry as error:
                raise Unusable(f"our own entry of {origin}: {error}") from None
            entries.append(entry)
            head = Head(entry.seq, entry.lamport, entry.hash)
        kept = replica.signatures(origin, after=run.first - 1, upto=head.seq)
        signatures = {(origin, seq): signature for seq, signature in kept.items()}
        self._writer.write(Batch(entries=entries, signatures=signatures))
        self._writer.commit()
        self._heads[origin] = head
        return len(entries)

    def _hash_at(self, origin: str, seq: int) -> bytes | None:
        with self._guard():
            row = self._db.execute(
                "select e.hash from entry e join origin o using(number) where o.origin = ? and e.seq = ?",
                (origin, seq),
            ).fetchone()
        return None if row is None else bytes(row[0])

    def flush(self) -> None:
        """Have what was written so far on the disk; may run in a worker thread."""
        if self._path is not None:
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def install(self, replica: Replica) -> None:
        """Become the content of `replica`: nothing may be staged there, and `merge` must have given 0.

        Raises `DataLocked` if another program has the replica's file open; it goes on as it was then.
        """
        with self._guard(), replica.reading() as present:
            self._db.execute("begin immediate")
            for select, insert in _KEPT:
                self._db.executemany(insert, present.execute(select).fetchall())
            for origin, state in replica.states().items():
                self._db.execute("update origin set state = ? where origin = ?", (state, origin))
            self._db.execute("commit")
        self.flush()
        replica.install(self._db, self._path)

    def close(self) -> None:
        self._db.close()


def definitions_of_version(version: int) -> dict[str, str]:
    """What a file of that version of our schema holds."""
    with closing(open_memory()) as connection:
        bring_up_to_date(connection, schema=REPLICA, steps=STEPS[:version])
        return definitions(connection)
