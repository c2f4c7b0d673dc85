"""The registry on disk: what survives, who may open it, what people see."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from recado.protocol.registry import Registered
from storage.database import DataLocked, StorageError, WrongFile
from storage.registry import FILE_NAME, RegistryStore

ONE = Registered(name="server-1", rank=1, address="tcp://h:1")
THREE = Registered(name="server-3", rank=3)


def test_records_survive_closing(tmp_path: Path) -> None:
    """What was kept is there after opening again, in order of rank, with its latest state."""
    with closing(RegistryStore.open(tmp_path)) as store:
        store.keep(THREE, now_seconds=10.0)
        store.keep(ONE, now_seconds=11.0)
        store.keep(Registered(name="server-3", rank=3, address="ipc://x", active=False), now_seconds=12.0)
    with closing(RegistryStore.open(tmp_path)) as store:
        assert store.known() == [
            ONE,
            Registered(name="server-3", rank=3, address="ipc://x", active=False),
        ]


def test_people_read_the_view(tmp_path: Path) -> None:
    """`servers` shows name, rank, address and last_seen in whole seconds, to any SQLite shell meanwhile."""
    with closing(RegistryStore.open(tmp_path)) as store:
        store.keep(THREE, now_seconds=10.9)
        store.keep(ONE, now_seconds=11.0)
        store.seen({"server-3": 20.7, "nobody": 1.0})
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as shell:
            cursor = shell.execute("select * from servers")
            assert [column[0] for column in cursor.description] == ["name", "rank", "address", "last_seen"]
            assert cursor.fetchall() == [("server-1", 1, "tcp://h:1", 11), ("server-3", 3, None, 20)]


def test_the_file_is_durable_at_each_commit(tmp_path: Path) -> None:
    """The connection runs WAL with synchronous=FULL: a rank that was told survives power loss."""
    with closing(RegistryStore.open(tmp_path)) as store:
        assert store._connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert store._connection.execute("pragma synchronous").fetchone() == (2,)


def test_the_directory_has_one_owner(tmp_path: Path) -> None:
    """A second opening is refused with exit code 73, and possible once the first is closed."""
    with closing(RegistryStore.open(tmp_path)):
        with pytest.raises(DataLocked) as refused:
            RegistryStore.open(tmp_path)
        assert refused.value.exit_code == 73
        assert str(tmp_path) in str(refused.value)
    RegistryStore.open(tmp_path).close()


def test_two_names_never_share_a_rank(tmp_path: Path) -> None:
    """The file itself refuses one rank twice, and keeps the first."""
    with closing(RegistryStore.open(tmp_path)) as store:
        store.keep(ONE, now_seconds=1.0)
        with pytest.raises(StorageError):
            store.keep(Registered(name="other", rank=1), now_seconds=1.0)
        assert store.known() == [ONE]


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """A file of a later version is refused, and the directory is free again."""
    RegistryStore.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as shell:
        shell.execute("pragma user_version=99")
    for _ in range(2):
        with pytest.raises(WrongFile):
            RegistryStore.open(tmp_path)


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    """A file that is no database is kept under another name, and the registry starts empty."""
    (tmp_path / FILE_NAME).write_bytes(b"this was a registry" * 500)
    with closing(RegistryStore.open(tmp_path)) as store:
        assert store.known() == []
        assert store.damaged is not None
        assert store.damaged.read_bytes().startswith(b"this was")


def test_a_full_update_is_one_transaction(tmp_path: Path) -> None:
    """`seen` that fails in the middle changes nothing and leaves the store usable."""
    with closing(RegistryStore.open(tmp_path)) as store:
        store.keep(ONE, now_seconds=1.0)
        store.keep(THREE, now_seconds=1.0)
        store._connection.execute(
            """create temp trigger full before update on server when new.name = 'server-3'
               begin select raise(abort, 'full'); end"""
        )
        with pytest.raises(StorageError):
            store.seen({"server-1": 50.0, "server-3": 50.0})
        rows = store._connection.execute("select last_seen from servers").fetchall()
        assert rows == [(1,), (1,)]
        store.seen({"server-1": 60.0})
