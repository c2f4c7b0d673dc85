"""The replication log in memory: who has appended how far, what is durable, what is missing.

Rules R1-R5 and A1, A2, A15, A19 of the protocol.  The machine keeps only the heads of the origins;
entries themselves go to the store.  `heads` runs ahead of `durable`: an entry is *appended* when it
has its place in its origin's chain, and *durable* after the commit that holds it.  Everything that
leaves a node is taken from `durable`.

A failed commit makes appended entries void.  Since others may not have seen them but a disk might
have, their places are never used again: `abandon` goes back to the durable heads and forgets `mine`,
so the next append mints a new origin.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from recado.protocol.entry import (
    EMPTY,
    Head,
    hash16,
    is_origin,
    parse,
    seal,
)
from recado.protocol.errors import InvalidEntry
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.messages import Entry, Run
from recado.protocol.vector import Vector, heads_digest

Target = str | bytes | None


class Offered(NamedTuple):
    """What became of a run from a peer.

    `new`: entries to keep, in order.  `gap`: something before the run is missing, pull.  `forked`:
    the origin's chain differs from ours (A2).  `invalid`: why the rest of the run was refused (A15).
    `beyond`: the first stamp above the ceiling; from its entry on the run is not taken now (A13).
    """

    new: list[Entry]
    gap: bool = False
    forked: bool = False
    invalid: str | None = None
    beyond: int | None = None


class ReplicationLog:
    """The heads of every origin.  Raises nothing; a bad run is described by its `Offered`."""

    def __init__(self, heads: Mapping[str, Head], *, mint_origin: Callable[[], str]) -> None:
        self.heads: dict[str, Head] = dict(heads)
        self.durable_heads: dict[str, Head] = dict(heads)
        self.durable: Vector = {origin: head.seq for origin, head in heads.items()}
        self.stopped: dict[str, str] = {}  # origin → why nothing more of it is taken
        self.mine: str | None = None
        self._mint_origin = mint_origin
        self._last_of_target: dict[tuple[int, Target], int] = {}

    def append(
        self,
        *,
        lamport: int,
        wall_ms: int,
        kind: int,
        author: bytes | None,
        id: bytes | None,
        target: Target,
        body: bytes,
        extra: bytes | None = None,
    ) -> Entry:
        """R1, R3: the next entry of this process's own origin, minted at the first append.

        Raises `InvalidEntry` for a stamp that peers would refuse: then nothing was appended.
        """
        if self.mine is None or self.mine in self.stopped:
            self.mine = self._mint_origin()
            self._last_of_target.clear()
        origin = self.mine
        head = self.heads.get(origin, EMPTY)
        if not head.lamport < lamport < LAMPORT_LIMIT:
            raise InvalidEntry(f"stamp {lamport} after {head.lamport}")
        kind = int(kind)  # as peers read it; whatever handles an enumeration's member takes longer
        entry = seal(
            head,
            origin=origin,
            lamport=lamport,
            wall_ms=wall_ms,
            kind=kind,
            author=author,
            id=id,
            target=target,
            prev=self._last_of_target.get((kind, target), 0),
            body=body,
            extra=extra,
        )
        self._last_of_target[kind, target] = entry.seq
        self.heads[origin] = Head(entry.seq, entry.lamport, entry.hash)
        return entry

    def offer(self, run: Run, *, whole: bool = False, ceiling: int = LAMPORT_LIMIT) -> Offered:
        """R5: what of a peer's run is new here.  The origin's chain is checked entry by entry.

        `whole`: a run is vouched for as a whole; nothing of it is taken unless all of it is.
        `ceiling`: the largest stamp that is taken now.  Beyond it an entry is as valid as any (A15).
        """
        if not is_origin(run.origin) or run.first < 1:
            return Offered([], invalid="run without a proper origin or first seq")
        if run.origin in self.stopped:
            return Offered([])
        head = self.heads.get(run.origin, EMPTY)
        known = head.seq + 1 - run.first
        if known < 0:
            return Offered([], gap=True)
        if known > len(run.entries):
            return Offered([])
        chained = run.previous_hash or EMPTY.hash
        for header, _ in run.entries[:known]:
            chained = hash16(chained, header)
        if chained != head.hash:
            return Offered([], forked=True)
        return self._take(run, run.entries[known:], head, whole=whole, ceiling=ceiling)

    def _take(
        self, run: Run, pairs: list[tuple[bytes, bytes]], head: Head, *, whole: bool, ceiling: int
    ) -> Offered:
        new: list[Entry] = []
        invalid = beyond = None
        for header, body in pairs:
            try:
                entry = parse(header, body, head)
                if entry.origin != run.origin:
                    raise InvalidEntry("entry of another origin in the run")
            except InvalidEntry as error:
                invalid = str(error)
                if whole:
                    return Offered([], invalid=invalid)
                break
            if entry.lamport > ceiling:
                beyond = entry.lamport
                if whole:
                    return Offered([], beyond=beyond)
                break
            new.append(entry)
            head = Head(entry.seq, entry.lamport, entry.hash)
        if new:
            self.heads[run.origin] = head
        return Offered(new, invalid=invalid, beyond=beyond)

    def stop(self, origin: str, why: str) -> None:
        """Take nothing more of this origin (forked, A2).  Our own: the next append mints another."""
        self.stopped[origin] = why

    def committed(self, entries: Iterable[Entry]) -> None:
        """R4: these entries, in order, are durable now."""
        last = {entry.origin: entry for entry in entries}
        for origin, entry in last.items():
            self.durable[origin] = entry.seq
            self.durable_heads[origin] = Head(entry.seq, entry.lamport, entry.hash)

    def repaired(self, entries: Iterable[Entry]) -> None:
        """Rows on disk were replaced (A34): what is known of the heads is what they say."""
        for entry in entries:
            head = Head(entry.seq, entry.lamport, entry.hash)
            for heads in (self.durable_heads, self.heads):
                if entry.origin in heads and heads[entry.origin].seq == entry.seq:
                    heads[entry.origin] = head

    def reload(self, heads: Mapping[str, Head]) -> None:
        """The store holds this now, and nothing is pending: a snapshot was installed beside own entries."""
        self.heads = dict(heads)
        self.durable_heads = dict(heads)
        self.durable.update({origin: head.seq for origin, head in heads.items()})

    def abandon(self) -> None:
        """The commit failed: back to what is durable, and never append to the present origin again."""
        if self.mine is not None and self.mine in self.heads:
            self.stopped[self.mine] = "a commit failed"
        self.heads = dict(self.durable_heads)
        self.mine = None
        self._last_of_target.clear()

    def digest(self) -> bytes:
        """R10: over the durable heads."""
        return heads_digest({o: (h.seq, h.hash) for o, h in self.durable_heads.items()})

    @property
    def lamport(self) -> int:
        """The largest stamp of any head: what a starting process's clock begins with."""
        return max((head.lamport for head in self.heads.values()), default=0)
