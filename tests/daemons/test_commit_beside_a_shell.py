"""Somebody's shell holds the replica's write lock: the server waits for it without stopping (A31)."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from daemons.server.commit import GroupCommit, commit_inline
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Kind
from storage.replica import Replica


def appended(log: ReplicationLog, stamp: int) -> Callable[[GroupCommit], None]:
    entry = log.append(
        lamport=stamp, wall_ms=0, kind=Kind.CHANNEL, author=None, id=None, target=f"c{stamp}", body=b""
    )
    return lambda commits: commits.keep(entry)


async def test_a_locked_file_delays_commits_and_nothing_else(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """While a shell's transaction is open nothing is committed or answered; then everything is, in order."""
    store = Replica.open(tmp_path / "node", node="server-1")
    log = ReplicationLog(store.heads(), mint_origin=lambda: "server-1.0000000000000001")
    commits = GroupCommit(log, store, committer=commit_inline, now_ms=lambda: 0)
    shell = sqlite3.connect(tmp_path / "node" / "replica.db", isolation_level=None)
    answered: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        shell.execute("begin immediate")
        for stamp in (1, 2):
            appended(log, stamp)(commits)
        commits.after(lambda _full: answered.append(trio.current_time()))
        await trio.sleep(30)
        assert answered == []
        assert log.durable == {}
        shell.execute("rollback")
        released = trio.current_time()
        await commits.idle()
        nursery.cancel_scope.cancel()
    shell.close()
    store.close()
    assert log.durable == {"server-1.0000000000000001": 2}
    assert released <= answered[0] < released + 1
