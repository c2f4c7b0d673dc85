"""Metrics as Prometheus reads them: families declared once, samples gathered when somebody asks.

The text is the exposition format 0.0.4 (prometheus.io, "Exposition formats").  A family is declared with
its help in the table of the daemon that has it; docs/observability.md lists the same, which a test checks.
Labels have few values each, none of them a stranger's word: members, services of the table, codes of errors.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, Literal, NamedTuple

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Family(NamedTuple):
    """One metric: `labels` are the names that each of its samples has."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One value of the family of that name; the values of its labels in their order."""

    name: str
    value: "float | Histogram"
    labels: tuple[str, ...] = ()


class Histogram:
    """Durations counted by buckets: one search in a short list per value."""

    def __init__(self, bounds: Sequence[float] = SECONDS_BUCKETS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, *, count: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """(le, how many were at most that), ending with ``+Inf``."""
        marks = [f"{bound:g}" for bound in self.bounds] + ["+Inf"]
        yield from zip(marks, accumulate(self.counts), strict=True)


COMMON: Final = (
    Family("recado_build_info", "gauge", "1, with the program's version.", ("program", "node", "version")),
    Family("recado_ready", "gauge", "Whether /readyz says 200."),
    Family("recado_loop_delay_seconds", "gauge", "How late the event loop was, at worst in the last minute."),
    Family("recado_http_requests_total", "counter", "Answers of this HTTP server, by status.", ("status",)),
    Family("process_start_time_seconds", "gauge", "Start of the process since 1970."),
    Family("process_cpu_seconds_total", "counter", "Processor time of the process."),
    Family("process_resident_memory_bytes", "gauge", "Memory that the process has in RAM."),
    Family("process_open_fds", "gauge", "Open file descriptors."),
)


def render(families: Iterable[Family], samples: Iterable[Sample]) -> bytes:
    """The whole page.  Raises `KeyError` for a sample of no family, `ValueError` for labels of another."""
    by_name: dict[str, list[Sample]] = {family.name: [] for family in families}
    declared = {family.name: family for family in families}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines: list[str] = []
    for name, found in by_name.items():
        if found:
            family = declared[name]
            help_text = family.help.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {family.kind}"]
            lines += [line for sample in found for line in _lines(family, sample)]
    return ("\n".join(lines) + "\n").encode()


def _lines(family: Family, sample: Sample) -> Iterator[str]:
    labels = dict(zip(family.labels, sample.labels, strict=True))
    if isinstance(sample.value, Histogram):
        for mark, count in sample.value.cumulative():
            yield f"{family.name}_bucket{_braces({**labels, 'le': mark})} {count}"
        yield f"{family.name}_sum{_braces(labels)} {sample.value.sum!r}"
        yield f"{family.name}_count{_braces(labels)} {sum(sample.value.counts)}"
    else:
        yield f"{family.name}{_braces(labels)} {_number(sample.value)}"


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def process_samples(started: float) -> Iterator[Sample]:
    """What the kernel tells of this process; `started`: seconds since 1970."""
    yield Sample("process_start_time_seconds", round(started, 3))
    yield Sample("process_cpu_seconds_total", round(time.process_time(), 3))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            yield Sample("process_resident_memory_bytes", int(file.read().split()[1]) * _PAGE_BYTES)
        yield Sample("process_open_fds", len(os.listdir("/proc/self/fd")))
    except OSError:  # no /proc here: these two are left out
        return
