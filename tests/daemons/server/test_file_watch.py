"""Others at a server's file: what they write is found and mended, how long they read is told."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio

from recado.settings import Disk
from storage.replica import Replica
from storage.verification import verify
from tests.daemons.server.server_bench import Bench, Running, bench, until

WROTE = "somebody else wrote to the replica"
GROWS = "the write-ahead log can't begin anew, somebody reads"
ANEW = "the write-ahead log has begun anew"
QUICK = Disk(look_seconds=0.5)
Damage = Callable[[sqlite3.Connection], object]


async def two(cluster: Bench, directory: Path) -> tuple[Running, Running]:
    """Two servers with files, and ten messages in both."""
    stores = [Replica.open(directory / name, node=name) for name in ("server-1", "server-2")]
    one, other = [await cluster.start(store.path.parent.name, store=store) for store in stores if store.path]
    await one.furnish()
    for n in range(10):
        await one.say(f"m{n}", level="all")
    return one, other


@contextmanager
def shell(directory: Path) -> Iterator[sqlite3.Connection]:
    """What somebody's `sqlite3` does to the file of server-1."""
    path = directory / "server-1" / "replica.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def _change(db: sqlite3.Connection) -> object:
    return db.execute("update entry set body = 'never said' where kind = 3 and seq = 7")


def _delete(db: sqlite3.Connection) -> object:
    return db.execute("delete from entry where kind = 3 and seq in (6, 8)")


def _append(db: sqlite3.Connection) -> object:
    return db.execute(
        """insert into entry select number, seq + 1, lamport + 1, wall, kind, author, target, null, prev,
        'forged', extra, hash, 1 from entry where seq = (select max(seq) from entry)"""
    )


def _invent(db: sqlite3.Connection) -> object:
    db.execute("insert into origin values(99, 'server-9.0000000000000009', 'server-9', 'open')")
    return db.execute(
        """insert into entry select 99, 1, 1, wall, 3, author, target, null, 0, 'x', null, hash, 1
        from entry where seq = 5"""
    )


@pytest.mark.parametrize("damage", [_change, _delete, _append, _invent])
async def test_what_somebody_writes_is_undone(
    autojump_clock: trio.abc.Clock, tmp_path: Path, damage: Damage
) -> None:
    """A changed, deleted or invented entry is said, and soon the replicas are equal again."""
    async with bench(of=2, disk=QUICK) as cluster:
        one, other = await two(cluster, tmp_path)
        with shell(tmp_path) as db:
            damage(db)
        await until(lambda: bool(one.sink.named(WROTE)))
        paths = [tmp_path / name / "replica.db" for name in ("server-1", "server-2")]
        await until(lambda: verify(paths, settled=True).equal)
        assert (await one.ask("status"))["outside_writes"] == 1
        assert await one.texts() == [f"m{n}" for n in range(10)]
        await one.say("goes on", level="all")
        assert not other.sink.named(WROTE)
        assert not one.faults()


async def test_who_still_writes_is_waited_for(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """While a shell holds the write lock nothing can be cast out; it is tried until it can."""
    async with bench(of=2, disk=QUICK) as cluster:
        one, _ = await two(cluster, tmp_path)
        with shell(tmp_path) as db:
            _append(db)
            db.execute("begin immediate")
            await trio.sleep(3)
            db.execute("rollback")
        paths = [tmp_path / name / "replica.db" for name in ("server-1", "server-2")]
        await until(lambda: verify(paths, settled=True).equal)
        assert not one.faults()


async def test_own_writes_are_not_taken_for_others(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """Commits, readers and a server's own second connection are no cause."""
    async with bench(of=2, disk=QUICK) as cluster:
        one, _ = await two(cluster, tmp_path)
        with shell(tmp_path) as db:
            db.execute("select count(*) from channel_messages").fetchone()
        for n in range(10):
            await one.say(f"n{n}")
            await trio.sleep(0.3)
        assert (await one.ask("status"))["outside_writes"] == 0


async def test_a_foreign_trigger_is_named(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """What somebody defines in the file stands in the line; it is not ours to take away."""
    async with bench(of=2, disk=QUICK) as cluster:
        one, _ = await two(cluster, tmp_path)
        with shell(tmp_path) as db:
            db.execute("create trigger mine after delete on peer begin select 1; end")
        await until(lambda: bool(one.sink.named(WROTE)))
        assert one.sink.named(WROTE)[0]["definitions"] == "trigger mine"


async def test_derived_rows_are_made_anew_at_the_next_start(
    autojump_clock: trio.abc.Clock, tmp_path: Path
) -> None:
    """A user that somebody deleted from the table is back after a restart."""
    async with bench(of=2, disk=QUICK) as cluster:
        one, _ = await two(cluster, tmp_path)
        with shell(tmp_path) as db:
            db.execute("delete from user where name = 'bia'")
        await until(lambda: bool(one.sink.named(WROTE)))
    one.store.close()
    with closing(Replica.open(tmp_path / "server-1", node="server-1")) as replica:
        assert replica.users() == ["ana", "bia"]


_READER = """import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("begin"); db.execute("select count(*) from users").fetchone()
print("reading", flush=True); sys.stdin.read()"""


@pytest.mark.slow
@pytest.mark.system
async def test_a_long_reader_is_named(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """While it reads, the log grows and the line has its process id; afterwards the room is given back."""
    size = 32 << 20
    async with bench(of=1, disk=Disk(look_seconds=0.5, wal_bytes=size)) as cluster:
        store = Replica.open(tmp_path, node="server-1")
        one = await cluster.start("server-1", store=store)
        await one.furnish()
        reader = subprocess.Popen(  # noqa: ASYNC220 - the clock is the test's
            [sys.executable, "-c", _READER, str(tmp_path / "replica.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert reader.stdout is not None
        assert reader.stdin is not None
        try:
            reader.stdout.readline()
            text = "x" * 16_000
            wal = tmp_path / "replica.db-wal"
            while wal.stat().st_size < size:
                await one.say(text)
            await until(lambda: bool(one.sink.named(GROWS)))
            assert one.sink.named(GROWS)[0]["pids"] == str(reader.pid)
        finally:
            reader.stdin.close()
            reader.wait()
            reader.stdout.close()
        for _ in range(1000):
            await one.say("y")
            if one.sink.named(ANEW):
                break
        assert wal.stat().st_size < size
