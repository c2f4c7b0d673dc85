"""Results as Markdown, for the terminal and for docs/benchmarks.md: from what is in the JSON alone."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import msgspec

from bench.catchup import CatchUp
from bench.failover import Failover
from bench.generator import Load
from bench.history import Length, flatness
from bench.paired import Measured
from bench.rounds import Comparison, Sample, Spread, compare, dropped
from bench.soak import Part, Soak, allowed_mib_per_hour, is_flat

# Whose ratios are told, against everybody else, by what was measured.
OURS = {
    "publish": ["Recado, short form", "Recado, many to a request"],
    "replicated": ["Recado, quorum of 3", "Recado, quorum of 3, many to a request"],
    "fanout": [
        "Recado's broker alone",
        "Recado, through the server",
        "Recado, through the server, our clients",
    ],
}


def machine(results: dict[str, Any]) -> str:
    """Where and with what it was measured, as a sentence."""
    return ", ".join(f"{name} {value}" for name, value in results["machine"].items()) + "."


def markdown(results: dict[str, Any]) -> Iterator[str]:
    """All that was measured with peers, or grows with the log; a heading each."""
    for name in ("publish", "replicated", "fanout"):
        for found in msgspec.convert(results.get(name, []), list[Measured]):
            yield from _measured(found)
    parts: list[tuple[str, Any, Callable[[Any], Iterator[str]]]] = [
        ("failover", Failover, _failover),
        ("catchup", list[CatchUp], _catch_up),
        ("history", list[Length], _history),
        ("soak", Soak, _soak),
    ]
    for name, kind, lines in parts:
        if name in results:
            yield from ("", f"### {name}", "")
            yield from lines(msgspec.convert(results[name], kind))


# Side by side ------------------------------------------------------------------------------------------


def _measured(found: Measured) -> Iterator[str]:
    yield from ("", f"### {found.what}, in {found.directory}", "")
    yield f"{len(found.rounds)} rounds of loads, {_disk(found)}."
    for name in found.contenders:
        yield f"- {name} {found.versions[name]}: {found.promises[name]}"
    for why in found.left_out:
        yield f"- **left out**: {why}"
    yield from ("", "| load | | per second | p50 ms | p99 ms | us CPU | MiB | |")
    yield "|---|---|---:|---:|---:|---:|---:|---|"
    for shape in dict.fromkeys(one.shape for one in found.rounds):
        for name in found.contenders:
            samples = [s for r in found.rounds if r.shape == shape and (s := r.sample(name)) is not None]
            if samples:
                yield _line(shape, name, samples)
    yield from ("", "| load | ours / peer | disk | rounds | rate | p50 | p99 | us CPU |")
    yield "|---|---|---|---:|---:|---:|---:|---:|"
    for ours, peer in _pairs(found):
        for one in compare(found.rounds, ours, peer):
            yield _ratio(one)
    yield ""
    for ours, peer in _pairs(found):
        for why, count in dropped(found.rounds, ours, peer).items():
            yield f"- {count} rounds of {ours} / {peer} do not count: {why}"


def _pairs(found: Measured) -> list[tuple[str, str]]:
    ours = [name for name in OURS[found.what] if name in found.contenders]
    return [(one, peer) for one in ours for peer in found.contenders if peer not in ours]


def _disk(found: Measured) -> str:
    probes = [us for r in found.rounds for s in r.samples for us in s.probes_us]
    if not probes:
        return "none of which was answered"
    return f"fdatasync of 4 KiB {median(probes):,.0f} us [{min(probes):,.0f} .. {max(probes):,.0f}]"


def _line(shape: str, name: str, samples: Sequence[Sample]) -> str:
    def mid(what: Callable[[Sample], float]) -> float:
        return median(map(what, samples))

    remarks = []
    if any(s.load.saturated for s in samples):
        remarks.append("generator saturated")
    if lost := sum(s.lost for s in samples):
        remarks.append(f"**{lost:,} lost**")
    return (
        f"| {shape} | {name} | {mid(lambda s: s.load.rate):,.0f} |"
        f" {mid(lambda s: s.load.p50_us) / 1000:.2f} | {mid(lambda s: s.load.p99_us) / 1000:.2f} |"
        f" {mid(lambda s: s.processor_us):.2f} |"
        f" {mid(lambda s: s.resident_mib):.0f} | {', '.join(remarks)} |"
    )


def _ratio(one: Comparison) -> str:
    """What says nothing is left out: the pace of a paced load, the queue's length in a burst."""
    rate = "" if one.shape.startswith("paced") else _spread(one.rate)
    p50, p99 = ("", "") if one.shape.startswith("burst") else (_spread(one.p50), _spread(one.p99))
    cells = " | ".join([rate, p50, p99, _spread(one.processor)])
    return f"| {one.shape} | {one.ours} / {one.peer} | {one.state} | {one.rounds} | {cells} |"


