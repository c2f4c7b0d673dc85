"""The forwarder between publishers and subscribers, where nobody is asked who they are."""

import itertools
import threading

import zmq

from recado.protocol.limits import TOPIC_FRAME_BYTES_MAX
from recado.wire.frames import RawSocket
from recado.wire.ports import WireError
from recado.wire.pubsub import open_pubsub
from recado.wire.sockets import WireOptions, bind

_numbers = itertools.count(1)


class Forwarder:
    """XSUB and XPUB, bound, with libzmq forwarding between them in one thread of its own.

    The thread runs no Python between its start and its end, so the fan-out costs the event loop
    nothing.  For a subscriber that does not read `PUBLICATIONS_QUEUED_MAX` messages wait, further
    ones are dropped for it alone.  Raises `WireError` if an address cannot be bound.
    """

    def __init__(
        self, context: "zmq.Context[RawSocket]", *, xsub: str, xpub: str, options: WireOptions
    ) -> None:
        incoming = open_pubsub(context, zmq.XSUB, options=options)
        xsub_address = bind(incoming, xsub)
        outgoing = open_pubsub(context, zmq.XPUB, options=options, frame_bytes_max=TOPIC_FRAME_BYTES_MAX)
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
