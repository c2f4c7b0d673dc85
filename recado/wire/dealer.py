"""The asking end: a DEALER socket on which many requests are out at once.

A request is ``[correlation, b"", body]``: eight bytes that no two requests of one asker share, the
delimiter, the body.  A ROUTER gives the frames before the body back, so the reply finds its request
however late it comes and whatever became of the others.  With a listener of ours all that is one frame
(`recado.wire.short_form`), after the first reply.

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
from recado.wire import frames, short_form
from recado.wire.frames import RawSocket
from recado.wire.lines import REDIAL_SECONDS, Line
from recado.wire.ports import WireError
from recado.wire.security import Security
from recado.wire.sockets import Socket, WireOptions, connect, open_socket


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

    def __init__(
        self,
        context: "zmq.Context[RawSocket]",
        address: str,
        options: WireOptions,
        security: Security | None = None,
    ) -> None:
        raw = open_socket(
            context,
            zmq.DEALER,
            options=options,
            send_queue=ASKS_OUT_MAX,
            receive_queue=LISTENER_REPLIES_QUEUED_MAX,
        )
        if security is None:
            connect(raw, address)
            self._line = None
        else:
            self._line = Line(context, raw, address, security)
        self._address = address
        self._socket = Socket(raw)
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, _Waiter] = {}
        self._unsent: dict[bytes, bytes] = {}  # bodies of requests that found no connection
        self._reading = False
        self._short = False  # the other end understands the short form
        self.late = 0

    @property
    def address(self) -> str:
        return self._address

    async def ask(self, body: bytes) -> bytes:
        """Send and wait for the reply to this very request; the deadline is the caller's.

        Raises `WireError` if `ASKS_OUT_MAX` requests are out or queued already, or once closed.
        """
        if self._line is not None:
            self._look_after(self._line)
        if len(self._waiting) >= ASKS_OUT_MAX:
            raise WireError(f"{ASKS_OUT_MAX} requests to {self._address} are without a reply")
        correlation = short_form.numbered(next(self._numbers))
        if not self._send(correlation, body):
            if self._line is not None and not self._line.has_key:
                raise WireError(f"no key is known for {self._address}")
            raise WireError(f"the queue to {self._address} is full")
        self._socket.recheck()
        waiter = self._waiting[correlation] = _Waiter()
        if self._line is not None and not self._line.up:
            self._unsent[correlation] = body
        try:
            while waiter.reply is None:
                if self._reading:
                    await self._sleep(waiter)
                else:
                    await self._read()
        finally:
            self._waiting.pop(correlation, None)
            self._unsent.pop(correlation, None)
            if not self._reading:
                self._wake_another()
        return waiter.reply

    def _send(self, correlation: bytes, body: bytes) -> bool:
        if self._short:
            return frames.send(self._socket.raw, (), short_form.MARK + correlation + body)
        return frames.send(self._socket.raw, (short_form.OFFER + correlation, b""), body)

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
            batch = await self._receive()
        finally:
            self._reading = False
        for message in batch:
            self._deliver(message)

    async def _receive(self) -> list[list[bytes]]:
        """A batch; none now and then while the connection has to be looked after."""
        if self._line is None or self._line.up:
            return await self._socket.receive_batch(DRAIN_MESSAGES_MAX)
        with anyio.move_on_after(REDIAL_SECONDS):
            return await self._socket.receive_batch(DRAIN_MESSAGES_MAX)
        self._look_after(self._line)
        return []

    def _look_after(self, line: Line) -> None:
        """Dial anew if that is called for, and send what never left: its connection was never made."""
        if line.keep():
            for correlation, body in self._unsent.items():
                self._send(correlation, body)
        if line.up:
            self._unsent.clear()

    def _deliver(self, message: list[bytes]) -> None:
        correlation, reply = self._told_apart(message)
        waiter = self._waiting.pop(correlation, None)
        if waiter is None:
            self.late += 1
            return
        waiter.reply = reply
        if waiter.wake is not None:
            waiter.wake.set()

    def _told_apart(self, message: list[bytes]) -> tuple[bytes, bytes]:
        """Number and body of a reply, b"" and b"" if it is none.

        Its form tells what the other end knows.
        """
        if len(message) == 1:
            short = short_form.split(message[0])
            self._short = short is not None
            return (short[0][len(short_form.MARK) :], short[1]) if short else (b"", b"")
        if len(message) == 3 and not message[1]:
            self._short = message[0].startswith(short_form.TAKEN)
            return message[0][-short_form.NUMBER_BYTES :], message[2]
        return b"", b""

    def _wake_another(self) -> None:
        """Make one more task read, the longest-waiting one: its reply is likely the next."""
        for waiter in self._waiting.values():
            if waiter.wake is not None:
                waiter.wake.set()
                return

    def keep(self) -> None:
        """Look after a secured connection; `ask` does so too."""
        if self._line is not None:
            self._look_after(self._line)

    def close(self) -> None:
        """Close; whoever still waits gets `WireError`."""
        if self._line is not None:
            self._line.close()
        self._socket.close()
        for waiter in self._waiting.values():
            if waiter.wake is not None:
                waiter.wake.set()
