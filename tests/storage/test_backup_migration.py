"""Files of older and newer programs: a copy before the schema goes forward, and no way back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from storage_entries import conversation, put

from storage.backup_migration import before_migration, copies_of
from storage.replica import Replica, StorageFull, WrongFile
from storage.schema import STEPS
from storage.verification import verify

OLD = Path(__file__).with_name("replica-v1.sql")


def old_file(directory: Path) -> Path:
    """What the first version left."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "replica.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text("utf-8"))
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("pragma user_version").fetchone()[0])


def newer(path: Path) -> None:
    """As if a later program had written it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version={len(STEPS) + 1}")
        connection.execute("update meta set value = '\"9.1\"' where key = 'program'")
        connection.execute("create table of_the_future(x)")
        connection.commit()


def test_a_copy_is_kept_before_the_schema_goes_forward(tmp_path: Path) -> None:
    """The copy is a whole replica of the old version with the same log; one start makes one copy."""
    path = old_file(tmp_path)
    with closing(Replica.open(tmp_path, node="server-1")) as replica:
        assert replica.upgrade is not None
        found, known, copy = replica.upgrade
    assert (found, known) == (1, len(STEPS))
    assert copy is not None
    assert [version_of(file) for file in (copy, path)] == [1, len(STEPS)]
    assert copy.stat().st_mode & 0o007 == 0
    assert verify([copy, path], settled=True).equal
    with closing(Replica.open(tmp_path, node="server-1")) as replica:
        assert replica.upgrade is None
    assert copies_of(path) == [copy]


def test_only_the_newest_copies_are_kept(tmp_path: Path) -> None:
    """Of several upgrades the last two leave a copy, and none is made if none is wanted."""
    for _ in range(4):
        path = old_file(tmp_path)
        before_migration(path, known=len(STEPS), copies=2)
    assert [copy.name for copy in copies_of(path)] == [f"replica.before-upgrade-{n}.db" for n in (3, 4)]
    upgrade = before_migration(path, known=len(STEPS), copies=0)
    assert upgrade is not None
    assert upgrade.copy is None
    assert len(copies_of(path)) == 2


def test_a_newer_file_is_refused_untouched(tmp_path: Path) -> None:
    """Not a byte of it changes, and the words say who wrote it, what to do, and where the copy is."""
    path = old_file(tmp_path)
    Replica.open(tmp_path, node="server-1").close()
    newer(path)
    before = path.read_bytes()
    with pytest.raises(WrongFile) as refused:
        Replica.open(tmp_path, node="server-1")
    assert path.read_bytes() == before
    said = str(refused.value)
    for words in ("recado 9.1", f"version {len(STEPS) + 1}", f"knows {len(STEPS)}", "before-upgrade-1.db"):
        assert words in said
    assert refused.value.exit_code == 78


def test_a_killed_servers_log_stays_where_it_is(tmp_path: Path) -> None:
    """Looking at the version of a file takes nothing of its write-ahead log away."""
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    put(replica, conversation(20))
    killed = tmp_path / "killed"
    killed.mkdir()
    for part in (tmp_path / "server-1").glob("replica.db*"):
        (killed / part.name).write_bytes(part.read_bytes())
    replica.close()
    wal = killed / "replica.db-wal"
    before = wal.read_bytes()
    assert before_migration(killed / "replica.db", known=len(STEPS), copies=2) is None
    assert wal.read_bytes() == before
    upgrade = before_migration(killed / "replica.db", known=len(STEPS) + 1, copies=1)
    assert upgrade is not None
    assert upgrade.copy is not None
    assert verify([upgrade.copy]).replicas[0].entries == 24
    assert wal.read_bytes() == before


def test_without_room_the_file_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that has no room for the copy ends with words that name the setting, the schema unchanged."""
    path = old_file(tmp_path)
    monkeypatch.setattr("storage.backup_migration._ROOM", 2**60)
    with pytest.raises(StorageFull, match=r"disk\.upgrade_copies"):
        Replica.open(tmp_path, node="server-1")
    assert version_of(path) == 1
    assert copies_of(path) == []
    Replica.open(tmp_path, node="server-1", upgrade_copies=0).close()
    assert version_of(path) == len(STEPS)


def test_a_damaged_file_is_left_to_who_opens_it(tmp_path: Path) -> None:
    """Rubbish is no version: it is moved aside as ever."""
    (tmp_path / "replica.db").write_bytes(b"rubbish" * 1000)
    with closing(Replica.open(tmp_path, node="server-1")) as replica:
        assert replica.damaged is not None
        assert replica.upgrade is None
