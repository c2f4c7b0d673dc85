"""The commit task: group commit that clocks itself, and what happens after it (R3, R4, A5).

While one commit is out, everything that arrives gathers; the next commit takes it, at most
`COMMIT_ENTRIES_MAX` entries.  After a commit, in this order: the durable vector grows, waiting
requests are answered, then the followers (replication, announcements) are told.  The commit itself
runs shielded (A41): a cancelled one would be rolled back in memory and kept on disk.

In a secured cluster the signatures that `sign` gives for a batch are part of its commit, and what came
from a peer as one signed run is committed as one: what is durable can be proved to others.

A disk that is full (A32) takes no entry any more: `full` stays set until `daemons.server.disk` finds
room again.  What the node must remember of itself (its epoch) is tried again without the entries,
after `make_room` has given up the reserve.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import trio

from recado.protocol.errors import Refused
from recado.protocol.limits import (
    COMMIT_ENTRIES_MAX,
    PENDING_CALLBACKS_MAX,
    PENDING_ENTRIES_MAX,
    QUARANTINE_ROWS_MAX,
)
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry
from storage.replica import Batch, DataLocked, PeerRow, Quarantined, StorageFull

After = Callable[[StorageFull | None], None]
LOCKED_SECONDS = 0.05  # between two attempts while a shell holds the file's write lock
Item = tuple[Entry | None, After | None]
Committer = Callable[[Callable[[], None]], Awaitable[None]]
Place = tuple[str, int]  # origin and seq
Sign = Callable[[Sequence[Entry]], Mapping[Place, bytes]]


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
        self.sign: Sign | None = None  # what a commit of these entries needs of our own signatures
        self.signed: Mapping[Place, bytes | None] = {}  # the signatures in the latest commit
        self.make_room: Callable[[], bool] = lambda: False  # gives the reserve up; whether there was one
        self.took: Callable[[float, int], None] = lambda _seconds, _entries: None  # told of each commit
        self.commits = 0
        self.full = False
        self.paused = False  # nothing is taken: the file is being exchanged
        self.slow = False  # set while a commit takes too long (A31)
        self.out_since: float | None = None  # when the commit that is out began, trio's seconds
        self.attempt_since: float | None = None  # when the disk was given what it has not answered yet
        self._log = log
        self._store = store
        self._committer = committer
        self._now_ms = now_ms
        self._items: list[Item] = []
        self._meta: dict[str, Any] = {}
        self._facts: list[After] = []  # called when what `_meta` holds is durable
        self._repairs: list[Entry] = []
        self._given: dict[Place, bytes] = {}  # signatures of what was kept, as peers gave them
        self._older: dict[Place, bytes | None] = {}  # signatures of what is durable already
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

    @property
    def at_rest(self) -> bool:
        """Whether nothing is pending and no commit is out."""
        return not self._items and self.out_since is None

    @property
    def refusal(self) -> Refused | None:
        """Why nothing more is taken at present; None: it is."""
        return self.refusal_of(1)

    def refusal_of(self, entries: int) -> Refused | None:
        """Why so many more entries are not taken at present; None: they are."""
        if self.full:
            return Refused("storage_full", "Disco cheio; nada foi guardado")
        crowded = self.backlog + entries > PENDING_ENTRIES_MAX
        crowded = crowded or len(self._items) + entries > PENDING_CALLBACKS_MAX
        if self.slow or self.paused or crowded:
            return Refused("busy", "Servidor ocupado; tente de novo")
        return None

    def keep(self, entry: Entry, after: After | None = None) -> None:
        """Commit this entry; then call `after`."""
        self._entries += 1
        self._items.append((entry, after))
        self._stir()

    def keep_all(self, entries: Sequence[Entry], after: After) -> None:
        """Commit these entries; then, the last of them being durable, call `after`.

        After a full disk the first of them may be kept: an earlier commit may have taken them.
        """
        self._entries += len(entries)
        self._items += [(entry, None) for entry in entries[:-1]]
        self._items.append((entries[-1], after))
        self._stir()

    def keep_run(self, entries: Sequence[Entry], signature: bytes | None) -> None:
        """Commit a peer's entries, as a whole if the last of them is signed."""
        if not entries:
            return
        self._entries += len(entries)
        self._items += [(entry, None) for entry in entries]
        self._stir()
        if signature is not None:
            self._given[entries[-1].origin, entries[-1].seq] = signature

    def put_signature(self, origin: str, seq: int, signature: bytes | None) -> None:
        """Keep a signature of an entry that is durable; None: there is none that is right."""
        self._older[origin, seq] = signature
        self._items.append((None, None))
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
        if after is not None:
            self._facts.append(after)
        self._items.append((None, None))
        self._stir()

    def repair(self, entries: Sequence[Entry], after: After) -> None:
        """Put these, fetched from a peer and checked, in the place of damaged rows; then call `after`."""
        self._repairs += entries
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

    def note_refused(self, row: Quarantined) -> None:
        """Keep what was refused with the next commit: whoever sends much of it causes no commits."""
        if len(self._quarantined) < QUARANTINE_ROWS_MAX:
            self._quarantined.append(row)

    def flush_peers(self) -> None:
        """Write what `put_peer` gathered even if nothing else is to be written."""
        if self._peers and not self.full:
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
            items, facts, batch = self._take()
            self._out = len(batch.entries)
            self.out_since = trio.current_time()
            for _ in count():  # until whoever holds the lock lets go; meanwhile the backlog's limit holds
                if await self._commit(items, facts, batch):
                    break
                await trio.sleep(LOCKED_SECONDS)
            self.took(trio.current_time() - self.out_since, len(batch.entries))
            self.out_since = None
            self._done.set()
            self._done = trio.Event()

    async def _commit(self, items: list[Item], facts: list[After], batch: Batch) -> bool:
        """One attempt; False if somebody else's program holds the file's write lock."""
        with trio.CancelScope(shield=True):
            self.attempt_since = trio.current_time()
            try:
                self._store.stage(batch)
                await self._committer(self._store.commit)
            except DataLocked:
                return False
            except StorageFull as full:
                self._filled(items, facts, batch, full)
            else:
                self._out = 0
                self.signed = batch.signatures
                self._committed([*((None, kept) for kept in facts), *items], batch.entries)
            finally:
                self.attempt_since = None
        return True

    def _stir(self) -> None:
        if self._idle.is_set():
            self._idle = trio.Event()
        self._wake.set()

    def _take(self) -> tuple[list[Item], list[After], Batch]:
        if self._entries <= COMMIT_ENTRIES_MAX:
            items, self._items = self._items, []
        else:
            end = taken = 0
            while taken < COMMIT_ENTRIES_MAX:
                taken += self._items[end][0] is not None
                end += 1
            if self.sign is not None:
                end = self._end_of_run(end)
            items, self._items = self._items[:end], self._items[end:]
        entries = [entry for entry, _ in items if entry is not None]
        self._entries -= len(entries)
        batch = Batch(
            entries=entries,
            signatures=self._signatures(entries),
            repairs=self._repairs,
            meta=self._meta,
            peers=list(self._peers.values()),
            quarantined=self._quarantined,
            states=self._states,
            now_ms=self._now_ms(),
        )
        facts, self._facts = self._facts, []
        self._meta, self._peers, self._quarantined, self._states = {}, {}, [], {}
        self._repairs, self._older = [], {}
        return items, facts, batch

    def _end_of_run(self, end: int) -> int:
        """The cut moved behind the run that it would go through: a part of it nobody vouches for."""
        items = self._items
        while end < len(items) and (before := items[end - 1][0]) and (behind := items[end][0]):
            if before.origin != behind.origin or (before.origin, before.seq) in self._given:
                break
            if before.origin == self._log.mine:
                break
            end += 1
        return end

    def _signatures(self, entries: Sequence[Entry]) -> dict[Place, bytes | None]:
        if self.sign is None:
            return {}
        signatures = {**self._older, **self.sign(entries)}
        if self._given:
            places = {(entry.origin, entry.seq) for entry in entries}
            signatures |= {place: self._given.pop(place) for place in places & self._given.keys()}
        return signatures

    def _committed(self, items: list[Item], entries: Sequence[Entry]) -> None:
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

    def _filled(self, items: list[Item], facts: list[After], batch: Batch, full: StorageFull) -> None:
        """A full disk took nothing: every pending entry is void, and its origin is not used again.

        What the node has to remember beside the log is tried again, alone and with the reserve's room;
        if that was in vain, it goes with the next commit.
        """
        self.full = True
        again = self.make_room() or bool(batch.entries or batch.repairs)
        self._meta = {**batch.meta, **self._meta}
        self._states = {**batch.states, **self._states}
        self._quarantined = [*batch.quarantined, *self._quarantined][:QUARANTINE_ROWS_MAX]
        items = items + self._items
        self._items, self._entries, self._out = [], 0, 0
        self._repairs = []
        self._given = {}
        self._log.abandon()
        for forget in self.voided:
            forget()
        if again and (self._meta or self._states):
            self._facts = [*facts, *self._facts]
            self._items.append((None, None))
        else:
            facts, self._facts = [*facts, *self._facts], []  # who is told may have another fact to keep
            for kept in facts:
                kept(full)
        for _, after in items:
            if after is not None:
                after(full)
        self.flush()
