"""Token buckets, many of them: so much a second for each user, channel, address, with bursts.

The bucket is kept as one number, the time at which it will be full again (the virtual scheduling form
of the generic cell rate algorithm, ITU-T I.371): no tokens to refill, one look-up to take.  A table
is bounded; the bucket that was not used for longest goes first, and since a full bucket is the same as
none, that favours somebody only if more are active at once than the table holds.
"""

import math


class Buckets:
    """Buckets of one kind, by key.  `rate`: tokens a second, 0 means no limit; `burst`: at once, ≥ 1."""

    __slots__ = ("_burst", "_full_at", "_interval", "_most", "_whole")

    def __init__(self, *, rate: float, burst: float, most: int) -> None:
        self._full_at: dict[object, float] = {}  # least recently used first
        self._most = most
        self.configure(rate=rate, burst=burst)

    def __len__(self) -> int:
        return len(self._full_at)

    @property
    def limited(self) -> bool:
        return self._interval > 0

    def configure(self, *, rate: float, burst: float) -> None:
        """Change the limits; what was taken stays taken, at most a burst of it."""
        if not (math.isfinite(rate) and math.isfinite(burst) and rate >= 0):
            raise ValueError("rate and burst are finite, rate is not negative")
        self._interval = 1 / rate if rate else 0.0  # seconds for one token
        self._burst = max(1.0, burst)
        self._whole = self._burst * self._interval  # seconds from empty to full

    def take(self, key: object, *, now: float, tokens: float = 1.0) -> float:
        """Take tokens: 0.0 if there were enough, else seconds until there are, and nothing is taken.

        More than a burst at once costs a burst.  `now`: monotonic seconds.
        """
        interval = self._interval
        if not interval:
            return 0.0
        full_at = self._full_at
        empty = now + self._whole
        start = full_at.pop(key, now)  # comparisons, not min and max: with each message this is called thrice
        if start < now:
            start = now
        elif start > empty:
            start = empty
        after = start + (tokens if tokens < self._burst else self._burst) * interval
        wait = after - empty
        if wait > interval * 1e-9:  # rounding of sums is not somebody's debt
            full_at[key] = start
            return wait
        full_at[key] = after
        if len(full_at) > self._most:
            del full_at[next(iter(full_at))]
        return 0.0

    def forget(self, key: object) -> None:
        """The bucket of `key` is full again."""
        self._full_at.pop(key, None)
