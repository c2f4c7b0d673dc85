"""One history from one seed: trio in virtual time, its scheduling made repeatable.

Trio shuffles the tasks of each turn on purpose, with a generator of its own.  Two private names make
it repeatable; they are asserted to exist, so that a new trio can't silently take this away.
"""

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import trio
from trio.abc import Clock

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


class VirtualClock(Clock):
    """Time that passes only when nobody has anything to do, and then at once, to the next deadline.

    As trio's autojump clock, at a fraction of its cost: a history looks at its clock 100,000 times.  Trio
    asks for the time to sleep only when no task can run, and nothing real ever happens in a history: no
    socket, no thread.  So the question itself is the moment to jump.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        """Time begins at zero."""

    def current_time(self) -> float:
        """Virtual seconds."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No real seconds; but at a run's end, when nothing is left to jump to, trio waits for itself."""
        if deadline == math.inf:
            return deadline
        self._now = max(self._now, deadline)
        return 0.0


def run_history(story: Callable[[], Awaitable[T]], *, seed: int, virtual_seconds_max: float) -> T:
    """Run `story` in virtual time; raises `trio.TooSlowError` if it takes longer than that."""

    async def bounded() -> T:
        with trio.fail_after(virtual_seconds_max):
            return await story()

    with repeatable_scheduling(seed):
        return trio.run(bounded, clock=VirtualClock())
