"""Which server gets the next request: round-robin over those that answer.  Pure.

A server is *in* or *out*.  It goes out when it misses a deadline (`missed`) and comes back when it
answers a probe (`answered`), sent no sooner than `skip_seconds` later.  Requests of clients are
never the probe: while a server is down they would each pay the deadline, and those that can't be
repeated would end without a known outcome.
"""

from collections.abc import Collection, Sequence


class Rotation:
    """Round-robin over `servers`, which are known by their place in the sequence."""

    def __init__(self, servers: Sequence[str]) -> None:
        self.servers = tuple(servers)
        self._out: set[int] = set()
        self._next = 0

    def pick(self, tried: Collection[int] = ()) -> int | None:
        """The next server that is in and was not tried for this request; None if there is none."""
        for step in range(len(self.servers)):
            place = (self._next + step) % len(self.servers)
            if place not in self._out and place not in tried:
                self._next = (place + 1) % len(self.servers)
                return place
        return None

    def missed(self, place: int) -> bool:
        """The server did not answer in time: out. True if it was in until now."""
        before = len(self._out)
        self._out.add(place)
        return len(self._out) > before

    def answered(self, place: int) -> None:
        """The server answered: in."""
        self._out.discard(place)

    @property
    def alive(self) -> int:
        """How many servers are in."""
        return len(self.servers) - len(self._out)
