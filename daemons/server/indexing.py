"""The task that lets the search index follow behind the log, and who may touch the index when.

Slices of the log are put into it in a worker thread, with pauses that keep to a share of the time; a busy
server puts it off until the index is far behind.  Nothing waits for it.  A full disk stops it first, an
index that is lost, damaged or of another log begins anew, and what the disk says ends searches, not the
server.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from daemons.server.node import Node
from recado.protocol.limits import (
    DAMAGED_ENTRIES_MAX,
    SEARCH_BUSY_ENTRIES_PER_SECOND,
    SEARCH_LAG_ENTRIES_MAX,
    SEARCH_ROOM_BYTES_MIN,
    SEARCH_SHARE,
    SEARCH_SHARE_BUSY,
    SEARCH_SLICE_ENTRIES,
)
from recado.protocol.messages import Entry
from storage.search import STRETCHES_MAX, Index, Interrupted, SearchFailed, Stretch, remove

GATHER_SECONDS: Final = 0.1  # from a commit until it is indexed, with all that came meanwhile
RETRY_SECONDS: Final = 10.0  # after a failure, and while there is no room
PAUSE_SECONDS_MIN: Final = 0.005  # between two slices


class Indexing:
    """The task `run`.  `index`: None while there is none to be searched.

    `reading` and `writing` are held while a thread has the index; both, while it is none of theirs.
    """

    def __init__(self, node: Node) -> None:
        self.index: Index | None = None
        self.reading, self.writing = trio.Lock(), trio.Lock()
        self._node = node
        self._news = trio.Event()
        self._again: list[Stretch] = []  # entries that were repaired after they had been indexed
        self._state = "opening"
        self._lost = False  # the index is not sound
        self._busy = False
        self._seen = (0.0, 0)  # when the pace was looked at, and how many entries were committed then
        node.commits.followers.append(lambda _entries: self._news.set())
        if node.config.search.enabled:
            node.search_state = self.state
        node.repaired = self.repaired
        node.let_go = self.let_go

    @property
    def lag(self) -> int:
        """Entries that are durable here and not in the index."""
        durable = self._node.entries.durable
        return sum(durable.values()) if self.index is None else self.index.lag(durable)

    def state(self) -> dict[str, object]:
        """What `status` says: `phase` is opening, following, waiting (for quiet), no room or failed."""
        return {"phase": self._state, "lag": self.lag}

    def repaired(self, entries: Sequence[Entry]) -> None:
        """These took the place of damaged ones, which may be in the index as they were."""
        for entry in entries[: DAMAGED_ENTRIES_MAX - len(self._again)]:
            self._again.append(Stretch(entry.origin, entry.seq - 1, entry.seq))
        self._news.set()

    @asynccontextmanager
    async def let_go(self) -> AsyncIterator[None]:
        """Nothing of the index holds the replica's file in this block, in which it may be exchanged."""
        async with self.writing, self.reading:
            index, self.index = self.index, None
            if index is None:
                yield
                return
            index.release()
            try:
                yield
            finally:
                try:
                    index.reopen()
                    self.index = index
                except SearchFailed as failed:
                    self.failed(failed)
                    index.close()
                self._news.set()

    # The task ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """The task."""
        await trio.lowlevel.checkpoint()
        node = self._node
        if not node.config.search.enabled:
            await self._aside(lambda: remove(node.store))
            return
        try:
            while True:
                if self._lost:
                    await self._give_up()
                elif self.index is None and not await self._opened():
                    await trio.sleep(RETRY_SECONDS)
                elif not self._again and not self.lag:
                    self._state = "following"
                    self._news = trio.Event()
                    await self._news.wait()
                    await trio.sleep(GATHER_SECONDS)
                else:
                    await trio.sleep(await self._turn())
        finally:
            # A thread that is still in it is told to end, and its file is not closed under it.
            with trio.CancelScope(shield=True):
                async with self.writing, self.reading:
                    if self.index is not None:
                        self.index.close()

    async def _opened(self) -> bool:
        node, opened = self._node, []
        async with self.writing, self.reading:
            if await self._aside(lambda: opened.append(Index(node.store))):
                self.index = opened[0]
                if self.index.begun_anew is not None:
                    node.log.warning("the search index begins anew", reason=self.index.begun_anew)
        return bool(opened)

    async def _give_up(self) -> None:
        """Close what is not sound; begin anew after a while, as the disk may not be sound either."""
        async with self.writing, self.reading:
            index, self.index = self.index, None
            if index is not None:
                index.close()
                await self._aside(lambda: remove(self._node.store))
            self._lost = False
        await trio.sleep(RETRY_SECONDS)

    async def _turn(self) -> float:
        """One slice, if this is the time for it; how long to wait before the next."""
        node, busy = self._node, self._is_busy()
        if node.commits.full or not self._has_room():
            if self._state != "no room":
                node.log.warning("no room for the search index", lag=self.lag)
            self._state = "no room"
            return RETRY_SECONDS
        if (busy and self.lag <= SEARCH_LAG_ENTRIES_MAX and not self._again) or node.bootstrap is not None:
            self._state = "waiting"
            return GATHER_SECONDS
        self._state = "following"
        start = node.surroundings.now()
        if not await self._slice():
            return 0.0 if self._lost else RETRY_SECONDS
        took = node.surroundings.now() - start
        return max(PAUSE_SECONDS_MIN, took * (1 / (SEARCH_SHARE_BUSY if busy else SEARCH_SHARE) - 1))

    def _is_busy(self) -> bool:
        """Whether many entries are committed at present."""
        now, committed = self._node.surroundings.now(), self._node.meters.committed_entries
        then, before = self._seen
        if now - then >= GATHER_SECONDS:
            self._seen = (now, committed)
            self._busy = committed - before > SEARCH_BUSY_ENTRIES_PER_SECOND * (now - then)
        return self._busy

    def _has_room(self) -> bool:
        room = self._node.meters.room
        return room is None or room.free >= SEARCH_ROOM_BYTES_MIN

    async def _slice(self) -> bool:
        """Whether something more of the log is in the index."""
        async with self.writing:
            index = self.index
            if index is None:
                return True
            again, self._again = self._again[:STRETCHES_MAX], self._again[STRETCHES_MAX:]
            known = [stretch for stretch in again if stretch.upto <= index.reached.get(stretch.origin, 0)]
            taken = known or index.stretches(self._node.entries.durable, most=SEARCH_SLICE_ENTRIES)
            return await self._aside(lambda: index.take(taken))

    async def _aside(self, work: Callable[[], Any]) -> bool:
        """Do it in a worker thread, to its end; whether it was done.  The locks that it needs are held."""
        failures: list[SearchFailed | Interrupted] = []

        def done() -> None:
            try:
                work()
            except (SearchFailed, Interrupted) as failed:
                failures.append(failed)

        async with trio.open_nursery() as beside:
            beside.start_soon(self._until_the_end)
            with trio.CancelScope(shield=True):  # a thread can't be cancelled, nor its file closed under it
                await self._node.surroundings.aside(done)
            beside.cancel_scope.cancel()
        if failures and isinstance(failures[0], SearchFailed):
            self.failed(failures[0])
        return not failures

    async def _until_the_end(self) -> None:
        """When the server stops, what is under way in a thread is not waited for."""
        try:
            await trio.sleep_forever()
        finally:
            if self.index is not None:
                self.index.interrupt_taking()

    def failed(self, failed: SearchFailed) -> None:
        """Say so once, and try again later, with a new index if this one is not sound."""
        if self._state != "failed":
            self._node.log.error("the search index failed", reason=str(failed), lost=failed.lost)
        self._state = "failed"
        if failed.lost:
            self._lost = True
            self._news.set()
