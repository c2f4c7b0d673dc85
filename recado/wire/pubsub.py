"""The publishing end and the subscribing end."""

from collections.abc import Iterable
from contextlib import suppress

import anyio
import anyio.lowlevel
import zmq

from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
    PUBLICATIONS_QUEUED_MAX,
    REQUEST_FRAME_BYTES_MAX,
    SUBSCRIPTIONS_HEARD_MAX,
)
from recado.wire import frames
from recado.wire.frames import RawSocket
from recado.wire.interest import Interest
from recado.wire.lines import REDIAL_SECONDS, Line
from recado.wire.ports import Publication, WireError
from recado.wire.security import Security
from recado.wire.sockets import Socket, WireOptions, connect, open_socket

_QUIET_TURNS = 4  # a subscriber that hears nothing looks after its connections this much more rarely


class _Connections:
    """Sockets of one kind, connected to the addresses: one for all, or secured one for each.

    Secured, what libzmq tells about handshakes must be told apart, and it does not say of which address.
    """

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        kind: int,
        addresses: Iterable[str],
        *,
        options: WireOptions,
        security: Security | None,
    ) -> None:
        self.sockets: list[Socket] = []
        self._lines: list[Line] = []
        unique = list(dict.fromkeys(addresses))
        try:
            if security is None or not unique:
                self._connect_plainly(open_pubsub(context, kind, options=options), unique)
                return
            for address in unique:
                raw = open_pubsub(context, kind, options=options)
                self._lines.append(Line(context, raw, address, security))
                self.sockets.append(Socket(raw))
        except WireError:
            self.close()
            raise

    def _connect_plainly(self, raw: RawSocket, addresses: list[str]) -> None:
        for address in addresses:
            connect(raw, address)
        self.sockets.append(Socket(raw))

    @property
    def secured(self) -> bool:
        return bool(self._lines)

    def keep(self) -> None:
        """Look after secured connections."""
        for line in self._lines:
            line.keep()

    def close(self) -> None:
        for line in self._lines:
            line.close()
        for socket in self.sockets:
            socket.close()


class ZeroMQPublisher:
    """`ports.Publisher` over XPUB sockets.  A broker that does not read is dropped for, silently."""

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        addresses: Iterable[str],
        options: WireOptions,
        security: Security | None = None,
    ) -> None:
        self._connections = _Connections(context, zmq.XPUB, addresses, options=options, security=security)
        self._interests = [Interest() for _ in self._connections.sockets]

    def wanted(self, topic: bytes) -> bool:
        """Whether anybody is known to listen: as far as brokers have passed it on by now."""
        self._hear()
        return any(interest.covers(topic) for interest in self._interests)

    def _hear(self) -> None:
        """What was subscribed since.  What nobody reads fills a queue, so `publish` does so too."""
        for socket, interest in zip(self._connections.sockets, self._interests, strict=True):
            raw = socket.raw
            for _ in range(SUBSCRIPTIONS_HEARD_MAX):
                if not frames.readable(raw):
                    break
                with suppress(zmq.Again):
                    interest.told(*frames.receive(raw))

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over without waiting.  Raises `WireError` only once closed."""
        self.keep()
        self._hear()
        raws = [socket.raw for socket in self._connections.sockets]
        for topic, body in publications:
            for raw in raws:
                frames.send(raw, (topic,), body)

    def keep(self) -> None:
        """Look after secured connections; `publish` does so too."""
        self._connections.keep()

    def close(self) -> None:
        self._connections.close()


class ZeroMQSubscriber:
    """`ports.Subscriber` over SUB sockets.  `malformed` counts messages not of two frames."""

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        addresses: Iterable[str],
        options: WireOptions,
        security: Security | None = None,
    ) -> None:
        self._connections = _Connections(context, zmq.SUB, addresses, options=options, security=security)
        self._topics: set[bytes] = set()
        self._turns = 0
        self.malformed = 0

    def subscribe(self, topic: bytes) -> None:
        """Receive what begins with `topic`.  A topic counts once, however often subscribed."""
        self._set(zmq.SUBSCRIBE, topic, change=topic not in self._topics)
        self._topics.add(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Stop receiving `topic`, what has already arrived included; not subscribed is harmless."""
        self._set(zmq.UNSUBSCRIBE, topic, change=topic in self._topics)
        self._topics.discard(topic)

    def _set(self, option: int, topic: bytes, *, change: bool) -> None:
        for socket in self._connections.sockets if change else ():
            socket.raw.setsockopt(option, topic)
            socket.recheck()

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Publication]:
        """At least one publication, at most `most`.  Raises `WireError` once closed."""
        while True:
            batch = await self._receive(most)
            publications = [Publication(*message) for message in batch if len(message) == 2]
            self.malformed += len(batch) - len(publications)
            if publications:
                return publications

    async def _receive(self, most: int) -> list[list[bytes]]:
        if not self._connections.secured:
            return await self._connections.sockets[0].receive_batch(most)
        self._connections.keep()
        with anyio.move_on_after(REDIAL_SECONDS * _QUIET_TURNS):
            await self._wait_for_any()
        return self._take(most)

    async def _wait_for_any(self) -> None:
        """Return when one of the sockets can be read."""
        sockets = self._connections.sockets
        if len(sockets) == 1:
            await sockets[0].wait_readable()
            return
        if any(frames.readable(socket.raw) for socket in sockets):
            await anyio.lowlevel.checkpoint()
            return
        refusals: list[WireError] = []

        async def wait(socket: Socket) -> None:
            try:
                await socket.wait_readable()
            except WireError as error:
                refusals.append(error)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for socket in sockets:
                tasks.start_soon(wait, socket)
        if refusals:
            raise refusals[0]

    def _take(self, most: int) -> list[list[bytes]]:
        """What has arrived, another socket first each time."""
        sockets = self._connections.sockets
        self._turns += 1
        batch: list[list[bytes]] = []
        for place in range(len(sockets)):
            socket = sockets[(place + self._turns) % len(sockets)]
            batch += socket.receive(most - len(batch))
        return batch

    def close(self) -> None:
        self._connections.close()


def open_pubsub(
    context: "zmq.Context[RawSocket]",
    kind: int,
    *,
    options: WireOptions,
    frame_bytes_max: int = REQUEST_FRAME_BYTES_MAX,
) -> RawSocket:
    """A socket that publications go through, with the bounds of their queues and frames."""
    return open_socket(
        context,
        kind,
        options=options,
        send_queue=PUBLICATIONS_QUEUED_MAX,
        receive_queue=PUBLICATIONS_QUEUED_MAX,
        frame_bytes_max=frame_bytes_max,
    )
