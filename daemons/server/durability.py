"""What beacons tell of copies: how far each log that grew lately is kept here, by a majority, by all (3d).

A client that got an answer at level `local` learns so of further copies without asking, and a
subscriber that saw more of an origin than its server has learns that a disk may be lost (E8).  Only
changes are told, for `REPEAT_SECONDS`, since publications get lost; of at most `ORIGINS_MAX` origins,
those that grew last.  What was told never shrinks: a member that starts anew has to confirm again what it
still has, and until then nobody is worse off.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from daemons.server.node import Node
from recado.protocol.messages import Entry, Level
from recado.protocol.vector import Vector

REPEAT_SECONDS = 30.0
ORIGINS_MAX = 64
ORIGINS_AT_START = 16  # those that grew last before this start: what is confirmed of them is news again


class _Told(NamedTuple):
    seq: int
    at: float


class Durability:
    """The vectors of one server's beacons."""

    def __init__(self, node: Node) -> None:
        self._node = node
        heads = node.entries.durable_heads
        latest = sorted(heads, key=lambda origin: heads[origin].lamport)[-ORIGINS_AT_START:]
        self._grown: dict[str, None] = dict.fromkeys(latest)
        self._told: dict[str, dict[str, _Told]] = {"vector": {}, "majority": {}, "all": {}}
        node.commits.followers.append(self._committed)

    def _committed(self, entries: Sequence[Entry]) -> None:
        for origin in {entry.origin for entry in entries}:
            self._grown.pop(origin, None)
            self._grown[origin] = None
        while len(self._grown) > ORIGINS_MAX:
            del self._grown[next(iter(self._grown))]

    def vectors(self) -> dict[str, Vector]:
        """The components to tell in a beacon now: `vector`, `majority`, `all`."""
        node = self._node
        durable = node.entries.durable
        confirmed = tuple(node.acks.confirmed.values())
        found = {
            "vector": {origin: durable.get(origin, 0) for origin in self._grown},
            "majority": kept_by(node.acks.needed(Level.QUORUM), durable, confirmed, origins=self._grown),
            "all": kept_by(node.acks.of, durable, confirmed, origins=self._grown),
        }
        now = node.surroundings.now()
        news = {name: self._news(name, vector, now) for name, vector in found.items()}
        mine = node.entries.mine
        if mine in durable:
            news["vector"][mine] = durable[mine]  # in every beacon: the origin that this server writes to
        return news

    def _news(self, name: str, vector: Mapping[str, int], now: float) -> Vector:
        """What of a vector has grown within the last `REPEAT_SECONDS`."""
        told = self._told[name]
        for origin, seq in vector.items():
            if seq > (told[origin].seq if origin in told else 0):
                told[origin] = _Told(seq, now)
        for origin in [o for o in told if o not in vector]:
            del told[origin]
        return {o: seq for o, (seq, at) in told.items() if now - at <= REPEAT_SECONDS}


def kept_by(
    copies: int, mine: Mapping[str, int], others: Sequence[Mapping[str, int]], *, origins: Iterable[str]
) -> Vector:
    """How far each origin is durable on at least `copies` members: the `copies`-th largest component."""
    return {
        origin: sorted((vector.get(origin, 0) for vector in (mine, *others)), reverse=True)[copies - 1]
        for origin in origins
    }
