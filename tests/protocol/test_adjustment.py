"""Which adjustments a receiver believes."""

import pytest

from recado.protocol.adjustment import AdjustmentGate
from recado.protocol.limits import (
    ADJUSTMENT_SECONDS_MAX,
    PLAIN_ADJUSTMENT_SPACING_SECONDS,
    SUPERVISED_SECONDS,
)
from recado.protocol.messages import Epoch

OLD, NEW = Epoch(1, 9, "z", "z"), Epoch(2, 1, "a", "a")


def give(
    gate: AdjustmentGate, delta: float, *, epoch: Epoch | None = NEW, round: int | None = 1, now: float = 0.0
) -> str:
    """What became of an adjustment: "taken", or the refusal."""
    taken = gate.accept(delta, epoch=epoch, round=round, now=now)
    assert taken == (None if gate.refusal else delta)
    return gate.refusal or "taken"


def following(epoch: Epoch) -> AdjustmentGate:
    gate = AdjustmentGate()
    gate.observe(epoch)
    return gate


def test_each_round_counts_once() -> None:
    """A repeated or an earlier round of an epoch is refused, a later one is taken."""
    gate = following(NEW)
    assert [give(gate, 1.0, round=n) for n in (3, 3, 2, 4)] == [
        "taken",
        "stale_round",
        "stale_round",
        "taken",
    ]


def test_only_the_epoch_of_the_election_counts() -> None:
    """Below it is stale, above it or before any election unknown; rounds begin anew in a new epoch."""
    assert give(AdjustmentGate(), 1.0) == "unknown_epoch"
    gate = following(OLD)
    assert give(gate, 1.0, epoch=NEW, round=2**60) == "unknown_epoch"
    assert give(gate, 1.0, epoch=OLD, round=7) == "taken"
    gate.observe(NEW)
    gate.observe(OLD)
    assert give(gate, 1.0, epoch=OLD, round=8) == "stale_epoch"
    assert give(gate, 1.0, epoch=NEW, round=1) == "taken"


def test_a_day_is_the_most_unless_never_adjusted() -> None:
    """A clock from 1970 may be set by the first adjustment; after that nobody moves it by over a day."""
    gate = following(NEW)
    assert give(gate, 1.7e9) == "taken"
    assert give(gate, -ADJUSTMENT_SECONDS_MAX - 1, round=2) == "too_large"
    assert give(gate, -ADJUSTMENT_SECONDS_MAX, round=2) == "taken"


def test_first_adjustment_is_bounded_too() -> None:
    """Not even a clock that was never adjusted leaves its century."""
    assert give(following(NEW), 1e11) == "too_large"


@pytest.mark.parametrize("delta", [float("nan"), float("inf")])
def test_adjustment_is_a_number(delta: float) -> None:
    """Infinity and NaN never reach the clock."""
    assert give(following(NEW), delta) == "not_finite"


def test_epoch_without_round_is_refused() -> None:
    """An adjustment that claims a term must say which round of it, else it could be repeated."""
    assert give(following(NEW), 1.0, round=None) == "no_round"


def test_refused_adjustment_leaves_no_trace() -> None:
    """A refused adjustment of a high round does not make the true coordinator's stale."""
    gate = following(NEW)
    assert give(gate, 0.0, round=1) == "taken"
    assert give(gate, 1e6, round=9) == "too_large"
    assert give(gate, 1.0, round=2) == "taken"


def test_plain_adjustments_are_few_small_and_never_beside_ours() -> None:
    """Without an epoch: a day at most even at first, seldom, not soon after one with an epoch."""
    gate = following(NEW)

    def plain(delta: float, now: float) -> str:
        return give(gate, delta, epoch=None, round=None, now=now)

    assert plain(ADJUSTMENT_SECONDS_MAX + 1, 0.0) == "too_large"
    assert plain(60.0, 0.0) == "taken"
    assert plain(60.0, PLAIN_ADJUSTMENT_SPACING_SECONDS - 1) == "too_soon"
    assert plain(60.0, PLAIN_ADJUSTMENT_SPACING_SECONDS) == "taken"
    assert give(gate, 1.0, now=100.0) == "taken"
    assert plain(60.0, 100.0 + SUPERVISED_SECONDS - 1) == "supervised"
    assert plain(60.0, 100.0 + SUPERVISED_SECONDS) == "taken"
