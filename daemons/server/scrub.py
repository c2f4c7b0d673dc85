"""The daily look at every hash of the log, and the repair of what is damaged (A34).

The check takes a little at a time and at most two hundredths of it; the ends of all origins come
first, since what a start believes of them would make sound peers look forked.  What is found, here or
by whoever reads the log for a peer, is fetched from the peers by (origin, seq), held against the
entries around it, and put in place by an ordinary commit.  What no peer can give is said again and
again: it is lost unless some replica is brought back.
"""

from collections.abc import Mapping

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.node import Node
from daemons.server.peer_services import PEER_VERSION
from recado.protocol import codec
from recado.protocol.entry import EMPTY
from recado.protocol.errors import Malformed
from recado.protocol.limits import DAMAGED_ENTRIES_MAX, PAGE_ENTRIES_MAX, SCRUB_ENTRIES, SCRUB_SHARE
from recado.protocol.messages import Entry, Run
from recado.wire.ports import Asker
from storage.scrub import check, replacement, stretches

SCRUBBED_KEY = "scrubbed_ms"
PAUSE_SECONDS_MIN = 0.01  # between two pieces of the check
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
        now = self._node.surroundings.now
        start = now()
        for seq in check(self._node.store, origin, after, upto=upto).damaged:
            self.accuse(origin, seq)
        await trio.sleep(max(PAUSE_SECONDS_MIN, (now() - start) * (1 / SCRUB_SHARE - 1)))

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
                node.log.info("entries repaired", origin=origin, first=first, last=entries[-1].seq, peer=name)
                return entries[-1].seq == last
        node.log.error("damaged entries that no peer can give now", origin=origin, first=first, last=last)
        return False

    async def _fetched(
        self, name: str, asker: Asker, origin: str, first: int, last: int
    ) -> list[Entry] | None:
        node = self._node
        fields = {"v": PEER_VERSION, "cluster": node.config.cluster.id, "from": node.name}
        fields |= {"boot": node.boot, "origin": origin, "first": first, "last": last}
        deadline = node.config.timings.peer_deadline_seconds
        try:
            reply = await ask(node, asker, "fetch", fields, deadline_seconds=deadline)
            page = codec.convert(reply, FetchPage)
        except (Unanswered, Malformed):
            return None
        run = page.runs[0] if page.runs else None
        if run is None or run.origin != origin or run.first != first:
            return None
        # A page may hold less than was asked for; the rest is fetched at the next turn.
        end = min(last, first + len(run.entries) - 1)
        head = node.entries.durable_heads.get(origin, EMPTY)
        fits = replacement(node.store, run, last=end, head=head, partial=end < last)
        if fits is None:
            node.log.error("a peer's entries do not fit into our log", peer=name, origin=origin, first=first)
        return fits

    async def _replaced(self, entries: list[Entry]) -> bool:
        done = trio.Event()
        ends: list[object] = []

        def ended(full: object) -> None:
            ends.append(full)
            done.set()

        self._node.commits.repair(entries, ended)
        await done.wait()
        return ends == [None]
