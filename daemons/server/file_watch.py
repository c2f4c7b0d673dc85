"""Others at the replica's file: readers that hold its write-ahead log back, and whoever writes to it.

Looking into a replica beside its server is a promised interface; this task is its other half.  A log that
grows too large is said together with the processes whose reading keeps it; it can't be taken from them.
A write from outside is said at once, what it put behind the ends of the logs is cast out, and every hash
is checked: what it changed or deleted is fetched from the peers like any damage (A34).
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from daemons.server.node import Node
from storage.outside import readers, wal_bytes
from storage.replica import DataLocked, StorageFull


class FileWatch:
    """The task `run`.  `check` looks at every hash of the log."""

    def __init__(self, node: Node, *, check: Callable[[], Awaitable[None]]) -> None:
        self._node = node
        self._check = check
        self._told_bytes = 0
        self._remains = False  # something that could not be cast out yet

    async def run(self) -> None:
        """The task; a store in memory has no others."""
        await trio.lowlevel.checkpoint()
        path = self._node.store.path
        while path is not None:
            self._watch_wal(path)
            if self._node.commits.at_rest and (self._node.store.written_by_others() or self._remains):
                await self._written_from_outside()
            await trio.sleep(self._node.config.disk.look_seconds)

    def _watch_wal(self, path: Path) -> None:
        """Say that the log has grown beyond the limit, and each time that it has doubled; and its end."""
        node = self._node
        limit, size = node.config.disk.wal_bytes, wal_bytes(path)
        if limit and size > max(limit, 2 * self._told_bytes):
            self._told_bytes = size
            held_by = " ".join(map(str, readers(path)))
            node.log.warning("the write-ahead log can't begin anew, somebody reads", bytes=size, pids=held_by)
        elif self._told_bytes and size <= limit:
            self._told_bytes = 0
            node.log.info("the write-ahead log has begun anew", bytes=size)

    async def _written_from_outside(self) -> None:
        node = self._node
        node.outside_writes += 1
        altered = node.store.foreign_definitions()
        removed = 0
        try:
            removed = node.store.cast_out()
            self._remains = False
        except (DataLocked, StorageFull):
            self._remains = True  # it is still writing, or there is no room: at the next look
        node.log.error("somebody else wrote to the replica", cast_out=removed, definitions=" ".join(altered))
        await self._check()
