"""The registry: a golden table, and what must hold for every history of it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import goldens
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.effects import Note
from recado.protocol.errors import Refused
from recado.protocol.limits import ADDRESS_BYTES_MAX, RANK_MAX, REGISTERED_SERVERS_MAX
from recado.protocol.registry import Given, Keep, Registered, Registry

NAMES = ["server-1", "server-2", "server-3", "s4"]


class World:
    """A registry and the time: what a row of the table starts from."""

    def __init__(self, *known: Registered) -> None:
        self.now = 100.0
        self.registry = Registry(known, now=self.now)

    def rank(self, user: str, **fields: Any) -> list[Any]:
        return self._told(lambda: self.registry.rank(user, now=self.now, **fields))

    def heartbeat(self, user: str, **fields: Any) -> list[Any]:
        return self._told(lambda: self.registry.heartbeat(user, now=self.now, **fields))

    def _told(self, act: Callable[[], Given]) -> list[Any]:
        try:
            rank, effects = act()
        except Refused as refused:
            return [f"refused: {refused.code}"]
        return [*effects, f"rank {rank}"]


def empty() -> World:
    return World()


def two_active() -> World:
    world = World()
    world.rank("server-3", rank_hint=3)
    world.now += 10
    world.rank("server-1", address="tcp://a:1")
    return world


def one_expired() -> World:
    world = two_active()
    world.now += 55
    world.registry.tick(world.now)
    return world


def restarted() -> World:
    return World(
        Registered(name="server-1", rank=1, address="tcp://a:1"),
        Registered(name="server-3", rank=3, active=False),
    )


INPUTS: dict[str, Callable[[World], Iterable[Any]]] = {
    "rank server-1": lambda w: w.rank("server-1"),
    "rank server-1, hint 9": lambda w: w.rank("server-1", rank_hint=9),
    "rank server-1, other address": lambda w: w.rank("server-1", address="tcp://b:1"),
    "rank ' server-1 '": lambda w: w.rank(" server-1 "),
    "rank new": lambda w: w.rank("new"),
    "rank new, hint 3": lambda w: w.rank("new", rank_hint=3),
    "rank new, hint 2": lambda w: w.rank("new", rank_hint=2),
    "rank new, hint 0": lambda w: w.rank("new", rank_hint=0),
    "rank new, hint too large": lambda w: w.rank("new", rank_hint=RANK_MAX + 1),
    "rank without a name": lambda w: w.rank("  "),
    "rank servers": lambda w: w.rank("servers"),
    "rank, address with a space": lambda w: w.rank("new", address="tcp://a:1 x"),
    "rank, endless address": lambda w: w.rank("new", address="a" * (ADDRESS_BYTES_MAX + 1)),
    "heartbeat server-3": lambda w: w.heartbeat("server-3"),
    "heartbeat server-1, load 0.5": lambda w: w.heartbeat("server-1", load=0.5),
    "heartbeat server-1, load NaN": lambda w: w.heartbeat("server-1", load=math.nan),
    "heartbeat server-1, other address": lambda w: w.heartbeat("server-1", address="tcp://b:1", load=0.9),
    "heartbeat new, hint 5": lambda w: w.heartbeat("new", rank_hint=5),
    "tick, 59.9 s later": lambda w: w.registry.tick(w.now + 59.9),
    "tick, 60 s later": lambda w: w.registry.tick(w.now + 60),
}


def state(world: World) -> str:
    listed = [f"{one.rank} {one.name} {one.address or '-'} {one.load}" for one in world.registry.active()]
    return f"{world.registry.known} known, active: {'; '.join(listed) or 'nobody'}"


def words(effect: Any) -> str:
    match effect:
        case Keep(record):
            return f"keep {record.name} rank {record.rank} address {record.address} active {record.active}"
        case Note(event, fields):
            return f'note "{event}" ' + " ".join(f"{key}={value}" for key, value in fields.items())
    return str(effect)


def test_every_phase_with_every_input() -> None:
    """Each state of the registry does with each input what the golden table says."""
    phases = {make.__name__: make for make in (empty, two_active, one_expired, restarted)}
    goldens.check("registry", goldens.table(phases, INPUTS, state=state, effect=words))


_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("rank"), st.sampled_from(NAMES), st.none() | st.integers(min_value=-2, max_value=6)
        ),
        st.tuples(
            st.just("heartbeat"), st.sampled_from(NAMES), st.none() | st.integers(min_value=-2, max_value=6)
        ),
        st.tuples(st.just("wait"), st.floats(min_value=0.1, max_value=70), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=40,
)


@given(_steps)
def test_a_rank_is_for_ever_and_for_one(steps: list[tuple[str, Any, int | None]]) -> None:
    """Through restarts and expiries no rank changes or is shared, and every rank told was kept."""
    disk: dict[str, Registered] = {}
    told: dict[str, int] = {}
    heard: dict[str, float] = {}
    now = 0.0
    registry = Registry((), now=now)
    for kind, what, hint in steps:
        effects: list[Any] = []
        if kind == "wait":
            now += what
            effects = registry.tick(now)
        elif kind == "restart":
            registry = Registry(disk.values(), now=now)
            heard = {name: now for name, record in disk.items() if record.active}
        else:
            act = registry.rank if kind == "rank" else registry.heartbeat
            rank, effects = act(what, now=now, rank_hint=hint)
            assert told.setdefault(what, rank) == rank
            heard[what] = now
        disk |= {effect.record.name: effect.record for effect in effects if isinstance(effect, Keep)}
        assert len(set(told.values())) == len(told)
        assert {name: record.rank for name, record in disk.items()} == told
        living = {name for name, at in heard.items() if now < at + 60}
        assert {one.name for one in registry.active()} == living
        assert registry.deadline == min((heard[name] + 60 for name in living), default=math.inf)


def test_ranks_without_hints_count_from_one() -> None:
    """Servers that ask in turn get 1, 2, 3; a rank given by hint is stepped over."""
    world = World()
    world.rank("hinted", rank_hint=2)
    assert [world.registry.rank(name, now=0).rank for name in ("a", "b", "c")] == [1, 3, 4]


def test_a_wiped_registry_gives_back_what_servers_bring() -> None:
    """After the file is lost, servers that tell their old rank keep it, whoever comes first."""
    world = World()
    assert world.registry.heartbeat("server-3", now=1, rank_hint=3).rank == 3
    assert world.registry.rank("server-1", now=2, rank_hint=1).rank == 1
    assert world.registry.rank("server-2", now=3, rank_hint=2).rank == 2


def test_the_registry_is_bounded() -> None:
    """One name more than there may be is refused and changes nothing; those known are served on."""
    world = World()
    for number in range(REGISTERED_SERVERS_MAX):
        world.registry.rank(f"s{number}", now=0)
    with pytest.raises(Refused) as refused:
        world.registry.heartbeat("one-more", now=0)
    assert refused.value.code == "registry_full"
    assert world.registry.known == REGISTERED_SERVERS_MAX
    assert world.registry.rank("s7", now=0).rank == 8


def test_a_long_silence_of_everybody_expires_everybody_once() -> None:
    """After an hour without a word one tick expires all, the next has nothing to do."""
    world = two_active()
    assert len(world.registry.tick(world.now + 3600)) == 4
    assert world.registry.tick(world.now + 3600) == []
    assert world.registry.deadline == math.inf


def test_nobody_moves_a_server_that_is_active() -> None:
    """Who states another address changes nothing and keeps nobody alive; after the expiry it is taken."""
    registry = Registry((), now=0)
    registry.heartbeat("server-1", now=0, address="tcp://a:1", load=0.1)
    for now in (10, 59):
        assert registry.heartbeat("server-1", now=now, address="tcp://b:1", load=0.9).rank == 1
        assert registry.rank("server-1", now=now, address="tcp://b:1").rank == 1
        assert [(one.address, one.load) for one in registry.active()] == [("tcp://a:1", 0.1)]
    registry.tick(60)
    assert registry.active() == []
    registry.heartbeat("server-1", now=61, address="tcp://b:1")
    assert [one.address for one in registry.active()] == ["tcp://b:1"]
