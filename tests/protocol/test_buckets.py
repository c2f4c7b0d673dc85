"""Token buckets: what a rate and a burst allow, and that the table stays small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.buckets import Buckets


def test_a_burst_then_the_rate() -> None:
    """Three at once, the fourth told to wait half a second, and after that it may."""
    buckets = Buckets(rate=2, burst=3, most=10)
    assert [buckets.take("ana", now=100.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.5)]
    assert buckets.take("ana", now=100.4) == pytest.approx(0.1)
    assert buckets.take("ana", now=100.5) == 0.0
    assert buckets.take("bia", now=100.5) == 0.0


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_never_more_than_a_bucket_of_tokens_would_give(rate: float, burst: int, steps: list[float]) -> None:
    """The one number decides as a counter that is refilled would, and who waits as told is served."""
    buckets, now, tokens = Buckets(rate=rate, burst=burst, most=1), 0.0, float(burst)
    for step in steps:
        now += step
        tokens = min(float(burst), tokens + step * rate)
        wait = buckets.take("ana", now=now)
        if abs(tokens - 1) > 1e-6:
            assert (wait == 0.0) == (tokens >= 1)
        if wait:
            assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)
            other = Buckets(rate=rate, burst=burst, most=1)
            other._full_at.update(buckets._full_at)
            assert other.take("ana", now=now + wait + 1e-6) == 0.0
        else:
            tokens -= 1


def test_no_rate_is_no_limit() -> None:
    """Rate 0 refuses nothing and remembers nobody."""
    buckets = Buckets(rate=0, burst=1, most=10)
    assert [buckets.take("ana", now=0.0) for _ in range(1000)] == [0.0] * 1000
    assert (len(buckets), buckets.limited) == (0, False)


def test_the_table_is_bounded_and_forgets_the_idlest() -> None:
    """Of more keys than there is room for, the one used longest ago is forgotten."""
    buckets = Buckets(rate=0.001, burst=1, most=2)
    for key in ("ana", "bia", "ana", "caio"):
        buckets.take(key, now=0.0)
    assert len(buckets) == 2
    assert buckets.take("bia", now=0.0) == 0.0
    assert buckets.take("caio", now=0.0) > 0
    buckets.forget("caio")
    assert buckets.take("caio", now=0.0) == 0.0


def test_limits_change_at_run_time() -> None:
    """A larger rate helps at once who is in debt, and nobody ever owes more than a burst."""
    buckets = Buckets(rate=0.01, burst=1, most=10)
    buckets.take("ana", now=0.0)
    assert buckets.take("ana", now=0.0) == pytest.approx(100)
    buckets.configure(rate=10, burst=1)
    assert buckets.take("ana", now=0.0) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="finite"):
        buckets.configure(rate=float("nan"), burst=1)


def test_what_costs_more_than_a_burst_costs_a_burst() -> None:
    """Nothing is refused for ever."""
    buckets = Buckets(rate=1, burst=2, most=10)
    assert buckets.take("ana", now=0.0, tokens=50) == 0.0
    assert buckets.take("ana", now=0.0) == pytest.approx(1)
