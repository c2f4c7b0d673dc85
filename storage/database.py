"""One SQLite file: who may open it, how it is opened, what its errors mean.

A directory belongs to one process for life (rule A2): `lock_directory` first, then `open_database`.
The file is in WAL mode with ``synchronous=FULL``, so a commit that has returned survives power loss
(A5).  A file that SQLite finds damaged is moved aside under a clear name, never deleted, and the node
starts empty: what it had shared comes back from its peers (A33).
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from recado.protocol.limits import MIB
from storage.mending import drop_phantoms, mend, views_are_readable

LOCK_NAME: Final = "db.lock"
AUTOCHECKPOINT_PAGES: Final = 4000
# What the WAL grows to by itself under load: 4000 pages of 4 KiB, each with a frame header.
WAL_FULL_BYTES: Final = AUTOCHECKPOINT_PAGES * (4096 + 24) + 32
CHECK_ALWAYS_BELOW_BYTES: Final = 64 * MIB  # above, a file that was closed properly is not checked
MEND_ALWAYS_BELOW_BYTES: Final = 8 * MIB  # checking indexes takes some twenty times as long
SNAPSHOT_OUT: Final = "snapshot-out.db"  # what peers read of this node
SNAPSHOT_IN: Final = "snapshot-in.db"  # what a peer's is being made into
# SQLite's own copies of pages, beside the kernel's.  Larger ones were not faster, with 16 channels or 4,000,
# in logs of 600,000 entries: what does not fit the processor's cache is as far away as the kernel's copy.
CACHE_BYTES: Final = 8 * MIB
READER_CACHE_BYTES: Final = 4 * MIB  # given up at each commit
_BUSY_SECONDS = 2.0  # somebody else's `sqlite3` shell may hold the write lock that long
_CACHED_STATEMENTS = 256

Migrate = Callable[[sqlite3.Connection], None]


class StorageError(Exception):
    """The store cannot do what was asked; the kinds differ in what the reader can do."""


class StorageFull(StorageError):
    """No room on the disk.  The transaction was rolled back; reads go on, writes may be tried later."""

    exit_code: Final = 75  # EX_TEMPFAIL: there may be room later


class StorageFailed(StorageError):
    """The disk or the file failed and the outcome is unknown: stop at once, try nothing again (A33)."""

    exit_code: Final = 70


class DataLocked(StorageError):
    """Another process owns the directory or holds the file's write lock."""

    exit_code: Final = 73  # EX_CANTCREAT

    def __init__(self, text: str, *, holder: int | None = None) -> None:
        super().__init__(text)
        self.holder = holder


class WrongFile(StorageError):
    """The file belongs to another node or to a newer version; it was left as it is."""

    exit_code: Final = 78  # EX_CONFIG: starting again helps nobody


class Damaged(StorageError):
    """An entry whose stored hash does not match its bytes, or whose place in the log is empty (A34)."""

    def __init__(self, origin: str, seq: int) -> None:
        super().__init__(f"entry {origin}/{seq} is damaged or missing")
        self.origin = origin
        self.seq = seq


def classify(error: sqlite3.Error, what: str) -> StorageError:
    """The storage error that a SQLite error means; `what` names the file for people."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    # The WAL's index could not grow: nothing was written, and only room is missing.
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StorageFull(f"{what}: no room on the disk")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DataLocked(f"{what}: another program is writing to the file")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageFailed(f"{what}: {error} ({name})")


class Guard:
    """SQLite's errors inside ``with guard():`` come out as `StorageFull`, `StorageFailed`, `DataLocked`.

    `failed` stays true after the first `StorageFailed`: the file is then checked at the next start.
    """

    def __init__(self, what: str | Path) -> None:
        self.failed = False
        self._what = str(what)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            kind = classify(error, self._what)
            self.failed |= isinstance(kind, StorageFailed)
            raise kind from error


def classified(what: str | Path) -> AbstractContextManager[None]:
    """A `Guard` used once."""
    return Guard(what)()


class DirectoryLock:
    """Held until `release` or the end of the process, however that comes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the directory up.  The lock file stays: removing it would race with the next owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_directory(directory: Path) -> DirectoryLock:
    """Own `directory` (made if missing) through ``flock`` on ``db.lock``.

    Raises `DataLocked` with the owner's process id if there is one, `StorageFailed` if the directory
    cannot be made or written.
    """
    path = directory / LOCK_NAME
    try:
        _make_directory(directory)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StorageFailed(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).strip()
        os.close(descriptor)
        pid = int(holder) if holder.isdigit() else None
        who = f"process {pid}" if pid else "another process"
        text = f"{directory} is in use by {who}; stop it, or choose another data directory"
        raise DataLocked(text, holder=pid) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return DirectoryLock(descriptor)


