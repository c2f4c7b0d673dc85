"""Disks that are slow or full."""

from collections.abc import Callable

import trio

from storage.replica import Batch, Replica, StorageFull

HANG_SECONDS = 600.0


class Brake:
    """A committer that holds its commits while it is on."""

    def __init__(self) -> None:
        self.released = trio.Event()
        self.released.set()

    def hold(self) -> None:
        self.released = trio.Event()

    async def __call__(self, commit: Callable[[], None]) -> None:
        with trio.move_on_after(HANG_SECONDS):  # commits are shielded: a failing test must still end
            await self.released.wait()
        commit()
        await trio.lowlevel.checkpoint()


class Disk(Replica):
    """A replica whose disk can be full."""

    full = False

    def stage(self, batch: Batch) -> None:
        if self.full:
            raise StorageFull("no room")
        super().stage(batch)
