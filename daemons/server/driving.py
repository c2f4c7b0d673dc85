"""How a task drives a pure machine: tick at its deadline, or as soon as something changed."""

import math
from collections.abc import Callable

import trio


class Bell:
    """Wakes the task that waits for it; ringing twice wakes once."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    def hush(self) -> None:
        """Forget that it rang."""
        if self._event.is_set():
            self._event = trio.Event()

    async def heard_or(self, deadline: float) -> None:
        """Return when it rings, or when the event loop's clock reaches `deadline`."""
        with trio.move_on_at(deadline) if deadline < math.inf else trio.CancelScope():
            await self._event.wait()
        self._event = trio.Event()


async def drive(bell: Bell, *, deadline: Callable[[], float | None], tick: Callable[[], None]) -> None:
    """For ever: wait for the machine's deadline or the bell, then tick.  Times are the event loop's."""
    while True:
        at = deadline()
        if at is None or at > trio.current_time():
            await bell.heard_or(math.inf if at is None else at)
        else:
            await trio.lowlevel.checkpoint()
        tick()
        bell.hush()  # what rang during the tick is in the deadline that is looked at next
