"""Group commit by itself: order of effects, batches, full and failing disks, cancellation."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from daemons.server.commit import Committer, GroupCommit, commit_in_thread, commit_inline
from recado.protocol.limits import COMMIT_ENTRIES_MAX
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Kind
from storage.replica import Batch, PeerRow, Quarantined, StorageFailed, StorageFull


class Disk:
    """A store that writes down what it is given, and fails when told to."""

    def __init__(self, events: list[Any]) -> None:
        self.batches: list[Batch] = []
        self.stage_error: Exception | None = None
        self.commit_error: Exception | None = None
        self._events = events

    def stage(self, batch: Batch) -> None:
        if self.stage_error is not None:
            raise self.stage_error
        self.batches.append(batch)
        self._events.append("staged")

    def commit(self) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        self._events.append("committed")


class Gate:
    """A committer whose commits wait until it is opened."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self.waiting = trio.Event()

    async def __call__(self, commit: Callable[[], None]) -> None:
        self.waiting.set()
        await self.open.wait()
        commit()


class Room:
    """A group commit and everything around it, writing `events` down."""

    def __init__(self, committer: Committer = commit_inline) -> None:
        self.events: list[Any] = []
        numbers = itertools.count(1)
        self.log = ReplicationLog({}, mint_origin=lambda: f"server-1.{next(numbers):016x}")
        self.disk = Disk(self.events)
        self.commits = GroupCommit(self.log, self.disk, committer=committer, now_ms=lambda: 7)
        self.commits.appliers.append(lambda entries: self.events.append(("applied", dict(self.log.durable))))
        self.commits.followers.append(lambda entries: self.events.append(("told", [e.seq for e in entries])))
        self.commits.voided.append(lambda: self.events.append("voided"))
        self.commits.flush = lambda: self.events.append("flushed")

    def append(self, **more: Any) -> Entry:
        return self.log.append(
            lamport=self.log.lamport + 1, wall_ms=0, kind=Kind.CHANNEL_MESSAGE, author=b"u" * 16, id=None,
            target="geral", body=b"oi",
        )  # fmt: skip

    def keep(self, name: str | None = None) -> Entry:
        """Append and keep; writes down how its answer went."""
        entry = self.append()
        self.commits.keep(entry, self.noting(name or f"answer {entry.seq}"))
        return entry

    def noting(self, name: str) -> Callable[[StorageFull | None], None]:
        return lambda full: self.events.append(name if full is None else f"{name}: full")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.commits.run)
            yield
            nursery.cancel_scope.cancel()


async def test_effects_come_in_the_order_of_the_contract() -> None:
    """Keep, durable, known here, answered, sent, and only then told to the followers."""
    room = Room()
    async with room.running():
        entry = room.keep()
        room.keep()
        assert room.log.durable == {}
        await room.commits.idle()
    answered = ["answer 1", "answer 2", "flushed"]
    assert room.events == ["staged", "committed", ("applied", {entry.origin: 2}), *answered, ("told", [1, 2])]


async def test_one_commit_takes_at_most_512() -> None:
    """1,300 entries are three commits in order, each answered after its own; facts ride along."""
    room = Room()
    for _ in range(1300):
        room.keep()
    room.commits.after(room.noting("last"))
    async with room.running():
        await room.commits.idle()
    assert [len(batch.entries) for batch in room.disk.batches] == [
        COMMIT_ENTRIES_MAX,
        COMMIT_ENTRIES_MAX,
        276,
    ]
    answers = [event for event in room.events if isinstance(event, str) and event.startswith("answer")]
    assert answers == [f"answer {n}" for n in range(1, 1301)]
    first_commit_end = room.events.index(("told", list(range(1, 513))))
    assert "answer 512" in room.events[:first_commit_end]
    assert "answer 513" not in room.events[:first_commit_end]
    assert room.events.index("last") > room.events.index("answer 1300")


async def test_what_comes_during_a_commit_is_one_commit() -> None:
    """Group commit clocks itself: a hundred entries during one commit make one more, not a hundred."""
    gate = Gate()
    room = Room(gate)
    async with room.running():
        room.keep()
        await gate.waiting.wait()
        for _ in range(100):
            room.keep()
        assert room.commits.backlog == 101
        gate.open.set()
        await room.commits.idle()
    assert [len(batch.entries) for batch in room.disk.batches] == [1, 100]
    assert room.commits.backlog == 0


async def test_after_waits_exactly_for_what_was_kept_before() -> None:
    """At once if all is durable; behind the commit that is out even if nothing else waits."""
    gate = Gate()
    room = Room(gate)
    async with room.running():
        room.commits.after(room.noting("at once"))
        assert room.events == ["at once"]
        room.keep()
        await gate.waiting.wait()
        room.commits.after(room.noting("behind"))
        assert "behind" not in room.events
        gate.open.set()
        await room.commits.durable()
        assert room.events.index("behind") > room.events.index("committed")


