"""The forwarder that asks who may hear what: XSUB and XPUB and a forwarding loop of our own.

The XPUB is in manual mode: libzmq passes each wish to subscribe on with the User-Id of its connection,
and enters it only when told, by an option set right after the frame was received, before any other.

**The queue that slips.**  libzmq 4.3.5 keeps the frames from subscribers in one queue and the connections
they came from in another, and a frame that is no subscription (a client may send any bytes upstream) is
in the first only.  From then on each wish is entered for the connection of the *next* one: whoever sends
junk and a wish of his own at the right moment is given another's topic.  Both queues are empty together,
so after junk nothing is granted until the socket is read empty.  If wishes were lost by that, nobody
knows of which connection: the XPUB is closed and bound anew, all subscribers come back and ask again,
except the sender of the junk, who is not let in for a while.

Publications are taken from servers only: the ZAP handler lets nobody else at the XSUB, which is
subscribed to everything, so that what subscribers do never reaches a server.
"""

import time
from collections import OrderedDict
from typing import Final

import anyio
import zmq

from recado.protocol.limits import (
    CONNECTIONS_REMEMBERED_MAX,
    DRAIN_MESSAGES_MAX,
    MISALIGNED_FRAMES_MAX,
    SUBSCRIPTIONS_PER_CONNECTION_MAX,
    TOPIC_FRAME_BYTES_MAX,
)
from recado.wire import frames
from recado.wire.allowances import Allowances
from recado.wire.frames import RawSocket
from recado.wire.guard import Guard, guarded_bind
from recado.wire.ports import OPEN, Grant, WireError
from recado.wire.pubsub import open_pubsub
from recado.wire.security import HandshakeLimits, Refusals, decode_user_id
from recado.wire.sockets import Socket, WireOptions

_SUBSCRIBE: Final = 1
_UNSUBSCRIBE: Final = 0
_REBIND_TRIES: Final = 400
_REBIND_SECONDS: Final = 0.005


class Subscriptions:
    """What each connection has been granted, by its User-Id; the longest silent are forgotten first."""

    def __init__(self) -> None:
        self._topics: OrderedDict[bytes, set[int]] = OrderedDict()

    def add(self, connection: bytes, topic: bytes) -> bool:
        """Note a subscription; False if the connection has as many as it may."""
        topics = self._topics.setdefault(connection, set())
        self._topics.move_to_end(connection)
        if len(self._topics) > CONNECTIONS_REMEMBERED_MAX:
            self._topics.popitem(last=False)
        if len(topics) >= SUBSCRIPTIONS_PER_CONNECTION_MAX and hash(topic) not in topics:
            return False
        topics.add(hash(topic))
        return True

    def remove(self, connection: bytes, topic: bytes) -> None:
        """Note that it was given up."""
        if (topics := self._topics.get(connection)) is not None:
            topics.discard(hash(topic))


