"""`ports.Network` over ZeroMQ."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol, Self, TypeVar

import anyio
import anyio.to_thread
import zmq

from recado.wire.dealer import Dealer
from recado.wire.frames import RawSocket
from recado.wire.ports import WireError
from recado.wire.pubsub import Forwarder, ZeroMQPublisher, ZeroMQSubscriber
from recado.wire.router import Router
from recado.wire.sockets import WireOptions

__all__ = ["WireOptions", "ZeroMQNetwork"]


class _End(Protocol):
    def close(self) -> None: ...


E = TypeVar("E", bound=_End)


class ZeroMQNetwork:
    """The network of real programs: ``async with ZeroMQNetwork() as network:``.

    Owns one ZeroMQ context with one I/O thread.  Leaving closes the ends that are still open, waits
    at most `options.linger_seconds` for what they have queued, and never blocks the event loop.
    Runs under trio and asyncio.
    """

    def __init__(self, options: WireOptions | None = None) -> None:
        self._options = options or WireOptions()
        self._context: zmq.Context[RawSocket] | None = None
        self._ends: set[_End] = set()

    async def __aenter__(self) -> Self:
        if self._context is not None:
            raise WireError("this network is already open")
        self._context = zmq.Context(io_threads=1)
        return self

    async def __aexit__(self, *exc: object) -> None:
        context, self._context = self._context, None
        for end in list(self._ends):
            end.close()
        self._ends.clear()
        if context is not None:
            # Bounded by the linger of the sockets, all of which are closed by now.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(context.term)

    def _opened(self) -> "zmq.Context[RawSocket]":
        if self._context is None:
            raise WireError("this network is not open")
        return self._context

    @asynccontextmanager
    async def _holding(self, end: E) -> AsyncIterator[E]:
        self._ends.add(end)
        try:
            yield end
        finally:
            self._ends.discard(end)
            end.close()

    @asynccontextmanager
    async def listener(self, address: str) -> AsyncIterator[Router]:
        """Bind a ROUTER.  Raises `WireError` if the address is taken or unusable."""
        async with self._holding(Router(self._opened(), address, self._options)) as end:
            yield end

    @asynccontextmanager
    async def asker(self, address: str) -> AsyncIterator[Dealer]:
        """Connect a DEALER in the background, reconnecting for as long as it is open."""
        async with self._holding(Dealer(self._opened(), address, self._options)) as end:
            yield end

    @asynccontextmanager
    async def publisher(self, addresses: Iterable[str]) -> AsyncIterator[ZeroMQPublisher]:
        """Connect a PUB to the XSUB of every broker given."""
        async with self._holding(ZeroMQPublisher(self._opened(), addresses, self._options)) as end:
            yield end

    @asynccontextmanager
    async def subscriber(self, addresses: Iterable[str]) -> AsyncIterator[ZeroMQSubscriber]:
        """Connect a SUB to the XPUB of every broker given."""
        async with self._holding(ZeroMQSubscriber(self._opened(), addresses, self._options)) as end:
            yield end

    @asynccontextmanager
    async def forwarder(self, xsub: str, xpub: str) -> AsyncIterator[tuple[str, str]]:
        """Bind XSUB and XPUB and forward between them until left; gives the bound addresses."""
        end = Forwarder(self._opened(), xsub=xsub, xpub=xpub, options=self._options)
        async with self._holding(end):
            yield end.addresses
