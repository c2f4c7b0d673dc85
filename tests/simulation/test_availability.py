"""What is dead, cut off, full or deaf does not slow down the others."""

from collections.abc import Callable
from typing import Any

import judges
import pytest
import trio
from library_people import BROKERS, Listener
from verdict import final_states
from workload import Crowd
from world import BROKER_ADDRESSES, World

Simulate = Callable[..., Any]
NORMAL_SECONDS = 0.1  # a local answer: a commit of some milliseconds


async def settled(world: World) -> None:
    """A cluster at work: a coordinator, a user and a channel that all servers know, writes at each."""
    await world.until(world.agreed, within_seconds=30.0, what="the first coordinator")
    await world.ask("server-1", "login", user="ana", level="all")
    await world.ask("server-1", "channel", channel="geral", level="all")
    for name in world.servers:
        await world.ask(name, "login", user=f"friend-{name}", level="all")


async def timed(world: World, server: str, service: str, **fields: Any) -> tuple[float, dict[str, Any]]:
    """(virtual seconds, the reply's data)."""
    start = trio.current_time()
    reply = await world.ask(server, service, **fields)
    return trio.current_time() - start, reply


@pytest.mark.slow
@pytest.mark.parametrize("dead", ["broker", "reference", "server-3"])
def test_the_dead_delay_nobody(simulate: Simulate, dead: str) -> None:
    """With a dead broker, reference or peer (the coordinator), local writes and reads take no longer."""

    async def story(world: World) -> None:
        await settled(world)
        world.nodes[dead].kill()
        for step in range(60):
            for server in ("server-1", "server-2"):
                seconds, reply = await timed(
                    world, server, "publish", user="ana", channel="geral", message=f"{server} {step}"
                )
                assert (reply["status"], seconds < NORMAL_SECONDS) == ("OK", True), (step, seconds, reply)
                seconds, reply = await timed(world, server, "users")
                assert "ana" in reply["users"]
                assert seconds < NORMAL_SECONDS
            await trio.sleep(1.0)

    simulate(story)


def test_a_quorum_outlives_one_server(simulate: Simulate) -> None:
    """With one of three dead, quorum is answered at once and `all` ends as indeterminate in its time."""

    async def story(world: World) -> None:
        await settled(world)
        world.servers["server-3"].kill()
        said = {"user": "ana", "channel": "geral", "message": "oi"}
        seconds, reply = await timed(world, "server-1", "publish", **said, level="quorum")
        assert (reply["status"], reply["acks"]) == ("OK", 2)
        assert seconds < NORMAL_SECONDS
        seconds, reply = await timed(world, "server-1", "publish", **said, level="all")
        assert (reply["status"], reply["code"], reply["acks"]) == ("erro", "indeterminate", 2)
        assert seconds < world.config.timings.ack_wait_seconds + 1.0

    simulate(story)


def test_the_next_request_through_the_round_robin_port(simulate: Simulate) -> None:
    """A channel created through the broker's port takes a message at the next server, although
    replication, with 0.2 s on every link, has not told that server yet.
    """

    async def story(world: World) -> None:
        await settled(world)
        slow = world.transit.weather
        for one in world.servers:
            for other in world.servers:
                world.transit.links[one, other] = type(slow)(delay_seconds=0.2, spread=0.01)
        asked = BROKER_ADDRESSES.request
        for n in range(9):
            created = await world.ask_at(asked, "channel", channel=f"sala-{n}")
            said = await world.ask_at(asked, "publish", user="ana", channel=f"sala-{n}", message="oi")
            assert (created["status"], said["status"]) == ("sucesso", "OK")
            assert created["server"] != said["server"]

    simulate(story)


def test_what_is_nowhere_is_refused_in_time(simulate: Simulate) -> None:
    """A channel that no server has is refused after the peers were asked: at once when they answer, and
    within the time for it when a peer is cut off.
    """

    async def story(world: World) -> None:
        await settled(world)
        said = {"user": "ana", "channel": "nowhere", "message": "oi"}
        seconds, reply = await timed(world, "server-1", "publish", **said)
        assert (reply["status"], reply["code"]) == ("erro", "channel_missing")
        assert seconds < NORMAL_SECONDS
        world.transit.cut(["server-1"], ["server-2"])
        seconds, reply = await timed(world, "server-1", "publish", **said)
        assert reply["code"] == "channel_missing"
        assert seconds < world.config.timings.absence_check_seconds + NORMAL_SECONDS

    simulate(story)


def test_a_subscriber_that_never_reads(simulate: Simulate) -> None:
    """One who subscribes to everything and never reads costs the others nothing."""

    async def story(world: World) -> None:
        await settled(world)
        async with world.network.host("deaf").subscriber(BROKERS) as deaf:
            deaf.subscribe(b"")
            listener = Listener("ouvinte", "geral")
            world.nursery.start_soon(listener.run, world)
            await trio.sleep(3.0)
            for step in range(300):
                seconds, _ = await timed(
                    world, "server-1", "publish", user="ana", channel="geral", message=f"{step}"
                )
                assert seconds < NORMAL_SECONDS
            await trio.sleep(1.0)
        assert [text for _, text in listener.heard] == [f"{step}" for step in range(300)]

    simulate(story)


@pytest.mark.slow
def test_a_listener_misses_nothing_while_the_broker_dies(simulate: Simulate) -> None:
    """People talk while the broker and a server are killed: a listener by the library is shown every
    message of the channel exactly once.
    """

    async def story(world: World) -> None:
        await settled(world)
        crowd = Crowd(world, pause_seconds=0.5)
        crowd.history.channels.append("geral")
        listener = Listener("ouvinte", "geral")
        world.nursery.start_soon(listener.run, world)
        world.nursery.start_soon(crowd.run)
        await trio.sleep(10.0)
        world.broker.kill()
        await trio.sleep(15.0)
        world.broker.start()
        world.servers["server-2"].kill()
        await trio.sleep(15.0)
        world.servers["server-2"].start()
        await crowd.go_home(within_seconds=60.0)
        await trio.sleep(30.0)
        rows = [row for row in final_states(world)[0].views.channel_messages if row.to == "geral"]
        assert len(rows) > 20
        assert judges.heard_once(listener.heard, rows) == []

    simulate(story)
