"""The disciplined clock: what a server shows as the time, kept beside a system clock it never sets.

    shown time = wall clock + correction          correction is slewed towards target
    probe time = wall clock + target              what Berkeley probes answer and compare

A Berkeley adjustment moves `target` at once and `correction` only as fast as slewing allows.  Probes
must not see the slewing: a round that compared still slewing clocks would correct a second time what
is already on its way, and would not converge while a correction takes longer than a round.

Slewing runs at half a second per second while more than `FAR_SECONDS` is left, and then at 50 ms per
second.  Both are below one, so shown time always advances while the wall clock does.  The first
adjustment after a start may step, but only forward: a node that comes up in 1970 must not stamp its
messages so for years.

The wall clock itself may be set by an operator, by NTP, or by waking from suspension.  Forward:
shown time follows at once, as the system's other programs do.  Backward: the fall is taken into
the correction, so shown time goes on from where it was and then loses the difference at the slewing
rate; if the fall was the error, the next round moves `target` and nothing is left to lose.  Either
way shown time never decreases while the process lives.
"""

import math
from collections.abc import Callable

FAR_SECONDS = 0.5  # above this much left, slewing is fast
FAR_RATE = 0.5  # seconds of correction per second
NEAR_RATE = 0.05


class DisciplinedClock:
    """A wall clock plus a slewed correction.  Reads two clocks that are given to it, sets neither.

    `now_wall`: seconds since 1970, may jump.  `now_monotonic`: seconds from any origin, never jumps.
    """

    __slots__ = ("_adjusted", "_correction", "_monotonic", "_now_monotonic", "_now_wall", "_shown", "_target")

    def __init__(self, now_wall: Callable[[], float], now_monotonic: Callable[[], float]) -> None:
        self._now_wall = now_wall
        self._now_monotonic = now_monotonic
        self._monotonic = now_monotonic()
        self._target = 0.0
        self._correction = 0.0
        self._shown = -math.inf
        self._adjusted = False

    def time(self) -> float:
        """Shown time, seconds since 1970.  Never less than any earlier answer."""
        self._slew()
        wall = self._now_wall()
        shown = wall + self._correction
        if shown < self._shown:
            self._correction = self._shown - wall
            shown = self._shown
        self._shown = shown
        return shown

    def probe_time(self) -> float:
        """Wall clock plus target, seconds since 1970: where shown time is heading.  May go back."""
        return self._now_wall() + self._target

    def adjust(self, delta_seconds: float) -> None:
        """Move the target.  Raises ValueError if `delta_seconds` is not finite.

        Which deltas are believed is decided before, by `recado.protocol.adjustment.AdjustmentGate`.
        """
        if not math.isfinite(delta_seconds):
            raise ValueError("an adjustment is a finite number of seconds")
        self.time()  # what was slewed until now, at the rate that held until now
        self._target += delta_seconds
        if not self._adjusted and self._target > self._correction:
            self._correction = self._target
        self._adjusted = True

    @property
    def offset(self) -> float:
        """The target: seconds by which this server's clock is to differ from its system's."""
        return self._target

    @property
    def remaining(self) -> float:
        """Seconds of correction still to be slewed; negative while the clock is being held back."""
        self.time()
        return self._target - self._correction

    def _slew(self) -> None:
        now = self._now_monotonic()
        elapsed = max(0.0, now - self._monotonic)
        self._monotonic = now
        left = self._target - self._correction
        moved = slewed(abs(left), elapsed)
        self._correction = (
            self._target if moved >= abs(left) else self._correction + math.copysign(moved, left)
        )


def slewed(left_seconds: float, elapsed_seconds: float) -> float:
    """How much of `left_seconds` (≥ 0) is corrected in `elapsed_seconds`: fast while far, then slowly."""
    fast_seconds = max(0.0, left_seconds - FAR_SECONDS) / FAR_RATE
    if elapsed_seconds <= fast_seconds:
        return elapsed_seconds * FAR_RATE
    slow = (elapsed_seconds - fast_seconds) * NEAR_RATE
    return min(left_seconds, fast_seconds * FAR_RATE + slow)
