"""A coordinator whose disk hangs: others lead until it is well again (A31)."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import trio
from workload import Crowd, PlainClient
from world import World

Simulate = Callable[..., Any]
HANGS = 40.0  # seconds of one commit, in the median
HANGS_MOST = 160.0
SLOW_SECONDS, ELECTION_SECONDS = 5.0, 12.0


async def acting(world: World, *names: str) -> set[str]:
    """Whom these servers name as coordinator."""
    return {(await world.ask(name, "status"))["coordinator"] for name in names}


@pytest.mark.parametrize("election", ["available", "quorum"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_coordinator_with_a_hanging_disk_steps_down(
    simulate: Simulate, seed: int, election: Literal["available", "quorum"]
) -> None:
    """Its commit out for 5 s, it releases; another leads within an election, and the old one, which hears
    everybody, does not stand before its disk answers; then it leads again.
    """

    async def story(world: World) -> None:
        await world.until(world.agreed, within_seconds=20.0, what="the first coordinator")
        crowd = Crowd(world, clients=(PlainClient,) * 3, pause_seconds=0.3)
        world.nursery.start_soon(crowd.run)
        await trio.sleep(10.0)
        top = world.servers["server-3"]
        top.disk.seconds = HANGS

        async def replaced() -> bool:
            # What server-3 is told of it waits for its disk, but it knows at once that it leads no more.
            others = await acting(world, "server-1", "server-2")
            return others == {"server-2"} and await acting(world, "server-3") <= {"", "server-2"}

        within = SLOW_SECONDS + ELECTION_SECONDS
        await world.until(replaced, within_seconds=within, what="server-2 leads")
        for _ in range(20):
            await trio.sleep(1.0)
            assert await acting(world, "server-1", "server-2") == {"server-2"}
        top.disk.seconds = 0.002
        await world.until(world.agreed, within_seconds=HANGS_MOST + 60.0, what="server-3 leads again")

    simulate(story, seed=seed, election=election)
