"""A member that gave up and takes part again, as one whose disk hung (A31): both election machines."""

import pytest

from recado.protocol.election import Ask, Bully, Follow, Member
from recado.protocol.election_quorum import QuorumBully
from recado.protocol.election_values import plain
from recado.protocol.messages import Coordinator, Election, Epoch, PreVote, Release

MEMBERS = [Member(rank, f"server-{rank}") for rank in (1, 2, 3)]
Machine = Bully | QuorumBully
both = pytest.mark.parametrize("machine", [Bully, QuorumBully])


def leading(machine: type[Machine]) -> tuple[Machine, float]:
    """The highest member as coordinator, and the time."""
    bully = machine(MEMBERS[2], MEMBERS, boot="b", now=0.0, uniform=lambda a, _b: a)
    now = bully.deadline
    effects = bully.tick(now)
    granted = {"election": "grant", "lease": 6.0, "prevote": "OK", "coordinator": "OK"}
    for effect in effects:  # grows while the members agree to everything
        if isinstance(effect, Ask) and not bully.leading:
            for member in effect.members:
                effects += bully.answered(effect.tag, member, {"epoch": plain(bully.epoch), **granted}, now)
    assert bully.leading
    return bully, now


def lease(machine: type[Machine]) -> float | None:
    return 6.0 if machine is QuorumBully else None


@both
def test_whoever_gives_up_says_so_and_stands_no_more(machine: type[Machine]) -> None:
    """It leads no more at once, releases its epoch, and no time makes it stand again."""
    bully, now = leading(machine)
    epoch = bully.coordinator
    effects = bully.resign()
    assert not bully.acting(now)
    assert Follow(None) in effects
    assert [e.request for e in effects if isinstance(e, Ask)] == [Release(epoch=epoch)]
    assert bully.deadline == float("inf")
    assert not [e for e in bully.tick(now + 1000.0) if isinstance(e, Ask)]


@both
def test_it_objects_to_nobody_meanwhile(machine: type[Machine]) -> None:
    """A lower candidate gets its vote, and is followed as coordinator."""
    bully, now = leading(machine)
    bully.resign()
    lower = Epoch(bully.epoch.n + 1, 2, "server-2", "c")
    question = Election(epoch=lower, lease=lease(machine))
    assert bully.asked(question, "server-2", now + 1)[0]["election"] == "grant"
    bully.asked(Coordinator(epoch=lower, lease=lease(machine)), "server-2", now + 2)
    assert bully.coordinator == lower


@both
def test_who_rejoins_deposes_after_its_time(machine: type[Machine]) -> None:
    """The lower coordinator, which goes on renewing, is left alone until then, and not longer."""
    bully, now = leading(machine)
    bully.resign()
    lower = Epoch(bully.epoch.n + 1, 2, "server-2", "c")
    renewal = Coordinator(epoch=lower, lease=lease(machine))
    bully.asked(renewal, "server-2", now + 1)
    bully.rejoin(now + 10.0)
    for seconds in (2.0, 5.0, 8.0, 9.9):
        bully.asked(renewal, "server-2", now + seconds)
        assert not [e for e in bully.tick(now + seconds) if isinstance(e, Ask)]
    asks = [e for e in bully.tick(now + 10.1) if isinstance(e, Ask)]
    assert [type(ask.request) for ask in asks] == [PreVote if machine is QuorumBully else Election]
