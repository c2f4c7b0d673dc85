"""What is not taken yet: runs with a stamp above the ceiling (A13).

Such an entry is valid, so its origin is neither stopped nor refused: it waits until time has come so far,
as when two servers' clocks differ by more than a day, or for as long as the lie is large.  Meanwhile it is
not asked for, since it would fill page after page in front of everybody else's entries; once a minute it is
tried again, for whoever spoke in its name may not have been its node (open mode).
"""

from collections.abc import Callable
from typing import Final

from daemons.shared.tally import Tallies

RETRY_SECONDS: Final = 60.0
PLACES_MAX: Final = 1024  # (peer, origin) remembered; beyond it the oldest are asked for again


class PutOff:
    """Which origins each peer had such runs of.  `runs`: how many in all.  `now`: monotonic seconds."""

    def __init__(self, tallies: Tallies, now: Callable[[], float]) -> None:
        self.runs = 0
        self._now = now
        self._told = tallies.of("run stamped too far ahead", level="warning")
        self._waiting: dict[tuple[str, str], tuple[int, float]] = {}  # → stamp, when to ask again

    def note(self, origin: str, stamp: int, *, peer: str) -> None:
        """A run was not taken; said when it is new, and at every attempt after that."""
        self.runs += 1
        place = (peer, origin)
        known = self._waiting.pop(place, None)
        if known is None or known[1] <= self._now():
            self._told.add({"stamp": stamp}, peer=peer, origin=origin, runs=1)
            known = (stamp, self._now() + RETRY_SECONDS)
        self._waiting[place] = known
        while len(self._waiting) > PLACES_MAX:
            del self._waiting[next(iter(self._waiting))]

    def took(self, origin: str) -> None:
        """The origin has grown: whatever waited of it is looked at anew."""
        if self._waiting:
            for place in [place for place in self._waiting if place[1] == origin]:
                del self._waiting[place]

    def of(self, peer: str, ceiling: int) -> set[str]:
        """The origins that this peer is not asked for at present."""
        if not self._waiting:
            return set()
        now = self._now()
        return {
            origin
            for (asked, origin), (stamp, again) in self._waiting.items()
            if asked == peer and stamp > ceiling and now < again
        }
