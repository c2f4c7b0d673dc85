"""One ZeroMQ socket as async operations.  The edge-trigger care lives here and nowhere else.

ZeroMQ gives one file descriptor per socket that becomes readable when *something* changed, once:

- readable does not mean that a message is there, and a message may be there without it: EVENTS is
  looked at before parking and after each wake;
- any operation on the socket, by any task, may consume the signal that a parked reader waits for:
  whoever sends calls `Socket.recheck` afterwards, which wakes the reader if a message came in;
- the reader parks in a cancel scope of its own, so that it can be woken without the descriptor.

Writability is never waited for: queues are bounded and refuse.
"""

import errno
import os
import socket as unix
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import zmq

from recado.protocol.limits import FRAMES_SKIPPED_PER_TURN, PEER_FRAME_BYTES_MAX
from recado.wire import frames
from recado.wire.addresses import Address, to_connect, to_listen
from recado.wire.frames import RawSocket
from recado.wire.ports import WireError

CLOSED = "this end is closed"
# Ends that stop reading while their queue is full.  Were one to send heartbeats, and its connection to break
# meanwhile, libzmq 4.3.5 would end the process: the timer writes to a connection known to be broken
# (assertion `!_io_error` in stream_engine_base.cpp).  The other end of each sends some, with a time to live.
_HELD_BACK = frozenset({zmq.SUB, zmq.XSUB, zmq.ROUTER})


@dataclass(frozen=True, kw_only=True)
class WireOptions:
    """What an operator may tune about connections.

    Heartbeats are answered by ZeroMQ's own thread however busy the program is; a
    connection silent for `heartbeat_timeout_seconds` is given up and dialled anew.  `linger_seconds`
    is how long leaving the network may wait for what is still queued.  With `ipv6` host names and
    ``*`` mean IPv6 too; addresses in brackets always do.  `passed`: descriptors of sockets that listen
    already, by the address that they stand for (`recado.wire.activation`).
    """

    linger_seconds: float = 0.5
    heartbeat_interval_seconds: float = 1.0
    heartbeat_timeout_seconds: float = 3.0
    connect_timeout_seconds: float = 1.0
    handshake_timeout_seconds: float = 5.0
    reconnect_seconds_min: float = 0.1
    reconnect_seconds_max: float = 1.0
    connections_backlog: int = 1024
    ipv6: bool = False
    passed: Mapping[str, int] = field(default_factory=dict)


class Socket:
    """One ZeroMQ socket of one event loop; one task at a time may wait for it."""

    def __init__(
        self,
        raw: RawSocket,
        receive: Callable[[RawSocket], tuple[list[bytes], bool]] = frames.receive,
    ) -> None:
        self._raw = raw
        self._receive_message = receive
        self._fd = int(raw.getsockopt(zmq.FD))
        self._parked: anyio.CancelScope | None = None
        self._waiting = False
        self._skipping = False
        self._closed = False

    @property
    def raw(self) -> RawSocket:
        """The pyzmq socket, for options; call `recheck` after using it.  Raises `WireError` if closed."""
        if self._closed:
            raise WireError(CLOSED)
        return self._raw

    @property
    def watched(self) -> RawSocket:
        """The pyzmq socket, closed or not: to be recognised, not to be used."""
        return self._raw

    async def wait_readable(self) -> None:
        """Return when a message can be received; a checkpoint in any case.

        Raises `WireError` when the socket is or becomes closed, or if another task waits already.
        """
        raw = self.raw
        if self._waiting:
            raise WireError("another task is already receiving here")
        if frames.readable(raw):
            await anyio.lowlevel.checkpoint()
            return
        self._waiting = True
        try:
            while not frames.readable(self.raw):
                await self._park()
        finally:
            self._waiting = False

    async def _park(self) -> None:
        try:
            with anyio.CancelScope() as self._parked:
                await anyio.wait_readable(self._fd)
        except anyio.ClosedResourceError:
            raise WireError(CLOSED) from None
        finally:
            self._parked = None

    def recheck(self) -> None:
        """Wake the parked reader if a message is there: its signal may have been consumed."""
        if self._parked is not None and frames.readable(self._raw):
            self._parked.cancel()

    def receive(self, most: int) -> list[list[bytes]]:
        """Up to `most` messages that are there now, perhaps none.

        A message of more than `MESSAGE_FRAMES_MAX` frames comes cut to one frame more than that.
        """
        raw = self.raw
        batch: list[list[bytes]] = []
        while len(batch) < most:
            if self._skipping:
                self._skipping = not frames.skip(raw, FRAMES_SKIPPED_PER_TURN)
                if self._skipping:
                    break
            try:
                message, self._skipping = self._receive_message(raw)
            except zmq.Again:
                break
            batch.append(message)
        return batch

    async def receive_batch(self, most: int) -> list[list[bytes]]:
        """At least one message, at most `most`.  Taken without a checkpoint after, so never lost."""
        while True:
            await self.wait_readable()
            if batch := self.receive(most):
                return batch

    def close(self) -> None:
        """Close; a waiting reader gets `WireError`.  Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        anyio.notify_closing(self._fd)
        self._raw.close()


def open_socket(
    context: "zmq.Context[RawSocket]",
    kind: int,
    *,
    options: WireOptions,
    send_queue: int,
    receive_queue: int,
    frame_bytes_max: int = PEER_FRAME_BYTES_MAX,
) -> RawSocket:
    """A ZeroMQ socket with the house's options: bounded queues and frames, heartbeats, back-off."""
    raw = context.socket(kind)
    raw.setsockopt(zmq.LINGER, _ms(options.linger_seconds))
    raw.setsockopt(zmq.SNDHWM, send_queue)
    raw.setsockopt(zmq.RCVHWM, receive_queue)
    raw.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
    if kind in _HELD_BACK:
        _keep_alive(raw, options)
    else:
        raw.setsockopt(zmq.HEARTBEAT_IVL, _ms(options.heartbeat_interval_seconds))
        raw.setsockopt(zmq.HEARTBEAT_TIMEOUT, _ms(options.heartbeat_timeout_seconds))
        # The peer drops the connection too, even if it sends no heartbeats of its own.
        raw.setsockopt(zmq.HEARTBEAT_TTL, _ms(options.heartbeat_timeout_seconds))
    raw.setsockopt(zmq.HANDSHAKE_IVL, _ms(options.handshake_timeout_seconds))
    # Without it one lost SYN hangs in the kernel's back-off, longer than the outage.
    raw.setsockopt(zmq.CONNECT_TIMEOUT, _ms(options.connect_timeout_seconds))
    raw.setsockopt(zmq.RECONNECT_IVL, _ms(options.reconnect_seconds_min))
    raw.setsockopt(zmq.RECONNECT_IVL_MAX, _ms(options.reconnect_seconds_max))
    raw.setsockopt(zmq.BACKLOG, options.connections_backlog)
    raw.setsockopt(zmq.IPV6, int(options.ipv6))
    return raw


