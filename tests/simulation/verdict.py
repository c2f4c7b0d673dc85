"""A history from its plan to its verdict, for the tests and for replaying one seed by hand."""

from functools import partial
from typing import Any

import judges
import judges_of_words
import msgspec
import trio
from adversary import NAMES, Gang
from deterministic import run_history
from final_state import FinalState, read
from library_people import Chorus, LibraryClient, Listener
from liveness import Watch
from plans import Plan, plan
from sessions import SessionClient
from settled import Settled
from sightings import Sightings, reached, watched
from storm import Storm
from workload import Crowd, History, Level, PlainClient
from world import World, cluster

from recado.protocol.election_values import ElectionTimings
from recado.protocol.views import Shown
from recado.settings import Disk

# After the storm, in virtual seconds.
LEVEL_SECONDS = 30.0  # a lost page waits for its deadline, and the vectors are compared every 2 s
AGREE_SECONDS = 200.0  # a server that started many times holds down for 160 s
AGREE_STEP_SECONDS = 1.0
HOME_SECONDS = 60.0
HEAR_SECONDS = 40.0
WRITABLE_SECONDS = 30.0
CLOCK_SECONDS = 600.0  # the tolerated spread doubles in eight rounds from 50 ms to 10 s
FLOODED_LINK_MESSAGES_MAX = (
    400  # a second: two floods at once, and all the rest, which a listener hears twice
)
# while it goes from one form of publications to the other.
# A member whose promises take two seconds to keep stands again and again, and deposes who leads.
UNSTEADY = {"slow disk": 0.6}
CLOCK_STEP_SECONDS = 5.0
PEOPLE = (SessionClient, LibraryClient, PlainClient, Chorus)
QUORUM_AT_MOST = (Level.LOCAL, Level.QUORUM)
ROOM = "room"  # where the listener listens; chatters speak there too


class Verdict(msgspec.Struct, kw_only=True):
    """What the judges said of one history, and figures that show that something happened."""

    complaints: list[str]
    digest: str
    messages: int
    operations: int
    acknowledged: int
    entries: int
    reads: int
    virtual_seconds: float
    faults: list[tuple[float, str]]
    reached: set[str]  # which of the rare things happened; see `sightings`


def stormy(seed: int, *, seconds: float | None = None) -> Verdict:
    """The verdict of a seed."""
    return carried_out(plan(seed, seconds=seconds))


def carried_out(what: Plan) -> Verdict:
    """The verdict of a plan.  Raises `AssertionError` if the cluster does not recover in its time."""
    with watched() as sightings:
        tell = _safety if what.mode == "safety" else _liveness
        return run_history(partial(tell, what, sightings), seed=what.seed, virtual_seconds_max=2000.0)


def _cluster(what: Plan) -> Any:
    return cluster(
        seed=what.seed,
        servers=what.servers,
        election=what.election,
        clock_offset_seconds=3.0,
        clock_drift=5e-5,
        lease_drift=ElectionTimings().drift,
        secured=what.secured,
        disk=Disk() if what.snapshot_entries is None else Disk(snapshot_entries=what.snapshot_entries),
    )


async def _safety(what: Plan, sightings: Sightings) -> Verdict:
    async with _cluster(what) as world:
        adverse = what.work == "adversary"
        room = NAMES[0] if adverse else ROOM
        people = Gang(world) if adverse else Crowd(world, clients=PEOPLE, room=room)
        storm, watch, listener = Storm(world), Watch(world, sightings), Listener("listener", room)
        people.history.told = storm.told
        for task in (people.run, watch.run, lambda: listener.run(world)):
            world.nursery.start_soon(task)
        await storm.rage(what.faults, seconds=what.seconds)
        await people.go_home(within_seconds=HOME_SECONDS)
        await world.until(world.level, within_seconds=LEVEL_SECONDS, what="equal replicas")
        await world.until(
            Settled(world.statuses).look,
            within_seconds=AGREE_SECONDS,
            step_seconds=AGREE_STEP_SECONDS,
            what="one coordinator",
        )
        await world.until(
            lambda: not judges.heard_once(listener.heard, _room(world, room)),
            within_seconds=HEAR_SECONDS,
            what="the listener's display is that of the servers",
        )
        more = watch.two_leaders() if what.election == "quorum" else []
        more += judges.heard_once(listener.heard, _room(world, room))
        more += watch.crowded()
        more += judges.lost_with_a_disk(listener.lost, world.losses)
        found = await verdict(
            world,
            people.history,
            *more,
            sightings=sightings,
            in_order=not adverse,
            link_messages_max=FLOODED_LINK_MESSAGES_MAX if adverse else judges.LINK_MESSAGES_PER_SECOND_MAX,
        )
        await world.until(world.takes_writes, within_seconds=WRITABLE_SECONDS, what="writes everywhere")
        await clocks_agree(world, within_seconds=CLOCK_SECONDS)
        found.virtual_seconds = trio.current_time()
        return found


