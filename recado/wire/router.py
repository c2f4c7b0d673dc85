"""The serving end: a ROUTER socket that serves REQ, DEALER and whoever came through a broker."""

from collections.abc import Iterable

import zmq

from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
    LARGE_REPLIES_BYTES_QUEUED_MAX,
    LARGE_REPLY_BYTES,
    LISTENER_REPLIES_QUEUED_MAX,
    LISTENER_REQUESTS_QUEUED_MAX,
    MESSAGE_FRAMES_MAX,
)
from recado.wire import frames
from recado.wire.frames import RawSocket
from recado.wire.ports import Incoming, Outgoing
from recado.wire.sockets import Socket, WireOptions, bind, open_socket


def parse(message: list[bytes]) -> Incoming:
    """Tell envelope and body of a ROUTER's message apart.

    The envelope goes up to the first empty frame after the routing id (the delimiter), the body is
    the one frame after it.  Without a delimiter the one frame after the routing id is the body.
    All else is junk: the body is None and the envelope leads back to the sender as well as it can.
    """
    if len(message) == 2:
        return Incoming((message[0],), message[1])
    too_long = len(message) > MESSAGE_FRAMES_MAX
    try:
        body_at = message.index(b"", 1) + 1
    except ValueError:
        return Incoming((message[0],), None)
    envelope = tuple(message[:body_at])
    if too_long or len(message) != body_at + 1:
        return Incoming(envelope, None)
    return Incoming(envelope, message[body_at])


class _LargeReplies:
    """The large replies that libzmq still holds, per client.

    A high-water mark counts messages: a thousand pages of history for a client that never reads
    would be a gigabyte.  So of large replies the bytes are counted too.
    """

    def __init__(self) -> None:
        self._held: dict[bytes, list[tuple[zmq.MessageTracker, int]]] = {}

    def has_room(self, client: bytes, size: int) -> bool:
        self._forget_sent(next(iter(self._held), client))  # in turn, so that the departed go too
        self._forget_sent(client)
        held = sum(size for _, size in self._held.get(client, ()))
        return held + size <= LARGE_REPLIES_BYTES_QUEUED_MAX

    def add(self, client: bytes, tracker: zmq.MessageTracker, size: int) -> None:
        self._held.setdefault(client, []).append((tracker, size))

    def _forget_sent(self, client: bytes) -> None:
        held = self._held.pop(client, [])
        if left := [(tracker, size) for tracker, size in held if not tracker.done]:
            self._held[client] = left


class Router:
    """`ports.Listener` over a ROUTER socket.

    `dropped` counts the replies whose client was gone or did not read: for one client wait at most
    `LISTENER_REPLIES_QUEUED_MAX` replies, of large ones at most `LARGE_REPLIES_BYTES_QUEUED_MAX`.
    """

    def __init__(self, context: "zmq.Context[RawSocket]", address: str, options: WireOptions) -> None:
        raw = open_socket(
            context,
            zmq.ROUTER,
            options=options,
            send_queue=LISTENER_REPLIES_QUEUED_MAX,
            receive_queue=LISTENER_REQUESTS_QUEUED_MAX,
        )
        # Refuse, rather than swallow, what is meant for a client that is gone or does not read.
        raw.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # A client with an id of its own that comes back before its old connection was given up
        # would otherwise be ignored for ever.  Ids made by libzmq cannot be taken over by name.
        raw.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._address = bind(raw, address)
        self._socket = Socket(raw)
        self._large = _LargeReplies()
        self.dropped = 0

    @property
    def address(self) -> str:
        """Where it listens, the port filled in."""
        return self._address

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Incoming]:
        """At least one request, at most `most`.  Raises `WireError` once closed."""
        return [parse(message) for message in await self._socket.receive_batch(most)]

    def send(self, replies: Iterable[Outgoing]) -> int:
        """Send without waiting; returns how many found their client still there and reading."""
        raw = self._socket.raw
        sent = 0
        for envelope, body in replies:
            if len(body) < LARGE_REPLY_BYTES:
                taken = frames.send(raw, envelope, body)
            else:
                taken = self._send_large(raw, envelope, body)
            if taken:
                sent += 1
            else:
                self.dropped += 1
        self._socket.recheck()
        return sent

    def _send_large(self, raw: RawSocket, envelope: tuple[bytes, ...], body: bytes) -> bool:
        client = envelope[0]
        if not self._large.has_room(client, len(body)):
            return False
        tracker = frames.send_tracked(raw, envelope, body)
        if tracker is not None:
            self._large.add(client, tracker, len(body))
        return tracker is not None

    def close(self) -> None:
        self._socket.close()
