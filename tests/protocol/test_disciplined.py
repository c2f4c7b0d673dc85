"""The disciplined clock: slewing, and never backwards whatever happens to the wall clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.disciplined import DisciplinedClock, slewed


class Hands:
    """A wall clock and a monotonic clock that a test moves."""

    def __init__(self, wall: float = 1000.0) -> None:
        self.wall = wall
        self.monotonic = 0.0
        self.clock = DisciplinedClock(lambda: self.wall, lambda: self.monotonic)

    def pass_time(self, seconds: float, *, wall_jump: float = 0.0) -> float:
        self.monotonic += seconds
        self.wall += seconds + wall_jump
        return self.clock.time()


def settled() -> Hands:
    """A clock whose one forward step is used up."""
    hands = Hands()
    hands.clock.adjust(0.0)
    return hands


def test_unadjusted_clock_shows_the_wall() -> None:
    """Without adjustments shown time, probe time and wall time are one."""
    hands = Hands()
    assert hands.pass_time(5.0) == hands.clock.probe_time() == 1005.0
    assert hands.clock.offset == hands.clock.remaining == 0.0


def test_first_adjustment_steps_forward_once() -> None:
    """The first adjustment after a start is shown at once if it is forward; the second is slewed."""
    hands = Hands()
    hands.clock.adjust(3600.0)
    assert hands.clock.time() == 4600.0
    hands.clock.adjust(10.0)
    assert hands.clock.time() == 4600.0
    assert hands.clock.remaining == pytest.approx(10.0)


def test_first_adjustment_never_steps_back() -> None:
    """A first adjustment backwards is slewed, and uses the forward step up."""
    hands = Hands()
    hands.clock.adjust(-4.0)
    assert hands.clock.time() == 1000.0
    assert hands.pass_time(1.0) == pytest.approx(1000.5)
    hands.clock.adjust(8.0)
    assert hands.clock.time() == pytest.approx(1000.5)


def test_probe_time_shows_the_target_at_once() -> None:
    """Probes answer wall + target, however much is still to be slewed."""
    hands = settled()
    hands.clock.adjust(-20.0)
    assert hands.clock.probe_time() == 980.0
    assert hands.clock.time() == 1000.0
    assert hands.clock.offset == -20.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slewing_is_fast_while_far_and_gentle_when_near(sign: float) -> None:
    """2.5 s are corrected at 0.5 s/s down to the last half second, which takes 50 ms/s."""
    hands = settled()
    hands.clock.adjust(sign * 2.5)
    assert hands.pass_time(2.0) == pytest.approx(1002.0 + sign * 1.0)
    assert hands.pass_time(2.0) == pytest.approx(1004.0 + sign * 2.0)
    assert hands.pass_time(1.0) == pytest.approx(1005.0 + sign * 2.05)
    assert hands.pass_time(100.0) == pytest.approx(1105.0 + sign * 2.5)
    assert hands.clock.remaining == 0.0


def test_slewing_does_not_depend_on_how_often_one_looks() -> None:
    """One look after ten seconds shows what a hundred looks on the way do."""
    once, often = settled(), settled()
    for hands in (once, often):
        hands.clock.adjust(-2.0)
    for _ in range(100):
        often.pass_time(0.1)
    assert once.pass_time(10.0) == pytest.approx(often.clock.time(), abs=1e-6)


def test_wall_clock_set_back_costs_speed_and_no_time() -> None:
    """After the wall clock falls, shown time goes on from where it was, at half speed or more."""
    hands = settled()
    shown = hands.pass_time(10.0)
    fallen = hands.pass_time(0.0, wall_jump=-3600.0)
    assert fallen == shown
    assert hands.pass_time(60.0) == pytest.approx(shown + 30.0)
    hands.clock.adjust(3600.0)  # the round that finds out: the fall was the error
    assert hands.clock.remaining == pytest.approx(30.0)


def test_wall_clock_set_forward_is_followed() -> None:
    """A wall clock that jumps forward (suspended, set by NTP) takes shown time with it."""
    hands = settled()
    assert hands.pass_time(1.0, wall_jump=500.0) == 1501.0


@pytest.mark.parametrize("delta", [float("nan"), float("inf"), -float("inf")])
def test_adjustment_must_be_finite(delta: float) -> None:
    """A delta that is no number of seconds is a caller's error, and changes nothing."""
    hands = Hands()
    with pytest.raises(ValueError, match="finite"):
        hands.clock.adjust(delta)
    assert hands.clock.offset == 0.0


EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 100.0),
        st.sampled_from([0.0, 0.0, 0.0, -5000.0, -1.0, 0.3, 5000.0]),
        st.one_of(st.none(), st.floats(-1e5, 1e5)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_shown_time_never_goes_back(events: list[tuple[float, float, float | None]]) -> None:
    """Whatever adjustments arrive and however the wall clock is set, shown time does not decrease."""
    hands = Hands(1.7e9)
    shown = hands.clock.time()
    for seconds, jump, delta in events:
        if delta is not None:
            hands.clock.adjust(delta)
            assert hands.clock.time() >= shown
        now = hands.pass_time(seconds, wall_jump=jump)
        assert now >= shown
        shown = now


@given(st.lists(st.floats(-1e4, 1e4), max_size=10), st.floats(1.0, 1e3))
def test_shown_time_reaches_probe_time(deltas: list[float], extra: float) -> None:
    """With a steady wall clock the correction ends exactly at the target, in the time that slewing takes."""
    hands = Hands()
    for delta in deltas:
        hands.clock.adjust(delta)
    hands.pass_time(2 * abs(hands.clock.remaining) + 10.0 + extra)
    assert hands.clock.remaining == 0.0
    assert hands.clock.time() == pytest.approx(hands.clock.probe_time())


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_slewed_is_bounded(left: float, elapsed: float) -> None:
    """Never more is corrected than is left, nor faster than half a second per second."""
    assert 0.0 <= slewed(left, elapsed) <= min(left, elapsed / 2) + 1e-9
