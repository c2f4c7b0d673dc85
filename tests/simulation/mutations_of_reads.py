"""Rules about what is read, followed and asked for, as `mutations` switches them off."""

from typing import Any

from disks import Disk
from nodes import ServerNode

from daemons.server.replication import Replication
from recado.protocol.subscription import Subscription, _key_of
from recado.wire.memory_ends import MemoryAsker

Broken = Any


def deaf_to_beacons(_original: Any) -> Broken:
    """E3: what beacons tell of heads and disks is not looked at."""
    return lambda *_args, **_kwargs: []


def follows_a_place(page: Any) -> Broken:
    """Cursors are places in the total order: what is above the latest shown is not new."""

    def broken(self: Subscription, entries: Any, **fields: Any) -> Any:
        latest = self._newest
        if self._opened and latest is not None:
            entries = [message for message in entries if _key_of(message) > latest]
        return page(self, entries, **fields)

    return broken


def believes_beacons(beacon: Any) -> Broken:
    """A45: a beacon with less than was seen proves a lost disk, without an audit."""

    def broken(self: Subscription, heads: Any, *, now: float, vector: Any = None, **who: Any) -> Any:
        effects = beacon(self, heads, now=now, vector=vector, **who)
        met = self._met() if self._opened else {}
        less = {origin: seq for origin, seq in (vector or {}).items() if seq < met.get(origin, 0)}
        if not less:
            return effects
        self._suspicions._asked = {origin: met[origin] for origin in less}
        return effects + self.audited(less, now=now)

    return broken


def pulls_from_the_coordinator(pull_from: Any) -> Broken:
    """R7: nobody else is asked for what is missing."""

    async def broken(self: Replication, peer: Any) -> dict[int, int]:
        return await pull_from(self, peer) if peer.member.name == self._node.coordinator else {}

    return broken


def takes_any_reply(deliver: Any) -> Broken:
    """A40: the reply to an earlier try is taken for this one's."""

    def broken(self: MemoryAsker, correlation: Any, body: bytes, *, when: float) -> None:
        if correlation not in self._waiting and self._waiting:
            correlation = next(iter(self._waiting))
        deliver(self, correlation, body, when=when)

    return broken


# A5, at the reader: what is written and not yet synced is seen by whoever reads, and gone with the power.


def seen_before_it_is_synced(stage: Any) -> Broken:
    def broken(self: Disk, batch: Any) -> None:
        before = self.image()
        stage(self, batch)
        super(Disk, self).commit()
        self.unsynced = before  # type: ignore[attr-defined]

    return broken


def synced(_commit: Any) -> Broken:
    def broken(self: Disk) -> None:
        self.unsynced = None  # type: ignore[attr-defined]

    return broken


def without_power(close: Any) -> Broken:
    def broken(self: ServerNode, ending: str = "killed", *, kept: bool = False) -> None:
        close(self, ending, kept=kept)  # type: ignore[arg-type]
        before = getattr(self.store, "unsynced", None)
        if ending == "powerless" and not kept and before is not None:
            self.image = before

    return broken
