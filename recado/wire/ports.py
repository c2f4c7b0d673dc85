"""The seam between programs and the network: what a socket must do, whatever carries the bytes.

Two implementations: ZeroMQ (`recado.wire.zeromq`) and memory (`recado.wire.memory`).
All ends are async context managers' children: a `Network` method returns one, leaving it closes the
end.  Ends belong to one event loop; `receive_batch` may be awaited by one task at a time.  Sending
never waits: what does not fit is refused (False) or dropped, and counted.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

from recado.protocol.limits import DRAIN_MESSAGES_MAX


class Principal(NamedTuple):
    """Who is at the other end of a connection, as far as the transport can prove it.

    `role`: what the roster says of the key, "server", "broker", "reference" or "operator"; "key" is one
    that proved itself and is in no roster, "local" a Unix user at an ``ipc://`` address, "open" anybody,
    where nothing is proved.  `name` is
    "" if unknown.  `key`: the 32 bytes of the public key, b"" if there is none.  `address`: where it
    comes from, as the carrier tells it; no more than a hint.
    """

    role: str
    name: str = ""
    key: bytes = b""
    address: str = ""


OPEN: Final = Principal("open")

Grant = Callable[[Principal, bytes], bool]  # whether one may subscribe to exactly this topic


class Incoming(NamedTuple):
    """One request at a listener.

    `envelope`: the routing frames to give back verbatim with the reply (routing id, correlation
    frames, empty delimiter if there was one).  `body`: the one body frame, or None if the frames
    after the envelope were not exactly one (junk: answer with an error).  `principal`: who sent it.
    """

    envelope: tuple[bytes, ...]
    body: bytes | None
    principal: Principal = OPEN


class Outgoing(NamedTuple):
    """One reply: the request's envelope and the body."""

    envelope: tuple[bytes, ...]
    body: bytes


class Publication(NamedTuple):
    """One publication: topic frame and body frame."""

    topic: bytes
    body: bytes


class WireError(Exception):
    """The network cannot do what was asked (address taken, address unusable, end closed)."""


class Listener(Protocol):
    """The serving end (ROUTER): REQ clients, DEALER clients with or without delimiter, brokers."""

    @property
    def address(self) -> str:
        """Where it listens, the port filled in if 0 or * was asked for."""

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Incoming]:
        """At least one request, at most `most`; one checkpoint per call."""

    def send(self, replies: Iterable[Outgoing]) -> int:
        """Send replies without waiting; returns how many found their client still there."""


class Asker(Protocol):
    """The asking end (DEALER): many requests may be out at once, each gets its own reply."""

    @property
    def address(self) -> str: ...

    async def ask(self, body: bytes) -> bytes:
        """Send and wait for the reply to this very request.

        Waits for ever: the deadline is the caller's cancel scope.  A cancelled request is
        forgotten; its late reply is dropped.  Raises `WireError` if the queue to the peer is full.
        """


class Publisher(Protocol):
    """The publishing end (XPUB), connected to a broker's XSUB."""

    def wanted(self, topic: bytes) -> bool:
        """Whether a subscription to the topic, or to a beginning of it, has come here.

        What is published without one reaches nobody, now as ever: a subscription counts from when it arrives.
        """

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over without waiting.  A full queue drops: publications are hints, the log is the truth."""


class Subscriber(Protocol):
    """The subscribing end (SUB), connected to a broker's XPUB."""

    def subscribe(self, topic: bytes) -> None:
        """Receive every publication whose topic begins with `topic`."""

    def unsubscribe(self, topic: bytes) -> None: ...

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Publication]:
        """At least one publication; one checkpoint per call."""


class Network(Protocol):
    """Where ends come from.  Addresses are ``tcp://host:port`` or ``ipc://path``."""

    def listener(self, address: str, *, local: str = "") -> AbstractAsyncContextManager[Listener]:
        """Bind, and if `local` is given at that ``ipc://`` address too.

        Raises `WireError` if an address is taken or unusable.
        """

    def asker(self, address: str) -> AbstractAsyncContextManager[Asker]:
        """Connect in the background, reconnecting for as long as it is open."""

    def publisher(self, addresses: Iterable[str]) -> AbstractAsyncContextManager[Publisher]:
        """Connect to the XSUB of every broker given."""

    def subscriber(self, addresses: Iterable[str]) -> AbstractAsyncContextManager[Subscriber]:
        """Connect to the XPUB of every broker given."""

    def forwarder(
        self, xsub: str, xpub: str, *, grant: Grant | None = None
    ) -> AbstractAsyncContextManager[tuple[str, str]]:
        """The broker's heart: bind both and forward publications and subscriptions until left.

        With `grant` only servers publish, and a subscription counts only if it is granted; it is
        asked for once per connection.  Gives the two bound addresses.  Raises `WireError` if one is
        taken.
        """
