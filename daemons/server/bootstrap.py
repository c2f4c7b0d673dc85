"""A server that lacks most of the log takes a peer's snapshot first, and goes on in pages.

What is far behind is told by the comparison of vectors (`behind`).  While the snapshot is on its way
the server serves, votes and takes writes, but pulls no pages.  The file is examined in a worker
thread; entries that only this server has are joined to it; then, for the moment of the exchange,
nothing is taken, and the server goes on with the new file.  A peer that stops answering is asked again
from where it stopped, then the next peer is asked, and at last everything comes in pages after all.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.node import Node
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import MERGE_ENTRIES, SNAPSHOT_ATTEMPTS, SNAPSHOT_MAKE_SECONDS
from recado.wire.ports import Asker
from storage.replica import Damaged, DataLocked, StorageFull
from storage.snapshot import Candidate, Incoming, Unusable

POLL_SECONDS = 0.5  # between two questions whether the peer's file is ready
PAUSE_SECONDS = 1.0  # after a question without an answer
SILENCES_MAX = 10  # questions in a row without an answer; then the next peer
TOLD_SECONDS = 5.0  # between two log lines of progress
BYTES_PER_SECOND_MIN = 16 * 1024  # slower than that, after the grace, pages are better
GRACE_SECONDS = 60.0
USELESS_SECONDS = 3600.0  # so long is no other snapshot taken of a peer whose last one lacked most


T = TypeVar("T", "Ready", "Part")


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a request without a token."""

    ready: bool
    token: str = ""
    size: int = 0
    hash: bytes = b""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a request with one."""

    offset: int
    pieces: list[bytes]


class Failed(Exception):
    """This attempt is over; the next may do better."""


class Bootstrap:
    """The task `run`; `behind` says that it is needed."""

    def __init__(self, node: Node, askers: Mapping[str, Asker]) -> None:
        self._node = node
        self._askers = askers
        self._needed = trio.Event()
        self._lacks: dict[str, int] = {}  # entries that this server lacks of each peer's
        self._hopeless = False
        self._useless: dict[str, float] = {}  # peers that told more than they gave, and since when
        self._told = 0.0
        node.behind = self.behind

    def behind(self, peer: str, entries: int) -> None:
        """A peer's vector is known: this server lacks so many of its entries."""
        if trio.current_time() - self._useless.get(peer, float("-inf")) < USELESS_SECONDS:
            return
        self._lacks[peer] = entries
        if entries > self._node.config.disk.snapshot_entries and not self._hopeless:
            if self._node.bootstrap is None:
                self._node.bootstrap = {"phase": "asking", "entries_behind": entries}
            self._needed.set()

    async def run(self) -> None:
        """The task."""
        node = self._node
        while True:
            await self._needed.wait()
            self._hopeless = not await self._any_peer()
            if self._hopeless:
                node.log.warning("no snapshot could be taken, going on in pages")
            node.bootstrap = None
            self._lacks.clear()
            self._needed = trio.Event()
            node.nudge(None)

    async def _any_peer(self) -> bool:
        """Whether there is nothing to be taken any more."""
        for attempt in range(SNAPSHOT_ATTEMPTS):
            far = [n for n, lacks in self._lacks.items() if lacks > self._node.config.disk.snapshot_entries]
            if not far:
                return True
            for name in sorted(far, key=lambda peer: -self._lacks[peer]):
                try:
                    await self._from(name)
                except (Failed, Unusable, Damaged, DataLocked, StorageFull, OSError) as error:
                    self._node.log.warning(
                        "snapshot not taken", peer=name, attempt=attempt + 1, reason=str(error)
                    )
                else:
                    self._judge(name)
                    return True
            await trio.sleep(PAUSE_SECONDS)
        return False

    def _judge(self, name: str) -> None:
        """Whoever goes on telling of entries that its snapshot lacked would have us copy it for ever."""
        node = self._node
        durable = node.entries.durable
        left = sum(max(0, n - durable.get(o, 0)) for o, n in node.links[name].theirs.items())
        if left > node.config.disk.snapshot_entries:
            self._useless[name] = trio.current_time()
            node.log.warning("a peer tells of more than its snapshot holds", peer=name, entries=left)

    async def _from(self, name: str) -> None:
        node = self._node
        start = trio.current_time()
        self._progress("waiting for the peer", peer=name)
        ready = await self._made(name)
        incoming = Incoming(node.store, size=ready.size)
        candidate = None
        try:
            await self._receive(name, ready, incoming)
            self._progress("examining", peer=name, bytes=ready.size)
            candidate = incoming.candidate()
            await self._install(candidate)
        finally:
            if candidate is not None:
                candidate.close()
            incoming.close()
        node.log.info(
            "snapshot installed",
            peer=name,
            entries=node.store.counts().entries,
            bytes=ready.size,
            seconds=trio.current_time() - start,
        )

    async def _made(self, name: str) -> Ready:
        with trio.move_on_after(SNAPSHOT_MAKE_SECONDS):
            while True:
                ready = await self._ask(name, Ready)
                if ready.ready:
                    return ready
                await trio.sleep(POLL_SECONDS)
        raise Failed("the peer did not make its snapshot in time")

    async def _receive(self, name: str, ready: Ready, incoming: Incoming) -> None:
        start = trio.current_time()
        while incoming.received < ready.size:
            part = await self._ask(name, Part, token=ready.token, offset=incoming.received)
            if part.offset != incoming.received or not any(part.pieces):
                raise Failed("the peer's file is shorter than it said")
            for piece in part.pieces:
                incoming.write(piece)
            self._progress("receiving", peer=name, bytes=incoming.received, of=ready.size)
            if incoming.received < (trio.current_time() - start - GRACE_SECONDS) * BYTES_PER_SECOND_MIN:
                raise Failed("the peer sends too slowly")
        if incoming.hash != ready.hash:
            raise Failed("what has arrived is not what was sent")

    async def _ask(self, name: str, schema: type[T], **fields: object) -> T:
        """One question, repeated while the peer is silent.  Raises `Failed`."""
        node = self._node
        who = node.introduction()
        deadline = node.config.timings.peer_deadline_seconds
        for _ in range(SILENCES_MAX):
            try:
                reply = await ask(
                    node, self._askers[name], "snapshot", {**who, **fields}, deadline_seconds=deadline
                )
                if reply.get("status") == "erro":
                    raise Failed(f"the peer refuses: {reply.get('code')}")
                return codec.convert(reply, schema)
            except Malformed as error:
                raise Failed(error.reason) from None
            except Unanswered:
                await trio.sleep(PAUSE_SECONDS)
        raise Failed("the peer is silent")

    async def _install(self, candidate: Candidate) -> None:
        node = self._node
        with trio.CancelScope(shield=True):  # a thread can't be cancelled, and its file may not go before it
            verify = None if node.proofs is None else node.proofs.verifier()
            ceiling = node.ceiling()
            await node.surroundings.aside(lambda: _ignore(candidate.examine(verify, ceiling=ceiling)))
        self._progress("joining our own entries")
        while candidate.merge(node.store, most=MERGE_ENTRIES):
            await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            await node.surroundings.aside(candidate.flush)
        async with node.let_go():
            await self._exchange(candidate)

    async def _exchange(self, candidate: Candidate) -> None:
        node = self._node
        node.commits.paused = True
        try:
            while not node.commits.at_rest:
                await node.commits.idle()
                await trio.lowlevel.checkpoint()
            # No checkpoint from here on: what was read is what is replaced.
            while candidate.merge(node.store, most=MERGE_ENTRIES):
                pass
            candidate.install(node.store)
            node.reload()
        finally:
            node.commits.paused = False

    def _progress(self, phase: str, **fields: object) -> None:
        before = (self._node.bootstrap or {}).get("phase")
        self._node.bootstrap = {"phase": phase, **fields}
        now = trio.current_time()
        if phase != before or now - self._told >= TOLD_SECONDS:
            self._told = now
            self._node.log.info("taking a snapshot", phase=phase, **fields)


def _ignore(_value: object) -> None:
    """Commits give nothing back."""
