"""Duties that come round, on a virtual clock."""

import pytest
import trio

from daemons.shared.periodic import every


async def _beats(seconds: float, lengths: list[float], **options: object) -> list[float]:
    """When the duty began, relative to the start, as it takes the lengths in turn."""
    start = trio.current_time()
    begun: list[float] = []

    async def duty() -> None:
        begun.append(round(trio.current_time() - start, 6))
        await trio.sleep(lengths[len(begun) - 1])
        if len(begun) == len(lengths):
            scope.cancel()

    with trio.CancelScope() as scope:
        await every(seconds, duty, **options)
    return begun


async def test_beats_do_not_drift(autojump_clock: trio.abc.Clock) -> None:
    """The length of the duty does not move the next beat."""
    assert await _beats(2, [0.5, 1.9, 0.0, 0.1]) == [2, 4, 6, 8]


async def test_a_long_duty_misses_beats_and_makes_up_for_none(autojump_clock: trio.abc.Clock) -> None:
    """After a duty of three periods the next beat is on the grid, once, and the misses are told."""
    missed: list[int] = []
    assert await _beats(1, [3.5, 0, 0], overrun=missed.append) == [1, 5, 6]
    assert missed == [3]


async def test_a_duty_that_ends_on_the_beat_is_in_time(autojump_clock: trio.abc.Clock) -> None:
    """A duty exactly as long as the period misses nothing."""
    missed: list[int] = []
    assert await _beats(1, [1, 1, 0], overrun=missed.append) == [1, 2, 3]
    assert missed == []


async def test_the_first_beat_may_be_the_start(autojump_clock: trio.abc.Clock) -> None:
    """With `at_once` the duty begins immediately and keeps to the same grid."""
    assert await _beats(5, [1, 1], at_once=True) == [0, 5]


async def test_jitter_delays_each_beat_alone(autojump_clock: trio.abc.Clock) -> None:
    """Jitter moves a beat by a fraction of the period and leaves the grid where it is."""
    draws = iter([0.5, 0.0, 1.0, 0.0])
    assert await _beats(10, [0, 0, 0], jitter=0.2, random=lambda: next(draws)) == [11, 20, 32]


async def test_errors_of_the_duty_are_the_callers(autojump_clock: trio.abc.Clock) -> None:
    """What a duty raises ends the round and reaches the caller."""

    async def duty() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await every(1, duty)
