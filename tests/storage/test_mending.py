"""Bits that flip where no hash looks: indexes that do not lead to their rows, derived rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from storage_entries import Author, put

from recado.protocol.messages import Kind
from storage.database import suspect
from storage.replica import Batch, Replica

ID = b"sixteen bytes id"


def filled(folder: Path) -> Path:
    """The file of a closed replica: a user, and a message whose id is `ID`."""
    author = Author()
    author.login("ana")
    author.add(body=b"oi", id=ID)
    replica = Replica.open(folder, node="server-1")
    put(replica, author.entries)
    replica.close()
    return folder / "replica.db"


def rot(path: Path) -> None:
    """Flip a bit of an id where it stands in its index, not in its row: only the long check sees that."""
    sound = path.read_bytes()
    at = sound.find(ID)
    while at >= 0:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        if structure(path) == "ok" and integrity(path) != "ok":
            return
        at = sound.find(ID, at + 1)
    raise AssertionError("it is in no index")


def structure(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("pragma quick_check(1)").fetchone()[0])


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("pragma integrity_check(1)").fetchone()[0])


def test_an_index_that_leads_astray_is_made_anew(tmp_path: Path) -> None:
    """A flipped bit that only SQLite's long check sees costs nothing: the file stays in its place, sound."""
    path = filled(tmp_path)
    rot(path)
    replica = Replica.open(tmp_path, node="server-1")
    assert replica.damaged is None
    replica.close()
    assert integrity(path) == "ok"


def test_a_large_file_that_failed_is_mended_at_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that met a wrong index does not meet it again; one that met none does not look for it."""
    monkeypatch.setattr("storage.database.MEND_ALWAYS_BELOW_BYTES", 0)
    path = filled(tmp_path)
    rot(path)
    Replica.open(tmp_path, node="server-1").close()
    assert integrity(path) != "ok"
    suspect(path)
    Replica.open(tmp_path, node="server-1").close()
    assert integrity(path) == "ok"


def test_derived_rows_of_a_mended_file_are_read_from_its_log(tmp_path: Path) -> None:
    """Where an index was wrong the users are not believed either."""
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        wanted = connection.execute("select name from user order by name").fetchall()
        with connection:
            connection.execute("update user set name = 'x' || name")
    rot(path)
    Replica.open(tmp_path, node="server-1").close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select name from user order by name").fetchall() == wanted


def test_a_view_whose_text_is_damaged_is_damage(tmp_path: Path) -> None:
    """The views are the contract: a file whose view names a table that is not there is moved aside."""
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma writable_schema = 1")
        connection.execute(
            "update sqlite_master set sql = replace(sql, 'join origin', 'join oricin') where name = 'users'"
        )
    replica = Replica.open(tmp_path, node="server-1")
    assert replica.damaged == tmp_path / "replica.damaged-1.db"
    replica.close()


def test_a_damaged_row_names_no_channel(tmp_path: Path) -> None:
    """What is made from a log has nothing of a row with a flipped bit in it, until that is repaired."""
    author = Author()
    author.login("ana")
    author.add(kind=Kind.CHANNEL, author=None, target="geral", body=b"")
    author.add(body=b"oi", id=ID)
    replica = Replica.open(tmp_path, node="server-1")
    put(replica, author.entries)
    replica.close()
    path = tmp_path / "replica.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update entry set target = 'geran' where kind = 2")
        connection.execute("update meta set value = '0' where key = 'derived'")
    replica = Replica.open(tmp_path, node="server-1")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select name from channels").fetchall() == [("geral",)]
        assert connection.execute("select shown from entry where kind = 2").fetchall() == [(0,)]
        replica.stage(Batch(repairs=author.entries[1:2], now_ms=0))
        replica.commit()
        assert connection.execute("select lamport from channels").fetchall() == [(2,)]
        assert connection.execute("select shown from entry order by seq").fetchall() == [(1,), (1,), (1,)]
    replica.close()


def test_a_last_entry_far_behind_the_others_is_none(tmp_path: Path) -> None:
    """A flipped bit in the number of a log's last entry lets no node believe that it had all up to there."""
    author = Author()
    author.login("ana")
    author.add(body=b"oi", id=ID)
    author.add(body=b"tudo bem?")
    replica = Replica.open(tmp_path, node="server-1")
    put(replica, author.entries)
    replica.close()
    with closing(sqlite3.connect(tmp_path / "replica.db")) as connection, connection:
        connection.execute("update entry set seq = seq + 4096 where seq = 3")
    replica = Replica.open(tmp_path, node="server-1")
    assert [head.seq for head in replica.heads().values()] == [2]
    put(replica, author.entries[2:])
    assert [head.seq for head in replica.heads().values()] == [3]
    replica.close()
