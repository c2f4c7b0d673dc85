"""What libzmq tells about the connections of one socket."""

import itertools
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import zmq

from recado.wire import frames
from recado.wire.frames import RawSocket

SHAKEN: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
FAILED: Final = int(
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
ENDED: Final = int(zmq.EVENT_DISCONNECTED)
_EVENT: Final = struct.Struct("=HI")
_numbers = itertools.count(1)


class Event(NamedTuple):
    """One event; `value` is the connection's descriptor, where libzmq gives one."""

    kind: int
    value: int


class Monitor:
    """The events of a socket, of the kinds of `mask`, until closed.

    libzmq's own thread waits for room if they are not taken, so there is no limit to how many wait;
    whoever has a monitor looks at it often.
    """

    def __init__(self, context: "zmq.Context[RawSocket]", raw: RawSocket, mask: int) -> None:
        address = f"inproc://monitor-{next(_numbers)}"
        self._watched = raw
        raw.monitor(address, mask)
        self._raw = context.socket(zmq.PAIR)
        self._raw.setsockopt(zmq.LINGER, 0)
        self._raw.setsockopt(zmq.RCVHWM, 0)
        self._raw.connect(address)

    def events(self) -> Iterator[Event]:
        """What has happened since the last call."""
        while frames.readable(self._raw):
            message, _ = frames.receive(self._raw)
            if len(message[0]) == _EVENT.size:
                yield Event(*_EVENT.unpack(message[0]))

    def close(self) -> None:
        """Stop.  Before the watched socket is closed: libzmq would wait for a reader that is gone."""
        if not self._raw.closed:
            if not self._watched.closed:
                self._watched.disable_monitor()
            self._raw.close()
