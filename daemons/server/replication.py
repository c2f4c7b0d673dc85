"""Replication: fresh batches are pushed to every peer, what was missed is pulled (R4-R8, A37).

Push: own entries, after their commit, while the peer's window has room; what does not fit is
forgotten.  Pull: version vectors are compared every `vector_exchange_seconds`, and at once when a
gap shows or a peer is ahead; missing entries come in pages.  So a push is only ever an optimisation,
and a peer that was away needs nothing remembered for it.  The named synchronisation with the
coordinator, every `sync_seconds`, is the same exchange with its log lines.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.commit import Place
from daemons.server.node import Node
from daemons.server.peer_services import runs_fields, take_runs, vector_fields
from daemons.server.signing import pieces
from daemons.server.tail import size_of
from daemons.shared.periodic import every
from recado.protocol import codec
from recado.protocol.entry import GENESIS, run_of
from recado.protocol.errors import Malformed
from recado.protocol.limits import ARRAY_ITEMS_MAX, PUSH_ENTRIES_MAX, WINDOW_BYTES_MAX, WINDOW_ENTRIES_MAX
from recado.protocol.messages import Entry, Kind, Run, SyncPage
from recado.settings import Member
from recado.wire.ports import Asker

JITTER = 0.25
NOT_SIGNED: Mapping[Place, bytes | None] = MappingProxyType({})
KINDS = {int(kind): kind.name.lower() for kind in Kind}


def chunks(
    previous_hash: bytes,
    entries: Sequence[Entry],
    signed: Mapping[Place, bytes | None] = MappingProxyType({}),
) -> Iterator[Run]:
    """Own entries of one commit in runs; each ends where its signature is, if the cluster is secured."""
    for piece in pieces(entries):
        last = piece[-1]
        signature = signed.get((last.origin, last.seq))
        yield msgspec.structs.replace(run_of(piece, previous_hash), signature=signature)
        previous_hash = last.hash


class Peer:
    """One peer as replication sees it: its end, its window, and when to exchange vectors next."""

    def __init__(self, member: Member, asker: Asker) -> None:
        self.member = member
        self.asker = asker
        self.window: deque[Run] = deque()
        self.window_entries = 0
        self.window_bytes = 0
        self.fresh = trio.Event()
        self.pull = trio.Event()
        self.exchanging = trio.Lock()
        self.forgot = False  # whether a chunk found no room since the window was last empty

    def offer(self, run: Run, size: int) -> None:
        """Queue for the push if the window has room for so many bytes; else forget, pull repairs."""
        if (
            self.window_entries + len(run.entries) > WINDOW_ENTRIES_MAX
            or self.window_bytes + size > WINDOW_BYTES_MAX
        ) and self.window:
            self.forgot = True
            return
        self.window.append(run)
        self.window_entries += len(run.entries)
        self.window_bytes += size
        self.fresh.set()

    def take(self) -> list[Run]:
        """What to push next, as runs; empties the window up to one push."""
        runs: list[Run] = []
        taken = 0
        while self.window and (not runs or taken + len(self.window[0].entries) <= PUSH_ENTRIES_MAX):
            run = self.window.popleft()
            if runs and (joined := _joined(runs[-1], run)) is not None:
                runs[-1] = joined
            else:
                runs.append(run)
            taken += len(run.entries)
        self.window_entries -= taken
        self.window_bytes -= sum(map(size_of, runs))
        return runs


def _joined(before: Run, run: Run) -> Run | None:
    """Two signed runs as one, if the second follows the first: one verification at the other side."""
    if before.signature is None or run.signature is None or before.origin != run.origin:
        return None
    if before.first + len(before.entries) != run.first:
        return None
    return msgspec.structs.replace(before, entries=[*before.entries, *run.entries], signature=run.signature)


class Replication:
    """The tasks `push`, `exchange` and `synchronise`, and the state they share."""

    def __init__(self, node: Node, askers: Mapping[str, Asker]) -> None:
        self._node = node
        self.peers = {m.name: Peer(m, askers[m.name]) for m in node.peers}
        self._tail: tuple[str, bytes] = ("", GENESIS)  # own origin and the hash of its last entry
        self._pushing = 0
        self._pushed = trio.Event()  # set and replaced at the end of each push
        self._sending = node.tallies.of("replicating")
        self._sent = node.tallies.of("replicated to")
        self._received = node.tallies.of("replicated from")
        self._push_refused = node.tallies.of("push refused", level="warning")
        node.commits.followers.append(self._committed)
        node.nudge = self._nudge
        node.catch_up = self.catch_up

    # Push -----------------------------------------------------------------------------------------

    def _committed(self, entries: Sequence[Entry]) -> None:
        mine = self._node.entries.mine
        own = [entry for entry in entries if entry.origin == mine]
        if not own or not self.peers:
            return
        previous = self._tail[1] if self._tail[0] == mine else GENESIS
        self._tail = (own[-1].origin, own[-1].hash)
        for run in chunks(previous, own, self._node.commits.signed):
            size = size_of(run)
            self._node.tail.add(run, size)
            for peer in self.peers.values():
                peer.offer(run, size)
        kinds = {f"{KINDS.get(kind, 'unknown')}": n for kind, n in Counter(e.kind for e in own).items()}
        self._sending.add(servers=len(self.peers), **kinds)

    async def push(self) -> None:
        """The task: one pusher per peer, so that a dead one delays nobody."""
        async with trio.open_nursery() as nursery:
            for peer in self.peers.values():
                nursery.start_soon(self._push_to, peer)

    async def _push_to(self, peer: Peer) -> None:
        node, name = self._node, peer.member.name
        while True:
            if not peer.window:
                peer.fresh = trio.Event()
                await peer.fresh.wait()
            self._pushing += 1
            try:
                runs = peer.take()
                fields = {**node.introduction(), "runs": runs_fields(runs)}
                reply = await self._ask(peer, "replicate", fields)
            except Unanswered:
                continue
            finally:
                self._pushing -= 1
                self._pushed.set()
                self._pushed = trio.Event()
            if reply.get("status") == "erro":
                self._push_refused.add(peer=name, code=str(reply.get("code")), pushes=1)
                continue
            self._confirm(name, reply.get("boot"), reply.get("have"))
            if peer.forgot and not peer.window:
                peer.forgot = False
                peer.pull.set()  # our vector tells the peer what to pull
            self._sent.add(peer=name, entries=sum(len(run.entries) for run in runs))

    async def flushed(self) -> None:
        """Wait until every peer that answers has been pushed everything."""
        while self._pushing or any(p.window for p in self.peers.values() if self._answers(p)):
            await self._pushed.wait()

    def _answers(self, peer: Peer) -> bool:
        return peer.member.name not in self._node.silent

    def _confirm(self, name: str, boot: object, have: object) -> None:
        if isinstance(have, dict) and all(isinstance(seq, int) for seq in have.values()):
            self._node.met(name, boot if isinstance(boot, str) else None)
            self._node.confirmed(name, have)

    # Pull -----------------------------------------------------------------------------------------

    def _nudge(self, name: str | None) -> None:
        for peer in self.peers.values():
            if name is None or peer.member.name == name:
                peer.pull.set()

    async def exchange(self) -> None:
        """The task: compare vectors with every peer, in turn with what nudges say."""
        async with trio.open_nursery() as nursery:
            for peer in self.peers.values():
                nursery.start_soon(self._exchange_with, peer)

    async def _exchange_with(self, peer: Peer) -> None:
        timings = self._node.config.timings
        while True:
            with self._heard(peer):
                await self.pull_from(peer)
            period = timings.vector_exchange_seconds * (1 + JITTER * self._node.surroundings.random.random())
            with trio.move_on_after(period):
                await peer.pull.wait()
                await trio.sleep(0.02)  # several gaps at once are one pull
            peer.pull = trio.Event()

    async def pull_from(self, peer: Peer) -> dict[int, int]:
        """Exchange vectors and take every missing page; entries taken by kind.  Raises `Unanswered`."""
        counts: dict[int, int] = {}
        durable = self._node.entries.durable
        async with peer.exchanging:
            again, misremembered = True, 0
            while again:
                before = dict(durable)
                page, complete, taken = await self._take_page(peer)
                for kind, count in taken.items():
                    counts[kind] = counts.get(kind, 0) + count
                misremembered += not complete
                # What a page brings may have come by a push meanwhile: that is no reason to stop.
                grown = any(durable.get(run.origin, 0) > before.get(run.origin, 0) for run in page.runs)
                # On while what pages are about grows, and once more, which confirms the last page; a
                # peer whose vector we misremember is asked anew.
                again = grown or (not complete and misremembered < 3)
        if counts:
            self._received.add(peer=peer.member.name, entries=sum(counts.values()))
        return counts

    async def _take_page(self, peer: Peer) -> tuple[SyncPage, bool, dict[int, int]]:
        """One exchange: (the reply, whether the peer's whole vector is known, entries by kind)."""
        node, name = self._node, peer.member.name
        left_out = node.entries.stopped.keys() | node.put_off.of(name, node.ceiling())
        fields = {**vector_fields(node, name), "stopped": sorted(left_out)[:ARRAY_ITEMS_MAX]}
        fields["pull"] = node.commits.refusal is None and node.bootstrap is None
        reply = await self._ask(peer, "sync", fields)
        try:
            page = codec.convert(reply, SyncPage)
        except Malformed as error:
            node.log.warning("synchronisation refused", peer=name, reason=reply.get("code") or error.reason)
            raise Unanswered(error.reason) from None
        node.met(name, page.boot)
        link = node.links[name]
        link.proof = page.belief
        complete = link.hear(page.vector, whole=page.digest)
        node.confirmed(name, link.theirs)
        node.take_confirmations(page.confirmed)
        if complete:
            durable = node.entries.durable
            node.behind(name, sum(max(0, n - durable.get(o, 0)) for o, n in link.theirs.items()))
        runs = page.runs if node.bootstrap is None else []  # a snapshot brings them
        taken = take_runs(node, runs, name)
        if runs and not await node.commits.durable():
            taken = {}  # the disk is full
        return page, complete, taken

    async def catch_up(self) -> None:
        """Ask every peer that answers what it has, now: after this nothing older is missing here."""
        async with trio.open_nursery() as nursery:
            for peer in self.peers.values():
                if self._answers(peer):
                    nursery.start_soon(self._catch_up_with, peer)

    async def _catch_up_with(self, peer: Peer) -> None:
        with self._heard(peer):
            await self.pull_from(peer)

    # The synchronisation that people look for in the logs --------------------------------------------

    async def synchronise(self) -> None:
        """The task: a complete synchronisation with the coordinator, every `sync_seconds`."""
        await every(self._node.config.timings.sync_seconds, self.synchronise_once, jitter=0.0)

    async def synchronise_once(self) -> None:
        """One round, if another server leads; says what came."""
        node = self._node
        peer = self.peers.get(node.coordinator or "")
        if peer is None:
            return
        log = node.log.bind(coordinator=peer.member.name)
        log.info("complete synchronisation requested")
        try:
            counts = await self.pull_from(peer)
        except Unanswered:
            log.warning("complete synchronisation not answered")
            return
        log.info(
            "synchronisation received", **{f"{kind.name.lower()}s": counts.get(kind, 0) for kind in Kind}
        )
        log.info("synchronisation merged", entries=sum(node.entries.durable.values()))
        log.info("complete synchronisation done")

    @contextmanager
    def _heard(self, peer: Peer) -> Iterator[None]:
        """Remembers which peers are silent, and says so when it changes."""
        node, name = self._node, peer.member.name
        try:
            yield
        except Unanswered:
            if name not in node.silent:
                node.silent.add(name)
                node.log.warning("peer is silent", peer=name)
        else:
            if name in node.silent:
                node.silent.discard(name)
                node.log.info("peer answers again", peer=name)
        finally:
            node.first_tries.made(name)

    # ------------------------------------------------------------------------------------------------

    async def _ask(self, peer: Peer, service: str, fields: dict[str, object]) -> dict[str, object]:
        deadline = self._node.config.timings.peer_deadline_seconds
        return await ask(self._node, peer.asker, service, fields, deadline_seconds=deadline)
