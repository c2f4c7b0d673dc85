"""Origin proofs: nobody writes in another server's log (A15, in a secured cluster).

A server signs the last entry of each of its commits, and of each piece that a large one is cut into for
the wire.  A signature is over cluster, origin, seq and chain hash, so it vouches for the whole log up to
there; it is made before the commit and is part of it, so nothing unsigned is ever durable, acknowledged
or sent.  A run counts only if its last entry is signed by the node that its origin names, with a key of
the roster, where servers that left stay for this purpose.  What does not fit is refused run by run: a
forger must not be able to stop the log of somebody honest.

What one server signs it can't be kept from signing twice: two histories of one origin are a fork (A2),
which is seen as before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from daemons.server.in_force import InForce
from recado.protocol import codec, proof
from recado.protocol.entry import BODY_HASH_AT, EMPTY, HEADER_BYTES_MAX, Head, hash16, is_origin, origin_node
from recado.protocol.errors import Malformed
from recado.protocol.limits import WINDOW_BYTES_MAX
from recado.protocol.messages import Entry, Run
from recado.roster import Roster

Signatures = dict[tuple[str, int], bytes]
Verify = Callable[[str, int, bytes, bytes], bool]  # origin, seq, hash, signature


def pieces(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Consecutive entries cut so that each piece, alone in a window, fits into it and so into a frame."""
    piece: list[Entry] = []
    left = WINDOW_BYTES_MAX
    for entry in entries:
        size = len(entry.header) + len(entry.body)
        left -= size
        if piece and left < 0:
            yield piece
            piece = []
            left = WINDOW_BYTES_MAX - size
        piece.append(entry)
    if piece:
        yield piece


class Proofs:
    """What one server of a secured cluster signs, and what it believes."""

    def __init__(self, in_force: InForce) -> None:
        assert in_force.security is not None, "signatures are for secured clusters"
        self._in_force = in_force
        self._name = in_force.security.identity.name
        self._secret = in_force.security.identity.signing_secret

    @property
    def roster(self) -> Roster:
        """As it is in force now."""
        assert self._in_force.security is not None
        return self._in_force.security.roster

    def sign(self, origin: str, seq: int, chained: bytes) -> bytes:
        """64 bytes over an entry of our own log: vouches for everything up to it."""
        return proof.sign(self._secret, self.roster.cluster, origin, seq, chained)

    def of_batch(self, entries: Sequence[Entry]) -> Signatures:
        """The signatures that a commit of these needs: 38 us for each piece of our own."""
        own: dict[str, list[Entry]] = {}
        for entry in entries:
            own.setdefault(entry.origin, []).append(entry)
        return {
            (origin, piece[-1].seq): self.sign(origin, piece[-1].seq, piece[-1].hash)
            for origin, of_origin in own.items()
            if origin_node(origin) == self._name
            for piece in pieces(of_origin)
        }

    def verifier(self) -> Verify:
        """Checks single signatures against the roster of this moment; may be used in a worker thread."""
        roster = self.roster
        return lambda origin, seq, chained, signature: _verified(roster, origin, seq, chained, signature)

    def problem(self, run: Run, heads: Mapping[str, Head]) -> str | None:
        """Why nothing of the run may be looked at any further; None: it may.

        What can bring nothing new is not verified: it is not read either.  114 us otherwise, and
        1 us for each entry.
        """
        if not is_origin(run.origin) or run.first < 1:
            return None  # said by who reads it
        head = heads.get(run.origin, EMPTY)
        last = run.first + len(run.entries) - 1
        if head.seq < run.first - 1 or last < head.seq:
            return None
        chained = chained_hash(run)
        if last == head.seq and chained == head.hash:
            return None
        if run.signature is None:
            return "not signed"
        if _verified(self.roster, run.origin, last, chained, run.signature):
            return None
        known = self.roster.signing_keys(origin_node(run.origin))
        return "not signed by its node" if known else "of a node that the roster does not name"

    def vouches(self, run: Run) -> bool:
        """Whether the run, as far back as it goes, is what its origin's node has signed."""
        last = run.first + len(run.entries) - 1
        return run.signature is not None and _verified(
            self.roster, run.origin, last, chained_hash(run), run.signature
        )


def chained_hash(run: Run) -> bytes:
    """The chain hash of a run's last entry, as the run tells it."""
    chained = run.previous_hash or EMPTY.hash
    for header, _ in run.entries:
        chained = hash16(chained, header)
    return chained


def altered(run: Run) -> bool:
    """Whether a body is not the one that its signed header tells of: its sender's doing, not its node's."""
    for header, body in run.entries:
        try:
            fields = codec.unpack(header, frame_bytes_max=HEADER_BYTES_MAX)
        except Malformed:
            continue  # as its node made it
        if type(fields) is list and len(fields) > BODY_HASH_AT and fields[BODY_HASH_AT] != hash16(body):
            return True
    return False


def _verified(roster: Roster, origin: str, seq: int, chained: bytes, signature: bytes) -> bool:
    keys = roster.signing_keys(origin_node(origin))
    return proof.verify(keys, roster.cluster, origin, seq=seq, hash=chained, signature=signature)
