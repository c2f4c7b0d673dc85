"""When the servers have agreed for good: a duel of epochs may look decided at one moment."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import judges

LOOKS = 3

Statuses = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]


class Settled:
    """Whether at `LOOKS` looks in a row all servers named one coordinator, the highest, in one same epoch.

    One look is too few: an epoch that somebody else has just stood for is outbidden within milliseconds,
    and who asks one server after the other then meets two epochs of one coordinator.
    """

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses
        self._epoch: object = None
        self._looks = 0

    async def look(self) -> bool:
        """One look; for `World.until`, a second after the one before."""
        statuses = await self._statuses()
        epoch = next((status.get("epoch") for status in statuses.values()), None)
        if judges.one_coordinator(statuses):
            self._looks = 0
        else:
            self._looks = self._looks + 1 if epoch == self._epoch else 1
        self._epoch = epoch
        return self._looks >= LOOKS
