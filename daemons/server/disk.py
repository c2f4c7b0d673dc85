"""The disk's state: full, then read-only until there is room (A32); slow, then shedding, and no lead (A31).

A full disk takes no writes and no pages of peers, but reads, pulls by others, clocks and votes go on:
the reserve was given up for what the node itself must still write.  Every `probe_seconds` the task
tries to take the reserve back and then to write a fact; when both succeed, writes are taken again.
"""

from collections.abc import Callable

import trio

from daemons.server.node import Node
from recado.protocol.limits import DISK_ROOM_BYTES_MIN

WATCH_SECONDS = 0.5
PROBED_KEY = "disk_probed"


class DiskWatch:
    """The task `run`.  `changed` is told when the disk becomes slow, and when it is well again."""

    def __init__(self, node: Node, *, changed: Callable[[bool], None]) -> None:
        self._node = node
        self._changed = changed
        self._told_full = False
        self._probe_at = 0.0
        commits = node.commits
        commits.make_room = self._make_room
        reserve = node.store.reserve
        if node.store.full_at_start:
            commits.full = True
        elif reserve is not None and not reserve.held:
            node.log.warning("no room for the reserve", bytes=node.config.disk.reserve_bytes)

    def _make_room(self) -> bool:
        reserve = self._node.store.reserve
        return reserve is not None and reserve.release()

    async def run(self) -> None:
        """The task: look often, say what changes, probe a full disk seldom."""
        settings = self._node.config.disk
        while True:
            await trio.sleep(min(WATCH_SECONDS, settings.slow_seconds / 2, settings.probe_seconds / 2))
            self._watch_commit()
            await self._watch_room()

    def _watch_commit(self) -> None:
        commits, log = self._node.commits, self._node.log
        since = commits.out_since
        seconds = 0.0 if since is None else trio.current_time() - since
        slow = seconds > self._node.config.disk.slow_seconds
        if slow and not commits.slow:
            log.error("disk is slow, writes are refused", commit_seconds=seconds, backlog=commits.backlog)
        elif commits.slow and not slow:
            log.info("disk is fast again, writes are taken")
        if slow is not commits.slow:
            commits.slow = slow
            self._changed(slow)

    async def _watch_room(self) -> None:
        commits, log = self._node.commits, self._node.log
        now = trio.current_time()
        if commits.full and not self._told_full:
            self._told_full = True
            self._probe_at = now + self._node.config.disk.probe_seconds
            log.error("disk is full, read-only until there is room")
        if commits.full and now >= self._probe_at:
            self._probe_at = now + self._node.config.disk.probe_seconds
            if await self._has_room():
                commits.full = False
        if self._told_full and not commits.full:
            self._told_full = False
            log.info("disk has room again, writes are taken")
            self._node.nudge(None)  # fetch what was refused meanwhile

    async def _has_room(self) -> bool:
        """Whether the reserve is ours again, with some room beyond it, and a fact can be written."""
        reserve = self._node.store.reserve
        if reserve is not None:
            if not await trio.to_thread.run_sync(reserve.take):
                return False
            if reserve.free_bytes() < DISK_ROOM_BYTES_MIN:
                reserve.release()
                return False
        ends: list[object] = []
        done = trio.Event()

        def ended(full: object) -> None:
            ends.append(full)
            done.set()

        self._node.commits.put_meta(PROBED_KEY, self._node.wall_ms(), ended)
        await done.wait()
        return ends == [None]
