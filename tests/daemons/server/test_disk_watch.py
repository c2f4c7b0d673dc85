"""A disk that is full or slow: what is refused, what goes on, how it ends; nothing grows for ever."""

from typing import Any

import pytest
import trio

from daemons.server.commit import GroupCommit
from recado.protocol import codec
from recado.protocol.limits import COMMIT_ENTRIES_MAX, PENDING_CALLBACKS_MAX, PENDING_ENTRIES_MAX
from recado.settings import Disk as DiskSettings
from recado.wire.ports import Asker
from storage.replica import Batch, Replica, StorageFull
from tests.daemons.server.disks import Brake, Disk
from tests.daemons.server.peer_frames import ORIGIN, log_of, run, stored, who
from tests.daemons.server.server_bench import Running, bench, enveloped, until

SAY = {"user": "ana", "channel": "geral", "message": "oi"}
FULL = "disk is full, read-only until there is room"
ROOM = "disk has room again, writes are taken"
SLOW, FAST = "disk is slow, writes are refused", "disk is fast again, writes are taken"


def full_of(name: str) -> Disk:
    """A member's store whose disk can be full, with a log of peers in it."""
    store = Disk.in_memory(name, stored(name, log_of(ORIGIN, 5)).image())
    assert isinstance(store, Disk)
    return store


async def test_read_only_is_a_state_with_an_end(autojump_clock: trio.abc.Clock) -> None:
    """Told once in the log and all the time in `status`; reads, pulls and votes go on; then writes again."""
    async with bench("server-2", of=2) as cluster:
        store = full_of("server-1")
        server = await cluster.start("server-1", store=store)
        await cluster.level()
        store.full = True
        for _ in range(20):
            assert (await server.ask("publish", **SAY))["code"] == "storage_full"
        await until(lambda: bool(server.sink.named(FULL)))
        assert (await server.ask("status"))["disk"] == "full"
        assert (await server.ask("history", channel="geral"))["messages"]
        assert (await server.ask("sync", **who(), vector={}, digest=b"", belief=b"", heads=b""))[
            "status"
        ] == "OK"
        assert (await server.ask("replicate", **who(), runs=[run(log_of(ORIGIN, 6), 6)]))[
            "code"
        ] == "storage_full"
        await cluster.running["server-2"].say("do outro")
        await trio.sleep(30)
        assert len(server.sink.named(FULL)) == 1
        assert not server.sink.named("peer is silent")
        store.full = False
        await until(lambda: bool(server.sink.named(ROOM)))
        await cluster.level()
        assert (await server.ask("status"))["disk"] == "ok"
        await server.say("de novo")


async def test_a_full_disk_costs_one_origin(autojump_clock: trio.abc.Clock) -> None:
    """However long it is full and however many try: not a new origin for each refusal."""
    store = full_of("server-1")
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=store)
        await server.say("antes")
        store.full = True
        for _ in range(50):
            await server.ask("publish", **SAY)
            await trio.sleep(1)
        store.full = False
        await trio.sleep(11)
        await server.say("depois")
        assert len(store.heads()) == 3


class TwoFacts(Replica):
    """A disk that has room only after the reserve was given up."""

    released = False

    def stage(self, batch: Batch) -> None:
        if not self.released:
            raise StorageFull("no room")
        super().stage(batch)


async def test_facts_are_written_from_the_reserve() -> None:
    """The node's own facts are committed although the entries beside them are refused."""
    from recado.protocol.log import ReplicationLog
    from recado.protocol.messages import Kind

    store = TwoFacts.in_memory("server-1")
    assert isinstance(store, TwoFacts)
    log = ReplicationLog({}, mint_origin=lambda: ORIGIN)

    async def inline(write: Any) -> None:
        write()

    commits = GroupCommit(log, store, committer=inline, now_ms=lambda: 1)

    def make_room() -> bool:
        store.released = True
        return True

    commits.make_room = make_room
    told: list[Any] = []
    entry = log.append(
        lamport=1, wall_ms=1, kind=Kind.CHANNEL_MESSAGE, author=None, id=None, target="geral", body=b"oi"
    )
    commits.keep(entry, lambda full: told.append(("entry", full is None)))
    commits.put_meta("epoch", [1], lambda full: told.append(("fact", full is None)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        await commits.idle()
        nursery.cancel_scope.cancel()
    assert told == [("entry", False), ("fact", True)]
    assert (store.meta("epoch"), store.heads()) == ([1], {})
    assert commits.full


async def test_a_slow_commit_sheds_writes(autojump_clock: trio.abc.Clock) -> None:
    """After five seconds writes are refused with the time to come back; reads and peers are served."""
    brake = Brake()
    async with bench(of=2) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        await server.furnish()
        brake.hold()
        waiting = await server.later(nursery, "publish", **SAY)
        await trio.sleep(6)
        assert server.sink.named(SLOW)
        assert (await server.ask("status"))["disk"] == "slow"
        refused = await server.ask("publish", **SAY)
        assert (refused["code"], refused["retry_after"]) == ("busy", 1)
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        assert (await server.ask("clock", **who()))["status"] == "OK"
        brake.released.set()
        await until(lambda: bool(waiting))
        assert waiting[0]["status"] == "OK", "what was taken is answered, however late"
        await until(lambda: bool(server.sink.named(FAST)))
        await server.say("de novo")


@pytest.mark.slow
@pytest.mark.parametrize("retries", [False, True])
async def test_a_stuck_disk_bounds_what_waits(autojump_clock: trio.abc.Clock, retries: bool) -> None:
    """Ten thousand writes, or retries of one, beside a disk that hangs: `busy`, under every limit (K10)."""
    brake = Brake()
    async with bench(of=1, disk=DiskSettings(slow_seconds=3600)) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        await server.furnish()
        brake.hold()
        replies: list[dict[str, Any]] = []
        ends = [
            await cluster.ends.enter_async_context(cluster.network.asker(server.asker.address))
            for _ in range(10)
        ]

        async def ask(end: Asker, n: int) -> None:
            fields = {**SAY, "id": b"1" if retries else b"%d" % n}
            replies.append(enveloped(await end.ask(codec.encode("publish", fields)))[1])

        for n in range(10_000):
            nursery.start_soon(ask, ends[n % 10], n)
            if n % 500 == 499:
                await trio.sleep(5)
        await trio.sleep(60)
        status = await server.ask("status")
        assert status["backlog"] <= PENDING_ENTRIES_MAX
        busy = sum(reply.get("code") == "busy" for reply in replies)
        assert len(replies) == busy >= 10_000 - PENDING_CALLBACKS_MAX - 2 * COMMIT_ENTRIES_MAX
        brake.released.set()
        await until(lambda: len(replies) == 10_000, within_seconds=60)
        counts = server.store.message_counts()[0]
        assert counts == sum(reply["status"] == "OK" for reply in replies) if not retries else counts == 1


async def filled(server: Running) -> dict[str, int]:
    """The size of every table of a server that could grow with what others send."""
    status = await server.ask("status")
    return {"waiting": status["waiting"], "backlog": status["backlog"], "origins": status["origins"]}


@pytest.mark.slow
async def test_a_peer_that_is_away_costs_nothing(autojump_clock: trio.abc.Clock) -> None:
    """Thousands of writes for two members that never answer leave nothing behind that waits for them."""
    async with bench("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        for n in range(3000):
            await server.say(f"m{n}")
        assert await filled(server) == {"waiting": 0, "backlog": 0, "origins": 1}
