"""The servers a client knows, in the order in which it asks them, and an open end to each.

The list is what the caller gave, or else what the reference lists.  One Asker per address, opened
at the first request to it by a background task of its own, so that whoever asks may be cancelled
at any moment without closing what others use.
"""

from collections.abc import Callable, Iterable
from random import Random

import anyio

from recado.background import Background
from recado.protocol import codec
from recado.protocol.errors import ProtocolError
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import KNOWN_SERVERS_MAX
from recado.values import clock_of, optional
from recado.wire.ports import Asker, Network, WireError


class _End:
    """The open end to one address; `asker` is None until `ready`, and stays so if it can't open."""

    def __init__(self) -> None:
        self.ready = anyio.Event()
        self.asker: Asker | None = None
        self.problem = ""


class Servers:
    """Addresses and open ends.  `addresses` begins with the preferred server, the one that answered last.

    `learn` is told the name and the address of each server that the reference lists.
    """

    def __init__(
        self,
        network: Network,
        background: Background,
        *,
        given: Iterable[str],
        reference: str | None,
        random: Random,
        learn: Callable[[str, str], None] = lambda _name, _address: None,
    ) -> None:
        self._learn = learn
        self._network = network
        self.background = background  # what runs beside the requests, for as long as they may be made
        self._reference = reference
        self._random = random
        self._addresses = list(dict.fromkeys(given))[:KNOWN_SERVERS_MAX]
        self._fixed = bool(self._addresses)
        self._ends: dict[str, _End] = {}
        self._preferred = ""

    @property
    def addresses(self) -> list[str]:
        """In the order of trial."""
        at = self._addresses.index(self._preferred) if self._preferred in self._addresses else 0
        return self._addresses[at:] + self._addresses[:at]

    @property
    def discoverable(self) -> bool:
        """Whether `discover` can change the list."""
        return self._reference is not None and not self._fixed

    def prefer(self, address: str) -> None:
        """Ask this one first from now on."""
        self._preferred = address

    async def asker(self, address: str) -> Asker:
        """The open end to an address.  Raises `WireError` if it can't be opened."""
        end = self._ends.get(address)
        if end is None:
            end = self._ends[address] = _End()
            self.background.start(self._hold_open, address, end)
        if not end.ready.is_set():
            await end.ready.wait()
        if end.asker is None:
            raise WireError(end.problem)
        return end.asker

    async def _hold_open(self, address: str, end: _End) -> None:
        try:
            async with self._network.asker(address) as asker:
                end.asker = asker
                end.ready.set()
                await anyio.sleep_forever()
        except WireError as error:
            end.problem = str(error)
            end.asker = None
            end.ready.set()
            self._ends.pop(address, None)

    async def discover(self, clock: LamportClock, *, now_seconds: int) -> None:
        """Ask the reference which servers are active, and take its list in a random order.

        Waits for ever: the deadline is the caller's.  An unusable or empty list changes nothing.
        Raises `WireError` or `ProtocolError`.
        """
        if self._reference is None:
            return
        asker = await self.asker(self._reference)
        frame = codec.encode("list", {"timestamp": now_seconds, "clock": clock.tick()})
        reply = codec.decode_reply(await asker.ask(frame))
        clock.receive(clock_of(reply.data))
        found = _listed(reply.data.get("list"))
        if not found:
            raise ProtocolError("the reference lists no server with an address")
        for address, name in found.items():
            self._learn(name, address)
        known = [address for address in self._addresses if address in found]
        fresh = [address for address in found if address not in known]
        self._random.shuffle(fresh)
        self._addresses = (known + fresh)[:KNOWN_SERVERS_MAX]


def _listed(entries: object) -> dict[str, str]:
    """Addresses and the names of who is there, in the order of the list."""
    items = entries if isinstance(entries, list) else []
    found: dict[str, str] = {}
    for item in items:
        address = optional(item, "address", str) if isinstance(item, dict) else None
        if address:
            found.setdefault(address, optional(item, "name", str) or "")
    return found
