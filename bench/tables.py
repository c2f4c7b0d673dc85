"""Results as tables for people."""

from collections.abc import Iterator
from statistics import median

from bench.generator import Shape
from bench.publish import Result, of


def publish_table(result: Result) -> Iterator[str]:
    """One block: the disk, plain SQLite, then every load with its medians over the rounds."""
    rounds = result.rounds
    probes = [r.fdatasync_us for r in rounds]
    yield (
        f"{result.directory}: fdatasync of 4 KiB {median(probes):,.0f} us"
        f" [{min(probes):,.0f} .. {max(probes):,.0f}], {len(rounds)} rounds"
    )
    yield f"  {'':24} {'per s':>9} {'p50 ms':>8} {'p99 ms':>8} {'us CPU':>8} {'generator':>10}"
    for plain in zip(*(r.plain for r in rounds), strict=True):
        name = f"plain SQLite, {plain[0].rows} a commit"
        rate, p50 = median(p.rate for p in plain), median(p.p50_us for p in plain) / 1000
        cpu = median(p.processor_us for p in plain)
        yield f"  {name:24} {rate:9,.0f} {p50:8.2f} {'':8} {cpu:8.1f}"
    for tree in result.resident_mib:
        for shape in dict.fromkeys(m.shape for r in rounds for m in r.loads):
            yield _load_line(result, shape, tree)
        yield f"  memory of the server {result.resident_mib[tree]:.0f} MiB"


def _load_line(result: Result, shape: Shape, tree: str) -> str:
    measured = of(result, shape, tree)
    loads = [m.load for m in measured]
    name = f"{shape}" if len(result.resident_mib) == 1 else f"{shape} {tree[-16:]}"
    return (
        f"  {name:24} {median(x.rate for x in loads):9,.0f} {median(x.p50_us for x in loads) / 1000:8.2f}"
        f" {median(x.p99_us for x in loads) / 1000:8.2f} {median(m.processor_us for m in measured):8.1f}"
        f" {median(x.generator_cores for x in loads):9.2f}c{' saturated' * any(x.saturated for x in loads)}"
    )
