"""Waiting and stopping: absences, slow disks, full tables, and the drain."""

from typing import Any

import pytest
import trio

from recado.protocol import codec
from recado.settings import Timings
from recado.wire.ports import Asker
from storage.replica import Replica
from tests.daemons.server.disks import Brake, Disk
from tests.daemons.server.server_bench import bench, enveloped, lone, together, until

SAY = {"user": "ana", "channel": "geral", "message": "oi"}


async def test_what_is_missing_here_is_looked_for_there(autojump_clock: trio.abc.Clock) -> None:
    """A channel and a user made at one server a moment ago are not "missing" at another."""
    async with bench("server-1", of=2) as cluster:
        await cluster.running["server-1"].furnish()
        two = await cluster.start("server-2")
        assert (await two.ask("publish", **SAY))["status"] == "OK"
        assert (await two.ask("message", src="ana", dst="bia", message="oi"))["status"] == "OK"


async def test_an_absence_is_believed_within_its_deadline(autojump_clock: trio.abc.Clock) -> None:
    """With the peers dead "missing" is said within a second, and at once once they are silent."""
    async with bench("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        start = trio.current_time()
        assert (await server.ask("publish", **SAY))["code"] == "channel_missing"
        assert trio.current_time() - start <= 1.01
        await trio.sleep(10)
        start = trio.current_time()
        assert (await server.ask("publish", **SAY))["code"] == "channel_missing"
        assert trio.current_time() - start < 0.01


async def test_an_absence_delays_nobody_else(autojump_clock: trio.abc.Clock) -> None:
    """While one waits for the peers, others are served; too many who wait are refused at once."""
    async with bench("server-1", of=3) as cluster, trio.open_nursery() as nursery:
        server = cluster.running["server-1"]
        waiting = [await server.later(nursery, "publish", **SAY)]
        start = trio.current_time()
        assert (await server.ask("login", user="ana"))["status"] == "sucesso"
        refused = await together([server.ask("publish", **SAY) for _ in range(300)])
        assert {reply["code"] for reply in refused} == {"channel_missing"}
        assert trio.current_time() - start < 2.5
        await until(lambda: all(waiting))


async def test_a_slow_disk_delays_no_read(autojump_clock: trio.abc.Clock) -> None:
    """While a commit is out nothing of it is told to anybody, and reads are answered."""
    brake = Brake()
    async with bench(of=1) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        await server.furnish()
        brake.hold()
        said = await server.later(nursery, "publish", **SAY)
        taken = await server.later(nursery, "login", user="caio")
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        assert await server.texts() == []
        assert (await server.ask("status"))["backlog"] == 2
        assert said == taken == []
        brake.released.set()
        await until(lambda: bool(said and taken))
        assert (await server.ask("users"))["users"] == ["ana", "bia", "caio"]


async def test_a_full_disk_refuses_and_recovers(autojump_clock: trio.abc.Clock) -> None:
    """Nothing of what is refused `storage_full` is kept, not even the name for those who wanted it too."""
    store = Disk.in_memory("server-1")
    assert isinstance(store, Disk)
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=store)
        await server.furnish()
        store.full = True
        refused = await together([server.ask("login", user="caio") for _ in range(3)])
        assert {reply["code"] for reply in refused} == {"storage_full"}
        assert (await server.ask("publish", **SAY, id=b"1"))["code"] == "storage_full"
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        store.full = False
        await trio.sleep(11)  # the server looks every ten seconds whether there is room
        assert (await server.ask("login", user="caio"))["status"] == "sucesso"
        assert (await server.ask("publish", **SAY, id=b"1"))["status"] == "OK"
        assert await server.texts() == ["oi"]


async def test_much_at_once_is_held_back_and_all_of_it_answered(autojump_clock: trio.abc.Clock) -> None:
    """With the disk stuck nothing is answered, not even reads behind a long backlog; then everything is."""
    brake = Brake()
    async with bench(of=1) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        await server.furnish()
        askers = [
            await cluster.ends.enter_async_context(cluster.network.asker(server.asker.address))
            for _ in range(3)
        ]
        frame = codec.encode("publish", SAY)
        replies: list[dict[str, Any]] = []

        async def ask(asker: Asker) -> None:
            replies.append(enveloped(await asker.ask(frame))[1])

        brake.hold()
        for n in range(2100):
            nursery.start_soon(ask, askers[n % 3])
        await trio.sleep(1)
        assert replies == []
        brake.released.set()
        await until(lambda: len(replies) == 2100)
        assert {reply["status"] for reply in replies} == {"OK"}
        assert server.store.message_counts()[0] == 2100


async def test_busy_says_when_to_come_back(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no more answers can wait, a write with a level is refused before anything of it is kept."""
    monkeypatch.setattr("recado.protocol.acknowledgement.ACK_WAITERS_MAX", 3)
    async with bench("server-1", of=3) as cluster, trio.open_nursery() as nursery:
        server = cluster.running["server-1"]
        await server.furnish()
        for _ in range(3):
            await server.later(nursery, "publish", **SAY, level="quorum")
        refused = await server.ask("publish", **SAY, level="all")
        assert (refused["code"], refused["retry_after"]) == ("busy", 1)
        assert (await server.ask("publish", **SAY))["status"] == "OK"
        assert server.store.message_counts()[0] == 4
        nursery.cancel_scope.cancel()


async def test_stopping_answers_everybody(autojump_clock: trio.abc.Clock) -> None:
    """On the way out: what is kept is committed and answered, who waits for copies or peers is told."""
    brake = Brake()
    async with bench(of=3) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        await server.furnish()
        waiting = await server.later(nursery, "publish", **SAY, level="quorum")
        absent = await server.later(nursery, "publish", **{**SAY, "channel": "nada"})
        brake.hold()
        kept = await server.later(nursery, "publish", **SAY)
        server.stopping.set()
        await trio.sleep(0.05)
        assert absent[0]["code"] == "channel_missing"
        assert (await server.ask("publish", **SAY))["code"] == "draining"
        assert (await server.ask("login", user="caio"))["code"] == "draining"
        assert (await server.ask("publish", **{**SAY, "channel": "nada"}))["code"] == "channel_missing"
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        brake.released.set()
        await server.stopped.wait()
        assert kept[0]["status"] == "OK"
        assert waiting[0]["code"] == "indeterminate"
        assert server.faults() == []


async def test_stopping_pushes_what_was_accepted(autojump_clock: trio.abc.Clock) -> None:
    """A server that stops right after its answers has handed its messages on."""
    async with bench("server-1", "server-2", of=2, timings=Timings(vector_exchange_seconds=600)) as cluster:
        one, two = cluster.running.values()
        await one.furnish()
        await together([one.say(f"m{n}") for n in range(200)])
        await cluster.stop("server-1")
        assert two.store.message_counts()[0] == 200


async def test_a_stopped_server_goes_on_under_a_new_origin(autojump_clock: trio.abc.Clock) -> None:
    """After a restart on the same store everything is there, and the next entry begins another origin."""
    async with lone() as server:
        first = await server.ask("login", user="ana")
    async with bench(of=1) as cluster:
        store = Replica.in_memory("server-1", server.store.image())
        again = await cluster.start("server-1", store=store)
        assert (await again.ask("users"))["users"] == ["ana"]
        second = await again.ask("channel", channel="geral")
        assert second["key"][1] != first["key"][1]
        assert second["key"][0] > first["key"][0]
