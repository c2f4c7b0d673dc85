"""The simulated disk: a replica in memory whose commits take time, and can be cut off in the middle.

A commit is first nowhere, then in the page cache, then synced.  A kill leaves what is in the page cache,
a power cut may not; what was synced stays.  Readers see a commit once it is synced, as in SQLite's WAL.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Literal

import trio

from storage.replica import Batch, DataLocked, Replica, StorageFailed, StorageFull

DISK_SECONDS = 0.002  # the median time of a commit
LONG_COMMITS = 20  # as many commits long work on files lasts as long as, in the median
Ending = Literal["killed", "powerless"]


class Disk(Replica):
    """A replica in memory whose disk can be `full`, `locked` by a shell, or `failing`."""

    full = False
    locked = False
    failing = False  # the next commit's outcome is unknown
    keeps = False  # ... and this is it

    def stage(self, batch: Batch) -> None:
        if self.full:
            raise StorageFull("no space left on the simulated disk")
        if self.locked:
            raise DataLocked("somebody else writes to the simulated disk")
        super().stage(batch)

    def commit(self) -> None:
        if self.failing:
            self.failing = False
            if self.keeps:
                super().commit()
            raise StorageFailed("the simulated disk does not say what became of this")
        super().commit()


class DiskClock:
    """When the commits of one process life happen; `end` is what its end makes of the one that is out."""

    def __init__(self, random: Random) -> None:
        self.seconds = DISK_SECONDS
        self.frozen_until = 0.0
        self._random = random
        self._write: Callable[[], None] | None = None  # the commit that is out, and
        self._cached = False  # whether it is in the page cache
        self._ended = False

    async def commit(self, write: Callable[[], None]) -> None:
        """As `node.Surroundings.committer`."""
        seconds = self.seconds * self._random.lognormvariate(0.0, 0.5)
        share = self._random.random()
        self._write, self._cached = write, False
        await trio.sleep(seconds * share)
        self._cached = True
        await trio.sleep(seconds * (1 - share))
        await trio.sleep_until(self.frozen_until)  # in the past unless the process was stopped
        write, self._write = self._write, None
        if write is None:
            raise StorageFailed("the process is no more")
        write()

    async def aside(self, work: Callable[[], None]) -> None:
        """As `node.Surroundings.aside`, for a snapshot: each part as fast as the disk then is."""
        for _ in range(LONG_COMMITS):
            await trio.sleep(self.seconds * self._random.lognormvariate(0.0, 0.5))
        await trio.sleep_until(self.frozen_until)
        if self._ended:
            raise StorageFailed("the process is no more")
        work()

    def end(self, ending: Ending, *, kept: bool) -> None:
        """The process is gone: what is in the page cache is written, after a power cut only if `kept`.

        The one that waits for its commit is a ghost from now on: it writes nothing, and ends.
        """
        self._ended = True
        write, self._write = self._write, None
        if write is not None and self._cached and (ending == "killed" or kept):
            with suppress(StorageFailed):  # nobody is left to hear of it
                write()
