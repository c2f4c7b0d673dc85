"""Which clocks agree: the set that a Berkeley round averages (C2, A30).

Marzullo (1984) intersects intervals; Gusella & Zatti (1989) take the clocks within a fixed distance of
each other.  This is the latter with the former's regard for measuring errors: a set may be as wide as
its worst measurement is uncertain.  The set need not hold the coordinator's own clock.
"""

from collections.abc import Mapping

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """What is known of one clock: its offset to the coordinator's and the round trip it took."""

    offset_seconds: float
    rtt_seconds: float


def largest_agreeing(samples: Mapping[str, Sample], spread_seconds: float) -> list[str]:
    """The names of the largest set of clocks within the spread of each other, in order of name.

    A set may spread over `spread_seconds`, or over twice its own largest error (half a round trip)
    if that is more.  Of equally large sets the tightest is taken, then the earliest.
    """
    ordered = sorted((sample.offset_seconds, name, sample.rtt_seconds) for name, sample in samples.items())
    best: tuple[int, float] = (0, 0.0)
    names: list[str] = []
    for first in range(len(ordered)):
        rtt_seconds = 0.0  # twice the error
        for last in range(first, len(ordered)):
            rtt_seconds = max(rtt_seconds, ordered[last][2])
            width = ordered[last][0] - ordered[first][0]
            size = last - first + 1
            if width <= max(spread_seconds, rtt_seconds) and (size, -width) > best:
                best = (size, -width)
                names = [name for _, name, _ in ordered[first : last + 1]]
    return sorted(names)
