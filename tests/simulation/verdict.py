"""A storm from its seed to its verdict, for the tests and for replaying one seed by hand."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from random import Random

import judges
import msgspec
import trio
from deterministic import run_history
from final_state import FinalState, read
from library_people import LibraryClient
from storm import Storm
from workload import Crowd, History, PlainClient
from world import World, cluster

from recado.protocol.entry import ident

# After the storm, in virtual seconds.
LEVEL_SECONDS = 30.0  # a lost page waits for its deadline, and the vectors are compared every 2 s
AGREE_SECONDS = 200.0  # a server that started many times holds down for 160 s
HOME_SECONDS = 60.0
WRITABLE_SECONDS = 30.0
CLOCK_SECONDS = 600.0  # the tolerated spread doubles in eight rounds from 50 ms to 10 s
PEOPLE = (PlainClient, LibraryClient, PlainClient, LibraryClient)
CLOCK_STEP_SECONDS = 5.0


class Verdict(msgspec.Struct, kw_only=True):
    """What the judges said of one history, and figures that show that something happened."""

    complaints: list[str]
    digest: str
    messages: int
    operations: int
    acknowledged: int
    entries: int
    faults: list[tuple[float, str]]
    reached: set[str]  # which of the rare things happened; see `reached`


def stormy(seed: int) -> Verdict:
    """The history of one seed: three or five servers, 60 to 120 seconds of storm, healing, verdict."""
    dice = Random(f"{seed} storm")
    return run_history(
        partial(_storm, seed, servers=dice.choice([3, 3, 5]), seconds=dice.uniform(60, 120)),
        seed=seed,
        virtual_seconds_max=2000.0,
    )


async def _storm(seed: int, *, servers: int, seconds: float) -> Verdict:
    async with cluster(seed=seed, servers=servers, clock_offset_seconds=3.0, clock_drift=5e-5) as world:
        crowd = Crowd(world, clients=PEOPLE)
        world.nursery.start_soon(crowd.run)
        await Storm(world).rage(seconds)
        await crowd.go_home(within_seconds=HOME_SECONDS)
        await world.until(world.level, within_seconds=LEVEL_SECONDS, what="equal replicas")
        await world.until(world.agreed, within_seconds=AGREE_SECONDS, what="one coordinator")
        found = await verdict(world, crowd.history)
        await world.until(world.takes_writes, within_seconds=WRITABLE_SECONDS, what="writes everywhere")
        await clocks_agree(world, within_seconds=CLOCK_SECONDS)
        return found


async def verdict(world: World, history: History, *more: str) -> Verdict:
    """All judges over a world that has healed and agrees."""
    states = final_states(world)
    statuses = await world.statuses()
    complaints = [
        *judges.nothing_lost(history, states, world.losses),
        *judges.exactly_once(history, states),
        *judges.nothing_invented(history, states),
        *judges.own_order(history, states),
        *judges.equal_replicas(states),
        *judges.stamps(states),
        *judges.one_winner(world.journal.lines),
        *judges.one_coordinator(statuses),
        *judges.nobody_shouts(world.transit.busiest),
        *more,
    ]
    return Verdict(
        complaints=complaints,
        digest=world.transit.digest,
        messages=world.transit.messages,
        operations=len(history.operations),
        acknowledged=len(history.acknowledged),
        entries=len(states[0].entries),
        faults=world.transit.record,
        reached=set(reached(world, history, states[0])),
    )


def reached(world: World, history: History, state: FinalState) -> Iterator[str]:
    """What a storm should bring about now and then: if none ever does, it is blind there."""
    events = Counter(line["event"] for _, line in world.journal.lines)
    codes = Counter(line.get("code") for _, line in world.journal.lines if line["event"] == "refused")
    origins = {entry.origin for entry in state.entries}
    idents = Counter(ident(entry) for entry in state.entries)
    found = {
        "a retry kept by two servers": max(idents.values()) > 1,
        "a write tried again": any(op.tries > 1 for op in history.operations),
        "more origins than servers": len(origins) > len(world.servers),
        "a disk that forgot": bool(world.losses),
        "a coordinator replaced": events["coordinator did not answer, starting election"] > 0,
        "a clock round aborted": events["berkeley round aborted"] > 0,
        "a clock round finished": events["berkeley round finished"] > 0,
        "a peer silent and back": events["peer answers again"] > 0,
        "a full disk": codes["storage_full"] > 0,
        "a clean stop": events["stopped"] > 0,
        "entries pulled": events["replicated from"] > 0,
        "a synchronisation with the coordinator": events["complete synchronisation done"] > 0,
    }
    return (what for what, so in found.items() if so)


async def clocks_agree(world: World, *, within_seconds: float) -> float:
    """Wait until all shown times are within 50 ms; gives the seconds that it took.

    Looking leaves entries, so it comes after the other judges.
    """
    start = trio.current_time()
    while complaints := judges.clocks_agree(await world.shown_times()):
        if trio.current_time() - start > within_seconds:
            raise AssertionError(f"after {within_seconds} virtual seconds: {complaints}")
        await trio.sleep(CLOCK_STEP_SECONDS)
    return trio.current_time() - start


def final_states(world: World) -> list[FinalState]:
    """The disks of all living servers."""
    return [read(name, node.store.image()) for name, node in world.servers.items() if node.alive]
