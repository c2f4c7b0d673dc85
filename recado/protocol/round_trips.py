"""How long to wait for a server that usually answers in milliseconds (RFC 6298, with other bounds).

A client waits `seconds_max` for a server it knows nothing of.  Of one that has answered it expects the
smoothed time of its answers and four times their deviation, but waits `seconds_min` at least, since
a good server may be starting a commit, or be asking its peers, and at most `KNOWN_SECONDS_MAX`, so that a
single slow answer long ago does not keep it with a dead server.  Each attempt that ran out of time doubles
what the next one gets, until an answer says how slow the server really is (Karn's rule: the time of a
given-up attempt measures nothing).  So a client leaves a dead server soon, and a slow one not for ever.
"""

from typing import NamedTuple

from recado.protocol.limits import ROUND_TRIPS_MAX

SMOOTHING = 1 / 8
DEVIATION_SMOOTHING = 1 / 4
DEVIATIONS = 4
KNOWN_SECONDS_MAX = 2.2


class _Trip(NamedTuple):
    smoothed: float
    deviation: float
    doublings: int = 0


class RoundTrips:
    """The times of answers, by whom and what was asked (any text).  All in seconds."""

    def __init__(self, *, seconds_min: float, seconds_max: float) -> None:
        self._seconds_min = min(seconds_min, seconds_max)
        self._seconds_max = seconds_max
        self._trips: dict[str, _Trip] = {}

    def timeout(self, whom: str) -> float:
        """How long to wait for the next answer."""
        trip = self._trips.get(whom)
        if trip is None:
            return self._seconds_max
        usual = trip.smoothed + DEVIATIONS * trip.deviation
        expected = max(self._seconds_min, min(usual, KNOWN_SECONDS_MAX))
        return min(self._seconds_max, expected * 2.0**trip.doublings)

    def answered(self, whom: str, seconds: float) -> None:
        """An answer took so long."""
        trip = self._trips.pop(whom, None)
        if trip is None:
            self._trips[whom] = _Trip(seconds, seconds / 2)
        else:
            error = seconds - trip.smoothed
            deviation = trip.deviation + DEVIATION_SMOOTHING * (abs(error) - trip.deviation)
            self._trips[whom] = _Trip(trip.smoothed + SMOOTHING * error, deviation)
        if len(self._trips) > ROUND_TRIPS_MAX:
            del self._trips[next(iter(self._trips))]

    def silent(self, whom: str) -> None:
        """No answer came in time."""
        trip = self._trips.get(whom)
        if trip is not None:
            self._trips[whom] = trip._replace(doublings=min(trip.doublings + 1, 10))
