"""One transaction or nothing: kills between stage and commit, full disks, errors in the middle."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from storage_entries import ORIGINS, Author, conversation, looked_into, put, shown

from recado.protocol.views import materialise
from storage.database import connect_read_only, wal_path
from storage.replica import (
    Batch,
    DataLocked,
    PeerRow,
    Quarantined,
    Replica,
    StorageFailed,
    StorageFull,
    WrongFile,
)


@contextmanager
def opened(directory: Path, node: str = "server-1") -> Iterator[Replica]:
    replica = Replica.open(directory, node=node)
    try:
        yield replica
    finally:
        replica.close()


def test_image_lacks_exactly_the_uncommitted() -> None:
    """What a kill leaves of an in-memory replica is its last commit, also with a batch staged."""
    entries = conversation(20)
    replica = Replica.in_memory("server-1")
    put(replica, entries[:10])
    replica.stage(Batch(entries=entries[10:]))
    again = Replica.in_memory("server-1", replica.image())
    assert shown(looked_into(again)) == materialise(entries[:10])
    assert again.boot_count == 2
    replica.commit()
    assert shown(looked_into(replica)) == materialise(entries)


def test_reads_see_what_is_committed_while_a_batch_is_staged(tmp_path: Path) -> None:
    """Between stage and commit every read answers as before, in a file as in memory (I4)."""
    entries = conversation(20)
    with opened(tmp_path) as in_file:
        for replica in (in_file, Replica.in_memory("server-1")):
            put(replica, entries[:10])
            before = (replica.heads(), replica.counts(), replica.users(), replica.names())
            messages = replica.last_messages(channel="geral", limit=99)
            replica.stage(Batch(entries=entries[10:], meta={"k": 1}))
            assert (replica.heads(), replica.counts(), replica.users(), replica.names()) == before
            assert replica.last_messages(channel="geral", limit=99) == messages
            assert replica.meta("k") is None
            assert replica.find_ids([entries[-1].id or b""]) == {}
            commit = threading.Thread(target=replica.commit)
            commit.start()
            commit.join()
            assert replica.meta("k") == 1
            assert replica.counts().entries == len(entries)
            assert len(replica.find_ids([entries[-1].id or b""])) == 1


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from storage_entries import conversation, put
from storage.replica import Batch, Replica
entries = conversation(30)
replica = Replica.open(Path(sys.argv[1]), node="server-1", wal_bytes=1 << 20)
put(replica, entries[:10])
put(replica, entries[10:20])
replica.stage(Batch(entries=entries[20:]))
print("staged", flush=True)
sys.stdin.read()
"""


@pytest.mark.system
def test_killed_process_loses_exactly_the_uncommitted(tmp_path: Path) -> None:
    """kill -9 with a batch staged, in a pre-grown WAL: every commit is there, nothing of the batch."""
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path), here], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == b"staged\n"
        with pytest.raises(DataLocked, match=str(child.pid)) as caught:
            Replica.open(tmp_path, node="server-1")
        assert caught.value.holder == child.pid
        assert (tmp_path / "replica.db-wal").stat().st_size >= 1 << 20
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with opened(tmp_path) as replica:
        assert replica.counts().entries == 20
        assert replica.boot_count == 2
        assert replica.damaged is None


def test_full_disk_takes_nothing_and_reads_go_on(tmp_path: Path) -> None:
    """SQLITE_FULL inside stage: everything is rolled back; with room again the same batch goes in."""
    entries = conversation(600)
    with opened(tmp_path) as replica:
        put(replica, entries[:100])
        before = (replica.heads(), replica.counts(), replica.names())
        db = replica._writer.connection
        (pages,) = db.execute("pragma page_count").fetchone()
        db.execute(f"pragma max_page_count={pages + 2}")
        with pytest.raises(StorageFull):
            replica.stage(Batch(entries=entries[100:]))
        assert (replica.heads(), replica.counts(), replica.names()) == before
        assert replica.users() == ["ana", "bia", "caio"]
        db.execute("pragma max_page_count=1000000")
        put(replica, entries[100:])
        with connect_read_only(tmp_path / "replica.db") as connection:
            assert shown(connection) == materialise(entries)
        connection.close()


def test_error_in_the_middle_rolls_back_rows_and_memory() -> None:
    """A batch that breaks at its last statement leaves no origin, user or channel behind in memory."""
    replica = Replica.in_memory("server-1")
    author = Author()
    put(replica, [author.login("ana")])
    good = [author.login("bia", origin=ORIGINS[1]), author.add(target="novo", origin=ORIGINS[1])]
    before = (replica.counts(), replica.image())
    broken = Batch(entries=good, peers=[PeerRow(name="server-2", address=object())])  # type: ignore[arg-type]
    replica.stage(broken)
    with pytest.raises(StorageFailed):
        replica.commit()
    assert replica.counts() == before[0]
    assert looked_into(replica).execute("select count(*) from origin").fetchone() == (1,)
    put(replica, good)
    assert replica.channels() == ["novo"]
    assert replica.users() == ["ana", "bia"]


