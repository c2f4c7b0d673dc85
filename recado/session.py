"""What a client has seen, so that no later read shows less, at whichever server (Terry et al., "Session
guarantees for weakly consistent replicated data", 1994: monotonic reads, read your writes; A43).

Reads name for each origin the last place that this client wrote or was shown; a server that lacks it waits
a moment for it and then says `behind`, and the next one is asked.  Only the origins met last are named: all
servers have long had the others.  A place that died with a disk would be waited for in vain; it is
released when *all* members, asked after that, have less (A44).
"""

from collections.abc import Iterable, Mapping

from recado import values
from recado.protocol.limits import SESSION_ORIGINS_MAX
from recado.protocol.vector import Vector, merge
from recado.values import Message


class Session:
    """The places that reads insist on, those met last."""

    def __init__(self) -> None:
        self._seen: Vector = {}

    @property
    def vector(self) -> Vector:
        return dict(self._seen)

    def saw(self, origin: str, seq: int) -> None:
        """This place was written or shown."""
        self._seen[origin] = max(seq, self._seen.pop(origin, 0))
        if len(self._seen) > SESSION_ORIGINS_MAX:
            del self._seen[next(iter(self._seen))]

    def saw_messages(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.origin is not None and message.seq is not None:
                self.saw(message.origin, message.seq)

    def saw_vector(self, vector: Mapping[str, int]) -> None:
        for origin, seq in vector.items():
            self.saw(origin, seq)

    def release(self, asked: Mapping[str, int], most: Mapping[str, int]) -> Vector:
        """No member has these further than `most`; what was released of them."""
        released: Vector = {}
        for origin, seq in asked.items():
            left = most.get(origin, 0)
            if left < seq == self._seen.get(origin):
                released[origin] = left
                if left:
                    self._seen[origin] = left
                else:
                    del self._seen[origin]
        return released


class Audit:
    """The answers of members to one question: what do you durably have of these origins?

    `complete` once as many different servers have answered as the cluster has members; `most` is the
    component-wise maximum of their answers.
    """

    def __init__(self) -> None:
        self.most: Vector = {}
        self.addresses: list[str] = []  # of members, as those who answered name them
        self._answered: set[str] = set()
        self._members = 0

    @property
    def complete(self) -> bool:
        return 0 < self._members <= len(self._answered)

    def answer(self, data: Mapping[str, object]) -> None:
        """One reply."""
        server = values.optional(data, "server", str)
        members = values.members_told(data)
        if server is None or members is None:
            return
        self._answered.add(server)
        self._members = max(self._members, members)
        merge(self.most, values.vector(data.get("have")))
        told = data.get("addresses")
        self.addresses += [a for a in values.texts(told) if a not in self.addresses]