def _make_directory(directory: Path) -> None:
    """Like ``mkdir -p``, each new name synced into its parent: else power loss may take the directory."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode=0o750, exist_ok=True)
    sync_directory(directory.parent)


def make_file(path: Path) -> None:
    """Make a missing file empty and unreadable for others; SQLite gives its WAL the same rights."""
    with suppress(OSError):  # what is wrong with the path SQLite says better
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))


class Opened(NamedTuple):
    """A writing connection, and where a damaged file was moved (None: it was sound)."""

    connection: sqlite3.Connection
    damaged: Path | None


def open_database(path: Path, *, migrate: Migrate | None = None, cache_bytes: int = CACHE_BYTES) -> Opened:
    """Open or create `path` for writing.  The caller holds the directory's lock.

    `migrate` brings the schema up to date.  The connection is in autocommit mode
    (``isolation_level=None``: transactions are explicit) and may be used from a worker thread, by one
    thread at a time.  Raises `StorageFailed`, `StorageFull`, `DataLocked`, and what `migrate` raises.
    """
    with classified(path):
        moved = move_aside(path) if is_damaged(path) else None
        make_file(path)
        connection = _connect(str(path))
        try:
            _configure(connection, path, cache_bytes)
            if migrate is not None:
                migrate(connection)
        except:
            connection.close()
            raise
    return Opened(connection, moved)


def open_memory(image: bytes | None = None, *, migrate: Migrate | None = None) -> sqlite3.Connection:
    """The same in memory, from an image made by ``Connection.serialize`` if one is given."""
    with classified(":memory:"):
        connection = _connect(":memory:")
        if image is not None:
            connection.deserialize(image)
        if migrate is not None:
            migrate(connection)
    return connection


def open_reader(path: Path, *, cache_bytes: int = READER_CACHE_BYTES) -> sqlite3.Connection:
    """A second connection of the owning process: sees what is committed, refuses to write."""
    with classified(path):
        connection = _connect(str(path))
        connection.execute(f"pragma cache_size=-{cache_bytes // 1024}")
        connection.execute("pragma query_only=1")
    return connection


def remove_leftovers(directory: Path) -> None:
    """Delete snapshots that an end in the middle has left.  The caller holds the directory's lock."""
    for name in (SNAPSHOT_OUT, SNAPSHOT_IN):
        for suffix in ("", "-journal", "-wal", "-shm"):
            (directory / (name + suffix)).unlink(missing_ok=True)


def open_side(path: Path) -> sqlite3.Connection:
    """A file that is made beside the replica and can be made again: no WAL, nothing synced."""
    with classified(path):
        make_file(path)
        connection = _connect(str(path))
        connection.execute("pragma journal_mode=memory")
        connection.execute("pragma synchronous=off")
        connection.execute("pragma temp_store=memory")
    return connection


