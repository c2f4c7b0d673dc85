"""Somebody else at the file: who holds its write-ahead log back, who wrote to it, what is cast out.

A replica may be read by everybody, and written by its server alone.  SQLite can't forbid a shell to
write, but tells it: ``PRAGMA data_version`` of the writing connection changes when another connection
has committed, and at no other time.  What was written is then found as damage is, by the hashes, and
mended from the peers; only rows behind the end of a log, which no peer has, are taken away here.

A reader that stays in one transaction keeps the log from beginning anew, for as long as it likes.  The
kernel's list of locks tells its process: SQLite's read marks are locks on bytes 123 to 127 of the
``-shm`` file (`WAL_READ_LOCK` in SQLite's wal.c).
"""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from storage.database import wal_path
from storage.schema import STEPS, definitions

_READ_MARKS: Final = range(123, 128)
_LOCKS: Final = Path("/proc/locks")
_FORGET_DERIVED: Final = "update meta set value = '0' where key = 'derived'"  # made anew at the next start

# One search for each number; DISTINCT would read the whole log.
_NUMBERS: Final = """with recursive found(number) as (
        select min(number) from entry
        union all
        select (select min(number) from entry where number > found.number) from found
        where found.number is not null)
    select number from found where number is not null"""


def data_version(connection: sqlite3.Connection) -> int:
    """Another number than before if another connection has committed."""
    return int(connection.execute("pragma data_version").fetchone()[0])


def cast_out(connection: sqlite3.Connection, durable: Mapping[str, int]) -> int:
    """Delete what stands behind the ends of the logs that are `durable` here; how many rows.

    No transaction may be open.  The derived rows are made anew at the next start.
    """
    connection.execute("begin immediate")
    try:
        numbers: dict[str, int] = dict(connection.execute("select origin, number from origin"))
        ends = {numbers[origin]: seq for origin, seq in durable.items() if origin in numbers}
        removed = 0
        for (number,) in connection.execute(_NUMBERS).fetchall():
            end = ends.get(number, 0)
            done = connection.execute("delete from entry where number = ? and seq > ?", (number, end))
            removed += done.rowcount
        connection.execute(_FORGET_DERIVED)
        connection.execute("commit")
    except:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("rollback")
        raise
    return removed


def foreign_definitions(connection: sqlite3.Connection) -> list[str]:
    """What is defined in a replica and is not ours, or is ours and missing or altered."""
    from storage.snapshot import definitions_of_version  # which reads replicas itself

    here, ours = definitions(connection), definitions_of_version(len(STEPS))
    return sorted(name for name in here.keys() | ours.keys() if here.get(name) != ours.get(name))


def wal_bytes(path: Path) -> int:
    """The size of a file's write-ahead log; 0 if there is none."""
    try:
        return wal_path(path).stat().st_size
    except FileNotFoundError:
        return 0


def readers(path: Path) -> list[int]:
    """The processes, besides this one, that are in a transaction on `path`, as far as the kernel tells."""
    try:
        shm = path.with_name(path.name + "-shm").stat()
        lines = _LOCKS.read_text("ascii").splitlines()
    except OSError:
        return []
    file = f"{os.major(shm.st_dev):02x}:{os.minor(shm.st_dev):02x}:{shm.st_ino}"
    found = set()
    for line in lines:
        words = [word for word in line.split() if word != "->"]
        if len(words) < 8 or words[1] != "POSIX" or words[5] != file or not words[6].isdigit():
            continue
        if int(words[6]) in _READ_MARKS and words[4] != str(os.getpid()):
            found.add(int(words[4]))
    return sorted(found)
