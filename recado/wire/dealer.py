"""The asking end: a DEALER socket on which many requests are out at once.

A request is ``[correlation, b"", body]``: eight bytes that no two requests of one asker share, the
delimiter, the body.  A ROUTER gives the frames before the body back, so the reply finds its request
however late it comes and whatever became of the others.

Nobody reads in the background.  Of the tasks that wait for a reply one reads for all; when it
leaves, with its reply or cancelled, it wakes another that takes over.  So an asker owns no task,
the `with` block that holds it raises its own exceptions bare instead of in a group, and a lone
request costs no switch between tasks.  The invariant: while requests are out, either one task
reads or one that will read has been woken.  What arrives while nobody asks is read, and dropped,
by the next one who does.
"""

import itertools

import anyio
import zmq

from recado.protocol.limits import (
    ASKS_OUT_MAX,
    DRAIN_MESSAGES_MAX,
    LISTENER_REPLIES_QUEUED_MAX,
)
from recado.wire import frames
from recado.wire.frames import RawSocket
from recado.wire.ports import WireError
from recado.wire.sockets import Socket, WireOptions, connect, open_socket

CORRELATION_BYTES = 8


class _Waiter:
    """One request that is out."""

    __slots__ = ("reply", "wake")

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.wake: anyio.Event | None = None  # there while its task sleeps


class Dealer:
    """`ports.Asker` over a DEALER socket.

    `late` counts the replies that nobody waited for any more (or that answered nothing of ours).
    """

    def __init__(self, context: "zmq.Context[RawSocket]", address: str, options: WireOptions) -> None:
        raw = open_socket(
            context,
            zmq.DEALER,
            options=options,
            send_queue=ASKS_OUT_MAX,
            receive_queue=LISTENER_REPLIES_QUEUED_MAX,
        )
        connect(raw, address)
        self._address = address
        self._socket = Socket(raw)
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, _Waiter] = {}
        self._reading = False
        self.late = 0

    @property
    def address(self) -> str:
        return self._address

    async def ask(self, body: bytes) -> bytes:
        """Send and wait for the reply to this very request; the deadline is the caller's.

        Raises `WireError` if `ASKS_OUT_MAX` requests are out or queued already, or once closed.
        """
        raw = self._socket.raw
        if len(self._waiting) >= ASKS_OUT_MAX:
            raise WireError(f"{ASKS_OUT_MAX} requests to {self._address} are without a reply")
        correlation = next(self._numbers).to_bytes(CORRELATION_BYTES, "big")
        if not frames.send(raw, (correlation, b""), body):
            raise WireError(f"the queue to {self._address} is full")
        self._socket.recheck()
        waiter = self._waiting[correlation] = _Waiter()
        try:
            while waiter.reply is None:
                if self._reading:
                    await self._sleep(waiter)
                else:
                    await self._read()
        finally:
            self._waiting.pop(correlation, None)
            if not self._reading:
                self._wake_another()
        return waiter.reply

    async def _sleep(self, waiter: _Waiter) -> None:
        waiter.wake = anyio.Event()
        try:
            await waiter.wake.wait()
        finally:
            waiter.wake = None

    async def _read(self) -> None:
        """Read one batch for all who wait."""
        self._reading = True
        try:
            batch = await self._socket.receive_batch(DRAIN_MESSAGES_MAX)
        finally:
            self._reading = False
        for message in batch:
            self._deliver(message)

    def _deliver(self, message: list[bytes]) -> None:
        waiter = None
        if len(message) == 3 and not message[1]:
            waiter = self._waiting.pop(message[0], None)
        if waiter is None:
            self.late += 1
            return
        waiter.reply = message[2]
        if waiter.wake is not None:
            waiter.wake.set()

    def _wake_another(self) -> None:
        """Make one more task read, the longest-waiting one: its reply is likely the next."""
        for waiter in self._waiting.values():
            if waiter.wake is not None:
                waiter.wake.set()
                return

    def close(self) -> None:
        """Close; whoever still waits gets `WireError`."""
        self._socket.close()
        for waiter in self._waiting.values():
            if waiter.wake is not None:
                waiter.wake.set()
