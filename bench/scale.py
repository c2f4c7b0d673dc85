"""What a second server on the same machine brings: a member with a core and files of its own.

A message is written once and copied to every other member, so what counts is the price of each: processor
time of the server that is asked (`written`) and of one that copies (`copied`), the whole of it and the event
loop's, of which a process has only one.  From these numbers comes what more cores would bring.  What this
machine does with its own is measured beside it: by one server, by two of one cluster, and by two that don't
know each other, the ceiling that copying is measured against.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from bench import generator
from bench.generator import Load, Shape
from bench.members import Members
from bench.serving import processor_seconds
from bench.steps import threads

LOADS = {
    "64x1": ("recado-short", Shape(64, 1)),
    "8x64": ("recado-short", Shape(8, 64)),
    "8x64, many to a request": ("recado-many", Shape(8, 64)),
}
ONE, TOGETHER, APART, COPYING = (
    "one server",
    "two of one cluster",
    "two, each alone",
    "two of one cluster, one is asked",
)
SIZES = (1, 2, 3, 4, 6, 8, 9, 12)  # members, as estimated
SETTLED_SECONDS, SETTLED_WAIT_SECONDS, SETTLED_MAX_SECONDS = 0.01, 0.2, 20.0


class Used(msgspec.Struct, frozen=True):
    """Of one server, microseconds per message answered by all: the process, and its event loop's thread."""

    whole_us: float
    loop_us: float


class Sample(msgspec.Struct, frozen=True):
    """One load, of `LOADS`, against one layout; `used` by server, until all copies were made."""

    layout: str
    shape: str
    load: Load
    used: list[Used]


class Prices(msgspec.Struct, frozen=True):
    """Medians: a message at a server without peers, at one that hands it to one peer, and at that peer.

    Each while another server is busy beside it: two virtual cores are often one that they share.
    """

    shape: str
    alone: Used
    written: Used
    copied: Used

    def loop_us(self, members: int) -> float:
        """Of the busiest event loop, for each message of a cluster whose clients are spread evenly."""
        handing_on = max(0.0, self.written.loop_us - self.alone.loop_us)
        others = members - 1
        return (self.alone.loop_us + others * (handing_on + self.copied.loop_us)) / members

    def whole_us(self, members: int) -> float:
        """Of all servers together, for each message."""
        handing_on = max(0.0, self.written.whole_us - self.alone.whole_us)
        return self.alone.whole_us + (members - 1) * (handing_on + self.copied.whole_us)

    def rate(self, members: int, cores: int) -> float:
        """Messages a second that event loops, and so many cores for all servers, allow; the disk aside."""
        return 1e6 / max(self.loop_us(members), self.whole_us(members) / cores)


class Result(msgspec.Struct, frozen=True):
    """All samples, and what they come to by load."""

    samples: list[Sample]
    prices: list[Prices]


class _Layout:
    """Servers that clients are spread over: all of `members`, of the first only if they are to copy."""

    def __init__(self, name: str, clusters: Sequence[Members], *, asked: int | None = None) -> None:
        self.name = name
        ends = [end for one in clusters for end in one.running().endpoints]
        self.endpoints = ends[:asked]
        self.pids = [one.pid(name) for one in clusters for name in one.servers]

    def used(self) -> list[tuple[float, float]]:
        """Seconds of each process and of its event loop until now."""
        return [(processor_seconds(pid), threads(pid)["main"] / 1e6) for pid in self.pids]

    def settled(self) -> list[tuple[float, float]]:
        """The same once nothing is left to copy: the processes have come to rest."""
        before, end = self.used(), time.monotonic() + SETTLED_MAX_SECONDS
        while time.monotonic() < end:
            time.sleep(SETTLED_WAIT_SECONDS)
            now = self.used()
            if all(after[1] - was[1] < SETTLED_SECONDS for after, was in zip(now, before, strict=True)):
                return now
            before = now
        raise RuntimeError(f"{self.name}: still busy {SETTLED_MAX_SECONDS:.0f} s after the load")


