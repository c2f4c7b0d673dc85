"""Multipart messages in and out of a ZeroMQ socket, fast and slow.

pyzmq's `send_multipart` and `recv_multipart` spend most of their time turning ints into enum flags
and asking for RCVMORE.  Calling the compiled base class of `zmq.Socket` with plain ints costs 2.1 us
per three-frame send and receive instead of 5.5 (pyzmq 27.3).  That class is not documented API:
nothing outside this module touches it, `FAST` says whether it looks as expected, and the documented
calls stand ready with the same behaviour.

No call waits; all belong to the one thread of the socket.
"""

import errno
from collections.abc import Sequence
from typing import Any, Final

import zmq
import zmq.backend

from recado.protocol.limits import MESSAGE_FRAMES_MAX

RawSocket = zmq.Socket[bytes]

_DONTWAIT: Final = int(zmq.DONTWAIT)
_MORE: Final = int(zmq.SNDMORE) | _DONTWAIT
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
# The queue to the peer is full; the ROUTER knows no such peer (any more).
_REFUSALS: Final = frozenset({errno.EAGAIN, errno.EHOSTUNREACH})

_backend: Any = getattr(zmq.backend, "Socket", None)
FAST: Final = (
    isinstance(_backend, type)
    and issubclass(zmq.Socket, _backend)
    and all(callable(getattr(_backend, name, None)) for name in ("send", "recv", "get"))
    and hasattr(zmq.Frame, "more")
)
_send: Any = getattr(_backend, "send", None)
_recv: Any = getattr(_backend, "recv", None)
_get: Any = getattr(_backend, "get", None)


def receive_fast(socket: RawSocket) -> tuple[list[bytes], bool]:
    """The next message as (frames, more).  Raises `zmq.Again` if there is none.

    At most `MESSAGE_FRAMES_MAX` + 1 frames; `more` says that the message has yet more, which the
    caller must `skip` before the next message.
    """
    frames = []
    for _ in range(MESSAGE_FRAMES_MAX + 1):
        frame = _recv(socket, _DONTWAIT, False)
        frames.append(frame.bytes)
        if not frame.more:
            return frames, False
    return frames, True


def receive_identified(socket: RawSocket) -> tuple[list[bytes], bool]:
    """As `receive_fast`, with libzmq's User-Id of the sender as one frame more at the end.

    It is b"" if libzmq gives none.
    """
    frame = _receive_frame(socket)
    frames = [frame.bytes]
    more = frame.more
    while more and len(frames) <= MESSAGE_FRAMES_MAX:
        frame = _receive_frame(socket)
        frames.append(frame.bytes)
        more = frame.more
    frames.append(_user_id(frame))
    return frames, more


def receive_subscription(socket: RawSocket) -> tuple[bytes, bool, bytes]:
    """The next frame at an XPUB: (frame, whether another one follows, User-Id of its sender).

    Raises `zmq.Again` if there is none.
    """
    frame = _receive_frame(socket)
    return frame.bytes, frame.more, _user_id(frame)


def _receive_frame(socket: RawSocket) -> Any:
    if FAST:
        return _recv(socket, _DONTWAIT, False)
    return socket.recv(zmq.DONTWAIT, copy=False)


def _user_id(frame: Any) -> bytes:
    try:
        user_id: str = frame.get("User-Id")
    except zmq.ZMQError:  # EINVAL: libzmq made this message itself, or nobody was asked who it is
        return b""
    return user_id.encode()


def receive_documented(socket: RawSocket) -> tuple[list[bytes], bool]:
    """As `receive_fast`, through the documented API."""
    frames = []
    for _ in range(MESSAGE_FRAMES_MAX + 1):
        frames.append(socket.recv(zmq.DONTWAIT))
        if not socket.getsockopt(zmq.RCVMORE):
            return frames, False
    return frames, True


def skip(socket: RawSocket, most: int) -> bool:
    """Throw away up to `most` frames of a message begun; True when its last one is gone."""
    for _ in range(most):
        try:
            socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return True
        if not socket.getsockopt(zmq.RCVMORE):
            return True
    return False


def send_fast(socket: RawSocket, head: Sequence[bytes], body: bytes) -> bool:
    """Send one message of the frames `head` and `body`; False if the socket does not take it."""
    sent = 0
    try:
        for frame in head:
            _send(socket, frame, _MORE, True, False)
            sent += 1
        _send(socket, body, _DONTWAIT, True, False)
    except (zmq.ZMQError, TypeError) as error:
        _after_refusal(socket, [*head, body], sent=sent, error=error)
        return False
    return True


def send_documented(socket: RawSocket, head: Sequence[bytes], body: bytes) -> bool:
    """As `send_fast`, through the documented API."""
    sent = 0
    try:
        for frame in head:
            socket.send(frame, zmq.SNDMORE | zmq.DONTWAIT)
            sent += 1
        socket.send(body, zmq.DONTWAIT)
    except (zmq.ZMQError, TypeError) as error:
        _after_refusal(socket, [*head, body], sent=sent, error=error)
        return False
    return True


def send_tracked(socket: RawSocket, head: Sequence[bytes], body: bytes) -> zmq.MessageTracker | None:
    """As `send`, without copying the body; the tracker tells when libzmq has let go of it.

    None if the socket does not take the message.  Pays for itself from about 64 KiB on: pyzmq then
    has a thread of its own that hears what libzmq frees.
    """
    sent = 0
    try:
        for frame in head:
            socket.send(frame, zmq.SNDMORE | zmq.DONTWAIT)
            sent += 1
        return socket.send(body, zmq.DONTWAIT, copy=False, track=True)
    except (zmq.ZMQError, TypeError) as error:
        _after_refusal(socket, [*head, body], sent=sent, error=error)
        return None


def _after_refusal(socket: RawSocket, frames: list[bytes], *, sent: int, error: Exception) -> None:
    """Leave the socket between two messages after frame number `sent` was not taken.

    A connection that ends inside a multipart message makes libzmq swallow frames up to the last
    one of that message; were the rest not sent, it would swallow the next message instead.  A frame
    that is no bytes is a caller's mistake (raised again), but may not make two replies one.
    """
    if not isinstance(error, zmq.ZMQError):
        if sent:
            socket.send(b"", zmq.DONTWAIT)
        raise error
    if error.errno not in _REFUSALS:
        raise error
    if sent == 0:
        return
    for number in range(sent + 1, len(frames)):
        last = number == len(frames) - 1
        try:
            socket.send(frames[number], zmq.DONTWAIT if last else zmq.SNDMORE | zmq.DONTWAIT)
        except zmq.Again:
            return


def readable_fast(socket: RawSocket) -> bool:
    """Whether a message can be received now.  Asking also consumes the edge of the socket's FD."""
    return bool(_get(socket, _EVENTS) & _POLLIN)


def readable_documented(socket: RawSocket) -> bool:
    """As `readable_fast`, through the documented API."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


receive = receive_fast if FAST else receive_documented
send = send_fast if FAST else send_documented
readable = readable_fast if FAST else readable_documented