def put_in_place(path: Path, side: Path, *, present: sqlite3.Connection) -> sqlite3.Connection:
    """Let the closed file `side` take the place of `path`, which only `present` has open; the new connection.

    Raises `DataLocked`, and leaves everything as it was, if another program has `path` open: its WAL
    would go on with the new file.
    """
    with classified(path):
        try:
            present.execute("pragma journal_mode=delete")  # refused unless nobody else has the file open
            present.execute("begin exclusive")  # nobody opens it from now on
        except sqlite3.OperationalError:
            present.execute("pragma journal_mode=wal")
            raise
        os.replace(side, path)
        sync_directory(path.parent)
        present.close()
        connection = _connect(str(path))
        _configure(connection, path, CACHE_BYTES)
        connection.execute("pragma busy_timeout = 0")
    return connection


def sync_directory(directory: Path) -> None:
    """Have the directory's names on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection for looking into somebody's file.  Raises sqlite3.OperationalError if that can't be.

    `immutable`: as if nobody could write to it; only for a file without a WAL.
    """
    mode = "immutable=1" if immutable else "mode=ro"
    connection = _connect(f"{path.resolve().as_uri()}?{mode}", uri=True)
    try:
        connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise classify(error, str(path)) from error
    return connection


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
        uri=uri,
    )
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    # A flipped bit in a text must show as an entry whose hash is wrong, not fail the whole store.
    return raw.decode("utf-8", "replace")


def _configure(connection: sqlite3.Connection, path: Path, cache_bytes: int) -> None:
    (mode,) = connection.execute("pragma journal_mode=wal").fetchone()
    if mode != "wal":
        raise StorageFailed(f"{path}: this file system does not allow WAL mode")
    connection.execute("pragma synchronous=full")
    connection.execute(f"pragma wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
    # What a long reader made it grow beyond that is given back when it begins anew.
    connection.execute(f"pragma journal_size_limit={WAL_FULL_BYTES}")
    connection.execute(f"pragma cache_size=-{cache_bytes // 1024}")
    connection.execute("pragma foreign_keys=0")
    connection.execute("pragma temp_store=memory")
    connection.execute("pragma cell_size_check=1")


def wal_path(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def is_damaged(path: Path) -> bool:
    """Whether SQLite says that the file is not a sound database.  A missing or empty file is sound.

    A large file that was closed properly (no WAL left, no mark by `suspect`) is not checked: that
    reads all of it.  One that failed, or is small, is checked with its indexes, and these are mended.
    """
    if not path.exists():
        return False
    size, failed = path.stat().st_size, _mark(path).exists()
    if size >= CHECK_ALWAYS_BELOW_BYTES and not failed and not wal_path(path).exists():
        return False
    sound = mend if failed or size < MEND_ALWAYS_BELOW_BYTES else passes_check
    try:
        with closing(_connect(str(path))) as connection:
            damaged = not (sound(connection) and views_are_readable(connection))
            if not damaged:
                drop_phantoms(connection)
        _mark(path).unlink(missing_ok=True)
        return damaged
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return True
        raise


def passes_check(connection: sqlite3.Connection) -> bool:
    """SQLite's own check of the file's structure.  May also raise SQLITE_CORRUPT."""
    return bool(connection.execute("pragma quick_check(1)").fetchone() == ("ok",))


def suspect(path: Path) -> None:
    """Have the file checked at the next opening, whatever its size."""
    _mark(path).touch()


def _mark(path: Path) -> Path:
    return path.with_name(path.name + "-suspect")


def move_aside(path: Path) -> Path:
    """Rename a damaged file and its WAL to the first free ``NAME.damaged-N.db``; returns that path."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    for suffix in ("-shm", "-wal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def grow_wal(path: Path, wal_bytes: int) -> None:
    """Make the WAL at least `wal_bytes` long so that commits overwrite blocks instead of appending.

    fdatasync then needs no journal commit of the file system: 1.7 times the commits of one row, 3.4
    times those of eight rows, until the WAL has wrapped by itself.  SQLite stops reading a WAL at the
    first frame with a wrong checksum, so zeros after the last frame are not seen.  Without room
    nothing is done.
    """
    wal = wal_path(path)
    if not wal.exists():
        return
    with wal.open("r+b", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        chunk = bytes(MIB)
        try:
            for _ in range(before, wal_bytes, MIB):
                file.write(chunk)
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