def measure(directory: Path, *, rounds: int, seconds: float, loads: Sequence[str] = tuple(LOADS)) -> Result:
    """Loads in alternating rounds, level `local`.

    Raises `RuntimeError` if a publish was refused, or without a C compiler.
    """
    command = generator.build()
    if not generator.speaks_all(command):
        raise RuntimeError("scale needs the generator in C: install a C compiler")
    with ExitStack() as stack:

        def members(count: int) -> Members:
            place = stack.enter_context(TemporaryDirectory(prefix="recado-bench-", dir=directory))
            return stack.enter_context(Members(Path(place), servers=count))

        one, pair, other = members(1), members(2), members(1)
        layouts = [
            _Layout(ONE, [one]),
            _Layout(TOGETHER, [pair]),
            _Layout(APART, [one, other]),
            _Layout(COPYING, [pair], asked=1),
        ]
        samples = [
            _sample(command, layout, shape, seconds)
            for number in range(rounds)
            for shape in loads
            for layout in layouts[:: 1 if number % 2 == 0 else -1]
        ]
    return Result(samples, [_prices(samples, shape) for shape in loads])


def _sample(command: Sequence[str], layout: _Layout, name: str, seconds: float) -> Sample:
    protocol, shape = LOADS[name]
    words = generator.publish(
        command,
        protocol,
        layout.endpoints,
        connections=shape.connections,
        window=shape.window,
        warm=0.2,
        seconds=seconds,
        level="local",
    )
    before = layout.used()
    load = generator.finish(words, timeout_seconds=seconds + 30)
    after = layout.settled()
    if load.refused:
        raise RuntimeError(f"{layout.name}: {load.refused} of {load.answered} publishes were refused")
    each = 1e6 / load.answered
    used = [
        Used((whole - whole_before) * each, (loop - loop_before) * each)
        for (whole, loop), (whole_before, loop_before) in zip(after, before, strict=True)
    ]
    return Sample(layout.name, name, load, used)


def _prices(samples: Sequence[Sample], shape: str) -> Prices:
    def middle(layout: str, servers: slice) -> Used:
        of = [one.used[servers] for one in samples if (one.layout, one.shape) == (layout, shape)]
        whole, loop = ([sum(getattr(u, w) for u in used) for used in of] for w in ("whole_us", "loop_us"))
        return Used(median(whole), median(loop))

    written, copied = middle(COPYING, slice(0, 1)), middle(COPYING, slice(1, 2))
    return Prices(shape, alone=middle(APART, slice(0, 2)), written=written, copied=copied)


def table(result: Result, *, cores: Sequence[int] = (2, 4, 8)) -> Iterator[str]:
    """A block for each load: what was measured here, the prices, and what follows for more cores."""
    for prices in result.prices:
        yield f"{prices.shape}, level local, microseconds of processor time for each message"
        yield f"  {'':34} {'all servers':>12} {'busiest loop':>13} {'here, per s':>12} {'generator':>10}"
        for layout in (ONE, TOGETHER, APART, COPYING):
            of = [one for one in result.samples if (one.layout, one.shape) == (layout, prices.shape)]
            whole = median(sum(used.whole_us for used in one.used) for one in of)
            loop = median(max(used.loop_us for used in one.used) for one in of)
            rate, busy = median(one.load.rate for one in of), median(one.load.generator_cores for one in of)
            yield f"  {layout:34} {whole:12.1f} {loop:13.1f} {rate:12,.0f} {busy:10.2f}"
        for name, used in (("written, without peers", prices.alone), ("written, one peer", prices.written)):
            yield f"  {name:34} {used.whole_us:12.1f} {used.loop_us:13.1f}"
        yield f"  {'copied':34} {prices.copied.whole_us:12.1f} {prices.copied.loop_us:13.1f}"
        yield f"  {'members: estimated rate, by cores':34} " + " ".join(f"{n:>9}" for n in cores)
        for members in SIZES:
            rates = " ".join(f"{prices.rate(members, n):9,.0f}" for n in cores)
            yield f"  {members:34} {rates}"
