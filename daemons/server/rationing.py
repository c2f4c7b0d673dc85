"""How much one may send: token buckets per address (IPv6: per /64), peer server, user, bot and channel.

Beyond its rate a request is refused with `rate_limited` and the seconds to wait; nothing of it is kept,
and nobody else pays for it.  A message is one token, however long its text.  A repetition of what is kept
already costs its sender's address only.
"""

from typing import Final

from daemons.server.calls import Call
from daemons.server.in_force import InForce
from recado.protocol.buckets import Buckets
from recado.protocol.errors import Refused
from recado.protocol.limits import BUCKETS_MAX
from recado.texts import wire_text
from recado.wire.allowances import sender_of
from recado.wire.ports import Principal

REGISTRATIONS_PER_SECOND: Final = 1.0  # of strangers at one address, if addresses have a rate at all:
REGISTRATIONS_BURST: Final = 1000  # a crowd that begins together, and then no more than a crowd
BYTES_PER_TOKEN: Final = 2048  # of a frame, in requests of an address


class RateLimited(Refused):
    """Too much at once; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("rate_limited", wire_text("rate_limited"))
        self.retry_after = round(retry_after + 0.0005, 3)


class Rationing:
    """The buckets of one server; rates that are read again count at once."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force
        self._addresses, self._servers = _buckets(), _buckets()
        self._users, self._bots, self._channels = _buckets(), _buckets(), _buckets()
        self._readers, self._registrations = _buckets(), _buckets()
        self._owed: dict[bytes, int] = {}  # by key: tokens for what was told and is not paid for
        self.refused = 0  # requests, for `status`; counted where they are answered
        self._configure()
        in_force.on_change.append(self._configure)

    def _configure(self) -> None:
        rates = self._in_force.rates
        for buckets, rate in (
            (self._addresses, rates.address),
            (self._readers, rates.address),
            (self._servers, rates.server),
            (self._users, rates.user),
            (self._bots, rates.bot),
            (self._channels, rates.channel),
        ):
            buckets.configure(rate=rate.per_second, burst=rate.burst)
        limited = self._readers.limited
        self._registrations.configure(
            rate=REGISTRATIONS_PER_SECOND if limited else 0.0, burst=REGISTRATIONS_BURST
        )

    def request(self, call: Call, now: float, *, requests: int = 1) -> None:
        """So many requests have arrived.  Raises `RateLimited`.  `now`: monotonic seconds."""
        self._came(call.principal, now, tokens=requests)
        key = call.principal.key
        if key in self._owed:
            owed = self._owed.pop(key)
            try:
                self._take(self._readers, key, now, tokens=owed)
            except RateLimited:
                self._owed[key] = owed
                raise

    def told(self, principal: Principal, size_bytes: int) -> None:
        """A page has been told to somebody with a key: paid for with the next request, like a frame.

        Nobody knows before what a page costs.  By key and not by address: those who share a host or a
        network with a greedy reader are served.
        """
        tokens = size_bytes // BYTES_PER_TOKEN
        if tokens and principal.key and principal.role != "server" and self._readers.limited:
            self._owed[principal.key] = self._owed.get(principal.key, 0) + tokens
            if len(self._owed) > BUCKETS_MAX:
                del self._owed[next(iter(self._owed))]

    def frame(self, principal: Principal, size_bytes: int, now: float) -> None:
        """A frame is about to be read: a large one costs its address more than the one request in it.

        Raises `RateLimited`.  Servers send pages, and are known.
        """
        tokens = size_bytes // BYTES_PER_TOKEN
        if tokens and principal.role != "server":
            self._came(principal, now, tokens=tokens)

    def junk(self, principal: Principal, now: float) -> None:
        """What was read was no request; it counts as one.  Raises `RateLimited`."""
        self._came(principal, now)

    def _came(self, principal: Principal, now: float, *, tokens: int = 1) -> None:
        if principal.role == "server":
            self._take(self._servers, principal.name, now, tokens=tokens)
        elif principal.address:
            # Of a Unix user's address the last part is the process.
            local = principal.role == "local"
            place = principal.address.rpartition(":")[0] if local else sender_of(principal.address)
            self._take(self._addresses, place, now, tokens=tokens)

    def registration(self, principal: Principal, now: float) -> None:
        """One more user, for ever, is about to be registered from an address.  Raises `RateLimited`."""
        if principal.address:
            self._take(self._registrations, sender_of(principal.address), now)

    def message(self, author: bytes | None, now: float, *, bot: bool, channel: str | None = None) -> None:
        """One more entry of a user is about to be kept, in a channel or not.  Raises `RateLimited`."""
        self._take(self._bots if bot else self._users, author, now)
        if channel is not None:
            self._take(self._channels, channel, now)

    def _take(self, buckets: Buckets, key: object, now: float, *, tokens: int = 1) -> None:
        wait = buckets.take(key, now=now, tokens=tokens)
        if wait:
            raise RateLimited(wait)


def _buckets() -> Buckets:
    return Buckets(rate=0.0, burst=1, most=BUCKETS_MAX)
