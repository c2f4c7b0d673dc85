"""Version vectors: origin → the length of the contiguous prefix that somebody has (A19).

Never "the largest seq seen": a gap below it would stay hidden for ever.  `VectorLink` is how two
servers tell each other their vectors in changes only (A22): each side remembers what the other has
acknowledged, and a digest of the whole tells when that memory is wrong.
"""

import hashlib
from collections.abc import Mapping

Vector = dict[str, int]


def ahead(mine: Mapping[str, int], theirs: Mapping[str, int]) -> Vector:
    """The components of `mine` that `theirs` lacks or has less of, in order of origin."""
    return {o: mine[o] for o in sorted(mine) if mine[o] > theirs.get(o, 0)}


def covers(vector: Mapping[str, int], asked: Mapping[str, int]) -> bool:
    """Whether `vector` has at least every component of `asked`."""
    return all(vector.get(o, 0) >= n for o, n in asked.items())


def merge(into: Vector, other: Mapping[str, int]) -> None:
    """Component-wise maximum, in place."""
    for origin, seq in other.items():
        if seq > into.get(origin, 0):
            into[origin] = seq


def common(one: Mapping[str, int], other: Mapping[str, int]) -> Vector:
    """Component-wise minimum, without zeros: what both have."""
    return {o: min(n, other[o]) for o, n in one.items() if o in other}


def digest(vector: Mapping[str, int]) -> bytes:
    """Eight bytes that agree exactly when two vectors do."""
    h = hashlib.blake2b(digest_size=8)
    for origin in sorted(vector):
        h.update(f"{origin}={vector[origin]};".encode())
    return h.digest()


def heads_digest(heads: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A digest over (origin, seq, chain hash): equal vectors with unequal ones mean divergence (R10)."""
    h = hashlib.blake2b(digest_size=16)
    for origin in sorted(heads):
        seq, chained = heads[origin]
        h.update(f"{origin}={seq};".encode() + chained)
    return h.digest()


class VectorLink:
    """One direction-pair of vector exchange with one peer, for one start (`boot`) of that peer.

    `theirs` is what the peer has said to have durably.
    """

    __slots__ = ("_told", "boot", "theirs")

    def __init__(self) -> None:
        self.boot: str | None = None
        self.theirs: Vector = {}
        self._told: Vector = {}

    def meet(self, boot: str | None) -> None:
        """Forget everything if the peer has started anew since the last exchange."""
        if boot != self.boot:
            self.boot = boot
            self.theirs = {}
            self._told = {}

    def changes(self, mine: Mapping[str, int], *, full: bool = False) -> tuple[Vector, bool]:
        """What to tell: (components, whether these are all of them)."""
        if full or not self._told:
            return dict(mine), True
        return {o: n for o, n in mine.items() if self._told.get(o) != n}, False

    def told(self, mine: Mapping[str, int]) -> None:
        """The peer has confirmed that it knows our vector `mine`."""
        self._told = dict(mine)

    def forget_told(self) -> None:
        """The peer does not know what we believed: tell everything next time."""
        self._told = {}

    def hear(self, vector: Mapping[str, int], *, full: bool, whole: bytes | None) -> bool:
        """Take in what the peer says; False if our memory of it is wrong and all must be sent again.

        A durable vector never shrinks within one start, so a late, older message changes nothing.
        """
        if full:
            self.theirs = dict(vector) if len(vector) >= len(self.theirs) else self.theirs
        merge(self.theirs, vector)
        return whole is None or digest(self.theirs) == whole
