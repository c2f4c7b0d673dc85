"""The stamps that a client tells servers: its Lamport clock, in a secured cluster with a proof (A14).

Servers follow a stamp that nobody vouches for only so far (A13).  So the largest stamp heard is sent on as
it came, with the tag it came with: whatever is written next is then ordered after all that was read, at
any server.  It is not incremented, since the tag is of that number alone; the server increments it.
"""

from collections.abc import Mapping
from typing import Any

from recado.protocol.lamport import LamportClock
from recado.values import clock_of


class Stamps:
    """What was heard, and what is told of it.  Without tags, as in open mode: increment before each send."""

    def __init__(self, clock: LamportClock) -> None:
        self._clock = clock
        self._tagged = (0, b"")  # the largest stamp that came with a tag

    def heard(self, data: Mapping[str, Any]) -> None:
        """A reply or a publication."""
        stamp, tag = clock_of(data), data.get("ctag")
        self._clock.receive(stamp)
        if isinstance(tag, bytes) and stamp > self._tagged[0]:
            self._tagged = (stamp, tag)

    def told(self) -> dict[str, Any]:
        """The fields of the next request."""
        ticked = self._clock.tick()
        stamp, tag = self._tagged
        return {"clock": stamp, "ctag": tag} if tag else {"clock": ticked}
