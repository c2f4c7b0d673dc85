"""Pages of the log for peers that lack them; the next page of each is read before it is asked for.

A server that catches up in pages asks, takes, commits, and asks again from where it stands.  Reading a page
(4 us an entry, every hash checked) takes a third of that time, and can be done while the asker commits: who
was sent a full page is likely to ask for the next one.  What was read ahead for nothing is one page for each
peer, and is forgotten at its next question.
"""

from typing import Any, NamedTuple

import trio

from daemons.server.node import Node
from recado.protocol.limits import PAGE_BYTES_MAX, PAGE_ENTRIES_MAX
from recado.protocol.messages import Run
from storage.replica import Damaged


class Place(NamedTuple):
    """Where the next page of somebody begins: behind that entry of the origin."""

    origin: str
    after: int


class Pages:
    """What `sync` answers with, and the task `run`, which reads ahead."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._next: dict[str, Place] = {}  # asker → what it will probably ask for
        self._ahead: dict[str, Run] = {}  # asker → what was read for that
        self._news = trio.Event()

    def page(self, asker: str, missing: dict[str, int]) -> tuple[list[Run], bool]:
        """One page of what the asker lacks, and whether there is more.  `missing`: origin to where it is.

        In a secured cluster each run ends at a signature; what has none yet is not sent.
        """
        node = self._node
        ahead = self._ahead.pop(asker, None)
        self._next.pop(asker, None)
        durable = node.entries.durable
        runs: list[Run] = []
        entries_left, bytes_left = PAGE_ENTRIES_MAX, PAGE_BYTES_MAX
        for origin, after in missing.items():
            if entries_left <= 0 or bytes_left <= 0:
                return runs, True
            run = ahead if not runs and ahead is not None and _begins(ahead, origin, after) else None
            run = run or self._read(origin, after, entries_max=entries_left, bytes_max=bytes_left)
            if run is None:
                continue
            runs.append(run)
            entries_left -= len(run.entries)
            bytes_left -= sum(len(header) + len(body) for header, body in run.entries)
            if after + len(run.entries) < durable.get(origin, 0):
                self._next[asker] = Place(origin, after + len(run.entries))
                self._news.set()
                return runs, True
        return runs, False

    async def run(self) -> None:
        """The task."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._next:
                asker, (origin, after) = self._next.popitem()
                run = self._read(origin, after, entries_max=PAGE_ENTRIES_MAX, bytes_max=PAGE_BYTES_MAX)
                if run is not None:
                    self._ahead[asker] = run
                await trio.lowlevel.checkpoint()

    def _read(self, origin: str, after: int, *, entries_max: int, bytes_max: int) -> Run | None:
        node = self._node
        bounds: Any = {
            "entries_max": entries_max,
            "bytes_max": bytes_max,
            "signed": node.proofs is not None,
        }
        try:
            return node.tail.run_after(origin, after, **bounds) or node.store.run_after(
                origin, after, **bounds
            )
        except Damaged as damaged:
            node.log.error("damaged entry is not served", origin=damaged.origin, seq=damaged.seq)
            node.damaged(damaged.origin, damaged.seq)
            return None


def _begins(run: Run, origin: str, after: int) -> bool:
    return run.origin == origin and run.first == after + 1
