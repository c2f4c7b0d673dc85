"""What the disk itself gives: its own fdatasync, and plain SQLite commits without Recado around them."""

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import msgspec

from storage.database import AUTOCHECKPOINT_PAGES

_PROBES = 40
_BLOCK = bytes(4096)


class Commits(msgspec.Struct, frozen=True):
    """Plain commits of `rows` rows each: rows per second, processor time per row, median commit."""

    rows: int
    rate: float
    processor_us: float
    p50_us: float


def fdatasync_us(directory: Path) -> float:
    """Median time of overwriting 4 KiB and fdatasync, of 40 times, in microseconds.

    Overwriting, as a write-ahead log does that has wrapped; appending also costs the file system a
    commit of its own journal.
    """
    times = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix="recado-probe-") as file:
        number = file.fileno()
        os.pwrite(number, _BLOCK * _PROBES, 0)
        os.fsync(number)
        for block in range(_PROBES):
            start = time.perf_counter()
            os.pwrite(number, _BLOCK, block * len(_BLOCK))
            os.fdatasync(number)
            times.append(time.perf_counter() - start)
    return median(times) * 1e6


def plain_commits(directory: Path, *, rows: int, seconds: float) -> Commits:
    """One writer in a loop: one table with a primary key of 16 bytes, WAL, ``synchronous=FULL``.

    About the least that anybody who wants durable messages in SQLite pays: no index besides, no
    hashes, no network.
    """
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="recado-plain-") as place,
        closing(sqlite3.connect(Path(place) / "plain.db", isolation_level=None)) as connection,
    ):
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        connection.execute(f"pragma wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
        connection.execute(
            "create table message(id blob primary key, user, channel, text, at int) without rowid"
        )
        return _commit_for(connection, rows, seconds)


def _commit_for(connection: sqlite3.Connection, rows: int, seconds: float) -> Commits:
    times = []
    number = 0
    processor, start = time.process_time(), time.perf_counter()
    while (before := time.perf_counter()) < start + seconds:
        batch = [
            ((number + i).to_bytes(16, "big"), "bench-1", "bench-1", "x" * 120, number + i)
            for i in range(rows)
        ]
        number += rows
        connection.execute("begin immediate")
        connection.executemany("insert into message values(?,?,?,?,?)", batch)
        connection.execute("commit")
        times.append(time.perf_counter() - before)
    elapsed = time.perf_counter() - start
    used = time.process_time() - processor
    return Commits(rows, number / elapsed, used / number * 1e6, median(times) * 1e6)