def _keep_alive(raw: RawSocket, options: WireOptions) -> None:
    """Let the kernel find out that a host has vanished that sends no heartbeats."""
    raw.setsockopt(zmq.TCP_KEEPALIVE, 1)
    raw.setsockopt(zmq.TCP_KEEPALIVE_IDLE, max(1, round(options.heartbeat_timeout_seconds)))
    raw.setsockopt(zmq.TCP_KEEPALIVE_INTVL, max(1, round(options.heartbeat_interval_seconds)))
    raw.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def bind(raw: RawSocket, address: str, *, passed: int | None = None) -> str:
    """Bind and return the address with the port filled in.  Raises `WireError` and closes `raw`.

    `passed`: a descriptor that listens there already; it belongs to `raw` from now on.
    """
    try:
        _prepare(raw, parts := to_listen(address))
        if parts.transport == "ipc" and _ipc_in_use(parts.host):
            raise WireError(f"cannot listen at {address}: address already in use")
        if passed is not None:
            raw.setsockopt(zmq.USE_FD, passed)
        raw.bind(address)
        raw.setsockopt(zmq.USE_FD, -1)  # or the next bind would take it again, and libzmq aborts
    except zmq.ZMQError as error:
        raw.close(linger=0)
        raise WireError(f"cannot listen at {address}: {_reason(error)}") from error
    except WireError:
        raw.close(linger=0)
        raise
    return raw.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]


def connect(raw: RawSocket, address: str) -> None:
    """Connect in the background.  Raises `WireError` for an address that can never work; closes `raw`."""
    try:
        _prepare(raw, to_connect(address))
        raw.connect(address)
    except zmq.ZMQError as error:
        raw.close(linger=0)
        raise WireError(f"cannot connect to {address}: {_reason(error)}") from error
    except WireError:
        raw.close(linger=0)
        raise


def _prepare(raw: RawSocket, parts: Address) -> None:
    if parts.transport == "tcp" and parts.host.startswith("["):
        raw.setsockopt(zmq.IPV6, 1)


def _reason(error: zmq.ZMQError) -> str:
    if error.errno == errno.EINVAL:
        return "not a usable address"
    if error.errno == errno.ENODEV:
        return "no such address on this host"
    return os.strerror(error.errno or 0).lower()


def _ipc_in_use(path: str) -> bool:
    """Whether somebody listens there: libzmq itself would take the path away from a live listener."""
    if path == "*" or path.startswith("@"):
        return False
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True  # a listener with a full backlog
        except OSError:
            return False
    return True