async def _liveness(what: Plan, sightings: Sightings) -> Verdict:
    """One bad server, for ever: the others lead, answer and replicate as if it were not there."""
    async with _cluster(what) as world:
        world.avoided.add(what.faults[0].node)
        people = Crowd(world, clients=PEOPLE, levels=QUORUM_AT_MOST, room=ROOM)
        watch = Watch(world, sightings)
        for task in (people.run, watch.run):
            world.nursery.start_soon(task)
        storm = Storm(world)
        with trio.move_on_at(what.seconds):
            async with trio.open_nursery() as nursery:
                for fault in what.faults:
                    await trio.sleep_until(fault.at)
                    nursery.start_soon(storm.deed(fault.kind), fault)
                await trio.sleep_forever()
        await people.go_home(within_seconds=HOME_SECONDS)
        await world.until(world.level, within_seconds=LEVEL_SECONDS, what="equal healthy replicas")
        slow = judges.answered_in_time(people.history, since=what.faults[0].at)
        return await verdict(
            world,
            people.history,
            *watch.unled(UNSTEADY.get(what.faults[0].kind, judges.LED_SHARE_MIN)),
            *slow,
            *watch.crowded(),
            sightings=sightings,
            coordinated=False,
        )


async def verdict(
    world: World,
    history: History,
    *more: str,
    sightings: Sightings | None = None,
    in_order: bool = True,
    coordinated: bool = True,
    link_messages_max: int = judges.LINK_MESSAGES_PER_SECOND_MAX,
) -> Verdict:
    """All judges over a world that has healed and agrees.

    `in_order`: whether people's clocks are such that their words have an order; `coordinated`: whether
    all servers must name one coordinator.
    """
    states = final_states(world)
    complaints = [
        *judges.nothing_lost(history, states, world.losses),
        *judges.exactly_once(history, states),
        *judges.nothing_invented(history, states),
        *(judges.own_order(history, states, world.losses) if in_order else ()),
        *judges.equal_replicas(states),
        *judges.stamps(states),
        *judges.stamps_believable(
            states,
            work=world.transit.messages,
            seconds=trio.current_time(),
            starts=sum(node.starts for node in world.servers.values()),
        ),
        *judges.one_winner(world.journal.lines),
        *(judges.one_coordinator(await world.statuses()) if coordinated else ()),
        *judges.nobody_shouts(world.transit.busiest, most=link_messages_max),
        *judges_of_words.sessions_hold(history),
        *judges_of_words.keeps_to_itself(world.journal.lines, history.said),
        *more,
    ]
    return Verdict(
        complaints=complaints,
        digest=world.transit.digest,
        messages=world.transit.messages,
        operations=len(history.operations),
        acknowledged=len(history.acknowledged),
        entries=len(states[0].entries),
        reads=len(history.reads),
        virtual_seconds=trio.current_time(),
        faults=world.transit.record,
        reached=set(reached(world, history, states[0], sightings or Sightings())),
    )


def _room(world: World, room: str) -> list[Shown]:
    """What the listener's channel holds on the first server."""
    node = world.healthy[0]
    return [row for row in read(node.name, node.store.image()).views.channel_messages if row.to == room]


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
    """The disks of all living servers that clients know of."""
    return [read(node.name, node.store.image()) for node in world.healthy]
