"""Bully with leases, phase by phase and input by input, as a golden table; and single promises of it."""

from collections.abc import Callable, Iterable
from typing import Any

import goldens
import msgspec
import pytest
from test_election_table import HIGH, LOW, ONE, START, THREE, TWO, later, words

from recado.protocol.codec import pack, unpack
from recado.protocol.election import Ask, Bully, Effect, ElectionTimings, Lead, PersistEpoch
from recado.protocol.election_quorum import Phase, QuorumBully
from recado.protocol.election_rules import ALL_RULES, Rules
from recado.protocol.election_values import Question
from recado.protocol.errors import Refused
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote, Release

LEASE = ElectionTimings().lease_seconds
GRANT = {"election": "grant", "lease": LEASE, "epoch": [7, 2, "s2", "b2"]}
RENEWED = {"coordinator": "OK", "lease": LEASE, "epoch": [7, 2, "s2", "b2"]}
FREE = {"prevote": "OK", "epoch": [6], "higher": False, "silent": False, "held": None, "nonce": 1}


class World:
    """A machine of member s2 and the time it last heard of: what a row of the table starts from."""

    def __init__(self, rules: Rules = ALL_RULES, *, at: float = START + 10, boots: int = 1) -> None:
        self.machine = QuorumBully(
            TWO,
            [ONE, TWO, THREE],
            boot="b2",
            now=START,
            seen=Epoch(6),
            uniform=min,
            boots_recent=boots,
            rules=rules,
        )
        self.now = at

    def ask(self, request: Question, sender: str | None = None) -> list[Any]:
        try:
            reply, effects = self.machine.asked(request, sender, self.now)
        except Refused as refused:
            return [f"refused: {refused.code}"]
        return [*effects, f"reply {words(reply)}"]

    def tick(self) -> list[Effect]:
        self.now = max(self.now, self.machine.deadline)
        return self.machine.tick(self.now)

    def answer(self, member: str, **fields: Any) -> list[Effect]:
        stage, renewal = self.machine._stage, self.machine._renewal
        tag = stage.tag if stage is not None else renewal.tag if renewal is not None else 0
        return self.machine.answered(tag, member, fields, self.now)

    def silence(self, *members: str) -> list[Effect]:
        stage = self.machine._stage
        tag = stage.tag if stage is not None else 0
        return [e for member in members for e in self.machine.unanswered(tag, member, self.now)]


def elect(epoch: Epoch) -> Election:
    return Election(epoch=epoch, lease=LEASE)


def renew(epoch: Epoch) -> Coordinator:
    return Coordinator(epoch=epoch, lease=LEASE)


def said(value: Any) -> str:
    """As `words`, and requests without an epoch."""
    if isinstance(value, Ask) and isinstance(value.request, PreVote):
        return f"ask {','.join(value.members)}: {value.service} (#{value.tag})"
    return words(value)


def quiet_phases(rules: Rules = ALL_RULES) -> dict[str, Callable[[], World]]:
    """Those in which s2 neither leads nor stands."""

    def following(coordinator: Epoch, **options: Any) -> World:
        world = World(rules, **options)
        world.ask(renew(coordinator))
        world.now += 1
        return world

    def without() -> World:
        world = World(rules)
        world.tick()
        world.silence("s1", "s3")
        world.now += 0.1
        return world

    def voted_for_lower() -> World:
        world = World(rules, boots=3)  # in its hold-down: it does not object
        world.ask(elect(later(LOW, 8)))
        return world

    return {
        "listening": lambda: World(rules, at=START + 1),
        "without": without,
        "following_higher": lambda: following(HIGH),
        "following_lower": lambda: following(LOW),
        "holding": lambda: following(LOW, boots=3),
        "voted_for_lower": voted_for_lower,
    }


