"""Acknowledgement levels: who has confirmed what, and which answers wait for it (R6, 3d, A7, A24).

A copy counts when its holder has *said* that it is durable there.  `quorum` is a majority of the
configured members, never of the live ones; there is no silent downgrade: an answer that waited in
vain says how many copies it knows of.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from recado.protocol.limits import ACK_WAITERS_MAX
from recado.protocol.messages import Level
from recado.protocol.vector import Vector, merge

T = TypeVar("T")


class Settled(NamedTuple, Generic[T]):
    """An answer that need not wait any longer: copies known, and whether they are enough."""

    token: T
    acks: int
    enough: bool


class _Waiting(NamedTuple, Generic[T]):
    origin: str
    seq: int
    needed: int
    deadline: float
    token: T


class Acknowledgements(Generic[T]):
    """Confirmed vectors per member, and what waits for them.  Times are monotonic seconds."""

    def __init__(self, me: str, members: Iterable[str], *, wait_seconds: float) -> None:
        self.others = tuple(sorted(set(members) - {me}))
        self.of = len(self.others) + 1
        self.confirmed: dict[str, Vector] = {name: {} for name in self.others}
        self._wait_seconds = wait_seconds
        self._waiting: dict[str, list[_Waiting[T]]] = {}
        self._count = 0

    def needed(self, level: Level) -> int:
        """How many durable copies a level stands for."""
        if level is Level.LOCAL:
            return 1
        return self.of // 2 + 1 if level is Level.QUORUM else self.of

    def copies(self, origin: str, seq: int) -> int:
        """Durable copies known of an entry that is durable here."""
        return 1 + sum(vector.get(origin, 0) >= seq for vector in self.confirmed.values())

    def wait(self, origin: str, seq: int, *, level: Level, token: T, now: float) -> Settled[T] | None:
        """Settled at once, or None: it waits.  Beyond the table's limit nothing waits (not enough)."""
        needed, acks = self.needed(level), self.copies(origin, seq)
        if acks >= needed:
            return Settled(token, acks, True)
        if self._count >= ACK_WAITERS_MAX:
            return Settled(token, acks, False)
        waiting = _Waiting(origin, seq, needed, now + self._wait_seconds, token)
        self._waiting.setdefault(origin, []).append(waiting)
        self._count += 1
        return None

    def confirm(self, member: str, vector: Mapping[str, int]) -> list[Settled[T]]:
        """`member` has these prefixes durably; what that settles.  Unknown members count nothing."""
        known = self.confirmed.get(member)
        if known is None:
            return []
        grown = [origin for origin, seq in vector.items() if seq > known.get(origin, 0)]
        merge(known, vector)
        settled: list[Settled[T]] = []
        for origin in grown:
            settled += self._sift(origin, lambda w: self.copies(w.origin, w.seq) >= w.needed)
        return settled

    def forget(self, member: str) -> None:
        """A member has started anew: what it had before may have died with its disk."""
        if member in self.confirmed:
            self.confirmed[member] = {}

    def expire(self, now: float) -> list[Settled[T]]:
        """What has waited long enough: not enough copies are known."""
        expired: list[Settled[T]] = []
        for origin in list(self._waiting):
            expired += self._sift(origin, lambda w: w.deadline <= now)
        return expired

    def abandon(self) -> list[Settled[T]]:
        """On the way out: every answer that still waits."""
        return self.expire(float("inf"))

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return self._count

    @property
    def full(self) -> bool:
        """Whether one more could not wait: refuse it before anything of it is kept."""
        return self._count >= ACK_WAITERS_MAX

    def _sift(self, origin: str, done: Callable[[_Waiting[T]], bool]) -> list[Settled[T]]:
        settled: list[Settled[T]] = []
        kept: list[_Waiting[T]] = []
        for waiting in self._waiting.pop(origin, ()):
            if done(waiting):
                acks = self.copies(waiting.origin, waiting.seq)
                settled.append(Settled(waiting.token, acks, acks >= waiting.needed))
            else:
                kept.append(waiting)
        if kept:
            self._waiting[origin] = kept
        self._count -= len(settled)
        return settled
