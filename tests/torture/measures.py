"""Figures of single events, on the same cluster of real processes: how long until all is well again.

`failover`: from the death of a client's server to its next acknowledged write.  `coordinator`: from the
death of the coordinator until all others name one successor; `handover`: the same from SIGTERM.  `heal`:
from the end of a partition of a minute under 500 messages a second until all replicas are equal.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from time import monotonic

import trio

from tests.torture.fleet import CLIENTS, Fleet, Node, build
from tests.torture.load import Wishes
from tests.torture.machine import Means
from tests.torture.plan import Role
from tests.torture.talkers import Talkers
from tests.torture.watching import covers, heads, statuses, union

TIMES = 10
HANDOVERS = 20
DOWN_SECONDS = 6.0
SETTLE_SECONDS = 60.0
PARTITION_SECONDS = 60.0
HEAL_RATE = 560.0  # tried, so that 500 are acknowledged
HEAL_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.05
Say = Callable[[str], None]
Seconds = dict[str, list[float]]


async def main(names: list[str], directory: Path, means: Means, say: Say) -> int:
    """Measure what was asked for; each on a cluster of its own, or several."""
    for name in names:
        found: dict[str, list[float]] = defaultdict(list)
        measure, clusters = _MEASURES[name]
        for number in range(clusters):
            fleet = build(directory / f"{name}-{number}", means, servers=3, brokers=2, seed=name)
            try:
                async with trio.open_nursery() as nursery:
                    await fleet.begin(nursery)
                    for what, seconds in (await measure(fleet, say)).items():
                        found[what] += seconds
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await fleet.close()
        for what, seconds in found.items():
            _show(what, seconds)
    return 0


def _show(what: str, seconds: list[float]) -> None:
    ordered = ", ".join(f"{value:.2f}" for value in sorted(seconds))
    print(f"{what}: median {median(seconds):.2f} s, max {max(seconds):.2f} s of {len(seconds)} ({ordered})")


def _wishes(fleet: Fleet, *, rate: float, levels: list[str], each: int, listeners: int = 0) -> Wishes:
    return Wishes(
        seed="measure",
        servers=fleet.plan.addresses,
        brokers=fleet.plan.xpubs,
        requests=fleet.plan.requests,
        rate=rate,
        levels=levels,
        writers_of_each=each,
        listeners=listeners,
        plain=False,
        read_share=0.0,
    )


# Failover ------------------------------------------------------------------------------------


async def failover(fleet: Fleet, say: Say) -> Seconds:
    """Kill, freeze, and cut off the server to which a writer sticks."""
    await _followed(fleet, fleet.servers)
    talkers = Talkers(fleet, "load", _wishes(fleet, rate=90, levels=["quorum"], each=3))
    await talkers.talking()
    ways: dict[str, Callable[[Fleet, Node], Awaitable[None]]] = {"killed": _kill, "frozen": _freeze}
    if fleet.means.network:
        ways["cut off"] = _cut_off
    found: Seconds = {}
    for way, harm in ways.items():
        gaps = found[f"failover of a client, its server {way}"] = []
        for number in range(TIMES):
            node = fleet.servers[number % len(fleet.servers)]
            at = monotonic()
            await harm(fleet, node)
            gaps.append(_longest_gap(talkers, at, at + DOWN_SECONDS))
            say(f"{way} {node.name}: {gaps[-1]:.2f} s")
            await trio.sleep(3.0)
    await talkers.silence()
    await talkers.end()
    return found


def _longest_gap(talkers: Talkers, since: float, until: float) -> float:
    """The longest time that any writer was without an acknowledgement, begun in the time span."""
    longest = 0.0
    acknowledged = talkers.history().acknowledged
    for user in {op.user for op in acknowledged}:
        ends = [op.ended for op in acknowledged if op.user == user and op.ended is not None]
        before = max((end for end in ends if end <= since), default=since)
        after = [before, *(end for end in ends if since < end <= until + DOWN_SECONDS)]
        gaps = [b - max(a, since) for a, b in pairwise(after) if a <= until]
        longest = max([longest, *gaps])
    return longest


async def _kill(fleet: Fleet, node: Node) -> None:
    async with node.lock:
        await fleet.kill(node)
        await trio.sleep(DOWN_SECONDS)
        await fleet.start(node)


async def _freeze(fleet: Fleet, node: Node) -> None:
    assert node.process is not None
    await node.process.freeze()
    await trio.sleep(DOWN_SECONDS)
    node.process.thaw()


async def _cut_off(fleet: Fleet, node: Node) -> None:
    others = [name for name in (*fleet.nodes, CLIENTS) if name != node.name]
    fleet.network.cut("measure", [*product([node.name], others), *product(others, [node.name])])
    await trio.sleep(DOWN_SECONDS)
    fleet.network.cut("measure", ())


# Coordinator ---------------------------------------------------------------------------------


async def coordinator(fleet: Fleet, say: Say) -> Seconds:
    """Kill whoever coordinates, again and again."""
    times = []
    for _ in range(TIMES):
        leader = await _followed(fleet, fleet.servers)
        node = fleet.nodes[leader]
        async with node.lock:
            at = monotonic()
            await fleet.kill(node)
            await _followed(fleet, [other for other in fleet.servers if other is not node])
            times.append(monotonic() - at)
            await fleet.start(node)
        say(f"{leader} killed: {times[-1]:.2f} s")
    return {"new coordinator, the old one killed": times}


async def handover(fleet: Fleet, say: Say) -> Seconds:
    """Stop the coordinator with SIGTERM, start it again, and at once stop the next one."""
    times = []
    for _ in range(HANDOVERS):
        node = fleet.nodes[await _followed(fleet, fleet.servers)]
        async with node.lock, trio.open_nursery() as nursery:
            at = monotonic()
            nursery.start_soon(fleet.stop, node)
            await _followed(fleet, [other for other in fleet.servers if other is not node])
            times.append(monotonic() - at)
        say(f"{node.name} stopped: {times[-1]:.2f} s")
        await fleet.start(node)
    return {"new coordinator, the old one stopped with SIGTERM": times}


async def _followed(fleet: Fleet, servers: list[Node]) -> str:
    """Wait until these servers name one of themselves; its name."""
    names = {node.name for node in servers}
    with trio.fail_after(SETTLE_SECONDS):
        while True:
            said = await statuses(fleet, servers)
            named = {str(said.get(name, {}).get("coordinator")) for name in names}
            if len(named) == 1 and named <= names:
                return named.pop()
            await trio.sleep(LOOK_SECONDS)


# Healing -------------------------------------------------------------------------------------


async def heal(fleet: Fleet, say: Say) -> Seconds:
    """A minute of partition under load, server-1 alone; everybody else is reached by all."""
    if not fleet.means.network:
        say("heal: not run, needs network namespaces")
        return {}
    await _followed(fleet, fleet.servers)
    talkers = Talkers(fleet, "load", _wishes(fleet, rate=HEAL_RATE, levels=["local"], each=30, listeners=1))
    await talkers.talking()
    names = [node.name for node in fleet.of(Role.SERVER)]
    fleet.network.cut("measure", [*product(names[:1], names[1:]), *product(names[1:], names[:1])])
    at = monotonic()
    await trio.sleep(PARTITION_SECONDS)
    took = monotonic() - at
    said = sum(op.ended is not None and op.ended >= at for op in talkers.history().acknowledged)
    before = [heads(node.member.replica) for node in fleet.servers]
    missing = [_missing(vector, union(before)) for vector in before]
    fleet.network.cut("measure", ())
    at = monotonic()
    equal, silent = await _equal_after(fleet, talkers, at)
    say(f"{said / took:.0f} acknowledged messages a second for {took:.0f} s; then missing: {missing}")
    await talkers.end()
    return {
        "after healing: all that was there is everywhere": [equal],
        "after healing: replicas equal": [silent],
    }


def _missing(vector: dict[str, int], whole: dict[str, int]) -> int:
    return sum(seq - vector.get(origin, 0) for origin, seq in whole.items())


async def _equal_after(fleet: Fleet, talkers: Talkers, healed: float) -> tuple[float, float]:
    """Seconds from healing until what existed then was everywhere, and until all was equal."""
    replicas = [node.member.replica for node in fleet.servers]
    wanted = union([heads(replica) for replica in replicas])
    repaired: list[float] = []

    async def repairing() -> None:
        while not all(covers(heads(replica), wanted) for replica in replicas):  # noqa: ASYNC110  # files
            await trio.sleep(LOOK_SECONDS)
        repaired.append(monotonic() - healed)

    with trio.fail_after(HEAL_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(repairing)
            await talkers.silence()
        while True:
            found = [heads(replica) for replica in replicas]
            if all(covers(vector, union(found)) for vector in found):
                return repaired[0], monotonic() - healed
            await trio.sleep(LOOK_SECONDS)


# What is measured, and on how many clusters.
_MEASURES: dict[str, tuple[Callable[[Fleet, Say], Awaitable[Seconds]], int]] = {
    "failover": (failover, 1),
    "coordinator": (coordinator, 1),
    "handover": (handover, 1),
    "heal": (heal, 1),
}
NAMES = tuple(_MEASURES)
