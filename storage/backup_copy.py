"""A copy of a node's database of one moment, made beside whoever writes to it.

Page by page inside one read transaction: the writer is never waited for and never made to wait, but its
write-ahead log can't begin anew meanwhile and grows by what is written.  So the copy is made at full
speed, and is checked only when the transaction is over.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from storage.database import StorageError, classified, wal_path
from storage.inspection import open_for_inspection
from storage.replica import FILE_NAME as REPLICA_FILE

COPY_ATTEMPTS: Final = 3
COPY_PAGES: Final = 1024  # at a time, between two reports: 4 MiB
MODE: Final = 0o600  # everybody's messages are in it

Progress = Callable[[int, int], None]  # bytes done, bytes in all


def copy(source: Path, out: Path, *, progress: Progress = lambda _done, _all: None) -> None:
    """What is committed in `source` at this moment, as a file without a write-ahead log.

    Raises `StorageFull`, other storage errors.
    """
    for _ in range(COPY_ATTEMPTS):
        before = _state(source)
        _copy(source, out, progress)
        if before is None or before == _state(source):
            return
        out.unlink()  # a server was started: it was copied as if nobody could write to it
    raise StorageError(f"{source} changes while it is read; is a server starting again and again?")


def _copy(source: Path, out: Path, progress: Progress) -> None:
    reader = open_for_inspection(source) if source.name == REPLICA_FILE else _open_plainly(source)
    with closing(reader), classified(source):
        reader.execute("begin")
        reader.execute("select count(*) from sqlite_master").fetchone()  # from here on one moment
        (page_bytes,) = reader.execute("pragma page_size").fetchone()

        def copied(_status: int, remaining: int, pages: int) -> None:
            progress((pages - remaining) * page_bytes, pages * page_bytes)

        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
        with classified(out), closing(sqlite3.connect(out, isolation_level=None)) as writer:
            writer.execute("pragma synchronous=off")
            reader.backup(writer, pages=COPY_PAGES, progress=copied)
            writer.execute("pragma journal_mode=delete")


def _state(source: Path) -> tuple[int, int] | None:
    """Size and time of a file that nobody has open; None beside a running server, where SQLite sees to it."""
    wal = wal_path(source)
    if wal.exists() and wal.stat().st_size:
        return None
    found = source.stat()
    return found.st_size, found.st_mtime_ns


def _open_plainly(path: Path) -> sqlite3.Connection:
    """The registry, which has no views of a replica."""
    with classified(path):
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
