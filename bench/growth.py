"""What a long log does: pages of the history as it grows, a new server catching up, hours under load."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import trio

from bench import generator
from bench.disk import fdatasync_us
from bench.generator import Shape
from bench.members import Members
from bench.rounds import slope_per_hour
from recado.protocol import codec
from recado.wire.zeromq import ZeroMQNetwork

FILLING = Shape(8, 64)
SOAKING = Shape(64, 1)
CATCH_UP_SECONDS = 1800.0
PAGES = 400


class Page(msgspec.Struct, frozen=True):
    """Asking for 100 messages of the history through the wire, `entries` in the log."""

    entries: int
    newest_p50_ms: float
    newest_p99_ms: float
    older_p50_ms: float  # before a random place in the log
    older_p99_ms: float


class CatchUp(msgspec.Struct, frozen=True):
    """An empty third server until it has all.  `copy_seconds`: cp and fsync of a replica as it is."""

    way: str
    entries: int
    seconds: float
    copy_seconds: float
    replica_mib: float
    peak_mib: float
    fdatasync_us: float


class Slice(msgspec.Struct, frozen=True):
    """One part of a soak; `at_seconds` since its beginning."""

    at_seconds: float
    rate: float
    p99_us: int
    p999_us: int
    resident_mib: float


class Soak(msgspec.Struct, frozen=True):
    """All parts; the slope of memory is in MiB an hour, over the second half."""

    slices: list[Slice]
    slope_mib_per_hour: float


# History ------------------------------------------------------------------------------------------------


def history(directory: Path, *, sizes: list[int]) -> list[Page]:
    """Pages at each size of the log, on one server."""
    found = []
    with _place(directory) as place, Members(place, servers=1) as members:
        filled = 0
        for size in sizes:
            fill(members, size - filled)
            filled = size
            newest, older = trio.run(_pages, members.endpoint(0), size)
            found.append(Page(size, *_percentiles_ms(newest), *_percentiles_ms(older)))
    return found


async def _pages(endpoint: str, entries: int) -> tuple[list[float], list[float]]:
    random = Random(entries)
    times: tuple[list[float], list[float]] = ([], [])
    async with ZeroMQNetwork() as network, network.asker(f"tcp://{endpoint}") as asker:
        for number in range(2 * PAGES):
            where: dict[str, Any] = {"channel": f"bench-{number % generator.CHANNELS}", "limit": 100}
            if number % 2:
                where["before"] = [random.randrange(entries // 10, entries), "", 0]
            start = time.perf_counter()
            reply = codec.decode_reply(await asker.ask(codec.encode("history", where)))
            times[number % 2].append(time.perf_counter() - start)
            if reply.failed:
                raise RuntimeError(f"history was refused: {reply.data}")
    return times


def _percentiles_ms(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2] * 1000, ordered[int(len(ordered) * 0.99)] * 1000


def fill(members: Members, entries: int) -> None:
    """So many more publishes at the first server, durable there."""
    words = generator.publish(
        generator.build(),
        "recado-short",
        [members.endpoint(0)],
        connections=FILLING.connections,
        window=FILLING.window,
        count=entries,
        seconds=CATCH_UP_SECONDS,
        level="local",
    )
    done = generator.finish(words, timeout_seconds=CATCH_UP_SECONDS + 60)
    if done.answered < entries or done.refused:
        raise RuntimeError(f"{done.answered} of {entries} answered, {done.refused} refused")


# Catching up ----------------------------------------------------------------------------------------------


def catch_up(directory: Path, *, entries: int) -> list[CatchUp]:
    """A member of three that comes back with nothing: by a snapshot, then in pages alone."""
    found = []
    with _place(directory) as place, Members(place, servers=3) as members:
        newcomer = members.servers[2]
        members.kill(newcomer)
        fill(members, entries)
        for way, setting in {"snapshot, then pages": min(1_000, entries // 2), "pages": 10**9}.items():
            members.empty(newcomer)
            start = time.monotonic()
            members.start(newcomer, more={"disk.snapshot_entries": setting})
            trio.run(_until_equal, members.endpoint(0), members.endpoint(2))
            seconds = time.monotonic() - start
            peak = _peak_mib(members.pid(newcomer))
            copy_seconds, size = _copy(members.data_of(members.servers[0]), place)
            found.append(
                CatchUp(way, entries, seconds, copy_seconds, size / 2**20, peak, fdatasync_us(place))
            )
            members.kill(newcomer)
    return found


async def _until_equal(donor: str, newcomer: str) -> None:
    """Until everything that is durable at one is durable at the other."""
    async with (
        ZeroMQNetwork() as network,
        network.asker(f"tcp://{donor}") as old,
        network.asker(f"tcp://{newcomer}") as new,
    ):
        with trio.fail_after(CATCH_UP_SECONDS):
            ask = {"have": {}, "origins": True}
            wanted = codec.decode_reply(await old.ask(codec.encode("audit", ask))).data["origins"]
            while True:
                with suppress(trio.TooSlowError), trio.fail_after(3.0):
                    frame = codec.encode("audit", {"have": dict.fromkeys(wanted, 0)})
                    have = codec.decode_reply(await new.ask(frame)).data.get("have", {})
                    if all(have.get(origin, 0) >= seq for origin, seq in wanted.items()):
                        return
                await trio.sleep(0.02)


def _copy(data: Path, place: Path) -> tuple[float, int]:
    """Seconds and bytes of copying a replica with its log, as far as the disk."""
    files = list(data.glob("replica.db*"))
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


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


# Soaking ---------------------------------------------------------------------------------------------------


def soak(directory: Path, *, seconds: float, slice_seconds: float = 10.0) -> Soak:
    """Sixty-four closed loops against one server for so long."""
    slices = []
    with _place(directory) as place, Members(place, servers=1) as members:
        running = members.running()
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            address = f"tcp://{members.endpoint(0)}"
            load = generator.run(generator.build(), address, SOAKING, seconds=slice_seconds)
            slices.append(Slice(passed, load.rate, load.p99_us, load.p999_us, running.resident_mib()))
    later = [(one.at_seconds, one.resident_mib) for one in slices[len(slices) // 2 :]]
    return Soak(slices, slope_per_hour(later))


@contextmanager
def _place(directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="recado-bench-", dir=directory) as place:
        yield Path(place).resolve()