def _spread(spread: Spread) -> str:
    if spread.low == spread.high:
        return f"{spread.median:.2f}"
    return f"{spread.median:.2f} [{spread.low:.2f} .. {spread.high:.2f}]"


# The rest ----------------------------------------------------------------------------------------------


def _failover(found: Failover) -> Iterator[str]:
    yield "| killed with -9 | longest gap of a client, ms: median | of each kill |"
    yield "|---|---:|---|"
    for gap in found.gaps:
        each = ", ".join(f"{ms:,.0f}" for ms in gap.longest_ms)
        yield f"| {gap.name} ({gap.version}) | {gap.median_ms:,.0f} | {each} |"
    for why in found.left_out:
        yield f"- **left out**: {why}"


def _catch_up(found: Sequence[CatchUp]) -> Iterator[str]:
    yield (
        "| way | entries | seconds | rows/s | cp, fsync | times that | MiB | peak MiB | donor's, before |"
        " CPU s | fdatasync us |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for one in found:
        yield (
            f"| {one.way} | {one.entries:,} | {one.seconds:.2f} | {one.rows_per_second:,.0f} |"
            f" {one.copy_seconds:.2f} | {one.copies:.1f} | {one.replica_mib:.0f} |"
            f" {one.peak_mib:.0f} | {one.donor_peak_mib:.0f}, {one.donor_idle_mib:.0f} |"
            f" {one.processor_seconds:.1f} | {one.fdatasync_us:.0f} |"
        )


def _history(found: Sequence[Length]) -> Iterator[str]:
    yield "| entries in the log | MiB on disk | start, s | memory after it, MiB | after all requests |"
    yield "|---:|---:|---:|---:|---:|"
    for one in found:
        yield (
            f"| {one.entries:,} | {one.replica_mib:,.0f} | {one.start_seconds:.2f} | {one.idle_mib:.0f} |"
            f" {one.asked_mib:.0f} |"
        )
    sizes = [f"{one.entries:,}" for one in found]
    yield from ("", f"| p50 / p99 in ms, by entries | {' | '.join(sizes)} | p99, last / first |")
    yield f"|---|{'---:|' * (len(sizes) + 1)}"
    for kind in dict.fromkeys(timing.kind for one in found for timing in one.timings):
        times = [one.timing(kind) for one in found]
        cells = ["" if t is None else f"{t.p50_ms:.2f} / {t.p99_ms:.2f}" for t in times]
        flat = flatness(found, kind)
        yield f"| {kind} | {' | '.join(cells)} | {'' if flat is None else f'{flat:.1f}'} |"


def _soak(found: Soak) -> Iterator[str]:
    pace = f"{found.rate:,.0f} a second" if found.rate else "a closed loop"
    yield f"64 clients, {pace}, three servers and a broker, {found.seconds / 60:.0f} minutes."
    yield from ("", "| minutes | per second | p50 ms | p99 ms | p999 ms | longest ms | refused |")
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for one in found.parts:
        at = f"{one.at / 60:.0f} to {(one.at + one.seconds) / 60:.0f}"
        yield f"| {at} | {one.rate:,.0f} | {_latencies(one)} | {one.refused} |"
    if found.whole is not None:
        yield f"| all | {found.whole.rate:,.0f} | {_latencies(found.whole)} | {found.whole.refused} |"
    yield from ("", "| | memory at first, MiB | at last | slope, MiB an hour |", "|---|---:|---:|---:|")
    for memory in found.memory:
        ends = [mib for _, mib in memory.seen[:: max(len(memory.seen) - 1, 1)]] or [0.0]
        yield f"| {memory.name} | {ends[0]:.1f} | {ends[-1]:.1f} | {memory.slope_mib_per_hour:+.2f} |"
    flat = "flat" if is_flat(found) else "**not flat**"
    yield f"\n{flat}: at this rate {allowed_mib_per_hour(found):.1f} MiB an hour are allowed."


def _latencies(one: Part | Load) -> str:
    return " | ".join(f"{us / 1000:.2f}" for us in (one.p50_us, one.p99_us, one.p999_us, one.max_us))
