"""Before a newer program brings a file's schema forward: a copy of it, and a refusal to go backwards.

Migrations are one transaction each, so a failing one changes nothing; the copy is for the other case,
that somebody wants the old program back, which refuses the new file.  The last few are kept beside the
replica as ``replica.before-upgrade-N.db``; they are whole replicas, and private like it.
"""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from storage.database import (
    StorageError,
    StorageFull,
    WrongFile,
    classified,
    connect_read_only,
    sync_directory,
    wal_path,
)
from storage.loading import read_meta

PROGRAM_KEY: Final = "program"
_NUMBERED: Final = re.compile(r"\.before-upgrade-([0-9]+)\.db")
_ROOM: Final = 1.1  # times the file's size


class Upgrade(NamedTuple):
    """A file of version `found` that the program brings to `known`; `copy` is None if none was wanted."""

    found: int
    known: int
    copy: Path | None


def before_migration(path: Path, *, known: int, copies: int) -> Upgrade | None:
    """Keep a copy of a file of an older schema, and only the newest `copies` of those; 0: none is made.

    None if there is nothing to bring forward.  Run before anything else is done with the file, by the
    owner of its directory.  Raises `WrongFile` if it is newer than the program, `StorageFull` without room
    for the copy; the file is left as it is.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    wal = wal_path(path)
    # Read only: a connection that may write would take a killed server's log away when it is closed.
    immutable = not wal.exists() or wal.stat().st_size == 0
    try:
        connection = connect_read_only(path, immutable=immutable)
    except (sqlite3.Error, StorageError):
        return None  # damaged, or worse: said by who opens it
    with classified(path), closing(connection):
        (found,) = connection.execute("pragma user_version").fetchone()
        if found > known:
            raise WrongFile(_too_new(path, connection, found=found, known=known))
        if not found or found == known:
            return None
        copy = _keep(path, connection, copies) if copies else None
    return Upgrade(found, known, copy)


def _too_new(path: Path, connection: sqlite3.Connection, *, found: int, known: int) -> str:
    try:
        by = read_meta(connection, PROGRAM_KEY)
    except (sqlite3.Error, ValueError):
        by = None
    written = f" (recado {by})" if by else ""
    text = (
        f"{path} was written by a newer version{written}: its schema has version {found}, this program knows "
        f"{known}. Run the newer program; or restore a backup that this one knows"
    )
    kept = [str(copy) for copy in copies_of(path)]
    return f"{text}, such as {kept[-1]}" if kept else text


def copies_of(path: Path) -> list[Path]:
    """The copies beside a file, the oldest first."""
    found = [(_number(copy), copy) for copy in path.parent.glob(f"{path.stem}.before-upgrade-*.db")]
    return [copy for number, copy in sorted(found) if number]


def _number(copy: Path) -> int:
    match = _NUMBERED.search(copy.name)
    return int(match[1]) if match else 0


def _keep(path: Path, connection: sqlite3.Connection, copies: int) -> Path:
    present = copies_of(path)
    number = _number(present[-1]) + 1 if present else 1
    copy = path.with_name(f"{path.stem}.before-upgrade-{number}.db")
    partial = copy.with_name(copy.name + ".partial")
    wal = wal_path(path)
    size = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < size * _ROOM:
        raise StorageFull(
            f"{path}: no room for a copy of {size} bytes before its schema is brought forward; make room, "
            "or set disk.upgrade_copies = 0"
        )
    partial.unlink(missing_ok=True)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        connection.execute("vacuum into ?", (str(partial),))
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(copy)
        sync_directory(path.parent)
    except:
        partial.unlink(missing_ok=True)
        raise
    for old in [*present, copy][:-copies]:
        old.unlink()
    return copy