def busy_phases(rules: Rules = ALL_RULES) -> dict[str, Callable[[], World]]:
    """Those in which it leads, or is about to."""

    def canvassing() -> World:
        world = World(rules)
        world.tick()
        return world

    def deposing() -> World:
        world = quiet_phases(rules)["following_lower"]()
        world.tick()
        world.answer("s1", **FREE | {"held": "s1", "held_seconds": 5.0, "acting": [7, 1, "s1", "b1"]})
        world.answer("s3", **FREE | {"held": "s1", "held_seconds": 5.0})
        return world

    def standing() -> World:
        world = canvassing()
        world.answer("s1", **FREE)
        world.answer("s3", **FREE)
        return world

    def leading() -> World:
        world = standing()
        world.answer("s1", **GRANT)
        world.answer("s3", **GRANT)
        world.now += 1
        return world

    def standing_again() -> World:
        world = leading()
        world.answer("s1", coordinator="refused", epoch=[8, 1, "s1", "b1"])
        return world

    return {row.__name__: row for row in (canvassing, deposing, standing, leading, standing_again)}


def phases(rules: Rules = ALL_RULES) -> dict[str, Callable[[], World]]:
    return quiet_phases(rules) | busy_phases(rules)


INPUTS: dict[str, Callable[[World], Iterable[Any]]] = {
    "tick at the deadline": World.tick,
    "tick after a pause of 20 s": lambda w: w.machine.tick(w.now + 20),
    "prevote of s1": lambda w: w.ask(PreVote(), "s1"),
    "prevote of s3": lambda w: w.ask(PreVote(), "s3"),
    "abdicate for s3, without a nonce": lambda w: w.ask(
        Abdicate(epoch=w.machine.coordinator or HIGH), "s3"
    ),
    "prevote and abdicate for s3": lambda w: [
        *w.ask(PreVote(), "s3"),
        *w.ask(Abdicate(epoch=w.machine.coordinator or HIGH, nonce=1), "s3"),
    ],
    "prevote and abdicate for s1": lambda w: [
        *w.ask(PreVote(), "s1"),
        *w.ask(Abdicate(epoch=w.machine.coordinator or HIGH, nonce=1), "s1"),
    ],
    "election, plain": lambda w: w.ask(Election()),
    "election of s1, larger epoch": lambda w: w.ask(elect(later(LOW, 9))),
    "election of s3, larger epoch": lambda w: w.ask(elect(later(HIGH, 9))),
    "election of s3, twice": lambda w: [*w.ask(elect(later(HIGH, 9))), *w.ask(elect(later(HIGH, 9)))],
    "election of s3, smaller epoch": lambda w: w.ask(elect(later(HIGH, 5))),
    "coordinator s1, larger epoch": lambda w: w.ask(renew(later(LOW, 9))),
    "coordinator s3, larger epoch": lambda w: w.ask(renew(later(HIGH, 9))),
    "coordinator s3, smaller epoch": lambda w: w.ask(renew(later(HIGH, 5))),
    "release by s3": lambda w: w.ask(Release(epoch=HIGH)),
    "release by s1": lambda w: w.ask(Release(epoch=later(LOW, 8))),
    "s3 is higher and would stand": lambda w: w.answer("s3", **FREE | {"higher": True, "election": "OK"}),
    "s1 and s3 are free": lambda w: [*w.answer("s1", **FREE), *w.answer("s3", **FREE)],
    "s1 is free, s3 silent": lambda w: [*w.answer("s1", **FREE), *w.silence("s3")],
    "s1 is free, s3 holds for another": lambda w: [
        *w.answer("s1", **FREE | {"silent": True}),
        *w.answer("s3", **FREE | {"held": "s9", "held_seconds": 4.0}),
    ],
    "s3 coordinates": lambda w: [
        *w.answer("s1", **FREE), *w.answer("s3", **FREE | {"acting": [7, 3, "s3", "b3"]})
    ],
    "s1 coordinates": lambda w: [
        *w.answer("s3", **FREE), *w.answer("s1", **FREE | {"acting": [7, 1, "s1", "b1"]})
    ],
    "s1 abdicates": lambda w: w.answer("s1", abdicate="OK"),
    "s1 does not abdicate": lambda w: w.answer("s1", abdicate="refused"),
    "s1 and s3 grant": lambda w: [*w.answer("s1", **GRANT), *w.answer("s3", **GRANT)],
    "s1 grants, s3 is silent": lambda w: [*w.answer("s1", **GRANT), *w.silence("s3")],
    "s1 grants for too short a lease": lambda w: [
        *w.answer("s1", **GRANT | {"lease": 2.0}), *w.silence("s3")
    ],
    "s1 grants after 4 s": lambda w: w.machine.answered(w.machine._tag, "s1", GRANT, w.now + 4),
    "s1 renews": lambda w: w.answer("s1", **RENEWED),
    "next round: s1 renews": lambda w: [*w.tick(), *w.answer("s1", **RENEWED)],
    "s1 has seen a larger epoch": lambda w: w.answer(
        "s1", election="refuse", coordinator="refused", epoch=[12, 3, "s3", "b0"]
    ),
    "s3 answers an error": lambda w: w.answer("s3", status="erro"),
    "s1 and s3 are silent": lambda w: w.silence("s1", "s3"),
    "announced: s3, larger epoch": lambda w: w.machine.announced(later(HIGH, 9), w.now),
    "announced, plain": lambda w: w.machine.announced(None, w.now),
    "resign": lambda w: w.machine.resign(),
}  # fmt: skip


