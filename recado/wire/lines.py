"""One connecting socket of a secured network and the key it expects at the other end.

While the key of a server is being changed (rotation) two are valid, and libzmq takes one per
connection.  A handshake with the wrong one fails; then the next is tried.  The keys are looked up anew
each time, so that a new roster counts without opening anything again.
"""

import time
from typing import Final

import zmq

from recado.wire.addresses import to_connect
from recado.wire.frames import RawSocket
from recado.wire.monitor import FAILED, SHAKEN, Monitor
from recado.wire.ports import WireError
from recado.wire.security import Security, prepare_to_dial
from recado.wire.sockets import connect

REDIAL_SECONDS: Final = 0.25  # at least between two dials, and at most until a failure is noticed


class Line:
    """Connects `raw` to `address` and dials again with the next key when a handshake fails.

    Raises `WireError`, and closes `raw`, for an address that can never work.
    """

    def __init__(
        self, context: "zmq.Context[RawSocket]", raw: RawSocket, address: str, security: Security
    ) -> None:
        self._raw = raw
        self._address = address
        self._security = security
        self._key: bytes | None = None
        self._monitor: Monitor | None = None
        self._dialled_at = float("-inf")
        self._failed = True
        self.up = False
        if address.startswith("ipc://"):
            connect(raw, address)
            self.up = True  # nothing to choose from
            return
        try:
            to_connect(address)
        except WireError:
            raw.close(linger=0)
            raise
        self._monitor = Monitor(context, raw, SHAKEN | FAILED)
        try:
            self.keep()
        except WireError:
            self._monitor.close()
            raise

    @property
    def has_key(self) -> bool:
        """Whether anybody is dialled at all."""
        return self._monitor is None or self._key is not None

    def keep(self) -> bool:
        """Look after the connection; True if it was dialled anew, so that what was queued is gone."""
        if self._monitor is None:
            return False
        for event in self._monitor.events():
            self.up = event.kind == SHAKEN
            self._failed = not self.up
        if not self._failed or time.monotonic() < self._dialled_at + REDIAL_SECONDS:
            return False
        return self._dial()

    def _dial(self) -> bool:
        keys = list(self._security.keys_of(self._address))
        self._dialled_at = time.monotonic()
        if not keys:
            return False
        place = keys.index(self._key) + 1 if self._key in keys else 0
        key = keys[place % len(keys)]
        self._failed = False
        if key == self._key:
            return False
        if self._key is not None:
            self._raw.disconnect(self._address)
        prepare_to_dial(self._raw, self._security, key)
        connect(self._raw, self._address)
        self._key = key
        return True

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
