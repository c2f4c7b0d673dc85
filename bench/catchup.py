"""An empty third server of three, until it has and serves all: by a snapshot, and in pages.

The donor's log is made by `bench.long_log`, checkpointed as after a clean end.  Time counts from when the
newcomer serves, which is when it asks for the first time, until it has all.  Beside each stands how long `cp`
and fsync of the same file take at that moment, and the peaks of memory of both ends.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.disk import fdatasync_us
from bench.history import place_in
from bench.long_log import LongLog
from bench.members import Members
from bench.serving import processor_seconds
from recado.protocol import codec
from recado.wire.zeromq import ZeroMQNetwork
from storage.replica import FILE_NAME

DEADLINE_SECONDS: Final = 1800.0
ALL_BY_PAGES: Final = 10**9
SNAPSHOT, PAGES = "snapshot, then pages", "pages"
LOOK_SECONDS: Final = 0.02


class CatchUp(msgspec.Struct, frozen=True):
    """One way.  `seconds`: after the `start_seconds` until it served; `copy_seconds`: cp and fsync of the
    donor's file; peaks of resident memory."""

    way: str
    entries: int
    seconds: float
    start_seconds: float
    copy_seconds: float
    replica_mib: float
    peak_mib: float
    donor_idle_mib: float
    donor_peak_mib: float
    processor_seconds: float  # of the newcomer
    fdatasync_us: float

    @property
    def rows_per_second(self) -> float:
        """Entries by the time from the first request."""
        return self.entries / max(self.seconds, 1e-9)

    @property
    def copies(self) -> float:
        """How many times as long as a copy of the file."""
        return self.seconds / max(self.copy_seconds, 1e-9)


def measure(directory: Path, *, entries: int, rounds: int = 1) -> list[CatchUp]:
    """Both ways in turn, each from an empty server; `snapshot_entries` decides between them."""
    found = []
    with place_in(directory) as place:
        LongLog(place / "server-1").grow(entries)
        with Members(place, servers=3, furnished=False) as members:
            newcomer, bystander = members.servers[2], members.servers[1]
            members.kill(newcomer)
            members.kill(bystander)  # one donor, so that it is known who gave what
            for way in (SNAPSHOT, PAGES) * rounds:
                found.append(_once(members, place, way, newcomer, entries))
    return found


def _once(members: Members, place: Path, way: str, newcomer: str, entries: int) -> CatchUp:
    donor = members.servers[0]
    idle_mib = resident_mib(members.pid(donor))
    with suppress(FileNotFoundError):
        members.empty(newcomer)
    setting = ALL_BY_PAGES if way == PAGES else min(1_000, entries // 2)
    forget_peak(members.pid(donor))
    members.start(newcomer, more={"disk.snapshot_entries": setting})
    start = time.monotonic()
    trio.run(_until_equal, members.endpoint(0), members.endpoint(2))
    seconds = time.monotonic() - start
    peak, used = peak_mib(members.pid(newcomer)), processor_seconds(members.pid(newcomer))
    donor_peak = peak_mib(members.pid(donor))
    copy_seconds, size = _copy(members.data_of(donor), place)
    members.kill(newcomer)
    return CatchUp(
        way,
        entries,
        seconds,
        members.start_seconds,
        copy_seconds,
        size / 2**20,
        peak,
        idle_mib,
        donor_peak,
        used,
        fdatasync_us(place),
    )


async def _until_equal(donor: str, newcomer: str) -> None:
    """Until everything that is durable at one is durable at the other."""
    async with (
        ZeroMQNetwork() as network,
        network.asker(f"tcp://{donor}") as old,
        network.asker(f"tcp://{newcomer}") as new,
    ):
        with trio.fail_after(DEADLINE_SECONDS):
            ask = {"have": {}, "origins": True}
            wanted = codec.decode_reply(await old.ask(codec.encode("audit", ask))).data["origins"]
            while True:
                with suppress(trio.TooSlowError), trio.fail_after(3.0):
                    frame = codec.encode("audit", {"have": dict.fromkeys(wanted, 0)})
                    have = codec.decode_reply(await new.ask(frame)).data.get("have", {})
                    if all(have.get(origin, 0) >= seq for origin, seq in wanted.items()):
                        return
                await trio.sleep(LOOK_SECONDS)


def _copy(data: Path, place: Path) -> tuple[float, int]:
    """Seconds and bytes of copying a replica, which is all in its file, as far as the disk."""
    files = [data / FILE_NAME]
    start = time.monotonic()
    size = 0
    for file in files:
        target = place / f"copy-{file.name}"
        shutil.copyfile(file, target)
        with target.open("rb+") as copied:
            os.fsync(copied.fileno())
        size += target.stat().st_size
    seconds = time.monotonic() - start
    for file in files:
        (place / f"copy-{file.name}").unlink()
    return seconds, size


def peak_mib(pid: int) -> float:
    """The largest resident memory that a process has had since its start, or `forget_peak`."""
    return _status_mib(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """The resident memory of a process."""
    return _status_mib(pid, "VmRSS")


def forget_peak(pid: int) -> None:
    """Let the peak be what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_mib(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