@pytest.mark.parametrize("where", ["stage_error", "commit_error"])
async def test_a_full_disk_gives_up_all_that_is_pending(where: str) -> None:
    """StorageFull voids the batch and what waits behind it; its origin is never used again."""
    room = Room()
    setattr(room.disk, where, StorageFull("no room"))
    lost = [room.keep() for _ in range(600)]
    room.commits.put_meta("epoch", 1, room.noting("epoch"))
    async with room.running():
        await room.commits.idle()
        answers = [event for event in room.events if isinstance(event, str) and "full" in event]
        assert answers == [f"answer {n}: full" for n in range(1, 601)] + ["epoch: full"]
        assert room.events.index("voided") < room.events.index("answer 1: full")
        assert room.events[-1] == "flushed"
        assert (room.log.durable, room.log.heads, room.commits.backlog) == ({}, {}, 0)
        setattr(room.disk, where, None)
        fresh = room.keep("later")
        await room.commits.idle()
    assert room.disk.batches[-1].meta == {"epoch": 1}, "facts are tried again with the next commit"
    assert (fresh.seq, "later" in room.events) == (1, True)
    assert fresh.origin != lost[0].origin
    assert room.log.durable == {fresh.origin: 1}


async def test_a_fact_put_while_a_full_disk_is_told_of() -> None:
    """Who is told of a full disk may have the next fact to keep: it is kept and told of in its turn."""
    room = Room()
    room.disk.stage_error = StorageFull("no room")

    def another(full: StorageFull | None) -> None:
        room.disk.stage_error = None
        room.commits.put_meta("epoch", 2, room.noting("second"))

    room.commits.put_meta("epoch", 1, another)
    async with room.running():
        await room.commits.idle()
    assert "second" in room.events
    assert room.disk.batches[-1].meta == {"epoch": 2}


async def test_a_full_disk_keeps_what_was_durable_before() -> None:
    """What an earlier commit made durable stays so; only its successors are void."""
    room = Room()
    async with room.running():
        kept = room.keep()
        await room.commits.idle()
        room.disk.commit_error = StorageFull("no room")
        room.keep("void")
        await room.commits.idle()
    assert room.log.durable == room.log.durable | {kept.origin: 1}
    assert room.log.heads[kept.origin].seq == 1
    assert "void: full" in room.events


@pytest.mark.parametrize("where", ["stage_error", "commit_error"])
async def test_a_failing_disk_ends_the_task(where: str) -> None:
    """StorageFailed leaves the outcome unknown: nobody is answered or told, the task ends (A33)."""
    room = Room()
    setattr(room.disk, where, StorageFailed("I/O error"))
    room.keep()
    with pytest.raises(StorageFailed):
        await room.commits.run()
    assert not [event for event in room.events if event != "staged"]
    assert room.log.durable == {}


@pytest.mark.parametrize("committer", ["gate", "thread"])
async def test_a_commit_that_is_out_survives_cancellation(committer: str) -> None:
    """Cancelled in the middle of a commit, the task finishes it, answers and tells, and then ends (A41)."""
    gate = Gate()
    room = Room(gate if committer == "gate" else commit_in_thread)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.commits.run)
        room.keep()
        await gate.waiting.wait() if committer == "gate" else await room.commits.progress()
        nursery.cancel_scope.cancel()
        gate.open.set()
    assert room.events[-4:] == [("applied", dict(room.log.durable)), "answer 1", "flushed", ("told", [1])]
    assert list(room.log.durable.values()) == [1]


async def test_facts_are_durable_before_their_callback() -> None:
    """`put_meta` is in the batch whose commit precedes its callback; the last value of a key counts."""
    room = Room()
    async with room.running():
        room.commits.put_meta("epoch", 1, room.noting("first"))
        room.commits.put_meta("epoch", 2, room.noting("second"))
        await room.commits.durable()
    assert [dict(batch.meta) for batch in room.disk.batches] == [{"epoch": 2}]
    assert room.events[:4] == ["staged", "committed", ("applied", {}), "first"]
    assert room.disk.batches[0].now_ms == 7


async def test_rows_for_people_ride_along() -> None:
    """A peer's row waits for another commit, or for `flush_peers`; a quarantined entry causes one."""
    room = Room()
    async with room.running():
        room.commits.put_peer(PeerRow(name="server-2", rank=1))
        room.commits.put_peer(PeerRow(name="server-2", rank=2))
        await trio.testing.wait_all_tasks_blocked()
        assert room.disk.batches == []
        room.commits.flush_peers()
        await room.commits.idle()
        room.commits.flush_peers()
        room.commits.quarantine(Quarantined("o", 1, "forked"), state="forked")
        await room.commits.idle()
    assert [[row.rank for row in batch.peers] for batch in room.disk.batches] == [[2], []]
    assert [row.reason for row in room.disk.batches[1].quarantined] == ["forked"]
    assert room.disk.batches[1].states == {"o": "forked"}


async def test_waiting_for_progress_and_for_idleness() -> None:
    """`progress` ends with the commit that is out, `idle` only when nothing is pending."""
    gate = Gate()
    room = Room(gate)
    async with room.running(), trio.open_nursery() as nursery:
        done: list[str] = []

        async def wait(name: str, until: Callable[[], Any]) -> None:
            await until()
            done.append(name)

        for _ in range(COMMIT_ENTRIES_MAX + 1):
            room.keep()
        await gate.waiting.wait()
        nursery.start_soon(wait, "idle", room.commits.idle)
        nursery.start_soon(wait, "progress", room.commits.progress)
        await trio.testing.wait_all_tasks_blocked()
        assert done == []
        gate.open.set()
    assert done == ["progress", "idle"]
