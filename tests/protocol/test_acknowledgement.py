"""Acknowledgement levels: majority of configured members, no silent downgrade (3d, A7, A9, A24)."""

import pytest

from recado.protocol import acknowledgement
from recado.protocol.acknowledgement import Acknowledgements, Settled
from recado.protocol.messages import Level


def table(members: int = 3) -> Acknowledgements[str]:
    return Acknowledgements("a", "abcdefg"[:members], wait_seconds=10.0)


@pytest.mark.parametrize(
    ("members", "needed"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (3, (1, 2, 3)), (4, (1, 3, 4)), (5, (1, 3, 5))]
)
def test_a_quorum_is_a_majority_of_the_configured_members(members: int, needed: tuple[int, ...]) -> None:
    """local, quorum and all stand for these numbers of durable copies."""
    assert tuple(table(members).needed(level) for level in Level) == needed


def test_local_never_waits() -> None:
    """One durable copy is enough for `local`."""
    assert table().wait("o", 1, level=Level.LOCAL, token="x", now=0) == Settled("x", 1, True)


def test_quorum_waits_for_a_confirmation_of_its_own_place() -> None:
    """A confirmation up to an earlier entry, or of another origin, settles nothing."""
    acks = table()
    assert acks.wait("o", 5, level=Level.QUORUM, token="x", now=0) is None
    assert acks.confirm("b", {"o": 4}) == []
    assert acks.confirm("b", {"p": 9}) == []
    assert acks.confirm("stranger", {"o": 9}) == []
    assert acks.confirm("b", {"o": 5}) == [Settled("x", 2, True)]
    assert acks.confirm("c", {"o": 5}) == []


def test_a_known_confirmation_settles_at_once() -> None:
    """A retry of what is on a majority already is answered without waiting (A9)."""
    acks = table()
    acks.confirm("b", {"o": 5})
    assert acks.wait("o", 3, level=Level.QUORUM, token="x", now=0) == Settled("x", 2, True)
    assert acks.wait("o", 3, level=Level.ALL, token="y", now=0) is None


def test_waiting_in_vain_says_how_many_copies_there_are() -> None:
    """After its time an answer goes out with the true count and `enough` false."""
    acks = table()
    acks.wait("o", 1, level=Level.ALL, token="x", now=0)
    acks.confirm("b", {"o": 1})
    assert acks.expire(9.9) == []
    assert acks.expire(10.0) == [Settled("x", 2, False)]
    assert acks.waiting == 0


def test_a_member_that_started_anew_has_confirmed_nothing() -> None:
    """What a member had may have died with its disk."""
    acks = table()
    acks.confirm("b", {"o": 5})
    acks.forget("b")
    assert acks.wait("o", 3, level=Level.QUORUM, token="x", now=0) is None


def test_the_table_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it nothing waits, and `full` says so before anything is kept."""
    monkeypatch.setattr(acknowledgement, "ACK_WAITERS_MAX", 2)
    acks = table()
    for token in "xy":
        assert not acks.full
        assert acks.wait("o", 1, level=Level.ALL, token=token, now=0) is None
    assert acks.full
    assert acks.wait("o", 1, level=Level.ALL, token="z", now=0) == Settled("z", 1, False)
    assert {s.token for s in acks.abandon()} == {"x", "y"}
    assert not acks.full
