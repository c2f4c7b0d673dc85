"""Hours under load: latencies of each part, and whether memory grows.

Three servers and a broker, 64 clients.  Paced, a machine stays usable, and a pause of a server shows in full
(see `bench/load/loop.c`); in a closed loop the servers have all they can do.  What was measured so far is
written after each part, so that a soak can be looked at while it runs, or be ended early.

Memory is called flat if it grows by less than one MiB an hour for every 100,000 messages an hour, by a line
of least squares through what was seen after the first ten minutes (or the first sixth, if that is shorter):
until then caches fill.  SQLite's page caches have limits (64 MiB and 16) that a short soak may not reach.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import generator
from bench.catchup import resident_mib
from bench.history import place_in
from bench.members import Members
from bench.rounds import slope_per_hour

CLIENTS: Final = 64
PART_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 5.0
SETTLED_SECONDS: Final = 600.0
FLAT_MIB_PER_100_000: Final = 1.0


class Part(msgspec.Struct, frozen=True):
    """Five minutes, or as the generator said: `at` and `seconds` since the first answer that counts."""

    at: float
    seconds: float
    rate: float
    refused: int
    p50_us: int
    p99_us: int
    p999_us: int
    max_us: int


class Memory(msgspec.Struct, frozen=True):
    """Of one daemon: (seconds since the start, resident MiB), and the slope after the first ten minutes."""

    name: str
    seen: list[tuple[float, float]]
    slope_mib_per_hour: float = 0.0


class Soak(msgspec.Struct, frozen=True):
    """`rate`: what was asked for, 0 for a closed loop; `whole`: the generator's word at the end, over all."""

    rate: float
    seconds: float
    protocol: str
    parts: list[Part]
    memory: list[Memory]
    whole: generator.Load | None = None

    @property
    def messages_per_hour(self) -> float:
        """As they were answered."""
        seconds = sum(part.seconds for part in self.parts)
        return 3600 * sum(p.rate * p.seconds for p in self.parts) / seconds if seconds else 0.0


def measure(
    directory: Path,
    *,
    seconds: float,
    rate: float,
    part_seconds: float = PART_SECONDS,
    servers: int = 3,
    protocol: str = "recado-short",
    to: Path | None = None,
) -> Soak:
    """One soak; `rate` 0 is a closed loop.  What there is so far is in the file `to`, as JSON."""
    with place_in(directory) as place, Members(place, servers=servers, broker=True) as members:
        names = [*members.servers, "broker"]
        kept = _Kept(Soak(rate, seconds, protocol, [], [Memory(name, []) for name in names]), to)
        words = generator.publish(
            generator.build(),
            protocol,
            members.running().endpoints,
            connections=CLIENTS,
            window=8 if rate else 1,
            rate=rate,
            seconds=seconds,
            slice=part_seconds,
            warm=1.0 if seconds > 10 else 0.0,
        )
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
            ended = threading.Event()
            watch = threading.Thread(target=_watch, args=(members, kept, ended))
            watch.start()
            try:
                assert asking.stdout is not None
                for line in asking.stdout:
                    kept.heard(json.loads(line))
            finally:
                ended.set()
                watch.join()
                asking.kill()
        if kept.soak.whole is None:
            raise RuntimeError("the generator ended early")
        return kept.soak


class _Kept:
    """The soak as far as it has come; written by one thread, watched by another."""

    def __init__(self, soak: Soak, to: Path | None) -> None:
        self.soak = soak
        self._to = to
        self._lock = threading.Lock()

    def heard(self, said: dict[str, Any]) -> None:
        """A line of the generator's: of a part, or of the whole."""
        with self._lock:
            if "answered" in said:
                whole = msgspec.convert(said, generator.Load)
                self.soak = msgspec.structs.replace(self.soak, whole=whole)
            else:
                self.soak.parts.append(msgspec.convert(said, Part))
            self._write()

    def seen(self, at: float, look: Callable[[str], float]) -> None:
        """What each daemon's memory is now."""
        with self._lock:
            for memory in self.soak.memory:
                memory.seen.append((at, look(memory.name)))

    def _write(self) -> None:
        settled = min(SETTLED_SECONDS, self.soak.seconds / 6)
        memory = [_sloped(one, settled) for one in self.soak.memory]
        self.soak = msgspec.structs.replace(self.soak, memory=memory)
        if self._to is not None:
            fresh = self._to.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(self.soak))
            fresh.replace(self._to)


def _sloped(memory: Memory, settled_seconds: float) -> Memory:
    later = [point for point in memory.seen if point[0] >= settled_seconds]
    return msgspec.structs.replace(memory, slope_mib_per_hour=slope_per_hour(later))


def _watch(members: Members, kept: _Kept, ended: threading.Event) -> None:
    start = time.monotonic()
    while not ended.wait(min(LOOK_SECONDS, kept.soak.seconds / 20)):
        kept.seen(time.monotonic() - start, lambda name: resident_mib(members.pid(name)))


def allowed_mib_per_hour(soak: Soak) -> float:
    """What memory may grow by and be called flat, at the rate of this soak."""
    return FLAT_MIB_PER_100_000 * soak.messages_per_hour / 100_000


def is_flat(soak: Soak) -> bool:
    """Whether no daemon's memory grows by more than that."""
    return all(one.slope_mib_per_hour <= allowed_mib_per_hour(soak) for one in soak.memory)
