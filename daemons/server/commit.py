"""The commit task: group commit that clocks itself, and what happens after it (R3, R4, A5).

While one commit is out, everything that arrives gathers; the next commit takes it, at most
`COMMIT_ENTRIES_MAX` entries.  After a commit, in this order: the durable vector grows, waiting
requests are answered, then the followers (replication, announcements) are told.  The commit itself
runs shielded (A41): a cancelled one would be rolled back in memory and kept on disk.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Protocol

import trio

from recado.protocol.limits import COMMIT_ENTRIES_MAX
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry
from storage.replica import Batch, DataLocked, PeerRow, Quarantined, StorageFull

After = Callable[[StorageFull | None], None]
LOCKED_SECONDS = 0.05  # between two attempts while a shell holds the file's write lock
Committer = Callable[[Callable[[], None]], Awaitable[None]]


class Store(Protocol):
    """What the commit task needs of the replica."""

    def stage(self, batch: Batch) -> None: ...
    def commit(self) -> None: ...


async def commit_in_thread(commit: Callable[[], None]) -> None:
    """One worker thread at a time: the loop goes on while the disk works."""
    await trio.to_thread.run_sync(commit)


async def commit_inline(commit: Callable[[], None]) -> None:
    """For the simulated cluster, where a thread would let the virtual clock jump."""
    commit()
    await trio.lowlevel.checkpoint()


class GroupCommit:
    """Entries on their way to the disk.  `run` is the task; everything else is synchronous."""

    def __init__(
        self,
        log: ReplicationLog,
        store: Store,
        *,
        committer: Committer,
        now_ms: Callable[[], int],
    ) -> None:
        self.appliers: list[Callable[[Sequence[Entry]], None]] = []  # told before anybody is answered
        self.followers: list[Callable[[Sequence[Entry]], None]] = []  # told afterwards
        self.voided: list[Callable[[], None]] = []  # told when pending entries were given up
        self.flush: Callable[[], None] = lambda: None  # sends the answers that a commit released
        self.commits = 0
        self._log = log
        self._store = store
        self._committer = committer
        self._now_ms = now_ms
        self._items: list[tuple[Entry | None, After | None]] = []
        self._meta: dict[str, Any] = {}
        self._peers: dict[str, PeerRow] = {}
        self._quarantined: list[Quarantined] = []
        self._states: dict[str, str] = {}
        self._entries = 0
        self._out = 0
        self._wake = trio.Event()
        self._done = trio.Event()  # set and replaced at the end of each commit
        self._idle = trio.Event()
        self._idle.set()

    @property
    def backlog(self) -> int:
        """Entries appended and not yet durable."""
        return self._entries + self._out

    def keep(self, entry: Entry, after: After | None = None) -> None:
        """Commit this entry; then call `after`."""
        self._entries += 1
        self._items.append((entry, after))
        self._stir()

    def after(self, callback: After) -> None:
        """Call back when everything kept so far is durable; at once if it is."""
        if not self._items and not self._out:
            callback(None)
        else:
            self._items.append((None, callback))
            self._stir()

    def put_meta(self, key: str, value: Any, after: After | None = None) -> None:
        """Make a node's own fact durable (its epoch, its rank); then call `after`."""
        self._meta[key] = value
        self._items.append((None, after))
        self._stir()

    def put_peer(self, row: PeerRow) -> None:
        """Ride along with the next commit: it is for people to look at."""
        self._peers[row.name] = row

    def quarantine(self, row: Quarantined, *, state: str) -> None:
        """Keep what was refused for people to look at, and remember that its origin is in `state`."""
        self._quarantined.append(row)
        self._states[row.origin] = state
        self._items.append((None, None))
        self._stir()

    def flush_peers(self) -> None:
        """Write what `put_peer` gathered even if nothing else is to be written."""
        if self._peers:
            self._items.append((None, None))
            self._stir()

    async def durable(self) -> bool:
        """Wait until everything kept so far is durable (True), or was given up (False)."""
        done = trio.Event()
        ends: list[StorageFull | None] = []

        def ended(full: StorageFull | None) -> None:
            ends.append(full)
            done.set()

        self.after(ended)
        await done.wait()
        return ends[0] is None

    async def progress(self) -> None:
        """Wait for the end of the commit that is out or next."""
        await self._done.wait()

    async def idle(self) -> None:
        """Wait until nothing is pending."""
        await self._idle.wait()

    async def run(self) -> None:
        """The task.  Raises `storage` errors that leave the disk's state unknown: fail-stop (A33)."""
        while True:
            if not self._items:
                self._idle.set()
                self._wake = trio.Event()
                await self._wake.wait()
            items, batch = self._take()
            self._out = len(batch.entries)
            for _ in count():  # until whoever holds the lock lets go; meanwhile the backlog's limit holds
                if await self._commit(items, batch):
                    break
                await trio.sleep(LOCKED_SECONDS)
            self._done.set()
            self._done = trio.Event()

    async def _commit(self, items: list[tuple[Entry | None, After | None]], batch: Batch) -> bool:
        """One attempt; False if somebody else's program holds the file's write lock."""
        with trio.CancelScope(shield=True):
            try:
                self._store.stage(batch)
                await self._committer(self._store.commit)
            except DataLocked:
                return False
            except StorageFull as full:
                self._give_up(items, batch, full)
            else:
                self._out = 0
                self._committed(items, batch.entries)
        return True

    def _stir(self) -> None:
        if self._idle.is_set():
            self._idle = trio.Event()
        self._wake.set()

    def _take(self) -> tuple[list[tuple[Entry | None, After | None]], Batch]:
        if self._entries <= COMMIT_ENTRIES_MAX:
            items, self._items = self._items, []
        else:
            end = taken = 0
            while taken < COMMIT_ENTRIES_MAX:
                taken += self._items[end][0] is not None
                end += 1
            items, self._items = self._items[:end], self._items[end:]
        entries = [entry for entry, _ in items if entry is not None]
        self._entries -= len(entries)
        batch = Batch(
            entries=entries,
            meta=self._meta,
            peers=list(self._peers.values()),
            quarantined=self._quarantined,
            states=self._states,
            now_ms=self._now_ms(),
        )
        self._meta, self._peers, self._quarantined, self._states = {}, {}, [], {}
        return items, batch

    def _committed(self, items: list[tuple[Entry | None, After | None]], entries: Sequence[Entry]) -> None:
        self.commits += 1
        self._log.committed(entries)
        for apply in self.appliers:
            apply(entries)
        for _, after in items:
            if after is not None:
                after(None)
        self.flush()
        for follow in self.followers:
            follow(entries)

    def _give_up(
        self, items: list[tuple[Entry | None, After | None]], batch: Batch, full: StorageFull
    ) -> None:
        """A full disk took nothing: every pending entry is void, and its origin is not used again.

        What the node has to remember beside the log goes with the next commit.
        """
        self._meta = {**batch.meta, **self._meta}
        self._states = {**batch.states, **self._states}
        self._quarantined = [*batch.quarantined, *self._quarantined]
        items = items + self._items
        self._items, self._entries, self._out = [], 0, 0
        self._log.abandon()
        for forget in self.voided:
            forget()
        for _, after in items:
            if after is not None:
                after(full)
        self.flush()
