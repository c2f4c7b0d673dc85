"""The serving end: a ROUTER socket that serves REQ, DEALER and whoever came through a broker."""

import os
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
from recado.wire import frames, short_form
from recado.wire.activation import descriptor_for
from recado.wire.frames import RawSocket
from recado.wire.guard import Guard, guarded_bind
from recado.wire.ports import OPEN, Incoming, Outgoing, Principal
from recado.wire.security import decode_user_id
from recado.wire.sockets import Socket, WireOptions, open_socket


def parse(message: list[bytes], principal: Principal = OPEN) -> Incoming:
    """Tell envelope and body of a ROUTER's message apart.

    The envelope goes up to the first empty frame after the routing id (the delimiter), the body is
    the one frame after it.  Without a delimiter the one frame after the routing id is the body, or head and
    body in the short form (`recado.wire.short_form`).
    All else is junk: the body is None and the envelope leads back to the sender as well as it can.
    """
    if len(message) == 2:
        short = short_form.split(message[1])
        if short is not None:
            return Incoming((message[0], short[0]), short[1], principal)
        return Incoming((message[0],), message[1], principal)
    too_long = len(message) > MESSAGE_FRAMES_MAX
    try:
        body_at = message.index(b"", 1) + 1
    except ValueError:
        return Incoming((message[0],), None, principal)
    if body_at == 3:
        message[1] = short_form.answering(message[1])
    envelope = tuple(message[:body_at])
    if too_long or len(message) != body_at + 1:
        return Incoming(envelope, None, principal)
    return Incoming(envelope, message[body_at], principal)


def _let_everybody_knock(local: str) -> None:
    """Connecting needs the right to write, whatever the umask: its directory and the guard say who may."""
    path = local.removeprefix("ipc://")
    if not path.startswith("@"):
        os.chmod(path, 0o666)


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

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        address: str,
        options: WireOptions,
        *,
        local: str = "",
        guard: Guard | None = None,
    ) -> None:
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
        # Secured, where clients do not trust each other, nobody's replies may be taken over at all.
        raw.setsockopt(zmq.ROUTER_HANDOVER, int(guard is None))
        self._guard = guard
        passed = descriptor_for(address, options.passed)
        self._address = guarded_bind(raw, address, guard=guard, passed=passed)
        if local:
            _let_everybody_knock(guarded_bind(raw, local, guard=guard))
        if guard is None:
            self._socket = Socket(raw)
        else:
            self._socket = Socket(raw, frames.receive_identified)
            guard.watch(raw)
        self._large = _LargeReplies()
        self.dropped = 0

    @property
    def address(self) -> str:
        """Where it listens, the port filled in."""
        return self._address

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Incoming]:
        """At least one request, at most `most`.  Raises `WireError` once closed."""
        batch = await self._socket.receive_batch(most)
        if self._guard is None:
            return [parse(message) for message in batch]
        return [parse(message, decode_user_id(message.pop())) for message in batch]

    def send(self, replies: Iterable[Outgoing]) -> int:
        """Send without waiting; returns how many found their client still there and reading."""
        raw = self._socket.raw
        sent = 0
        for envelope, body in replies:
            head, frame = envelope, body
            if len(envelope) == 2 and envelope[1]:  # the short form
                head, frame = envelope[:1], envelope[1] + body
            if len(frame) < LARGE_REPLY_BYTES:
                taken = frames.send(raw, head, frame)
            else:
                taken = self._send_large(raw, head, frame)
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
        if self._guard is not None:
            self._guard.forget(self._socket.watched)
        self._socket.close()