class GrantingForwarder:
    """XSUB and XPUB, bound; `run` forwards.  `guards` are those of the two, None in open networks.

    For a subscriber that does not read `PUBLICATIONS_QUEUED_MAX` messages wait, further ones are dropped
    for it alone.  Raises `WireError` if an address cannot be bound.
    """

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        *,
        xsub: str,
        xpub: str,
        grant: Grant,
        options: WireOptions,
        guards: tuple[Guard | None, Guard | None] = (None, None),
    ) -> None:
        self._context = context
        self._grant = grant
        self._options = options
        self._guard = guards[1]
        self._refusals = Refusals() if self._guard is None else self._guard.security.refusals
        self._subscriptions = Subscriptions()
        self._allowances = Allowances()
        self._closed = False
        self._starting_over = False
        incoming = open_pubsub(context, zmq.XSUB, options=options)
        xsub_address = guarded_bind(incoming, xsub, guard=guards[0])
        try:
            self._outgoing, xpub_address = self._open_outgoing(xpub)
        except WireError:
            incoming.close(linger=0)
            raise
        incoming.send(b"\1")
        self._incoming = Socket(incoming)
        self.addresses = xsub_address, xpub_address

    def _open_outgoing(self, address: str) -> tuple[Socket, str]:
        raw = open_pubsub(
            self._context, zmq.XPUB, options=self._options, frame_bytes_max=TOPIC_FRAME_BYTES_MAX
        )
        raw.setsockopt(zmq.XPUB_MANUAL, 1)
        bound = guarded_bind(raw, address, guard=self._guard)
        if self._guard is not None:
            self._guard.watch(raw)
        return Socket(raw), bound

    async def run(self) -> None:
        """Forward for ever.  Raises `WireError` if the XPUB cannot be bound again."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._forward)
            await self._serve_subscribers()

    async def _forward(self) -> None:
        while True:
            batch = await self._incoming.receive_batch(DRAIN_MESSAGES_MAX)
            if self._starting_over:
                continue  # publications are hints: subscribers ask for what they missed
            outgoing = self._outgoing.raw
            for message in batch:
                if len(message) == 2:
                    frames.send(outgoing, (message[0],), message[1])
                else:
                    self._refusals.junk += 1
            self._outgoing.recheck()

    async def _serve_subscribers(self) -> None:
        while True:
            await self._outgoing.wait_readable()
            if spoilers := self._answer_subscribers():
                await self._start_over(spoilers)

    def _answer_subscribers(self) -> set[bytes]:
        """Read the socket empty; gives the keys whose junk lost others their subscriptions."""
        raw = self._outgoing.raw
        spoilers: set[bytes] = set()
        lost = misaligned = 0
        while misaligned < MISALIGNED_FRAMES_MAX:
            try:
                frame, more, connection = frames.receive_subscription(raw)
            except zmq.Again:
                break
            kind = frame[0] if frame else None
            if kind not in (_SUBSCRIBE, _UNSUBSCRIBE) or more:
                self._refusals.junk += 1
                spoilers.add(decode_user_id(connection).key)
                misaligned += 1
            elif misaligned:
                misaligned += 1
                lost += kind == _SUBSCRIBE or bool(connection)
            elif kind == _SUBSCRIBE:
                self._subscribe(raw, connection, frame[1:])
            else:
                raw.setsockopt(zmq.UNSUBSCRIBE, frame[1:])
                self._subscriptions.remove(connection, frame[1:])
        return spoilers if lost or misaligned >= MISALIGNED_FRAMES_MAX else set()

    def _subscribe(self, raw: RawSocket, connection: bytes, topic: bytes) -> None:
        """Enter a subscription if it may be: for the connection of the frame received last."""
        if self._guard is None:
            principal, limits = OPEN, _GENEROUS
        elif connection:
            principal, limits = decode_user_id(connection), self._guard.authenticator.limits
        else:
            return  # its connection has ended
        if not self._allowances.take(
            principal.key or connection,
            time.monotonic(),
            rate=limits.subscriptions_per_second,
            burst=limits.subscriptions_burst,
        ):
            self._refusals.subscriptions_too_many += 1
        elif not self._grant(principal, topic):
            self._refusals.subscriptions += 1
        elif connection and not self._subscriptions.add(connection, topic):
            self._refusals.subscriptions_too_many += 1
        else:
            raw.setsockopt(zmq.SUBSCRIBE, topic)

    async def _start_over(self, spoilers: set[bytes]) -> None:
        """Close the XPUB and bind it again, without those who spoilt it."""
        self._refusals.rebuilds += 1
        if self._guard is not None:
            for key in spoilers - {b""}:
                self._guard.authenticator.ban(key)
        self._starting_over = True
        self._close_outgoing()
        for attempt in range(_REBIND_TRIES):
            try:
                self._outgoing, _ = self._open_outgoing(self.addresses[1])
                self._starting_over = False
                return
            except WireError:
                if self._closed or attempt == _REBIND_TRIES - 1:
                    raise
            await anyio.sleep(_REBIND_SECONDS)  # libzmq closes in the background

    def _close_outgoing(self) -> None:
        if self._guard is not None:
            self._guard.forget(self._outgoing.watched)
        self._outgoing.close()

    def close(self) -> None:
        """Stop and close."""
        if not self._closed:
            self._closed = True
            self._close_outgoing()
            self._incoming.close()


_GENEROUS: Final = HandshakeLimits(subscriptions_per_second=1e9, subscriptions_burst=1e9)
