"""A duty that comes round: measured from its start, and no burst after a long one."""

import math
from collections.abc import Awaitable, Callable
from random import random as _random
from typing import NoReturn

import trio


async def every(
    seconds: float,
    duty: Callable[[], Awaitable[object]],
    *,
    jitter: float = 0.0,
    at_once: bool = False,
    random: Callable[[], float] = _random,
    overrun: Callable[[int], object] | None = None,
) -> NoReturn:
    """Run `duty` at start + seconds, start + 2 * seconds, …, for ever (cancel it).

    The beats are fixed by the start and do not drift with the duty's length. A duty that lasts
    beyond the next beat misses it: the beats passed are skipped, not made up for, and `overrun` is
    told how many they were. `jitter` delays each beat by up to that fraction of `seconds`, so that
    nodes started together do not beat together. `at_once`: the first beat is the start itself.
    What the duty raises goes to the caller.
    """
    start = trio.current_time()
    beat = 0 if at_once else 1
    while True:
        await trio.sleep_until(start + (beat + jitter * random()) * seconds)
        await duty()
        # A duty that ends exactly on a beat is in time for it, hence not the floor.
        passed = math.ceil((trio.current_time() - start) / seconds) - 1
        missed = max(0, passed - beat)
        if missed and overrun is not None:
            overrun(missed)
        beat = max(beat, passed) + 1
