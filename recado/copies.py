"""How many durable copies there are of what was written, as answers and beacons tell (3d)."""

from collections.abc import Mapping
from typing import Any

from recado.protocol.limits import DURABLE_ORIGINS_MAX
from recado.protocol.messages import Level
from recado.protocol.publications import seqs
from recado.protocol.vector import Vector
from recado.values import Receipt


class KnownCopies:
    """The majority-durable and all-durable vectors, of the origins that beacons named last."""

    def __init__(self) -> None:
        self._majority: Vector = {}
        self._everywhere: Vector = {}

    def heard(self, beacon: Mapping[str, Any]) -> None:
        """A beacon's body, from the wire."""
        _keep(self._majority, seqs(beacon.get("majority")))
        _keep(self._everywhere, seqs(beacon.get("all")))

    def level(self, receipt: Receipt) -> Level:
        """The level that is known to be reached by now; it never falls."""
        acks, of, key = receipt.acks, receipt.of, receipt.key
        if (of is not None and acks >= of > 1) or (key and self._everywhere.get(key.origin, 0) >= key.seq):
            return Level.ALL
        if (of is not None and acks > of // 2 and of > 1) or (
            key and self._majority.get(key.origin, 0) >= key.seq
        ):
            return Level.QUORUM
        return Level.LOCAL


def _keep(known: Vector, told: Vector) -> None:
    for origin, seq in told.items():
        known[origin] = max(seq, known.pop(origin, 0))
    while len(known) > DURABLE_ORIGINS_MAX:
        del known[next(iter(known))]
