"""One history from one seed: trio under the autojump clock, its scheduling made repeatable.

Trio shuffles the tasks of each turn on purpose, with a generator of its own.  Two private names make
it repeatable; they are asserted to exist, so that a new trio can't silently take this away.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import trio
import trio.testing

T = TypeVar("T")


@contextmanager
def repeatable_scheduling(seed: int) -> Iterator[None]:
    """Make trio's order of tasks a function of `seed` inside the block."""
    run = trio._core._run
    assert hasattr(run, "_ALLOW_DETERMINISTIC_SCHEDULING"), "trio has another switch now"
    assert isinstance(run._r, Random), "trio has another generator now"
    before, state = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = before
        run._r.setstate(state)


def run_history(story: Callable[[], Awaitable[T]], *, seed: int, virtual_seconds_max: float) -> T:
    """Run `story` in virtual time; raises `trio.TooSlowError` if it takes longer than that."""

    async def bounded() -> T:
        with trio.fail_after(virtual_seconds_max):
            return await story()

    with repeatable_scheduling(seed):
        return trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))
