"""The store of one server: the replication log and everything read from it, in one SQLite file.

Writing is two calls, `stage` (on the event loop) and `commit` (may run in one worker thread); while a
commit is out, only reads are allowed, and they see what was committed before it.  Reads use a second
connection.  `Replica.in_memory` is the same without files, for the simulated cluster: its image is
what a kill would leave.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recado import __version__
from recado.protocol.entry import hash16
from recado.protocol.versions import WIRE_VERSION
from storage import outside, rebuild
from storage.backup_migration import PROGRAM_KEY, Upgrade, before_migration
from storage.database import (
    WAL_FULL_BYTES,
    Damaged,
    DataLocked,
    DirectoryLock,
    Guard,
    StorageError,
    StorageFailed,
    StorageFull,
    WrongFile,
    grow_wal,
    lock_directory,
    open_database,
    open_memory,
    open_reader,
    put_in_place,
    remove_leftovers,
    suspect,
)
from storage.loading import load_derived, read_heads, read_meta, thin_milestones
from storage.log_reading import ReadsOfTheLog
from storage.migrations import bring_up_to_date
from storage.reading import ReadsForPeople
from storage.reserve import Reserve
from storage.rows import (
    Batch,
    Counts,
    FoundEntry,
    MessageRow,
    PeerRow,
    Quarantined,
)
from storage.schema import REPLICA, STEPS
from storage.writer import Writer

__all__ = [
    "Batch",
    "Counts",
    "Damaged",
    "DataLocked",
    "FoundEntry",
    "MessageRow",
    "PeerRow",
    "Quarantined",
    "Replica",
    "StorageError",
    "StorageFailed",
    "StorageFull",
    "WrongFile",
]

FILE_NAME: Final = "replica.db"
_BOOTS, _NODE, _WIRE = "boots", "node", "wire"
RESTORED_KEY: Final = "restored"  # the file is a backup, and nobody was asked yet for what it lacks


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a replica's schema up to date."""
    bring_up_to_date(connection, schema=REPLICA, steps=STEPS)


