"""The serving end: a ROUTER socket that serves REQ, DEALER and whoever came through a broker."""

from collections.abc import Iterable

import zmq

from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
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


class Router:
    """`ports.Listener` over a ROUTER socket.

    `dropped` counts the replies whose client was gone or did not read: at most
    `LISTENER_REPLIES_QUEUED_MAX` wait for one client.
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
            if frames.send(raw, envelope, body):
                sent += 1
            else:
                self.dropped += 1
        self._socket.recheck()
        return sent

    def close(self) -> None:
        self._socket.close()
