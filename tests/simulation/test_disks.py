"""Disks that are full, that come back from a backup, and that are gone."""

from collections.abc import Callable, Sequence
from typing import Any

import judges
import pytest
import trio
from final_state import FinalState
from verdict import final_states
from workload import Crowd, PlainClient
from world import World

Simulate = Callable[..., Any]


async def converged(world: World, crowd: Crowd) -> list[FinalState]:
    """End the talk, wait for equal replicas, and judge them."""
    await crowd.go_home(within_seconds=60.0)
    await world.until(world.level, within_seconds=20.0, what="equal replicas")
    states = final_states(world)
    complaints = [
        *judges.nothing_lost(crowd.history, states, world.losses),
        *judges.exactly_once(crowd.history, states),
        *judges.equal_replicas(states),
        *judges.stamps(states),
        *judges.nobody_shouts(world.transit.busiest),
    ]
    assert complaints == []
    return states


def talk(world: World) -> Crowd:
    """People who talk all the time."""
    crowd = Crowd(world, clients=(PlainClient,) * 3, pause_seconds=0.3)
    world.nursery.start_soon(crowd.run)
    return crowd


def origins_of(server: str, states: Sequence[FinalState]) -> set[str]:
    """The origins that a server has written under."""
    return {entry.origin for entry in states[0].entries if entry.origin.startswith(f"{server}.")}


@pytest.mark.slow
def test_a_restored_backup(simulate: Simulate) -> None:
    """A server that gets an older disk back writes under a new origin, fetches what it had forgotten,
    and all replicas become equal: no place in a log is given out twice (A1).
    """

    async def story(world: World) -> None:
        crowd = talk(world)
        await trio.sleep(15.0)
        backup = world.servers["server-2"].store.image()
        await trio.sleep(15.0)
        world.servers["server-2"].kill()
        world.servers["server-2"].restore(backup)
        world.servers["server-2"].start()
        await trio.sleep(15.0)
        states = await converged(world, crowd)
        assert len(origins_of("server-2", states)) == 2
        assert [state.quarantined for state in states] == [()] * 3

    simulate(story)


@pytest.mark.slow
def test_a_deleted_database(simulate: Simulate) -> None:
    """A server that comes back with an empty disk fetches everything, and what it writes before has
    stamps above what it has not fetched yet (A3).
    """

    async def story(world: World) -> None:
        crowd = talk(world)
        await trio.sleep(30.0)
        before = max(entry.lamport for entry in final_states(world)[0].entries)
        world.servers["server-1"].kill()
        world.servers["server-1"].restore(None)
        world.servers["server-1"].start()
        await trio.sleep(0.001)
        reply = await world.ask("server-1", "login", user="first")
        assert (reply["status"], reply["key"][0] > before) == ("sucesso", True), reply
        await trio.sleep(20.0)
        await converged(world, crowd)

    simulate(story)


@pytest.mark.slow
def test_a_full_disk_refuses_and_recovers(simulate: Simulate) -> None:
    """A server whose disk is full says so and keeps serving reads; with room again it takes writes and
    what it missed.
    """

    async def story(world: World) -> None:
        crowd = talk(world)
        await trio.sleep(10.0)
        full = world.servers["server-1"]
        full.store.full = True
        await trio.sleep(10.0)
        reply = await world.ask("server-1", "login", user="nobody")
        assert (reply["status"], reply["code"]) == ("erro", "storage_full")
        assert "person-0" in (await world.ask("server-1", "users"))["users"]
        full.store.full = False
        await trio.sleep(5.0)
        reply = await world.ask("server-1", "login", user="somebody", level="all")
        assert (reply["status"], reply["acks"]) == ("sucesso", 3)
        await converged(world, crowd)

    simulate(story)


def test_a_full_disk_asks_no_more_than_others(simulate: Simulate) -> None:
    """A full server behind its peers compares vectors at its period: it does not pull in a loop."""

    async def story(world: World) -> None:
        await trio.sleep(5.0)
        world.servers["server-1"].store.full = True
        for n in range(50):
            await world.ask("server-2", "login", user=f"user-{n}")
        before = world.transit.messages
        await trio.sleep(20.0)
        assert world.transit.messages - before < 600

    simulate(story)


@pytest.mark.slow
def test_all_disks_but_one_are_lost(simulate: Simulate) -> None:
    """Two of three servers lose their disks, one after the other: what was on all disks is everywhere."""

    async def story(world: World) -> None:
        crowd = talk(world)
        await trio.sleep(20.0)
        for name in ("server-1", "server-3"):
            world.servers[name].kill()
            world.servers[name].restore(None)
            world.servers[name].start()
            await trio.sleep(10.0)
        await converged(world, crowd)

    simulate(story)
