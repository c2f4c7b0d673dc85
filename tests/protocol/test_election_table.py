"""Bully, phase by phase and input by input, as a golden table; and the rules one at a time."""

from collections.abc import Callable, Iterable
from typing import Any

import goldens
import pytest
from test_election_storm import MUTANTS

from recado.protocol.codec import pack, unpack
from recado.protocol.election import (
    Ask,
    Bully,
    Effect,
    ElectionTimings,
    Lead,
    Member,
    Note,
    PersistEpoch,
    Phase,
)
from recado.protocol.errors import Refused
from recado.protocol.messages import Coordinator, Election, Epoch, Release

ONE, TWO, THREE = Member(1, "s1"), Member(2, "s2"), Member(3, "s3")
LOW, OWN, HIGH = Epoch(7, 1, "s1", "b1"), Epoch(7, 2, "s2", "b2"), Epoch(7, 3, "s3", "b3")
START = 100.0


def later(epoch: Epoch, n: int) -> Epoch:
    return Epoch(n, epoch.rank, epoch.name, epoch.boot)


class World:
    """A machine and the time it last heard of: what a row of the table starts from."""

    def __init__(self, machine: type[Bully], *, at: float = START) -> None:
        self.machine = machine(TWO, [ONE, TWO, THREE], boot="b2", now=START, seen=Epoch(6), uniform=min)
        self.now = at

    def ask(self, request: Election | Coordinator | Release, sender: str | None = None) -> list[Any]:
        try:
            reply, effects = self.machine.asked(request, sender, self.now)
        except Refused as refused:
            return [f"refused: {refused.code}"]
        return [*effects, f"reply {words(reply)}"]

    def tick(self) -> list[Effect]:
        self.now = max(self.now, self.machine.deadline)
        return self.machine.tick(self.now)

    def answer(self, member: str, **fields: Any) -> list[Effect]:
        return self.machine.answered(self.machine._tag, member, fields, self.now)

    def silence(self, member: str) -> list[Effect]:
        return self.machine.unanswered(self.machine._tag, member, self.now)


def words(value: Any) -> str:
    """Effects and replies as a line to read: epochs as n/name."""
    match value:
        case Epoch():
            return f"{value.n}/{value.name}/{value.boot}" if value.name else str(value.n)
        case [int(n), int(rank), str(name), str(boot)]:
            return words(Epoch(n, rank, name, boot))
        case dict():
            return " ".join(f"{key}={words(item)}" for key, item in value.items())
        case Ask():
            who, epoch = ",".join(value.members), words(value.request.epoch)
            return f"ask {who}: {value.service} {epoch} (#{value.tag})"
        case Note():
            return f'note "{value.event}" {words(value.fields)}'
        case str():
            return value
        case float():
            return f"{value:g}"
        case None | int() | list():
            return str(value)
    return f"{type(value).__name__} {words(value.epoch)}"


def phases(machine: type[Bully]) -> dict[str, Callable[[], World]]:
    def listening() -> World:
        return World(machine, at=START + 1)

    def without() -> World:
        world = standing()
        world.answer("s3", election="OK")
        world.now += 0.1
        return world

    def following_higher() -> World:
        world = World(machine, at=START + 10)
        world.ask(Coordinator(epoch=HIGH))
        world.now += 1
        return world

    def following_lower(at: float = START + 10) -> World:
        world = World(machine, at=at)
        world.ask(Coordinator(epoch=LOW))
        world.now += 1
        return world

    def holding() -> World:
        return following_lower(START + 2)

    def vacant() -> World:
        world = World(machine, at=START + 1)
        world.ask(Coordinator(epoch=HIGH))
        world.ask(Release(epoch=HIGH))
        return world

    def vacant_and_standing() -> World:
        world = vacant()
        world.tick()
        return world

    def standing() -> World:
        world = World(machine)
        world.tick()
        return world

    def leading() -> World:
        world = standing()
        world.tick()
        world.now += 1
        return world

    def standing_again() -> World:
        world = leading()
        world.ask(Coordinator(epoch=later(LOW, 8)))
        world.tick()
        return world

    rows = (listening, without, following_higher, following_lower, holding, standing, leading, standing_again)
    return {row.__name__: row for row in (*rows, vacant, vacant_and_standing)}


