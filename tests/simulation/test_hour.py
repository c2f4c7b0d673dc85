"""An hour of cluster life, in seconds."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from library_people import LibraryClient, Listener
from verdict import Verdict, clocks_agree, verdict
from workload import Crowd, PlainClient
from world import World

HOUR_SECONDS = 3600.0


async def trouble(world: World) -> None:
    """What happens within the hour, in its order; each ends before the next begins."""
    servers = world.servers
    await trio.sleep_until(300)
    servers["server-3"].kill()  # the coordinator, long enough to expire
    await trio.sleep(120)
    servers["server-3"].start()
    await trio.sleep_until(900)
    world.transit.cut(["server-1"], ["server-2", "server-3"])
    await trio.sleep(90)
    world.transit.heal()
    await trio.sleep_until(1300)
    world.broker.kill()
    await trio.sleep(40)
    world.broker.start()
    await trio.sleep_until(1700)
    world.reference.kill()
    await trio.sleep(100)
    world.reference.start()
    await trio.sleep_until(2200)
    world.transit.cut(["server-3"], ["server-2"], both_ways=False)
    await trio.sleep(60)
    world.transit.heal()
    for at, name in ((2600, "server-1"), (2700, "server-2"), (2800, "server-3")):
        await trio.sleep_until(at)
        await servers[name].stop()
        await trio.sleep(10)
        servers[name].start()


async def an_hour(world: World) -> Verdict:
    """Bots talk, trouble comes and goes, and at the end everything is judged."""
    crowd = Crowd(world, clients=(PlainClient, LibraryClient, PlainClient), pause_seconds=10.0)
    listener = Listener("ouvinte", "geral")
    for task in (crowd.run, lambda: trouble(world), lambda: listener.run(world)):
        world.nursery.start_soon(task)
    await trio.sleep_until(HOUR_SECONDS)
    await crowd.go_home(within_seconds=30.0)
    assert await world.agreed()
    await world.until(world.level, within_seconds=10.0, what="equal replicas")
    found = await verdict(world, crowd.history)
    await clocks_agree(world, within_seconds=0.0)
    happened(world)
    return found


def happened(world: World) -> None:
    """The hour was not an empty one: what it is to contain is in the log."""
    named = world.journal.named
    assert {line["node"] for line in named("announced on `servers`")} >= {"server-2", "server-3"}
    assert len(named("berkeley round finished")) >= 50
    assert len(named("complete synchronisation done")) >= 100
    assert len(named("server expired")) >= 1
    assert len(named("peer is silent")) >= 4


@pytest.mark.slow
def test_an_hour_of_cluster_life(simulate: Callable[..., Any]) -> None:
    """Elections, clock rounds, expiry, a partition, kills and restarts under talk: nothing is lost or
    doubled, the replicas, the coordinator and the clocks agree at the end.
    """
    found = simulate(
        an_hour, seed=3600, virtual_seconds_max=4000.0, clock_offset_seconds=2.0, clock_drift=5e-5
    )
    assert found.complaints == []
    assert found.acknowledged > 600
