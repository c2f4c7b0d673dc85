"""The network in memory: the same ends as over ZeroMQ, carrying the same bytes, without a socket.

Public, for everybody's tests, and the ground of the simulated cluster::

    network = MemoryNetwork()
    async with network.listener("tcp://server:5555") as listener:
        async with network.asker(listener.address) as asker: ...

It runs under trio, trio's autojump clock and asyncio, and is deterministic: no thread, no task and no
randomness of its own.  What becomes of a message on its way (delay, loss, duplicates, partition) a
`Transit` decides, which knows the hosts at both ends: `network.host(name)` is the network as that
host sees it.

Where it is simpler than ZeroMQ: a request sent while nobody listens vanishes instead of waiting for
the listener, and the way of a message is decided when it is sent.  Addresses are names, compared as
text; ``*`` and ``0.0.0.0`` stand for the binding host's own name, port 0 or ``*`` for a free one.
"""

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from recado.wire.addresses import ANY_PORT, to_listen
from recado.wire.memory_ends import End, MemoryAsker, MemoryListener
from recado.wire.memory_pubsub import MemoryForwarder, MemoryPublisher, MemorySubscriber
from recado.wire.ports import OPEN, Grant, Network, Principal, WireError

TrafficKind = Literal["request", "reply", "publication", "subscription"]
DEFAULT_HOST: Final = "local"
_FIRST_FREE_PORT: Final = 49_152
_ANY_HOST: Final = frozenset({"*", "0.0.0.0", "[::]"})


class Transit(Protocol):
    """What happens to messages between hosts.  Called once per message and hop, in order of sending."""

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        """Seconds until each copy arrives: none is a loss, two are a duplicate.

        `source` and `destination` are host names, `size` the bytes of the body (of the topic, for a
        subscription).  A lost subscription is tried again when a publication would need it.
        """


@dataclass(frozen=True)
class ConstantDelay:
    """One copy of everything, `seconds` later."""

    seconds: float = 0.0

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:  # noqa: ARG002
        return (self.seconds,)


class MemoryNetwork:
    """A whole network in one event loop; used as a `ports.Network` it is the host ``local``."""

    def __init__(self, transit: Transit | None = None) -> None:
        self.transit: Transit = transit or ConstantDelay()
        self.listening: dict[str, MemoryListener | MemoryForwarder] = {}
        self.askers: dict[bytes, MemoryAsker] = {}
        self.subscribers: list[MemorySubscriber] = []
        self._numbers = itertools.count(1)
        self._ports = itertools.count(_FIRST_FREE_PORT)
        self._ends: dict[End, str] = {}

    def host(self, name: str, principal: Principal = OPEN) -> "MemoryHost":
        """The network as the host `name` sees it, whose ends are `principal` for the others.

        Asking twice gives equal views.
        """
        return MemoryHost(self, name, principal)

    def crash(self, host: str) -> None:
        """Kill -9 of everything at `host`: its addresses are free, what is under way to it vanishes.

        The dead ends are mute, not broken: what they send goes nowhere and what they wait for never
        comes, until their tasks are cancelled.  The host may open new ends at once.
        """
        for end in [end for end, name in self._ends.items() if name == host]:
            end.crash()
            self.forget(end)

    def number(self) -> int:
        """A number larger than all before: the order of sending."""
        return next(self._numbers)

    def enter(self, end: End, host: str) -> None:
        self._ends[end] = host

    def forget(self, end: End) -> None:
        self._ends.pop(end, None)

    def bind(self, address: str, *, host: str, end: "MemoryListener | MemoryForwarder") -> str:
        """Give the address to `end`, names and port filled in.  Raises `WireError` if it is taken."""
        full = self._filled_in(address, host)
        if full in self.listening:
            raise WireError(f"cannot listen at {full}: address already in use")
        self.listening[full] = end
        return full

    def _filled_in(self, address: str, host: str) -> str:
        transport, name, port = to_listen(address)
        if transport == "ipc":
            return address
        name = host if name in _ANY_HOST else name
        if port in ANY_PORT:
            free = (f"{transport}://{name}:{number}" for number in self._ports)
            return next(full for full in free if full not in self.listening)
        return f"{transport}://{name}:{port}"

    def listener(self, address: str, *, local: str = "") -> AbstractAsyncContextManager[MemoryListener]:
        """As `ports.Network.listener`, at the host ``local``; so are the others."""
        return self.host(DEFAULT_HOST).listener(address, local=local)

    def asker(self, address: str) -> AbstractAsyncContextManager[MemoryAsker]:
        return self.host(DEFAULT_HOST).asker(address)

    def publisher(self, addresses: Iterable[str]) -> AbstractAsyncContextManager[MemoryPublisher]:
        return self.host(DEFAULT_HOST).publisher(addresses)

    def subscriber(self, addresses: Iterable[str]) -> AbstractAsyncContextManager[MemorySubscriber]:
        return self.host(DEFAULT_HOST).subscriber(addresses)

    def forwarder(
        self, xsub: str, xpub: str, *, grant: Grant | None = None
    ) -> AbstractAsyncContextManager[tuple[str, str]]:
        return self.host(DEFAULT_HOST).forwarder(xsub, xpub, grant=grant)


@dataclass(frozen=True)
class MemoryHost:
    """`ports.Network` for one host of a `MemoryNetwork`."""

    network: MemoryNetwork
    name: str
    principal: Principal = OPEN

    @asynccontextmanager
    async def listener(self, address: str, *, local: str = "") -> AsyncIterator[MemoryListener]:
        """Bind.  Raises `WireError` if an address is taken or unusable."""
        with MemoryListener(self.network, self.name, address, local=local) as end:
            yield end

    @asynccontextmanager
    async def asker(self, address: str) -> AsyncIterator[MemoryAsker]:
        """Ask whoever listens at `address` at the moment of each request."""
        with MemoryAsker(self.network, self.name, address, principal=self.principal) as end:
            yield end

    @asynccontextmanager
    async def publisher(self, addresses: Iterable[str]) -> AsyncIterator[MemoryPublisher]:
        """Publish to the forwarders whose XSUB addresses are given."""
        with MemoryPublisher(self.network, self.name, addresses, principal=self.principal) as end:
            yield end

    @asynccontextmanager
    async def subscriber(self, addresses: Iterable[str]) -> AsyncIterator[MemorySubscriber]:
        """Subscribe at the forwarders whose XPUB addresses are given."""
        with MemorySubscriber(self.network, self.name, addresses, principal=self.principal) as end:
            yield end

    @asynccontextmanager
    async def forwarder(
        self, xsub: str, xpub: str, *, grant: Grant | None = None
    ) -> AsyncIterator[tuple[str, str]]:
        """Bind both and forward until left; gives the two bound addresses."""
        with MemoryForwarder(self.network, self.name, xsub=xsub, xpub=xpub, grant=grant) as end:
            yield end.addresses


if TYPE_CHECKING:
    _conforms: type[Network] = MemoryNetwork
    _host_conforms: type[Network] = MemoryHost