def test_entry_that_is_there_already_is_refused_whole() -> None:
    """Staging an entry twice is the caller's mistake: it fails, and nothing of the batch is kept."""
    replica = Replica.in_memory("server-1")
    author = Author()
    first, second = author.login("ana"), author.login("bia")
    put(replica, [first])
    replica.stage(Batch(entries=[second, first]))
    with pytest.raises(StorageFailed):
        replica.commit()
    assert replica.counts().entries == 1
    assert replica.users() == ["ana"]


def test_only_one_batch_is_staged_at_a_time(tmp_path: Path) -> None:
    """A second stage before the commit is refused and leaves the first as it was."""
    author = Author()
    with opened(tmp_path) as replica:
        replica.stage(Batch(entries=[author.login("ana")]))
        with pytest.raises(RuntimeError):
            replica.stage(Batch(entries=[author.login("bia")]))
        replica.commit()
        assert replica.users() == ["ana"]


def test_locked_by_another_writer(tmp_path: Path) -> None:
    """Somebody's shell in a write transaction: `DataLocked`, and afterwards the batch goes in."""
    with opened(tmp_path) as replica:
        replica._writer.connection.execute("pragma busy_timeout=0")
        shell = sqlite3.connect(tmp_path / "replica.db", isolation_level=None)
        shell.execute("begin immediate")
        batch = Batch(entries=[Author().login("ana")])
        with pytest.raises(DataLocked):
            replica.stage(batch)
        shell.execute("rollback")
        shell.close()
        replica.stage(batch)
        replica.commit()
        assert replica.users() == ["ana"]


def test_everything_else_of_a_batch_comes_back(tmp_path: Path) -> None:
    """Meta values, peers, states and quarantined entries are there after a restart."""
    refused = Quarantined(ORIGINS[2], 7, "forked", b"raw", "server-2")
    batch = Batch(
        entries=[Author().login("ana")],
        meta={"rank": 3, "key": b"\0\xff", "epoch": [1, "server-1"]},
        peers=[PeerRow(name="server-2", rank=2, address="tcp://h:1", confirmed_entries=5, heard_ms=2500)],
        states={ORIGINS[0]: "forked", ORIGINS[2]: "stopped"},
        quarantined=[refused, refused],
    )
    with opened(tmp_path) as replica:
        replica.stage(batch)
        replica.commit()
    with opened(tmp_path) as replica:
        assert replica.meta("rank") == 3
        assert replica.meta("key") == b"\0\xff"
        assert replica.meta("epoch") == [1, "server-1"]
        assert replica.meta("nothing") is None
        assert replica.states() == {ORIGINS[0]: "forked", ORIGINS[2]: "stopped"}
        assert set(replica.heads()) == {ORIGINS[0]}
        db = replica._reader
        assert db.execute("select * from peers").fetchall() == [("server-2", 2, "tcp://h:1", 5, 2.5, None)]
        rows = db.execute("select origin, seq, reason, raw, from_node from quarantine").fetchall()
        assert rows == [(ORIGINS[2], 7, "forked", b"raw", "server-2")]


def test_boot_count_and_node_are_kept(tmp_path: Path) -> None:
    """Every start counts (A6); a directory of another node is refused and stays usable by its own."""
    for boot in (1, 2, 3):
        with opened(tmp_path) as replica:
            assert replica.boot_count == boot
    with pytest.raises(WrongFile, match="server-1"):
        Replica.open(tmp_path, node="server-2")
    with opened(tmp_path) as replica:
        assert replica.boot_count == 4


def test_closing_leaves_one_file_and_the_lock(tmp_path: Path) -> None:
    """After a clean stop all is in the database file itself, so that copying it is a backup."""
    entries = conversation(20)
    with opened(tmp_path) as replica:
        put(replica, entries)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db.lock", "replica.db"]
    with connect_read_only(tmp_path / "replica.db", immutable=True) as connection:
        assert shown(connection) == materialise(entries)
    connection.close()


def test_failed_write_stops_and_has_the_file_checked(tmp_path: Path) -> None:
    """The disk refuses a write during commit: `StorageFailed`; the next start checks the file."""
    entries = conversation(400)
    replica = Replica.open(tmp_path, node="server-1")
    put(replica, entries[:100])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal_path(tmp_path / "replica.db").stat().st_size, limits[1]))
    try:
        replica.stage(Batch(entries=entries[100:]))
        with pytest.raises(StorageFailed) as caught:
            replica.commit()
        assert caught.value.exit_code == 70
        assert replica.counts().entries == 100
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    replica.close()
    assert (tmp_path / "replica.db-suspect").exists()
    with opened(tmp_path) as again:
        assert again.damaged is None
        assert again.counts().entries == 100
        assert not (tmp_path / "replica.db-suspect").exists()
