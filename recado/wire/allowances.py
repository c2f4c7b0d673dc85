"""What one sender may take: token buckets by key, in a table of bounded size."""

from collections import OrderedDict
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from recado.protocol.limits import ALLOWANCES_MAX

_SUBNET_BITS: Final = 64  # RFC 4291: the rest of an address its host chooses, as many as it likes


@lru_cache(maxsize=ALLOWANCES_MAX)
def sender_of(address: str) -> str:
    """Who is to be counted for an address: of IPv6 the /64, of IPv4 and Unix users the address as it is.

    IPv4 in IPv6 is IPv4.  A zone stays: one link's addresses are not another's.
    """
    if ":" not in address:
        return address
    plain, percent, zone = address.partition("%")
    try:
        parsed = IPv6Address(plain)
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    rest = 128 - _SUBNET_BITS
    return f"{IPv6Address(int(parsed) >> rest << rest)}/{_SUBNET_BITS}{percent}{zone}"


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
