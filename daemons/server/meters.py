"""What a server counts of itself while it works: sums moved by its tasks, for status and metrics."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import trio

from daemons.shared.observe_metrics import Histogram
from storage.backup_rotation import noted

ROOM_SECONDS: Final = 10.0  # between two looks at the file system
OTHER: Final = "other"  # services that are none, by whatever name
_WRITES: Final = frozenset(
    {"login", "channel", "publish", "message", "user_rule", "channel_rule", "invite", "session_key"}
)
_DONE: Final = "OK"


class Room(NamedTuple):
    """The file system of a node's directory, and the sizes of its files, in bytes."""

    free: int
    total: int
    replica: int
    wal: int


class Meters:
    """The sums of one server.  `now` is the time of the batch being handled, monotonic seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: dict[tuple[str, str], int] = {}  # service and code; bounded: both are of this program
        self.write_seconds = Histogram()
        self.commit_seconds = Histogram()
        self.committed_entries = 0
        self.coordinator_changes = 0
        self.coordinator_since_ms: int | None = None
        self.started_ms = 0
        self.offsets_ms: Mapping[str, float] = {}  # of the others' clocks, as the last rounds here measured
        self.room: Room | None = None
        self.backup_at: float | None = None  # when the last backup was made here, seconds since 1970

    def answered(self, service: str, code: object, *, since: float, count: int = 1) -> None:
        """A request of `since` has its reply, or so many have; `code` is None without error."""
        service = OTHER if code == "service_unknown" else service
        key = (service, code if isinstance(code, str) else _DONE)
        self.answers[key] = self.answers.get(key, 0) + count
        if service in _WRITES:
            self.write_seconds.add(max(0.0, self.now - since), count=count)

    def committed(self, seconds: float, entries: int) -> None:
        self.commit_seconds.add(seconds)
        self.committed_entries += entries

    def coordinator_is(self, *, known: bool, wall_ms: int) -> None:
        """It is another one than before, or none."""
        self.coordinator_changes += known
        self.coordinator_since_ms = wall_ms if known else None

    async def watch_room(self, replica: Path) -> NoReturn:
        """The task: look at the disk in a thread, which a disk that hangs may keep."""
        while True:
            try:
                self.room = await trio.to_thread.run_sync(room_of, replica, abandon_on_cancel=True)
            except OSError:
                self.room = None
            self.backup_at = await trio.to_thread.run_sync(noted, replica.parent, abandon_on_cancel=True)
            await trio.sleep(ROOM_SECONDS)


def room_of(replica: Path) -> Room:
    """Raises `OSError`."""
    found = os.statvfs(replica.parent)
    wal = replica.with_name(replica.name + "-wal")
    return Room(
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        replica=replica.stat().st_size,
        wal=wal.stat().st_size if wal.exists() else 0,
    )
