"""Which measurements may be compared, and what comes of it.  Pure.

A virtual disk has fast and slow states, and a generator that is itself the limit says nothing of servers.  So
two loads of a round are compared only if the disk was in one state before and after both, and if neither
generator was saturated; ratios are told by state.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Final

import msgspec

from bench.generator import Load

SLOW_US: Final = 1000.0  # a probe above it: the disk is in its slow state
NO_DISK_US: Final = 20.0  # a probe below it: files are in memory
STATES: Final = ("no disk", "fast", "slow")
MIXED: Final = "the disk changed its state"
SATURATED: Final = "a generator was the limit"
FAILED: Final = "a load failed"


class Sample(msgspec.Struct, frozen=True):
    """One load of one contender.  `probes_us`: fdatasync before and after it; `processor_us`: of all its
    processes, per message answered; `lost`: deliveries that did not come."""

    contender: str
    load: Load
    probes_us: list[float]
    processor_us: float
    resident_mib: float
    lost: int = 0


class Round(msgspec.Struct, frozen=True):
    """One load against each contender, within the same seconds.  `failed`: who has no sample, and why."""

    shape: str
    samples: list[Sample]
    failed: dict[str, str] = {}

    def sample(self, contender: str) -> Sample | None:
        """Of that contender, if there is one."""
        return next((one for one in self.samples if one.contender == contender), None)


class Spread(msgspec.Struct, frozen=True):
    """The median of some rounds, and the range that they had."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


class Comparison(msgspec.Struct, frozen=True):
    """Ours divided by a peer's, in one state of the disk: of rate more is better, of the others less."""

    ours: str
    peer: str
    shape: str
    state: str
    rounds: int
    rate: Spread
    p50: Spread
    p99: Spread
    processor: Spread


def state_of(probe_us: float) -> str:
    """Of a disk whose fdatasync takes so long."""
    return STATES[(probe_us >= NO_DISK_US) + (probe_us > SLOW_US)]


def is_steady(one: Round) -> bool:
    """Whether the disk was in one state throughout the round."""
    return len({state_of(us) for sample in one.samples for us in sample.probes_us}) <= 1


def compare(rounds: Sequence[Round], ours: str, peer: str) -> Iterator[Comparison]:
    """By load and state of the disk, over the rounds that count."""
    for shape in dict.fromkeys(one.shape for one in rounds):
        of_shape = [one for one in rounds if one.shape == shape]
        for state in STATES:
            found = [one for round_ in of_shape if (one := _pair(round_, ours, peer)) is not None]
            pairs = [one for one in found if _why_not(one) is None and _state(one) == state]
            if pairs:
                yield Comparison(
                    ours,
                    peer,
                    shape,
                    state,
                    len(pairs),
                    *(_ratio(pairs, what) for what in (_rate, _p50, _p99, _processor)),
                )


def dropped(rounds: Iterable[Round], ours: str, peer: str) -> Counter[str]:
    """Why rounds in which both should have taken part do not count."""
    found: Counter[str] = Counter()
    for one in rounds:
        pair = _pair(one, ours, peer)
        if {ours, peer} & one.failed.keys():
            found[FAILED] += 1
        elif pair is not None and (why := _why_not(pair)) is not None:
            found[why] += 1
    return found


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Of a line of least squares through (seconds, value), in value per hour; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    count = len(points)
    x_mean, y_mean = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    return 3600 * sum((x - x_mean) * (y - y_mean) for x, y in points) / spread if spread else 0.0


Pair = tuple[Sample, Sample]


def _pair(one: Round, ours: str, peer: str) -> Pair | None:
    a, b = one.sample(ours), one.sample(peer)
    return None if a is None or b is None else (a, b)


def _state(pair: Pair) -> str | None:
    """Of the disk around both loads; None if it changed."""
    states = {state_of(us) for sample in pair for us in sample.probes_us}
    return states.pop() if len(states) == 1 else None


def _why_not(pair: Pair) -> str | None:
    """Why these two may not be compared; None if they may."""
    if _state(pair) is None:
        return MIXED
    return SATURATED if any(sample.load.saturated for sample in pair) else None


def _ratio(pairs: Sequence[Pair], what: Callable[[Sample], float]) -> Spread:
    return Spread.of([what(a) / max(what(b), 1e-9) for a, b in pairs])


def _rate(sample: Sample) -> float:
    return sample.load.rate


def _p50(sample: Sample) -> float:
    return sample.load.p50_us


def _p99(sample: Sample) -> float:
    return sample.load.p99_us


def _processor(sample: Sample) -> float:
    return sample.processor_us
