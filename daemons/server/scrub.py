"""The daily look at every hash of the log, and the repair of what is damaged (A34).

The check takes a little at a time and at most two hundredths of it; the ends of all origins come
first, since what a start believes of them would make sound peers look forked.  What is found, here or
by whoever reads the log for a peer, is fetched from the peers by (origin, seq), held against the
entries around it, in a secured cluster where one side is open against a signature, and put in place by
an ordinary commit.  Signatures are checked too: a wrong one is made anew, fetched, or goes.  What no
peer can give is said again and again: it is lost unless some replica is brought back.
"""

from collections.abc import Mapping

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.node import Node
from daemons.server.signing import Proofs, chained_hash
from recado.protocol import codec
from recado.protocol.entry import EMPTY, origin_node
from recado.protocol.errors import Malformed
from recado.protocol.limits import (
    DAMAGED_ENTRIES_MAX,
    PAGE_BYTES_MAX,
    PAGE_ENTRIES_MAX,
    SCRUB_ENTRIES,
    SCRUB_SHARE,
)
from recado.protocol.messages import Entry, Run
from recado.wire.ports import Asker
from storage.replica import Damaged
from storage.scrub import check, replacement, stretches

SCRUBBED_KEY = "scrubbed_ms"
PAUSE_SECONDS_MIN = 0.01  # between two pieces of the check
SIGNATURES = 32  # checked at a time: 0.2 ms each
RETRY_SECONDS = 60.0  # before peers are asked again for what none could give