INPUTS: dict[str, Callable[[World], Iterable[Any]]] = {
    "tick at the deadline": World.tick,
    "election, plain": lambda w: w.ask(Election()),
    "election of s1, larger epoch": lambda w: w.ask(Election(epoch=later(LOW, 9))),
    "election of s3, larger epoch": lambda w: w.ask(Election(epoch=later(HIGH, 9))),
    "election of s3, smaller epoch": lambda w: w.ask(Election(epoch=later(HIGH, 5))),
    "coordinator s1, larger epoch": lambda w: w.ask(Coordinator(epoch=later(LOW, 9))),
    "coordinator s3, larger epoch": lambda w: w.ask(Coordinator(epoch=later(HIGH, 9))),
    "coordinator s3, smaller epoch": lambda w: w.ask(Coordinator(epoch=later(HIGH, 5))),
    "coordinator s3, same epoch": lambda w: w.ask(Coordinator(epoch=HIGH)),
    "release by s3": lambda w: w.ask(Release(epoch=HIGH)),
    "release by s1": lambda w: w.ask(Release(epoch=LOW)),
    "s3 says OK": lambda w: w.answer("s3", election="OK", epoch=[7, 2, "s2", "b2"]),
    "s1 says OK, plain": lambda w: w.answer("s1", election="OK"),
    "s1 says OK, hears s3": lambda w: w.answer(
        "s1", election="OK", epoch=[7, 3, "s3", "b3"], known=[7, 3, "s3", "b3"], age=1.0
    ),
    "s3 grants": lambda w: w.answer("s3", election="grant", epoch=[7, 2, "s2", "b2"]),
    "s1 and s3 grant": lambda w: [
        *w.answer("s1", election="grant", coordinator="OK", epoch=[7, 2, "s2", "b2"]),
        *w.answer("s3", election="grant", coordinator="OK", epoch=[7, 2, "s2", "b2"]),
    ],
    "s1 has seen a larger epoch": lambda w: w.answer(
        "s1", election="grant", coordinator="refused", epoch=[12, 3, "s3", "b0"]
    ),
    "s1 grants": lambda w: w.answer("s1", election="grant", epoch=[8, 2, "s2", "b2"]),
    "s3 answers an error": lambda w: w.answer("s3", status="erro"),
    "s1 and s3 are silent": lambda w: [*w.silence("s1"), *w.silence("s3")],
    "announced: s3, larger epoch": lambda w: w.machine.announced(later(HIGH, 9), w.now),
    "announced: s1, smaller epoch": lambda w: w.machine.announced(later(LOW, 5), w.now),
    "announced, plain": lambda w: w.machine.announced(None, w.now),
    "resign": lambda w: w.machine.resign(),
}


def state(world: World) -> str:
    machine = world.machine
    until = machine.deadline - world.now
    return (
        f"{machine.phase}, coordinator {words(machine.coordinator)}, seen {words(machine.epoch)}, "
        f"deadline {until:+.2f} s"
    )


def the_table(machine: type[Bully]) -> str:
    return goldens.table(phases(machine), INPUTS, state=state, effect=words)


def test_every_phase_with_every_input() -> None:
    """Each phase does with each input what the golden table says."""
    goldens.check("election", the_table(Bully))


@pytest.mark.parametrize("mutant", [mutant for mutant, _, _ in MUTANTS])
def test_the_table_shows_a_rule_switched_off(mutant: type[Bully]) -> None:
    """Each mutant of the storms differs from the table too."""
    assert the_table(mutant) != (goldens.FOLDER / "election.txt").read_text(encoding="utf-8")


def test_the_phases_are_all_in_the_table() -> None:
    """The table's starting points reach every phase there is."""
    assert {make().machine.phase for make in phases(Bully).values()} == set(Phase)


def test_a_single_member_elects_itself_immediately() -> None:
    """The only member of a cluster leads after its first tick, without asking anybody."""
    machine = Bully(ONE, [ONE], boot="b", now=5.0, uniform=min)
    assert machine.deadline == 5.0
    effects = machine.tick(5.0)
    assert machine.leading
    assert not [effect for effect in effects if isinstance(effect, Ask)]
    assert effects[0] == PersistEpoch(Epoch(1, 1, "s1", "b"))
    assert Lead(Epoch(1, 1, "s1", "b")) in effects


def test_replies_are_plain_values() -> None:
    """What `asked` returns goes through MessagePack and comes back the same."""
    for make in phases(Bully).values():
        requests = (Election(epoch=later(LOW, 9)), Coordinator(epoch=later(HIGH, 9)), Release(epoch=HIGH))
        for request in requests:
            world = make()
            reply, _ = world.machine.asked(request, None, world.now)
            assert unpack(pack(reply)) == reply


