"""What a server believes of the clocks that others tell it (A13, A14).

In open mode members are believed and everybody else moves the clock only so far.  In a secured cluster
a clock is believed if it comes with the tag that some server gave it, whoever brings it; everybody else,
members too, moves it only so far.  Only our own clock is tagged: a reply to a larger one has to exceed it
(`LamportClock.reply_to`), and with a tag on that a liar would have any clock vouched for.

Above the ceiling of its time (`lamport.ceiling`) no clock is believed: it counts by the budget.
"""

from collections.abc import Callable
from typing import Any

from recado.protocol.clock_tag import clock_tag, is_tagged
from recado.protocol.lamport import LamportClock


class ClockTags:
    """One server's clock as others move it and hear of it.  `cluster_key`: b"" in open mode."""

    def __init__(self, clock: LamportClock, cluster_key: bytes, *, ceiling: Callable[[], int]) -> None:
        self._clock = clock
        self._ceiling = ceiling
        self._key = cluster_key

    def hear(self, clock: int, tag: object, *, now: float) -> None:
        """A13: what anybody says.  `now`: monotonic seconds."""
        if self._key and clock > self._clock.value and self._is_tagged(clock, tag) and self._is_low(clock):
            self._clock.receive(clock)
        else:
            self._clock.receive_unsigned(clock, now=now)

    def hear_member(self, clock: int, tag: object, *, now: float) -> None:
        """What one says who in open mode is believed."""
        if self._key or not self._is_low(clock):
            self.hear(clock, tag, now=now)
        else:
            self._clock.receive(clock)

    def told(self, clock: int) -> dict[str, Any]:
        """The field that goes with a clock of ours; nothing with one that we have not reached."""
        fields: dict[str, Any] = {}
        self.vouch(fields, clock)
        return fields

    def vouch(self, fields: dict[str, Any], clock: int) -> None:
        """Add to what is said the tag of its clock, as `told`."""
        if self._key and clock <= self._clock.value:
            fields["ctag"] = clock_tag(self._key, clock)

    def _is_low(self, clock: int) -> bool:
        return clock <= self._ceiling()

    def _is_tagged(self, clock: int, tag: object) -> bool:
        return isinstance(tag, bytes) and is_tagged(self._key, clock, tag)
