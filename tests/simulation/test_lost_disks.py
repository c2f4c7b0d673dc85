"""Lost disks and far-behind servers while people go on writing: snapshots, unions, damage, changed lists."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from world import World

from recado.settings import Disk, Member
from storage.verification import verify_images

Simulate = Callable[..., Any]
INSTALLED = "snapshot installed"


class Writers:
    """People who write at every living server, each word once, and remember what was acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.acknowledged: set[bytes] = set()
        self._number = 0
        self._over = False
        self._running = 0

    async def run(self, *, at: str, pause_seconds: float = 0.02) -> None:
        """Write at one server until `stop`, at the level `quorum`; refusals are no acknowledgement."""
        self._running += 1
        while not self._over:
            self._number += 1
            id_ = self._number.to_bytes(8, "big")
            fields = {"user": "ana", "channel": "geral", "message": f"m{self._number}", "id": id_}
            with trio.move_on_after(5):
                if self._world.servers[at].alive:
                    reply = await self._world.ask(at, "publish", **fields, level="quorum")
                    if reply.get("status") == "OK":
                        self.acknowledged.add(id_)
            await trio.sleep(pause_seconds)
        self._running -= 1

    async def stop(self) -> None:
        """No new writes, and the end of those that are out."""
        self._over = True
        await self._world.until(lambda: not self._running, within_seconds=20, what="everybody has stopped")


def far_is(world: World, entries: int) -> None:
    """What counts as far behind, for servers that start from now on."""
    world.config = msgspec.structs.replace(world.config, disk=Disk(snapshot_entries=entries))


async def furnish(world: World) -> Writers:
    await trio.sleep(2)
    await world.ask("server-1", "login", user="ana")
    await world.ask("server-1", "channel", channel="geral")
    await trio.sleep(2)
    writers = Writers(world)
    for name in world.servers:
        world.nursery.start_soon(lambda at=name: writers.run(at=at))
    return writers


async def judged(world: World, writers: Writers) -> None:
    """Equal replicas with everything that was acknowledged."""
    await writers.stop()
    await world.until(world.level, within_seconds=40, what="equal replicas")
    images = {name: node.store.image() for name, node in world.servers.items() if node.alive}
    report = verify_images(images, settled=True)
    assert report.equal, report.differences
    for name, node in world.servers.items():
        if node.alive:
            found = node.store.find_ids(sorted(writers.acknowledged))
            assert len(found) == len(writers.acknowledged), f"{name} has lost something"
    assert len(writers.acknowledged) > 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_empty_disk_under_load(simulate: Simulate, seed: int) -> None:
    """A server replaced by one with an empty disk takes a snapshot while all servers take writes."""

    async def story(world: World) -> None:
        far_is(world, 100)
        writers = await furnish(world)
        await trio.sleep(20)
        world.servers["server-2"].kill()
        world.servers["server-2"].restore(None)
        await trio.sleep(5)
        world.servers["server-2"].start()
        await trio.sleep(20)
        assert world.journal.named(INSTALLED, node="server-2")
        await judged(world, writers)

    simulate(story, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_donor_dies_in_the_middle(simulate: Simulate, seed: int) -> None:
    """Whoever gives the snapshot is killed, and so is who takes it: nothing is lost, all become equal."""

    async def story(world: World) -> None:
        far_is(world, 100)
        writers = await furnish(world)
        await trio.sleep(20)
        world.servers["server-2"].kill()
        world.servers["server-2"].restore(None)
        world.servers["server-2"].start()
        await trio.sleep(0.02 * seed)
        donors = ["server-1", "server-3"]
        world.servers[donors[seed % 2]].kill()
        await trio.sleep(0.05 * seed)
        world.servers["server-2"].kill()
        world.servers["server-2"].start()
        await trio.sleep(5)
        world.servers[donors[seed % 2]].start()
        await trio.sleep(20)
        await judged(world, writers)

    simulate(story, seed=seed)


@pytest.mark.slow
def test_a_server_that_wrote_alone_takes_a_snapshot(simulate: Simulate) -> None:
    """Cut off with its own people, far behind and far ahead at once: both sides' words are in the union."""

    async def story(world: World) -> None:
        far_is(world, 100)
        writers = await furnish(world)
        await trio.sleep(5)
        world.transit.cut(["server-2"], ["server-1", "server-3"])
        alone = 0
        for n in range(150):
            reply = await world.ask(
                "server-2", "publish", user="ana", channel="geral", message=f"alone {n}", id=b"alone%d" % n
            )
            if reply["status"] == "OK":
                alone += 1
                writers.acknowledged.add(b"alone%d" % n)
            await trio.sleep(0.05)
        assert alone == 150
        world.servers["server-2"].kill()  # what counts as far behind is read at the start
        world.servers["server-2"].start()
        world.transit.heal()
        await trio.sleep(20)
        await judged(world, writers)
        assert world.journal.named(INSTALLED, node="server-2")

    simulate(story)


@pytest.mark.slow
def test_a_fourth_server_joins_and_leaves(simulate: Simulate) -> None:
    """The list is changed on every node, the servers restart in turn, under load; then the way back."""

    async def story(world: World) -> None:
        far_is(world, 100)
        everybody = world.config.cluster.members
        three = tuple(member for member in everybody if member.name != "server-4")

        def listed(members: tuple[Member, ...]) -> None:
            cluster = msgspec.structs.replace(world.config.cluster, members=members)
            world.config = msgspec.structs.replace(world.config, cluster=cluster)

        async def restarted(*names: str) -> None:
            for name in names:
                if world.servers[name].alive:
                    await world.servers[name].stop()
                world.servers[name].start()
                await trio.sleep(4)

        listed(three)
        for node in (world.reference, world.broker, *(world.servers[member.name] for member in three)):
            node.start()
        writers = await furnish(world)
        await trio.sleep(10)
        assert (await world.ask("server-1", "status"))["of"] == 3
        listed(everybody)
        await restarted("server-1", "server-2", "server-3", "server-4")
        await trio.sleep(10)
        assert (await world.ask("server-4", "status"))["of"] == 4
        assert world.journal.named(INSTALLED, node="server-4")
        await world.servers["server-4"].stop()
        listed(three)
        await restarted("server-1", "server-2", "server-3")
        await trio.sleep(5)
        assert (await world.ask("server-3", "status"))["of"] == 3
        await judged(world, writers)

    simulate(story, servers=4, started=False)