def state(world: World) -> str:
    machine, now = world.machine, world.now
    promise = machine.promise(now)
    bound = f", bound to {promise.epoch.name} for {promise.until - now:.2f} s" if promise else ""
    lease = f", lease {machine.lease_seconds(now):.2f} s" if machine.leading else ""
    return (
        f"{machine.phase}, coordinator {words(machine.coordinator)}, seen {words(machine.epoch)}"
        f"{lease}{bound}, deadline {machine.deadline - now:+.2f} s"
    )


def the_table(rules: Rules = ALL_RULES) -> str:
    return goldens.table(phases(rules), INPUTS, state=state, effect=said)


def test_every_phase_with_every_input() -> None:
    """Each phase does with each input what the golden table says."""
    goldens.check("election_quorum", the_table())


def test_the_phases_are_all_in_the_table() -> None:
    """The table's starting points reach every phase there is."""
    assert {make().machine.phase for make in phases().values()} == set(Phase)


# `boot_listen` says nothing that `boot_silence` does not.
@pytest.mark.parametrize("rule", [f.name for f in msgspec.structs.fields(Rules) if f.name != "boot_listen"])
def test_the_table_shows_a_rule_switched_off(rule: str) -> None:
    """Each rule can be seen in the table, too."""
    assert the_table(Rules(**{rule: False})) != the_table()


def test_replies_are_plain_values() -> None:
    """What `asked` returns goes through MessagePack and comes back the same."""
    questions: list[Question] = [
        PreVote(), elect(later(LOW, 9)), renew(later(HIGH, 9)), Release(epoch=HIGH), Abdicate(epoch=HIGH)
    ]  # fmt: skip
    for make in phases().values():
        for question in questions:
            world = make()
            sender = question.epoch.name if isinstance(question, Election | Coordinator | Release) else "s3"
            reply, _ = world.machine.asked(question, sender, world.now)
            assert unpack(pack(reply)) == reply


def test_a_lease_ends_earlier_than_every_promise_to_it() -> None:
    """Counted from before the question and 9 % short: slow and fast clocks of 3 % never overlap."""
    timings = ElectionTimings()
    holder_on_a_slow_clock = timings.held_seconds / (1 - timings.drift)
    voter_on_a_fast_clock = timings.lease_seconds / (1 + timings.drift)
    assert holder_on_a_slow_clock < voter_on_a_fast_clock
    silence_on_a_fast_clock = timings.listening(fast=False) / (1 + timings.drift)
    assert silence_on_a_fast_clock > timings.lease_seconds


def test_a_paused_coordinator_stops_acting_by_itself() -> None:
    """Nobody has to tell it: the clock does, before any tick; and the first input makes it step down."""
    world = phases()["leading"]()
    assert world.machine.acting(world.now)
    assert not world.machine.acting(world.now + LEASE)
    assert world.machine.leading
    effects = world.machine.asked(PreVote(), "s1", world.now + LEASE)[1]
    assert not world.machine.leading
    assert [effect.service for effect in effects if isinstance(effect, Ask)] == ["release"]


