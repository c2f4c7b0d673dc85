"""The publishing end, the subscribing end, and the forwarder between them."""

import itertools
import threading
from collections.abc import Iterable

import zmq

from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
    PUBLICATIONS_QUEUED_MAX,
    REQUEST_FRAME_BYTES_MAX,
    TOPIC_FRAME_BYTES_MAX,
)
from recado.wire import frames
from recado.wire.frames import RawSocket
from recado.wire.ports import Publication, WireError
from recado.wire.sockets import Socket, WireOptions, bind, connect, open_socket

_numbers = itertools.count(1)


class ZeroMQPublisher:
    """`ports.Publisher` over a PUB socket.  A broker that does not read is dropped for, silently."""

    def __init__(
        self, context: "zmq.Context[RawSocket]", addresses: Iterable[str], options: WireOptions
    ) -> None:
        raw = _open(context, zmq.PUB, options=options)
        for address in dict.fromkeys(addresses):
            connect(raw, address)
        self._socket = Socket(raw)

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over without waiting.  Raises `WireError` only once closed."""
        raw = self._socket.raw
        for topic, body in publications:
            frames.send(raw, (topic,), body)

    def close(self) -> None:
        self._socket.close()


class ZeroMQSubscriber:
    """`ports.Subscriber` over a SUB socket.  `malformed` counts messages not of two frames."""

    def __init__(
        self, context: "zmq.Context[RawSocket]", addresses: Iterable[str], options: WireOptions
    ) -> None:
        raw = _open(context, zmq.SUB, options=options)
        for address in dict.fromkeys(addresses):
            connect(raw, address)
        self._socket = Socket(raw)
        self._topics: set[bytes] = set()
        self.malformed = 0

    def subscribe(self, topic: bytes) -> None:
        """Receive what begins with `topic`.  A topic counts once, however often subscribed."""
        if topic not in self._topics:
            self._socket.raw.setsockopt(zmq.SUBSCRIBE, topic)
            self._topics.add(topic)
            self._socket.recheck()

    def unsubscribe(self, topic: bytes) -> None:
        """Stop receiving `topic`, what has already arrived included; not subscribed is harmless."""
        if topic in self._topics:
            self._socket.raw.setsockopt(zmq.UNSUBSCRIBE, topic)
            self._topics.discard(topic)
            self._socket.recheck()

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Publication]:
        """At least one publication, at most `most`.  Raises `WireError` once closed."""
        while True:
            batch = await self._socket.receive_batch(most)
            publications = [Publication(*message) for message in batch if len(message) == 2]
            self.malformed += len(batch) - len(publications)
            if publications:
                return publications

    def close(self) -> None:
        self._socket.close()


def _open(
    context: "zmq.Context[RawSocket]",
    kind: int,
    *,
    options: WireOptions,
    frame_bytes_max: int = REQUEST_FRAME_BYTES_MAX,
) -> RawSocket:
    return open_socket(
        context,
        kind,
        options=options,
        send_queue=PUBLICATIONS_QUEUED_MAX,
        receive_queue=PUBLICATIONS_QUEUED_MAX,
        frame_bytes_max=frame_bytes_max,
    )


class Forwarder:
    """XSUB and XPUB, bound, with libzmq forwarding between them in one thread of its own.

    The thread runs no Python between its start and its end, so the fan-out costs the event loop
    nothing.  For a subscriber that does not read `PUBLICATIONS_QUEUED_MAX` messages wait, further
    ones are dropped for it alone.  Raises `WireError` if an address cannot be bound.
    """

    def __init__(
        self, context: "zmq.Context[RawSocket]", *, xsub: str, xpub: str, options: WireOptions
    ) -> None:
        incoming = _open(context, zmq.XSUB, options=options)
        xsub_address = bind(incoming, xsub)
        outgoing = _open(context, zmq.XPUB, options=options, frame_bytes_max=TOPIC_FRAME_BYTES_MAX)
        try:
            xpub_address = bind(outgoing, xpub)
        except WireError:
            incoming.close(linger=0)
            raise
        self.addresses = xsub_address, xpub_address
        self._control, controlled = _pair(context)
        self._raw_sockets = [incoming, outgoing, self._control, controlled]
        self._thread = threading.Thread(
            target=zmq.proxy_steerable,
            args=(incoming, outgoing, None, controlled),
            name="recado-forwarder",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop forwarding and close.  Waits for the thread, which looks at its control at every turn."""
        if self._control.closed:
            return
        self._control.send(b"TERMINATE", zmq.DONTWAIT)
        self._thread.join()
        for raw in self._raw_sockets:
            raw.close()


def _pair(context: "zmq.Context[RawSocket]") -> tuple[RawSocket, RawSocket]:
    address = f"inproc://forwarder-{next(_numbers)}"
    ends = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    for raw in ends:
        raw.setsockopt(zmq.LINGER, 0)
    ends[0].bind(address)
    ends[1].connect(address)
    return ends
