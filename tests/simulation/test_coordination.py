"""Who coordinates, and what follows from it: failover, synchronisation, clocks, the reference's list."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from transit import CALM
from verdict import clocks_agree
from world import REFERENCE_ADDRESS, World

Simulate = Callable[..., Any]
READY_SECONDS = 30.0


async def ready(world: World) -> None:
    """Wait until the cluster of the start agrees on its coordinator."""
    await world.until(world.agreed, within_seconds=READY_SECONDS, what="the first coordinator")


async def listed(world: World) -> dict[str, int]:
    """The reference's list: rank by name."""
    answer = await world.ask_at(REFERENCE_ADDRESS, "list")
    return {server["name"]: server["rank"] for server in answer["list"]}


def test_failover_and_return(simulate: Simulate) -> None:
    """The coordinator is killed: the next rank announces itself within 12 s, all follow, the 60 s
    synchronisation turns to it; when the old one returns, all follow that one again.
    """

    async def story(world: World) -> None:
        await ready(world)
        world.servers["server-3"].kill()
        killed = trio.current_time()
        await world.until(
            lambda: world.journal.named("announced on `servers`", node="server-2", since=killed),
            within_seconds=12.0,
            what="server-2 announces itself",
        )
        await trio.sleep(3.0)
        assert await world.coordinator() == "server-2"
        await trio.sleep(61.0)
        turned = world.journal.named("complete synchronisation done", node="server-1", since=killed)
        assert {line["coordinator"] for line in turned} == {"server-2"}
        world.servers["server-3"].start()
        await world.until(world.agreed, within_seconds=30.0, what="server-3 leads again")

    simulate(story)


def test_the_coordinator_that_stops_hands_over(simulate: Simulate) -> None:
    """After SIGTERM the next coordinator stands within 3 s: the old one says that it goes."""

    async def story(world: World) -> None:
        await ready(world)
        await world.servers["server-3"].stop()

        async def next_leads() -> bool:
            return await world.coordinator() == "server-2"

        await world.until(next_leads, within_seconds=3.0, what="server-2 leads")

    simulate(story)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_coordinators_that_stop_one_after_the_other_hand_over(simulate: Simulate, seed: int) -> None:
    """Twenty coordinators stopped within seconds of each other's return: the others agree in 3 s."""

    async def story(world: World) -> None:
        await ready(world)
        took = []

        async def followed(without: str) -> bool:
            others = [name for name in world.servers if name != without]
            named = {(await world.ask(name, "status"))["coordinator"] for name in others}
            return len(named) == 1 and not named & {without, ""}

        for _ in range(20):
            await world.until(world.coordinator, within_seconds=3.0, what="a coordinator that all follow")
            leader = str(await world.coordinator())
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.servers[leader].stop)
                await world.until(
                    lambda old=leader: followed(old), within_seconds=10.0, what=f"next after {leader}"
                )
                took.append(trio.current_time() - began)
            world.servers[leader].start()
            await trio.sleep(world.random.uniform(0.2, 2.0))
        assert max(took) < 3.0, took

    simulate(story, seed=seed)


def test_each_side_of_a_partition_has_a_coordinator(simulate: Simulate) -> None:
    """Five servers cut in two: each side agrees on its highest, and after healing all on the highest."""

    async def story(world: World) -> None:
        await ready(world)
        names = list(world.servers)
        world.transit.cut(names[:2], names[2:])
        await trio.sleep(20.0)
        told = {name: said["coordinator"] for name, said in (await world.statuses()).items()}
        assert told == dict.fromkeys(names[:2], "server-2") | dict.fromkeys(names[2:], "server-5")
        world.transit.heal()
        await world.until(world.agreed, within_seconds=20.0, what="one coordinator")

    simulate(story, servers=5)


@pytest.mark.slow
def test_clocks_seconds_apart_agree(simulate: Simulate) -> None:
    """Servers whose clocks differ by seconds show times within 50 ms of each other three minutes on, and
    stay so for ten minutes although the clocks drift.
    """

    async def story(world: World) -> None:
        for server, offset_seconds in zip(world.servers.values(), (-3.0, 0.5, 4.0), strict=True):
            server.wall.offset_seconds = offset_seconds
        await ready(world)
        await clocks_agree(world, within_seconds=180.0)
        for _ in range(10):
            await trio.sleep(60.0)
            await clocks_agree(world, within_seconds=0.0)

    simulate(story, clock_drift=5e-5, virtual_seconds_max=1000.0)


def test_the_reference_expires_the_silent(simulate: Simulate) -> None:
    """A killed server leaves the list after 60 s of silence, and comes back with the rank it had."""

    async def story(world: World) -> None:
        await ready(world)
        everybody = {f"server-{n}": n for n in (1, 2, 3)}
        await trio.sleep(5.0)
        assert await listed(world) == everybody
        world.servers["server-2"].kill()
        await trio.sleep(45.0)
        assert await listed(world) == everybody
        await trio.sleep(27.0)
        assert await listed(world) == {"server-1": 1, "server-3": 3}
        world.servers["server-2"].start()
        await trio.sleep(3.0)
        assert await listed(world) == everybody

    simulate(story)


def test_ranks_survive_the_reference(simulate: Simulate) -> None:
    """A reference that was killed knows the ranks when it returns, and lists who beats again."""

    async def story(world: World) -> None:
        await ready(world)
        await trio.sleep(5.0)
        before = await listed(world)
        world.reference.kill()
        await trio.sleep(30.0)
        world.reference.start()
        await trio.sleep(15.0)
        assert await listed(world) == before == {f"server-{n}": n for n in (1, 2, 3)}

    simulate(story, weather=CALM)
