"""What one sender may take: token buckets by key, in a table of bounded size, and places."""

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


class Places:
    """Places of a bounded number, of which a sender may have as many as it leaves free.

    So a few fill them never, and whoever has none gets one while there is one (dynamic thresholds:
    Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998): of 1,024 one sender has 512, ten have
    93 each, and 94 are left for the others.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._sum = 0

    def take(self, sender: str, *, most: int) -> bool:
        """Take a place for `sender`, of `most` in all; False if it has to go without."""
        mine = self._taken.get(sender, 0)
        if mine >= most - self._sum:
            return False
        self._taken[sender] = mine + 1
        self._sum += 1
        return True

    def leave(self, sender: str) -> None:
        """Give one back."""
        self._sum -= 1
        self._taken[sender] -= 1
        if not self._taken[sender]:
            del self._taken[sender]
