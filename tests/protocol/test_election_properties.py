"""What holds for the election machines whatever the world says to it, in whatever order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.election import Ask, Bully, Effect, Follow, Lead, Member, PersistEpoch
from recado.protocol.election_quorum import QuorumBully
from recado.protocol.errors import Refused
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote, Release

MEMBERS = [Member(rank, f"s{rank}") for rank in (1, 2, 3)]
NAMES = ["s1", "s2", "s3", "stranger"]

_epochs = st.builds(
    Epoch,
    st.integers(min_value=-1, max_value=30) | st.just(2**60),
    st.sampled_from([1, 2, 3, 7]),
    st.sampled_from(NAMES),
    st.sampled_from(["a", "b", "z" * 99]),
)
_on_wire = _epochs.map(lambda epoch: [epoch.n, epoch.rank, epoch.name, epoch.boot])
_junk = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=4)
_replies = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["OK", "erro"]) | _junk,
        "election": st.sampled_from(["OK", "grant"]) | _junk,
        "coordinator": st.sampled_from(["OK", "refused"]) | _junk,
        "epoch": _on_wire | _junk,
        "known": _on_wire | _junk,
        "age": st.floats() | _junk,
        "lease": st.just(6.0) | st.floats() | _junk,
        "abdicate": st.sampled_from(["OK", "refused"]) | _junk,
        "higher": st.booleans(),
        "silent": st.booleans(),
        "held": st.none() | st.sampled_from(NAMES),
        "held_seconds": st.floats() | _junk,
        "nonce": st.none() | st.integers(0, 3),
        "acting": st.none() | _on_wire,
    },
)
_inputs = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(min_value=0.01, max_value=8), st.none()),
        st.tuples(st.just("deadline"), st.none(), st.none()),
        st.tuples(
            st.sampled_from([Election, Coordinator, Release, Abdicate]), _epochs, st.sampled_from(NAMES)
        ),
        st.tuples(st.just("prevote"), st.none(), st.sampled_from(NAMES)),
        st.tuples(st.just("answer"), _replies, st.tuples(st.integers(-2, 1), st.sampled_from(NAMES))),
        st.tuples(st.just("silence"), st.none(), st.tuples(st.integers(-2, 1), st.sampled_from(NAMES))),
        st.tuples(st.just("announced"), st.none() | _epochs, st.none()),
        st.tuples(st.just("plain election"), st.none(), st.none()),
        st.tuples(st.just("resign"), st.none(), st.none()),
    ),
    max_size=60,
)


class Watched:
    """A machine, the time, and what its effects have added up to."""

    def __init__(self, machine: type[Bully] | type[QuorumBully]) -> None:
        self.now = 50.0
        self.lease = {"lease": 6.0} if machine is QuorumBully else {}
        self.machine = machine(MEMBERS[1], MEMBERS, boot="b", now=self.now, uniform=max)
        self.disk = Epoch(0)
        self.tag = 0
        self.view: Epoch | None = None
        self.leads = False
        self.won: list[Epoch] = []

    def feed(self, kind: Any, what: Any, who: Any) -> list[Effect]:
        machine = self.machine
        match kind:
            case "wait":
                self.now += what
                return machine.tick(self.now)
            case "deadline":
                self.now = max(self.now, min(machine.deadline, self.now + 1000))
                return machine.tick(self.now)
            case "answer":
                return machine.answered(self.tag + who[0], who[1], what, self.now)
            case "silence":
                return machine.unanswered(self.tag + who[0], who[1], self.now)
            case "announced":
                return machine.announced(what, self.now)
            case "resign":
                return machine.resign()
            case "plain election":
                return machine.asked(Election(), None, self.now)[1]
        if kind == "prevote":
            question = PreVote()
        elif kind in (Release, Abdicate):
            question = kind(epoch=what)
        else:
            question = kind(epoch=what, **self.lease)
        try:
            return machine.asked(question, who if kind in ("prevote", Abdicate) else None, self.now)[1]
        except Refused:
            return []

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case PersistEpoch(epoch):
                    assert epoch > self.disk, "the epoch on disk only grows"
                    self.disk = epoch
                case Ask():
                    self.tag = effect.tag
                    if isinstance(effect.request, Election | Coordinator):
                        assert effect.request.epoch is not None
                        assert effect.request.epoch <= self.disk, "nothing leaves before it is kept"
                case Lead(epoch):
                    assert epoch not in self.won, "an epoch is won once"
                    assert (epoch.name, epoch.boot) == ("s2", "b")
                    self.won.append(epoch)
                    self.view, self.leads = epoch, True
                case Follow(epoch):
                    self.view, self.leads = epoch, False


both = pytest.mark.parametrize("machine", [Bully, QuorumBully])


@both
@given(_inputs)
def test_effects_tell_the_whole_story(
    machine: type[Bully] | type[QuorumBully], inputs: list[tuple[Any, Any, Any]]
) -> None:
    """Who carries out the effects knows coordinator, lead and epoch as the machine does, at every step."""
    watched = Watched(machine)
    for kind, what, who in inputs:
        watched.carry_out(watched.feed(kind, what, who))
        assert (watched.view, watched.leads) == (watched.machine.coordinator, watched.machine.leading)
        assert watched.disk == watched.machine.epoch
        assert watched.machine.epoch.n < 2**53
        assert watched.leads or not watched.machine.acting(watched.now)


@given(_inputs)
def test_time_alone_always_leads_somewhere(inputs: list[tuple[Any, Any, Any]]) -> None:
    """After any history a member that hears nobody more leads within a minute, unless it resigned."""
    watched = Watched(Bully)
    for kind, what, who in inputs:
        watched.carry_out(watched.feed(kind, what, who))
    resigned = any(kind == "resign" for kind, _, _ in inputs)
    end, ticks = watched.now + 60, 0
    while watched.machine.deadline < end and ticks < 200:
        watched.now = max(watched.now, watched.machine.deadline)
        watched.carry_out(watched.machine.tick(watched.now))
        ticks += 1
    assert ticks < 200, "it spins"
    assert watched.machine.leading is not resigned


@given(_inputs)
def test_alone_nobody_acts_for_longer_than_a_lease(inputs: list[tuple[Any, Any, Any]]) -> None:
    """In mode `quorum`, after any history, a member that hears nobody more soon acts no longer."""
    watched = Watched(QuorumBully)
    for kind, what, who in inputs:
        watched.carry_out(watched.feed(kind, what, who))
    silent_since, ticks = watched.now, 0
    while watched.machine.deadline < silent_since + 60 and ticks < 400:
        watched.now = max(watched.now, watched.machine.deadline)
        watched.carry_out(watched.machine.tick(watched.now))
        ticks += 1
        if watched.now > silent_since + 6:
            assert not watched.machine.acting(watched.now)
    assert ticks < 400, "it spins"
