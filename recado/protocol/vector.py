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
    """Vector exchange with one peer, for one start (`boot`) of that peer.

    Each message carries a vector as changes to a base, and the digest of what its sender believes
    of the *receiver's* vector.  Changes are told only against a base that the other side has proved,
    by that digest, to know; otherwise everything is told.  So lost, late and repeated messages cost
    a full vector at most, never a wrong one.  `theirs` is what the peer has said to have durably.
    """

    __slots__ = ("_told", "boot", "proof", "theirs")

    def __init__(self) -> None:
        self.boot: str | None = None
        self.theirs: Vector = {}
        self.proof: bytes | None = None  # digest of what the peer believes of our vector
        self._told: Vector = {}

    def meet(self, boot: str | None) -> bool:
        """Forget everything if the peer has started anew since the last exchange; whether it has."""
        if boot == self.boot:
            return False
        self.boot = boot
        self.theirs = {}
        self.proof = None
        self._told = {}
        return True

    def tell(self, mine: Mapping[str, int]) -> tuple[Vector, bool]:
        """What to tell of our vector: (components, whether these are all of them)."""
        full = self.proof is None or self.proof != digest(self._told)
        changes = dict(mine) if full else {o: n for o, n in mine.items() if self._told.get(o) != n}
        self._told = dict(mine)
        return changes, full

    def hear(self, vector: Mapping[str, int], *, whole: bytes | None) -> bool:
        """Take in what the peer says; False if our memory of it is incomplete.

        A durable vector never shrinks within one start, so a late message changes nothing.
        """
        merge(self.theirs, vector)
        return whole is None or digest(self.theirs) == whole

    @property
    def belief(self) -> bytes:
        """The digest of what we believe of the peer's vector, for it to check."""
        return digest(self.theirs)
