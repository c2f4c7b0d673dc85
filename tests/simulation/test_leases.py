"""Elections with leases in the real server: how soon, how exclusive, and that writes never wait for them."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from world import World

from recado.settings import Timings

Simulate = Callable[..., Any]
MEMBER = {"v": 2, "cluster": "recado", "boot": "b"}
# What docs/daemons.md recommends for servers on one fast network.
FAST_NETWORK = Timings(
    election_lease_seconds=1.2,
    election_renew_seconds=0.3,
    election_rpc_seconds=0.25,
    election_hold_seconds=1.0,
)


async def ready(world: World) -> None:
    """Wait until the cluster of the start has its coordinator, with a user and a channel to write to."""
    await trio.sleep(0.5)  # nobody listens yet
    await world.until(world.agreed, within_seconds=14.5, what="the first coordinator")
    await world.ask("server-1", "login", user="ana", level="all")
    await world.ask("server-1", "channel", channel="geral", level="all")


async def seconds_until(world: World, leader: str) -> float:
    """Virtual seconds from now until this server says that it leads; it must do so in 20 s."""
    began = trio.current_time()

    def leads() -> list[float]:
        return [
            at
            for at, line in world.journal.lines
            if at >= began and line["node"] == leader and line["event"] == "announced on `servers`"
        ]

    await world.until(leads, within_seconds=20.0, what=f"{leader} leads")
    return leads()[0] - began


async def holders(world: World) -> list[str]:
    """Who holds a lease at this moment, by its own word."""
    return [name for name, said in (await world.statuses()).items() if said.get("lease_seconds", 0) > 0]


@pytest.mark.parametrize(
    ("timings", "bound_seconds"), [(Timings(), 12.0), (FAST_NETWORK, 2.0)], ids=["default", "fast network"]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_coordinator_is_replaced_in_time(
    simulate: Simulate, timings: Timings, bound_seconds: float, seed: int
) -> None:
    """Within 12 s by default, and within 2 s with the timings for a fast network, the next rank leads."""

    async def story(world: World) -> None:
        await ready(world)
        await trio.sleep(world.random.uniform(0, 2))
        world.servers["server-3"].kill()
        assert await seconds_until(world, "server-2") < bound_seconds
        await trio.sleep(1)
        assert await world.coordinator() == "server-2"
        assert await holders(world) == ["server-2"]

    simulate(story, election="quorum", timings=timings, seed=seed)


def test_a_stopped_coordinator_hands_over_in_three_seconds(simulate: Simulate) -> None:
    """SIGTERM releases the leases: the next rank leads within 3 s, before the old one has even ended."""

    async def story(world: World) -> None:
        await ready(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.servers["server-3"].stop)
            assert await seconds_until(world, "server-2") < 3.0

    simulate(story, election="quorum")


def test_a_cut_off_coordinator_stops_acting_before_the_next_begins(simulate: Simulate) -> None:
    """The minority has no coordinator; at no moment have two a lease; once healed the highest leads."""

    async def story(world: World) -> None:
        await ready(world)
        world.transit.cut(["server-3"], ["server-1", "server-2"])
        seen: set[str] = set()
        for _ in range(80):
            holding = await holders(world)
            assert len(holding) <= 1
            seen.update(holding)
            await trio.sleep(0.25)
        assert seen == {"server-3", "server-2"}
        said = await world.statuses()
        assert [said[name]["coordinator"] for name in sorted(said)] == ["server-2", "server-2", ""]
        assert said["server-1"]["granted"]["to"] == "server-2"
        world.transit.heal()
        await world.until(world.agreed, within_seconds=20.0, what="the highest leads again")
        assert world.journal.named("no longer coordinator", node="server-2")

    simulate(story, election="quorum")


def test_no_minority_elects(simulate: Simulate) -> None:
    """One of three alone: no coordinator, however long; it says why once; and it goes on taking writes."""

    async def story(world: World) -> None:
        await ready(world)
        for name in ("server-3", "server-2"):
            world.servers[name].kill()
        killed = trio.current_time()
        await trio.sleep(60)
        assert (await world.ask("server-1", "status"))["coordinator"] == ""
        said = world.journal.named("no election for now", node="server-1", since=killed)
        assert [line["reason"] for line in said] == ["fewer than a majority of the members answer"]
        reply = await world.ask("server-1", "publish", user="ana", channel="geral", message="alone")
        assert (reply["status"], reply["acks"]) == ("OK", 1)

    simulate(story, election="quorum")


@pytest.mark.parametrize("election", ["available", "quorum"])
def test_local_writes_do_not_wait_for_an_election(simulate: Simulate, election: str) -> None:
    """From the kill to the next coordinator a local publish takes as long as before it."""

    async def story(world: World) -> None:
        await ready(world)

        async def slowest(until: Callable[[], Any]) -> float:
            worst, step = 0.0, 0
            while not until():
                began = trio.current_time()
                reply = await world.ask(
                    "server-1", "publish", user="ana", channel="geral", message=f"{began}", level="local"
                )
                assert reply["status"] == "OK"
                worst, step = max(worst, trio.current_time() - began), step + 1
                await trio.sleep(0.02)
            return worst

        calm_until = trio.current_time() + 10
        before = await slowest(lambda: trio.current_time() > calm_until)
        world.servers["server-3"].kill()
        killed = trio.current_time()
        during = await slowest(
            lambda: world.journal.named("coordinator is now server-2", node="server-1", since=killed)
        )
        assert trio.current_time() - killed > 4, "there was an election to wait for"
        assert during < max(2 * before, 0.05)

    simulate(story, election=election)


def test_a_coordinator_of_the_past_adjusts_no_clock(simulate: Simulate) -> None:
    """B10: an adjustment of a lower epoch is refused; one of a larger epoch is kept on disk first."""

    async def story(world: World) -> None:
        await ready(world)
        epoch = (await world.ask("server-1", "status"))["epoch"]
        outcomes = []
        for n, sender in ((epoch, 2), (epoch + 5, 2), (epoch, 3), (2**40, 2)):
            reply = await world.ask(
                "server-1",
                "adjust",
                **MEMBER,
                **{"from": f"server-{sender}"},
                adjustment=0.25,
                epoch=[n, sender, f"server-{sender}", "x"],
                round=1,
            )
            outcomes.append(reply.get("description", reply["status"]).rpartition(" ")[2])
        assert outcomes == ["stale_epoch", "OK", "stale_epoch", "epoch_invalid"]
        assert world.servers["server-1"].store.meta("epoch")[0] == epoch + 5
        await world.until(
            lambda: (world.servers["server-3"].store.meta("epoch") or [0])[0] > epoch + 5,
            within_seconds=10,
            what="the coordinator asks for a larger epoch still",
        )
        assert await holders(world) == ["server-3"]

    simulate(story, election="quorum")


def test_members_of_different_modes_say_so(simulate: Simulate) -> None:
    """A member in the other mode takes no part, and both sides' logs say why, once."""

    async def story(world: World) -> None:
        await ready(world)
        world.servers["server-1"].kill()
        world.election = "available"
        world.servers["server-1"].start()
        await trio.sleep(30)
        said = world.journal.named("member takes no part in our election", node="server-3")
        assert [(line["peer"], line["code"]) for line in said] == [("server-1", "mode_differs")]
        assert await holders(world) == ["server-3"]

    simulate(story, election="quorum")
