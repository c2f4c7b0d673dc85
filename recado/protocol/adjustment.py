"""Which clock adjustments a server believes (C4, B10).

An adjustment is a difference in seconds, so it may travel slowly; but it must not be taken twice, nor
from a coordinator whose term is over.  Ours carry (epoch, round): the epoch must be the one that the
election follows, the round must be new.  An epoch is never learnt from an adjustment, or a forged one
would make every later true one stale.  An adjustment beyond a day is believed only by a clock that was
never adjusted, which is how a node with a dead battery comes up.

Plain adjustments of other projects' coordinators carry neither.  They are believed only while no
coordinator of ours is at work, seldom, and never beyond a day.
"""

import math

from recado.protocol.limits import (
    ADJUSTMENT_SECONDS_MAX,
    FIRST_ADJUSTMENT_SECONDS_MAX,
    PLAIN_ADJUSTMENT_SPACING_SECONDS,
    SUPERVISED_SECONDS,
)
from recado.protocol.messages import Epoch


class AdjustmentGate:
    """A receiver's fence before `DisciplinedClock.adjust`; the coordinator's own adjustments pass it too.

    `refusal` says why the latest adjustment was refused (None: it was accepted): `not_finite`,
    `too_large`, `stale_epoch`, `unknown_epoch`, `stale_round`, `no_round`, `supervised`, `too_soon`.
    """

    __slots__ = ("_accepted", "_accepted_at", "_plain_at", "_seen", "refusal")

    def __init__(self) -> None:
        self.refusal: str | None = None
        self._seen: Epoch | None = None
        self._accepted: tuple[Epoch, int] | None = None
        self._accepted_at = -math.inf
        self._plain_at = -math.inf

    def observe(self, epoch: Epoch) -> None:
        """The election follows `epoch`: its adjustments count, those of lower ones are stale from now on."""
        if self._seen is None or epoch > self._seen:
            self._seen = epoch

    def accept(
        self, delta_seconds: float, *, epoch: Epoch | None, round: int | None, now: float
    ) -> float | None:
        """The seconds to adjust by, or None with `refusal` set.

        `epoch` None: a plain adjustment.  `now`: monotonic seconds.  A refused adjustment leaves no
        trace, so a forged one can't make later true ones stale.
        """
        self.refusal = self._problem(delta_seconds, epoch, round, now)
        if self.refusal is not None:
            return None
        if epoch is None or round is None:
            self._plain_at = now
        else:
            self._accepted = (epoch, round)
            self._accepted_at = now
        return float(delta_seconds)

    def _problem(
        self, delta_seconds: float, epoch: Epoch | None, round: int | None, now: float
    ) -> str | None:
        if not math.isfinite(delta_seconds):
            return "not_finite"
        if epoch is None:
            return self._plain_problem(delta_seconds, now)
        if round is None:
            return "no_round"
        if self._seen is None or epoch > self._seen:
            return "unknown_epoch"
        if epoch < self._seen:
            return "stale_epoch"
        if self._accepted is not None and (epoch, round) <= self._accepted:
            return "stale_round"
        first = self._accepted is None and self._plain_at == -math.inf
        if abs(delta_seconds) > (FIRST_ADJUSTMENT_SECONDS_MAX if first else ADJUSTMENT_SECONDS_MAX):
            return "too_large"
        return None

    def _plain_problem(self, delta_seconds: float, now: float) -> str | None:
        if now - self._accepted_at < SUPERVISED_SECONDS:
            return "supervised"
        if now - self._plain_at < PLAIN_ADJUSTMENT_SPACING_SECONDS:
            return "too_soon"
        return "too_large" if abs(delta_seconds) > ADJUSTMENT_SECONDS_MAX else None
