"""`ports.Network` over ZeroMQ."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

import anyio
import anyio.to_thread
import zmq

from recado.protocol.limits import RELEASED_ADDRESSES_MAX
from recado.wire.dealer import Dealer
from recado.wire.forwarder import Forwarder
from recado.wire.frames import RawSocket
from recado.wire.granting import GrantingForwarder
from recado.wire.guard import Guard
from recado.wire.ports import Grant, Network, WireError
from recado.wire.pubsub import ZeroMQPublisher, ZeroMQSubscriber
from recado.wire.router import Router
from recado.wire.security import Domain, HandshakeLimits, Security
from recado.wire.sockets import WireOptions
from recado.wire.zap import HOUSEKEEPING_SECONDS, Authenticator

__all__ = ["WireOptions", "ZeroMQNetwork"]

_RELEASE_TRIES: Final = 100
_RELEASE_TRY_SECONDS: Final = 0.005


class _End(Protocol):
    def close(self) -> None: ...


E = TypeVar("E", bound=_End)


class ZeroMQNetwork:
    """The network of real programs: ``async with ZeroMQNetwork() as network:``.

    Owns one ZeroMQ context with one I/O thread.  Leaving closes the ends that are still open, waits
    at most `options.linger_seconds` for what they have queued, and never blocks the event loop.
    Runs under trio and asyncio.
    """

    def __init__(self, options: WireOptions | None = None, security: Security | None = None) -> None:
        self._options = options or WireOptions()
        self._security = security
        self._authenticator: Authenticator | None = None
        self._context: zmq.Context[RawSocket] | None = None
        self._ends: set[_End] = set()
        self._releasing: dict[str, None] = {}  # a set that keeps its order

    async def __aenter__(self) -> Self:
        if self._context is not None:
            raise WireError("this network is already open")
        self._context = zmq.Context(io_threads=1)
        if self._security is not None and self._security.authenticate is not None:
            # Before the first socket listens: until it runs, handshakes wait.
            self._authenticator = Authenticator(
                self._context,
                self._security,
                handshake_seconds=self._options.handshake_timeout_seconds,
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        context, self._context = self._context, None
        for end in list(self._ends):
            end.close()
        self._ends.clear()
        if self._authenticator is not None:
            self._authenticator.close()
            self._authenticator = None
        if context is not None:
            # Bounded by the linger of the sockets, all of which are closed by now.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(context.term)

    def _opened(self) -> "zmq.Context[RawSocket]":
        if self._context is None:
            raise WireError("this network is not open")
        return self._context

    async def authenticator(self) -> None:
        """Decide who gets in, for ever: the ZAP handler, one task of a secured process that listens.

        Raises `WireError` if the network is not open or not made to let anybody in.
        """
        self._opened()
        if self._authenticator is None:
            raise WireError("this network lets nobody in: it has no `authenticate`")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_publishers)
            await self._authenticator.run()

    async def _keep_publishers(self) -> None:
        """Look after the connections of publishers that may have nothing to publish."""
        while True:
            for end in list(self._ends):
                if isinstance(end, Dealer | ZeroMQPublisher):
                    end.keep()
            await anyio.sleep(HOUSEKEEPING_SECONDS)

    @property
    def connections(self) -> int | None:
        """How many connections the listening ends of a secured network have; None if it counts none."""
        return None if self._authenticator is None else self._authenticator.connections

    def set_handshake_limits(self, limits: HandshakeLimits) -> None:
        """Put other limits in force, from now on."""
        if self._authenticator is not None:
            self._authenticator.limits = limits

    def _guard(self, domain: Domain) -> Guard | None:
        if self._security is None:
            return None
        if self._authenticator is None:
            raise WireError("a secured network without `authenticate` can't listen: nobody would be asked")
        return Guard(self._security, self._authenticator, domain)

    @asynccontextmanager
    async def _holding(self, end: E) -> AsyncIterator[E]:
        self._ends.add(end)
        try:
            yield end
        finally:
            self._ends.discard(end)
            end.close()

    async def _bound(self, make: Callable[[], E], *addresses: str) -> E:
        """An end made by `make`, which may have to wait for what an end of ours has just given up.

        libzmq closes in the background; without this an address could not be bound again at once.
        """
        for _ in range(_RELEASE_TRIES):
            if not any(address in self._releasing for address in addresses):
                break
            with suppress(WireError):
                return make()
            await anyio.sleep(_RELEASE_TRY_SECONDS)
        return make()

    def _release(self, *addresses: str) -> None:
        for address in addresses:
            self._releasing[address] = None
        while len(self._releasing) > RELEASED_ADDRESSES_MAX:
            del self._releasing[next(iter(self._releasing))]

    @asynccontextmanager
    async def listener(self, address: str, *, local: str = "") -> AsyncIterator[Router]:
        """Bind a ROUTER.  Raises `WireError` if an address is taken or unusable."""
        context = self._opened()
        guard = self._guard(self._security.domain if self._security else "requests")
        end = await self._bound(
            lambda: Router(context, address, self._options, local=local, guard=guard), address, local
        )
        try:
            async with self._holding(end):
                yield end
        finally:
            self._release(end.address, *filter(None, [local]))

    @asynccontextmanager
    async def asker(self, address: str) -> AsyncIterator[Dealer]:
        """Connect a DEALER in the background, reconnecting for as long as it is open."""
        async with self._holding(Dealer(self._opened(), address, self._options, self._security)) as end:
            yield end

    @asynccontextmanager
    async def publisher(self, addresses: Iterable[str]) -> AsyncIterator[ZeroMQPublisher]:
        """Connect a PUB to the XSUB of every broker given."""
        async with self._holding(
            ZeroMQPublisher(self._opened(), addresses, self._options, self._security)
        ) as end:
            yield end

    @asynccontextmanager
    async def subscriber(self, addresses: Iterable[str]) -> AsyncIterator[ZeroMQSubscriber]:
        """Connect a SUB to the XPUB of every broker given."""
        async with self._holding(
            ZeroMQSubscriber(self._opened(), addresses, self._options, self._security)
        ) as end:
            yield end

    @asynccontextmanager
    async def forwarder(
        self, xsub: str, xpub: str, *, grant: Grant | None = None
    ) -> AsyncIterator[tuple[str, str]]:
        """Bind XSUB and XPUB and forward between them until left; gives the bound addresses.

        With `grant` it has a task of its own, so what the block raises comes in an exception group.  A
        secured network forwards only so: raises `WireError` without.
        """
        if grant is not None:
            async with self._granting(xsub, xpub, grant) as addresses:
                yield addresses
            return
        context = self._opened()
        if self._security is not None:
            raise WireError("a secured network does not forward to everybody: it needs `grant`")
        end = await self._bound(
            lambda: Forwarder(context, xsub=xsub, xpub=xpub, options=self._options), xsub, xpub
        )
        try:
            async with self._holding(end):
                yield end.addresses
        finally:
            self._release(*end.addresses)

    @asynccontextmanager
    async def _granting(self, xsub: str, xpub: str, grant: Grant) -> AsyncIterator[tuple[str, str]]:
        context = self._opened()
        guards = self._guard("xsub"), self._guard("xpub")
        end = await self._bound(
            lambda: GrantingForwarder(
                context, xsub=xsub, xpub=xpub, grant=grant, options=self._options, guards=guards
            ),
            xsub,
            xpub,
        )
        try:
            async with self._holding(end), anyio.create_task_group() as tasks:
                tasks.start_soon(end.run)
                yield end.addresses
                tasks.cancel_scope.cancel()
        finally:
            self._release(*end.addresses)


if TYPE_CHECKING:
    _conforms: type[Network] = ZeroMQNetwork
