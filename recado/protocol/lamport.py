"""Lamport's logical clock (Lamport 1978), with a budget for clocks that nobody vouches for (A13).

Receive: ``clock = max(own, received) + 1``.  Send: ``clock + 1``.  A value from a client may be a
lie or a bug, and every server would copy it; so unsigned values advance the clock only as far as a
token bucket allows, while the *reply* still carries a clock greater than the request's.

Nor is somebody trusted believed without end: a clock at the last of all numbers could never stamp
anything again.  So what comes from outside counts up to a `ceiling` that moves with time, far above
what honest clocks, which count messages, reach, and far below the last number.
"""

from typing import Final

from recado.protocol.limits import (
    CLIENT_ADVANCE_BURST,
    CLIENT_ADVANCE_PER_REQUEST,
    CLIENT_ADVANCE_PER_SECOND,
    LAMPORT_LIMIT,
)

CEILING_PER_SECOND: Final = 10**6  # stamps: no cluster counts as fast as that
CEILING_AHEAD_SECONDS: Final = (
    86_400.0  # servers whose clocks differ by less agree in the end, a server sooner
)
CEILING_MIN: Final = 2**40  # for clocks that have lost their time: nothing honest is above it
CEILING_MAX: Final = LAMPORT_LIMIT - 2**40  # so many writes are left in the worst of cases


def ceiling(now_seconds: float) -> int:
    """The largest stamp from elsewhere that counts at this time (A13): microseconds since 1970 and a day.

    Never falls while time does not, always in [`CEILING_MIN`, `CEILING_MAX`]; the upper end is reached
    in the year 2255.
    """
    moving = (now_seconds + CEILING_AHEAD_SECONDS) * CEILING_PER_SECOND
    return int(min(max(moving, CEILING_MIN), CEILING_MAX))


class LamportClock:
    """One process's clock.  `value` is the stamp of the latest event here."""

    __slots__ = ("_tokens", "_tokens_at", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._tokens = float(CLIENT_ADVANCE_BURST)
        self._tokens_at = 0.0

    def tick(self) -> int:
        """A local event or a send: advance by one and return the stamp."""
        self.value += 1
        return self.value

    def receive(self, received: int) -> int:
        """A message from somebody trusted (a peer, a server): ``max(own, received) + 1``."""
        if received > self.value:
            self.value = min(received, LAMPORT_LIMIT - 2)
        self.value += 1
        return self.value

    def receive_unsigned(self, received: int, *, now: float) -> int:
        """A client's value: adopt at most what the bucket allows.  `now`: monotonic seconds."""
        ahead = received - self.value
        if ahead > 0:
            refill = max(0.0, now - self._tokens_at) * CLIENT_ADVANCE_PER_SECOND
            self._tokens = min(float(CLIENT_ADVANCE_BURST), self._tokens + refill)
            self._tokens_at = now
            step = min(ahead, CLIENT_ADVANCE_PER_REQUEST, int(self._tokens))
            self._tokens -= step
            self.value += step
        self.value += 1
        return self.value

    def reply_to(self, received: int) -> int:
        """Tick for a reply; the value on the wire exceeds the request's even if ours lags."""
        self.value += 1
        return max(self.value, received + 1)
