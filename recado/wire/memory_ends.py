"""The asking and the serving end of the in-memory network; `recado.wire.memory` makes them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Self

import anyio

from recado.protocol.limits import (
    ASKS_OUT_MAX,
    DRAIN_MESSAGES_MAX,
    MEMORY_REQUESTS_QUEUED_MAX,
    PEER_FRAME_BYTES_MAX,
    REQUEST_FRAME_BYTES_MAX,
)
from recado.wire.addresses import to_connect
from recado.wire.mailbox import CLOSED, Mailbox
from recado.wire.ports import OPEN, Incoming, Outgoing, Principal, WireError

if TYPE_CHECKING:
    from recado.wire.memory import MemoryNetwork, TrafficKind

_COPIES_MAX: Final = 16  # of one reply: a `Transit` may duplicate, and duplicated requests are answered twice


class End:
    """One end at one host: open, then closed (it raises) or crashed (it is mute)."""

    def __init__(self, network: "MemoryNetwork", host: str) -> None:
        self.network = network
        self.host = host
        self._closed = False
        self._crashed = False

    def __enter__(self) -> Self:
        self.network.enter(self, self.host)
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._crashed:
            self._closed = True
            self._leave(crashed=False)
            self.network.forget(self)

    def crash(self) -> None:
        """Stop existing; see `MemoryNetwork.crash`."""
        self._crashed = True
        self._leave(crashed=True)

    def _leave(self, *, crashed: bool) -> None:
        """Give up addresses and mailboxes."""

    def muted(self) -> bool:
        """Whether what is sent goes nowhere.  Raises `WireError` if closed."""
        if self._closed:
            raise WireError(CLOSED)
        return self._crashed

    def ways(self, destination: str, *, kind: "TrafficKind", size: int) -> Sequence[float]:
        """The delay of each copy.  What a real connection would be closed for vanishes."""
        frame_bytes_max = REQUEST_FRAME_BYTES_MAX if kind == "publication" else PEER_FRAME_BYTES_MAX
        if size > frame_bytes_max:
            return ()
        return self.network.transit.delays(self.host, destination, kind, size)


class MemoryListener(End):
    """`ports.Listener` in memory.  `dropped` counts the replies whose asker was gone."""

    def __init__(self, network: "MemoryNetwork", host: str, address: str, *, local: str = "") -> None:
        super().__init__(network, host)
        self._mailbox: Mailbox[Incoming] = Mailbox(MEMORY_REQUESTS_QUEUED_MAX)
        self._address = network.bind(address, host=host, end=self)
        self._local = ""
        if local:
            try:
                self._local = network.bind(local, host=host, end=self)
            except WireError:
                del network.listening[self._address]
                raise
        self.dropped = 0

    @property
    def address(self) -> str:
        """Where it listens, the port filled in."""
        return self._address

    @property
    def full(self) -> bool:
        return self._mailbox.full

    def deliver(self, request: Incoming, *, when: float) -> None:
        """A request is on its way to here."""
        self._mailbox.post(request, when=when, number=self.network.number())

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Incoming]:
        """At least one request, at most `most`.  Raises `WireError` once closed."""
        return await self._mailbox.receive(most)

    def send(self, replies: Iterable[Outgoing]) -> int:
        """Send without waiting; returns how many found their asker still there."""
        if self.muted():
            return 0
        now = anyio.current_time()
        found = 0
        for envelope, body in replies:
            asker = self.network.askers.get(envelope[0])
            if asker is None:
                self.dropped += 1
                continue
            found += 1
            for delay in self.ways(asker.host, kind="reply", size=len(body)):
                asker.deliver(envelope[1:], body, when=now + delay)
        return found

    def _leave(self, *, crashed: bool) -> None:
        for address in (self._address, self._local):
            self.network.listening.pop(address, None)
        self._mailbox.shut(crashed=crashed)


class MemoryAsker(End):
    """`ports.Asker` in memory.  `late` counts the replies that nobody waited for any more."""

    def __init__(
        self, network: "MemoryNetwork", host: str, address: str, *, principal: Principal = OPEN
    ) -> None:
        super().__init__(network, host)
        to_connect(address)
        self._principal = principal
        self._address = address
        # Like the routing ids libzmq makes: a zero byte and a number.
        self._id = b"\0" + network.number().to_bytes(4, "big")
        self._waiting: dict[tuple[bytes, ...], Mailbox[bytes]] = {}
        self.late = 0
        network.askers[self._id] = self

    @property
    def address(self) -> str:
        return self._address

    async def ask(self, body: bytes) -> bytes:
        """Send and wait for the reply to this very request; the deadline is the caller's.

        Raises `WireError` if `ASKS_OUT_MAX` requests are out or the listener's queue is full.
        """
        muted = self.muted()
        if len(self._waiting) >= ASKS_OUT_MAX:
            raise WireError(f"{ASKS_OUT_MAX} requests to {self._address} are without a reply")
        correlation = (self.network.number().to_bytes(8, "big"), b"")
        mailbox = self._waiting[correlation] = Mailbox[bytes](_COPIES_MAX)
        try:
            if muted:
                mailbox.shut(crashed=True)
            else:
                self._send(Incoming((self._id, *correlation), body, self._principal), body)
            return (await mailbox.receive(1))[0]
        finally:
            del self._waiting[correlation]

    def _send(self, request: Incoming, body: bytes) -> None:
        listener = self.network.listening.get(self._address)
        if not isinstance(listener, MemoryListener):
            return
        if listener.full:
            raise WireError(f"the queue to {self._address} is full")
        now = anyio.current_time()
        for delay in self.ways(listener.host, kind="request", size=len(body)):
            listener.deliver(request, when=now + delay)

    def deliver(self, correlation: tuple[bytes, ...], body: bytes, *, when: float) -> None:
        """A reply is on its way to here."""
        mailbox = self._waiting.get(correlation)
        if mailbox is None or not mailbox.post(body, when=when, number=self.network.number()):
            self.late += 1

    def _leave(self, *, crashed: bool) -> None:
        self.network.askers.pop(self._id, None)
        for mailbox in self._waiting.values():
            mailbox.shut(crashed=crashed)