class Replica(ReadsForPeople, ReadsOfTheLog):
    """Made by `open` or `in_memory`.  Every method may raise `StorageFailed`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        reader: sqlite3.Connection | None,
        *,
        node: str,
        path: Path | None = None,
        lock: DirectoryLock | None = None,
        damaged: Path | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.damaged = damaged  # where a damaged file was moved at this start
        self.path = path
        self.reserve = reserve
        self.upgrade: Upgrade | None = None  # what this start did to the schema
        self.full_at_start = False  # whether the reserve had to be given up to open the file
        self.boot_count = 0
        self._guard = Guard(path or ":memory:")
        self._lock = lock
        self._reader = reader if reader is not None else connection
        self._deferred: Batch | None = None
        self._seen_version: tuple[sqlite3.Connection, int] | None = None
        with self._guard():
            self._boot(connection, node)
            self._load(connection)
        self.written_by_others()  # from now on

    def _load(self, connection: sqlite3.Connection) -> None:
        self._derived = load_derived(connection)
        durable = {origin: head.seq for origin, head in read_heads(connection).items()}
        self._writer = Writer(connection, guard=self._guard, derived=self._derived, durable=durable)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        node: str,
        wal_bytes: int | None = None,
        reserve_bytes: int = 0,
        upgrade_copies: int = 2,
    ) -> "Replica":
        """Lock `directory` for life and open ``replica.db`` in it; both are made if missing.

        `reserve_bytes`: room to keep for a full disk, and to give up if the disk is full already
        (`reserve.held` tells).

        `wal_bytes`: how far the WAL is grown at start (see `grow_wal`).  None: 16 MiB for a file
        larger than that, which shows that the node is a busy one; nothing for small ones, since it
        costs a small installation more disk than all its messages.

        `upgrade_copies`: how many copies of files of an older schema are kept (`backup_migration`).

        Raises `DataLocked`, `StorageFull`, `StorageFailed`, and `WrongFile` if the file is another
        node's or a newer version's.
        """
        lock = lock_directory(directory)
        reserve = Reserve(directory, reserve_bytes)
        try:
            remove_leftovers(directory)
            path = directory / FILE_NAME
            upgrade = before_migration(path, known=len(STEPS), copies=upgrade_copies)
            try:
                replica = cls._opened(path, node, lock=lock, reserve=reserve)
            except StorageFull:
                if not reserve.release():
                    raise
                replica = cls._opened(path, node, lock=lock, reserve=reserve)
                replica.full_at_start = True
            else:
                reserve.take()
            replica.upgrade = upgrade
            replica.tune(wal_bytes if reserve.held else 0)
        except:
            lock.release()
            raise
        return replica

    @classmethod
    def _opened(cls, path: Path, node: str, *, lock: DirectoryLock, reserve: Reserve) -> "Replica":
        connection, damaged = open_database(path, migrate=migrate)
        try:
            reader = open_reader(path)
            return cls(connection, reader, node=node, path=path, lock=lock, damaged=damaged, reserve=reserve)
        except:
            connection.close()
            raise

    def tune(self, wal_bytes: int | None = None) -> None:
        """Once the file is open: see `open`."""
        assert self.path is not None
        if wal_bytes is None:
            wal_bytes = WAL_FULL_BYTES if self.path.stat().st_size > WAL_FULL_BYTES else 0
        grow_wal(self.path, wal_bytes)
        # From here on somebody's shell that holds the write lock must not hold the event loop:
        # `stage` says so at once, and the caller tries again.
        self._writer.connection.execute("pragma busy_timeout = 0")

    @classmethod
    def in_memory(cls, node: str, image: bytes | None = None) -> "Replica":
        """A replica without files, empty or from an `image`.  Having only one connection, it writes a
        staged batch at `commit`, so that reads see what is committed.
        """
        return cls(open_memory(image, migrate=migrate), None, node=node)

    def image(self) -> bytes:
        """What a kill at this moment would leave of an in-memory replica: the last commit."""
        return self._writer.connection.serialize()

    def close(self) -> None:
        """Forget what is staged, checkpoint, close, release the directory.

        After a `StorageFailed` nothing is checkpointed, and the next start checks the file.
        """
        self._deferred = None
        connection = self._writer.connection
        try:
            if self.path is not None and self._guard.failed:
                suspect(self.path)
            elif connection is not self._reader:
                self._writer.rollback()
                with self._guard():
                    connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            self._reader.close()
            connection.close()
            if self._lock is not None:
                self._lock.release()

    def _boot(self, connection: sqlite3.Connection, node: str) -> None:
        """A6: a commit under FULL syncs the whole WAL before anything that was found in it is served."""
        stored = read_meta(connection, _NODE)
        if stored not in (None, node):
            raise WrongFile(f"{self.path or ':memory:'} belongs to node {stored!r}, not {node!r}")
        self.boot_count = int(read_meta(connection, _BOOTS) or 0) + 1
        connection.execute("begin immediate")
        put = "insert or replace into meta values(?,?)"
        connection.execute(put, (_NODE, json.dumps(node)))
        connection.execute(put, (_BOOTS, json.dumps(self.boot_count)))
        connection.execute(put, (PROGRAM_KEY, json.dumps(__version__)))
        connection.execute(put, (_WIRE, json.dumps(WIRE_VERSION)))
        thin_milestones(connection)
        if read_meta(connection, rebuild.DERIVED_KEY) is None:
            rebuild.remember(connection)
        elif not rebuild.is_up_to_date(connection):
            rebuild.rebuild(connection)
        connection.execute("commit")
        # New at each start: a file that comes back from a backup gives its numbers out again.
        in_memory = hash16(f"{node} {self.boot_count}".encode())[:8].hex()
        self._token = in_memory if self.path is None else secrets.token_hex(8)

    # Writing -----------------------------------------------------------------------------------

    def stage(self, batch: Batch) -> None:
        """Write everything of `batch` as one transaction, left open for `commit`.

        After an error (`StorageFull`, `StorageFailed`, `DataLocked`) nothing of it is left.
        """
        if self._reader is not self._writer.connection:
            self._writer.write(batch)
        elif self._deferred is not None:
            raise RuntimeError("the batch before this one is not committed")
        else:
            self._deferred = batch

    def commit(self) -> None:
        """Make the staged batch durable; may run in a worker thread.

        After `StorageFull` the batch is gone; after `StorageFailed` it may or may not be on the disk.
        """
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            self._writer.write(deferred)
        self._writer.commit()

    def install(self, side: sqlite3.Connection, side_path: Path | None) -> None:
        """Go on with the content of `side`, a prepared file (`storage.snapshot`), in place of the present.

        Nothing may be staged.  `side` is closed.  Raises `DataLocked`, and nothing is changed, if another
        program has the present file open.
        """
        if self._writer.staged or self._deferred is not None:
            raise RuntimeError("a batch is staged")
        connection = self._writer.connection
        with self._guard():
            if self.path is None or side_path is None:
                connection.deserialize(side.serialize())
                side.close()
            else:
                side.close()
                self._reader.close()
                try:
                    connection = put_in_place(self.path, side_path, present=connection)
                finally:
                    self._reader = open_reader(self.path)
            self._load(connection)
        self._token = hash16(self._token.encode())[:8].hex()  # cursors told of the numbers in the old file

    # Others ------------------------------------------------------------------------------------

    def written_by_others(self) -> bool:
        """Whether another process has committed to the file since the last look.  Not while a batch is staged
        or a commit is out.
        """
        connection = self._writer.connection
        with self._guard():
            now = outside.data_version(connection)
        before, self._seen_version = self._seen_version, (connection, now)
        return before is not None and before[0] is connection and before[1] != now

    def cast_out(self) -> int:
        """Delete rows behind the ends of the logs, which this server never wrote; how many.  As above."""
        with self._guard():
            removed = outside.cast_out(self._writer.connection, self._writer.durable)
        self.written_by_others()
        return removed

    def foreign_definitions(self) -> list[str]:
        """What is defined in the file and is not as this program made it."""
        with self._guard():
            return outside.foreign_definitions(self._reader)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection of the reads, for the modules of this room; errors come out as storage errors."""
        with self._guard():
            yield self._reader