@pytest.mark.parametrize(
    ("epoch", "sender", "code"),
    [
        (Epoch(2**53, 3, "s3", "b"), None, "epoch_invalid"),
        (Epoch(0, 3, "s3", "b"), None, "epoch_invalid"),
        (Epoch(7, 3, "s3", "b" * 200), None, "epoch_invalid"),
        (Epoch(7, 9, "s3", "b"), None, "not_a_member"),
        (Epoch(7, 9, "stranger", "b"), None, "not_a_member"),
        (Epoch(7, 2, "s2", "b"), None, "not_a_member"),
        (Epoch(7, 3, "s3", "b"), "s1", "not_the_sender"),
    ],
)
def test_epochs_of_strangers_change_nothing(epoch: Epoch, sender: str | None, code: str) -> None:
    """An epoch out of range, of a non-member or of another sender is refused and not remembered."""
    for request in (Election(epoch=epoch), Coordinator(epoch=epoch), Release(epoch=epoch)):
        world = World(Bully)
        before = state(world)
        with pytest.raises(Refused) as refused:
            world.machine.asked(request, sender, world.now)
        assert refused.value.code == code
        assert state(world) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"election": 7},
        {"election": "grant", "epoch": "x"},
        {"election": "OK", "known": [7, 3, "s3", "b"], "age": float("nan")},
        {"election": "OK", "known": [7, 3, "s3", "b"], "age": -1},
        {"status": "erro", "election": "OK"},
    ],
)
def test_an_answer_in_another_language_is_silence(fields: dict[str, Any]) -> None:
    """Malformed and error answers neither grant nor object; the campaign goes on without them."""
    world = World(Bully)
    world.tick()
    assert world.answer("s3", **fields) == []
    world.silence("s1")
    assert world.machine.leading


def test_an_answer_counts_once_and_only_for_its_question() -> None:
    """Answers of another tag, of a member not asked and second ones change nothing."""
    world = World(Bully)
    world.tick()
    tag = world.machine._tag
    late = {"election": "OK", "epoch": [50, 3, "s3", "b"]}
    assert world.machine.answered(tag - 1, "s3", late, world.now) == []
    assert world.machine.answered(tag, "nobody", late, world.now) == []
    assert world.answer("s1", election="grant") == []
    assert world.answer("s1", **late) == []
    assert world.machine.epoch.n == 7


def test_news_of_a_coordinator_does_not_make_it_younger() -> None:
    """A coordinator adopted from another's words counts as heard when the other heard it."""
    world = World(Bully)
    world.tick()
    world.answer("s1", election="OK", epoch=[6], known=[6, 3, "s3", "b"], age=5.5)
    assert world.machine.phase is Phase.FOLLOWING
    assert world.machine.deadline == pytest.approx(world.now + 0.5)


def test_a_plain_election_makes_a_leader_announce_itself_but_not_in_a_stream() -> None:
    """Other people's servers learn the coordinator from `servers`: once a renewal interval at most."""
    machine = Bully(ONE, [ONE], boot="b", now=0.0, uniform=min)
    machine.tick(0.0)
    assert machine.asked(Election(), None, 1.0) == ({"election": "OK"}, [])
    _, effects = machine.asked(Election(), None, 2.0)
    assert [type(effect).__name__ for effect in effects] == ["Announce", "Note"]
    assert machine.asked(Election(), None, 2.1) == ({"election": "OK"}, [])


def test_hold_down_doubles_with_each_recent_start() -> None:
    """A member that flaps waits 5, 10, 20 … at most 160 s; a first fast start does not wait."""
    timings = ElectionTimings()
    assert [timings.holding(boots, fast=False) for boots in (1, 2, 3, 6, 99)] == [5, 10, 20, 160, 160]
    assert [timings.holding(boots, fast=True) for boots in (1, 2)] == [0, 10]


def test_timings_that_let_nobody_lead_are_refused() -> None:
    """A lease shorter than a renewal and its answer is an error, not an election without end."""
    with pytest.raises(ValueError, match="lease_seconds"):
        ElectionTimings(lease_seconds=2.0)


def test_the_highest_of_a_fast_start_leads_within_three_seconds() -> None:
    """With `fast_start` a fresh member stands after one renewal interval."""
    machine = Bully(THREE, [ONE, TWO, THREE], boot="b", now=0.0, uniform=min, fast_start=True)
    assert machine.deadline == 1.5
    machine.tick(1.5)
    machine.tick(2.5)
    assert machine.leading


def test_a_hint_is_taken_once_a_lease() -> None:
    """Forged announcements of ever larger epochs don't keep a member from standing."""
    world = phases(Bully)["without"]()
    began = world.now
    for n in range(10, 40):
        world.machine.announced(later(HIGH, n), world.now)
        world.now += 0.25
        world.machine.tick(world.now)
        if world.machine.phase is Phase.STANDING:
            break
    assert world.machine.phase is Phase.STANDING
    assert world.now - began < 4
