"""Opening: locks, damaged files, versions of the schema, what errors mean."""

import os
import sqlite3
from pathlib import Path

import pytest
from storage_entries import conversation, put

from storage import migrations
from storage.database import (
    DataLocked,
    StorageFailed,
    WrongFile,
    classify,
    grow_wal,
    is_damaged,
    lock_directory,
    move_aside,
    open_database,
    suspect,
    wal_path,
)
from storage.migrations import Step
from storage.replica import Replica
from storage.schema import REPLICA, STEPS


def error(code: int) -> sqlite3.Error:
    raised = sqlite3.OperationalError("x")
    raised.sqlite_errorcode = code
    return raised


def test_second_lock_is_refused_with_the_owner(tmp_path: Path) -> None:
    """A locked directory names its owner and can be locked again after the release."""
    lock = lock_directory(tmp_path / "a" / "b")
    with pytest.raises(DataLocked, match="in use by process"):
        lock_directory(tmp_path / "a" / "b")
    lock.release()
    lock.release()
    lock_directory(tmp_path / "a" / "b").release()


def test_others_cannot_read_what_is_made(tmp_path: Path) -> None:
    """Whatever the process's umask lets through, the data are for the owner and the group alone."""
    data = tmp_path / "data"
    before = os.umask(0)
    try:
        replica = Replica.open(data, node="server-1")
        put(replica, conversation(3))
        rights = {path.name: path.stat().st_mode & 0o777 for path in data.glob("replica.db*")}
        replica.close()
    finally:
        os.umask(before)
    assert data.stat().st_mode & 0o777 == 0o750
    assert {"replica.db", "replica.db-wal"} <= rights.keys()
    assert set(rights.values()) == {0o640}


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is a clear storage error, not a traceback of the operating system."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match="file"):
        lock_directory(tmp_path / "file" / "data")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, "StorageFull"),
        (sqlite3.SQLITE_BUSY, "DataLocked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "DataLocked"),
        (sqlite3.SQLITE_IOERR_FSYNC, "StorageFailed"),
        (sqlite3.SQLITE_CORRUPT, "StorageFailed"),
        (sqlite3.SQLITE_READONLY, "StorageFailed"),
    ],
)
def test_errors_are_classified(code: int, kind: str) -> None:
    """Extended result codes go by their primary code."""
    assert type(classify(error(code), "x")).__name__ == kind


@pytest.mark.parametrize("junk", [b"x" * 8192, None])
def test_damaged_file_is_moved_aside(tmp_path: Path, junk: bytes | None) -> None:
    """Junk, or pages overwritten: the file is kept under a clear name and the node starts empty."""
    replica = Replica.open(tmp_path, node="server-1")
    put(replica, conversation(300))
    replica.close()
    path = tmp_path / "replica.db"
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 20] = b"\xa5" * 4096 * 16
    path.write_bytes(junk or content)
    again = Replica.open(tmp_path, node="server-1")
    assert again.damaged == tmp_path / "replica.damaged-1.db"
    assert again.damaged.read_bytes() == (junk or bytes(content))
    assert again.heads() == {}
    assert again.boot_count == 1
    again.close()
    path.write_bytes(b"y" * 5000)
    third = Replica.open(tmp_path, node="server-1")
    assert third.damaged == tmp_path / "replica.damaged-2.db"
    third.close()


def test_empty_file_is_sound(tmp_path: Path) -> None:
    """A file that was made and never written is an empty database."""
    (tmp_path / "replica.db").touch()
    replica = Replica.open(tmp_path, node="server-1")
    assert replica.damaged is None
    replica.close()


def test_wal_moves_with_its_file(tmp_path: Path) -> None:
    """What is moved aside can be opened together with its WAL."""
    path = tmp_path / "replica.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"x")
    aside = move_aside(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [aside.name + s for s in ("", "-shm", "-wal")]


def test_failure_has_the_file_checked_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is not read at a clean start, but is after a failure, once."""
    monkeypatch.setattr("storage.database.CHECK_ALWAYS_BELOW_BYTES", 0)
    path = tmp_path / "x.db"
    path.write_bytes(b"junk" * 2000)
    assert not is_damaged(path)
    suspect(path)
    assert is_damaged(path)
    path.unlink()
    open_database(path).connection.close()
    assert not is_damaged(path)


def test_wal_can_be_grown_beyond_its_frames(tmp_path: Path) -> None:
    """Zeros after the last frame lose nothing and are overwritten by later commits."""
    path = tmp_path / "x.db"
    connection = open_database(path).connection
    grow_wal(path, 1 << 20)
    assert not wal_path(path).exists()
    connection.execute("create table t(x)")
    grow_wal(path, 1 << 20)
    size = wal_path(path).stat().st_size
    assert size >= 1 << 20
    connection.executemany("insert into t values(?)", [(n,) for n in range(100)])
    assert wal_path(path).stat().st_size == size
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    wal_path(copy).write_bytes(wal_path(path).read_bytes())
    connection.close()
    other = open_database(copy).connection
    assert other.execute("select count(*) from t").fetchone() == (100,)
    other.close()


def test_a_later_version_applies_its_own_step_only(tmp_path: Path) -> None:
    """A file of this version with messages in it gets the next step only, once, and keeps everything."""
    replica = Replica.open(tmp_path, node="server-1")
    put(replica, conversation(10))
    replica.close()
    later = (*STEPS, Step("later-test", ("create table extra(x)", "insert into extra values(1)")))
    for _ in range(2):
        connection = open_database(
            tmp_path / "replica.db",
            migrate=lambda c: migrations.bring_up_to_date(c, schema=REPLICA, steps=later),
        ).connection
        assert connection.execute("select count(*) from extra").fetchone() == (1,)
        assert connection.execute("pragma user_version").fetchone() == (len(later),)
        names = connection.execute("select name from _sqlite_migrations order by id").fetchall()
        assert names == [(step.name,) for step in later]
        assert connection.execute("select count(*) from entry").fetchone() == (14,)
        connection.close()
    with pytest.raises(WrongFile, match="newer version"):
        Replica.open(tmp_path, node="server-1")
    assert (tmp_path / "replica.db").exists()


def test_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    """A step is applied whole or not at all."""
    path = tmp_path / "x.db"
    broken = (Step("1", ("create table a(x)",)), Step("2", ("create table b(x)", "create nonsense")))
    with pytest.raises(StorageFailed):
        open_database(path, migrate=lambda c: migrations.bring_up_to_date(c, schema="x", steps=broken))
    connection = open_database(path).connection
    assert connection.execute("pragma user_version").fetchone() == (1,)
    tables = {name for (name,) in connection.execute("select name from sqlite_master")}
    assert "a" in tables
    assert "b" not in tables
    connection.close()