@pytest.mark.parametrize(
    ("epoch", "refusal", "kept"),
    [
        (Epoch(5, 3, "s3", "b3"), "stale_epoch", []),
        (Epoch(9, 3, "s3", "b3"), None, [PersistEpoch(Epoch(9, 3, "s3", "b3"))]),
        (Epoch(9, 9, "s9", "b3"), "not_a_member", []),
        (Epoch(2**40, 3, "s3", "b3"), "epoch_invalid", []),
    ],
)
@pytest.mark.parametrize("machine", [Bully, QuorumBully])
def test_the_fence_lets_no_lower_epoch_act(
    machine: type[Bully] | type[QuorumBully], epoch: Epoch, refusal: str | None, kept: list[Effect]
) -> None:
    """B10: below the largest epoch seen nobody acts; a larger one is kept first."""
    made = machine(TWO, [ONE, TWO, THREE], boot="b2", now=START, seen=Epoch(6), uniform=min)
    assert made.fence(epoch) == (refusal, kept)


def test_members_of_different_modes_do_not_elect_each_other() -> None:
    """Each mode refuses the questions of the other, so that no vote without a lease counts as one with it."""
    leased = World().machine
    plain = Bully(TWO, [ONE, TWO, THREE], boot="b2", now=START, seen=Epoch(6), uniform=min)
    questions: list[tuple[Bully | QuorumBully, Question]] = [
        (leased, Election(epoch=later(HIGH, 9))),
        (leased, Coordinator(epoch=later(HIGH, 9))),
        (plain, elect(later(HIGH, 9))),
        (plain, renew(later(HIGH, 9))),
        (plain, PreVote()),
        (plain, Abdicate(epoch=HIGH)),
    ]
    for machine, question in questions:
        with pytest.raises(Refused) as refused:
            machine.asked(question, "s3", START + 20)
        assert refused.value.code == "mode_differs"


def test_a_refused_question_does_not_swallow_the_end_of_a_lease() -> None:
    """A stranger's question that finds the lease run out is refused; the next input steps down."""
    world = phases()["leading"]()
    with pytest.raises(Refused):
        world.machine.asked(PreVote(), "s9", world.now + LEASE)
    assert world.machine.leading
    assert world.machine.tick(world.now + LEASE)
    assert not world.machine.leading


def test_a_single_member_elects_itself_and_renews_alone() -> None:
    """The only member leads after its first tick, asks nobody, and acts for as long as it ticks."""
    machine = QuorumBully(ONE, [ONE], boot="b", now=5.0, uniform=min)
    effects = machine.tick(machine.deadline)
    assert Lead(Epoch(1, 1, "s1", "b")) in effects
    now = 5.0
    for _ in range(20):
        now = machine.deadline
        effects += machine.tick(now)
        assert machine.acting(now)
    assert now > 20
    assert not [effect for effect in effects if isinstance(effect, Ask)]


def test_timings_that_leave_no_lease_are_refused() -> None:
    """A lease that is too short after the drift is taken off is an error, not a coordinator that flickers."""
    timings = ElectionTimings(lease_seconds=2.6)
    with pytest.raises(ValueError, match="drift"):
        QuorumBully(TWO, [ONE, TWO], boot="b", now=0.0, uniform=min, timings=timings)


def test_a_release_speaks_of_one_start_only() -> None:
    """After all disks were lost a candidate may win an epoch below one that its earlier start released."""
    world = World()
    world.ask(Release(epoch=Epoch(9, 3, "s3", "old")))
    fresh = Epoch(8, 3, "s3", "new")
    world.ask(elect(fresh))
    world.ask(Release(epoch=Epoch(9, 3, "s3", "old")))
    promise = world.machine.promise(world.now)
    assert promise is not None
    assert promise.epoch == fresh, "the promise to the new start holds"
    world.ask(renew(fresh))
    assert world.machine.coordinator == fresh