class FetchPage(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to `fetch`."""

    runs: list[Run] = []


class Scrub:
    """The tasks `run` and `repair`.  `damaged`: places that wait for their repair, by origin."""

    def __init__(self, node: Node, askers: Mapping[str, Asker]) -> None:
        self._node = node
        self._askers = askers
        self.damaged: dict[str, set[int]] = {}
        self._found = trio.Event()
        node.damaged = self.accuse
        node.damage = lambda: sum(map(len, self.damaged.values()))

    # Looking ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The task: the ends of the origins now, everything whenever it is due."""
        node = self._node
        await trio.lowlevel.checkpoint()
        for origin, last in sorted(node.entries.durable.items()):
            await self._check(origin, max(0, last - 1), upto=last)
        period = node.config.disk.scrub_seconds
        done_ms = node.store.meta(SCRUBBED_KEY)
        passed = (node.wall_ms() - done_ms) / 1000 if isinstance(done_ms, int) else period
        await trio.sleep(min(period, max(PAUSE_SECONDS_MIN, period - passed)))
        while True:
            await self.scrub_once()
            await trio.sleep(period)

    async def scrub_once(self) -> None:
        """Check the whole log, as it is at this time."""
        node = self._node
        start = node.surroundings.now()
        checked = 0
        for origin, last in sorted(node.entries.durable.items()):
            for after in range(0, last, SCRUB_ENTRIES):
                await self._check(origin, after, upto=min(last, after + SCRUB_ENTRIES))
            checked += last
        node.commits.put_meta(SCRUBBED_KEY, node.wall_ms())
        seconds = node.surroundings.now() - start
        node.log.info("log checked", entries=checked, damaged=node.damage(), seconds=seconds)

    async def _check(self, origin: str, after: int, *, upto: int) -> None:
        start = self._node.surroundings.now()
        for seq in check(self._node.store, origin, after, upto=upto).damaged:
            self.accuse(origin, seq)
        await self._pause(start)
        if self._node.proofs is not None:
            await self._check_signatures(self._node.proofs, origin, after, upto=upto)

    async def _pause(self, start: float) -> None:
        """After a piece of work that began at `start`."""
        took = self._node.surroundings.now() - start
        await trio.sleep(max(PAUSE_SECONDS_MIN, took * (1 / SCRUB_SHARE - 1)))

    async def _check_signatures(self, proofs: Proofs, origin: str, after: int, *, upto: int) -> None:
        """Of sound entries; with a wrong one peers would take this server for a forger."""
        verified = proofs.verifier()
        kept = list(self._node.store.signatures(origin, after=after, upto=upto).items())
        for first in range(0, len(kept), SIGNATURES):
            start = self._node.surroundings.now()
            wrong = [
                run
                for seq, signature in kept[first : first + SIGNATURES]
                if (run := self._entry(origin, seq)) is not None
                and not verified(origin, seq, chained_hash(run), signature)
            ]
            await self._pause(start)
            for run in wrong:
                await self._mend_signature(run)

    async def _mend_signature(self, run: Run) -> None:
        node, proofs, right = self._node, self._node.proofs, None
        assert proofs is not None
        if origin_node(run.origin) == node.name:
            right = proofs.sign(run.origin, run.first, chained_hash(run))
        for asker in self._askers.values():
            right = right or await self._fetched_signature(asker, proofs, run)
        node.log.error("a damaged signature", origin=run.origin, seq=run.first, replaced=right is not None)
        node.commits.put_signature(run.origin, run.first, right)

    def _entry(self, origin: str, seq: int) -> Run | None:
        """None if the entry itself is damaged, which is seen to elsewhere."""
        try:
            return self._node.store.run_after(origin, seq - 1, entries_max=1, bytes_max=PAGE_BYTES_MAX)
        except Damaged:
            return None

    def accuse(self, origin: str, seq: int) -> None:
        """An entry that is not what it should be, or the one behind it: it will be looked at."""
        places = self.damaged.get(origin, set())
        if seq not in places and self._node.damage() < DAMAGED_ENTRIES_MAX:
            self._node.log.error("damaged entry", origin=origin, seq=seq)
            self.damaged.setdefault(origin, places).add(seq)
            self._found.set()

    # Repairing ----------------------------------------------------------------------------------------

    async def repair(self) -> None:
        """The task: as soon as something is found, and every minute while something is left."""
        while True:
            if self.damaged:
                with trio.move_on_after(RETRY_SECONDS):
                    await self._found.wait()
            else:
                await self._found.wait()
            self._found = trio.Event()
            for origin in list(self.damaged):
                await self._repair_origin(origin)

    async def _repair_origin(self, origin: str) -> None:
        """Look again around each place, since the one accused may only follow the damaged one."""
        node = self._node
        durable = node.entries.durable.get(origin, 0)
        wrong: set[int] = set()
        for seq in sorted(self.damaged.get(origin, ())):
            wrong.update(check(node.store, origin, max(0, seq - 2), upto=min(seq + 1, durable)).damaged)
        left: set[int] = set()
        for first, last in stretches(wrong):
            for start in range(first, last + 1, PAGE_ENTRIES_MAX):
                end = min(last, start + PAGE_ENTRIES_MAX - 1)
                if not await self._repair(origin, start, end):
                    left.update(range(start, end + 1))
        self.damaged[origin] = left
        if not left:
            del self.damaged[origin]

    async def _repair(self, origin: str, first: int, last: int) -> bool:
        node = self._node
        for name, asker in self._askers.items():
            entries = await self._fetched(name, asker, origin, first, last)
            if entries and await self._replaced(entries):
                node.entries.repaired(entries)
                node.repaired(entries)
                node.log.info("entries repaired", origin=origin, first=first, last=entries[-1].seq, peer=name)
                return entries[-1].seq == last
        node.log.error("damaged entries that no peer can give now", origin=origin, first=first, last=last)
        return False

    async def _fetched(
        self, name: str, asker: Asker, origin: str, first: int, last: int
    ) -> list[Entry] | None:
        node = self._node
        run = await self._fetched_run(asker, origin, first, last)
        if run is None:
            return None
        # A page may hold less than was asked for; the rest is fetched at the next turn.
        end = min(last, first + len(run.entries) - 1)
        head = node.entries.durable_heads.get(origin, EMPTY)
        fits = replacement(node.store, run, last=end, head=head, partial=end < last)
        if fits is None:
            node.log.error("a peer's entries do not fit into our log", peer=name, origin=origin, first=first)
            return None
        bounded = end == last < node.entries.durable.get(origin, 0)
        if not self._proved(run, bounded=bounded):
            node.log.error("a peer's entries are not proved", peer=name, origin=origin, first=first)
            return None
        if not bounded and fits[-1].lamport > node.ceiling():
            node.put_off.note(origin, fits[-1].lamport, peer=name)
            return None
        return fits

    def _proved(self, run: Run, *, bounded: bool) -> bool:
        """In a secured cluster: `bounded` by a sound entry behind, whose hash they give; or signed."""
        proofs = self._node.proofs
        return proofs is None or bounded or proofs.vouches(run)

    async def _fetched_run(self, asker: Asker, origin: str, first: int, last: int) -> Run | None:
        node = self._node
        fields = {**node.introduction(), "origin": origin, "first": first, "last": last}
        deadline = node.config.timings.peer_deadline_seconds
        try:
            reply = await ask(node, asker, "fetch", fields, deadline_seconds=deadline)
            page = codec.convert(reply, FetchPage)
        except (Unanswered, Malformed):
            return None
        run = page.runs[0] if page.runs else None
        if run is None or run.origin != origin or run.first != first or not run.entries:
            return None
        return run

    async def _fetched_signature(self, asker: Asker, proofs: Proofs, run: Run) -> bytes | None:
        """What a peer has over the entry that `run` ends with."""
        last = run.first + len(run.entries) - 1
        found = await self._fetched_run(asker, run.origin, last, last)
        if found is None or len(found.entries) != 1 or chained_hash(found) != chained_hash(run):
            return None
        return found.signature if proofs.vouches(found) else None

    async def _replaced(self, entries: list[Entry]) -> bool:
        done = trio.Event()
        ends: list[object] = []

        def ended(full: object) -> None:
            ends.append(full)
            done.set()

        self._node.commits.repair(entries, ended)
        await done.wait()
        return ends == [None]
