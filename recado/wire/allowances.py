"""Token buckets by key, in a table of bounded size."""

from collections import OrderedDict

from recado.protocol.limits import ALLOWANCES_MAX


class Allowances:
    """What each key has left.  The one unused for longest is forgotten first, and so starts afresh."""

    def __init__(self, most: int = ALLOWANCES_MAX) -> None:
        self._most = most
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # tokens, as of a time

    def take(self, key: bytes, now: float, *, rate: float, burst: float) -> bool:
        """Take one token of `key`, which gets `rate` a second, up to `burst`; False if it has none."""
        tokens, since = self._left.get(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        taken = tokens >= 1.0
        self._left[key] = (tokens - taken, now)
        self._left.move_to_end(key)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return taken
