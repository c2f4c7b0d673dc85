"""What `recado top` shows: a pure function of the surveys so far and the size of the terminal.

Rates are differences of what a server said it has, so they count what arrives by replication too.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clients.watching.lines import columns, milliseconds, spark
from clients.watching.table import state, summary
from clients.watching.values import Answer, Survey
from recado.texts import Texts

KEPT: Final = 240  # surveys remembered, and so the widest graph
SERVERS_MAX: Final = 1024  # remembered; names come from servers
SPARK_MIN: Final = 6
LAG_SPARK_FROM: Final = 110  # columns of a terminal that has room for a second graph
_HEADER = ("SERVER", "STATE", "ENTRIES", "/S", "LAG", "ANSWER", "CLOCK", "DISK")
_NUMBERS = frozenset({2, 3, 4, 5, 6})


@dataclass(frozen=True, slots=True)
class Point:
    """One server at one moment; None where it said nothing."""

    at: float
    entries: int | None = None
    lag: int | None = None
    rate: float | None = None


class History:
    """The last surveys, by server."""

    def __init__(self) -> None:
        self.latest: Survey | None = None
        self._points: dict[str, deque[Point]] = {}

    def add(self, survey: Survey, *, at: float) -> None:
        """One more; `at`: monotonic seconds."""
        self.latest = survey
        lags = survey.lags()
        for one in survey.servers[:SERVERS_MAX]:
            points = self._points.setdefault(one.name or one.address, deque(maxlen=KEPT))
            before = points[-1] if points else None
            entries = one.number("entries")
            rate = None
            if before is not None and before.entries is not None and entries is not None and at > before.at:
                rate = max(0.0, (entries - before.entries) / (at - before.at))
            points.append(Point(at, entries, lags.get(one.name), rate))
        if len(self._points) > SERVERS_MAX:
            self._points = {name: self._points[name] for name in list(self._points)[-SERVERS_MAX:]}

    def of(self, name: str) -> Sequence[Point]:
        return tuple(self._points.get(name, ()))


def board(history: History, say: Texts, *, size: tuple[int, int], clock: str = "") -> list[str]:
    """At most `size` (columns, lines) of text; `clock`: the time of day."""
    width, height = size
    survey = history.latest
    title = f"recado top  {clock}".rstrip()
    lines = [title + say("top.keys").rjust(max(2, width - len(title)))]
    if survey is None:
        return _cut(lines, width, height)
    lines += [*summary(survey, say), ""]
    room = max(1, height - len(lines) - 1)
    shown = survey.servers[: room if len(survey.servers) <= room else room - 1]
    lines += _table(shown, history, width=width)
    if len(shown) < len(survey.servers):
        lines.append(f"… {len(survey.servers) - len(shown)}")
    return _cut(lines, width, height)


def _table(servers: Sequence[Answer], history: History, *, width: int) -> list[str]:
    points = [history.of(one.name or one.address) for one in servers]
    rows = [_row(one, seen) for one, seen in zip(servers, points, strict=True)]
    plain = columns([_HEADER, *rows], right=_NUMBERS)
    left = width - max(map(len, plain)) - 2
    if left < SPARK_MIN:
        return plain
    both = width >= LAG_SPARK_FROM
    graph = min(KEPT, left // 2 - 1 if both else left)
    widest = max(map(len, plain))
    drawn = [plain[0].ljust(widest) + "  " + "/S".ljust(graph) + ("  LAG" if both else "")]
    for line, seen in zip(plain[1:], points, strict=True):
        graphs = [spark([point.rate for point in seen], width=graph)]
        if both:
            graphs.append(spark([point.lag for point in seen], width=graph))
        drawn.append("  ".join([line.ljust(widest), *graphs]))
    return drawn


def _row(one: Answer, seen: Sequence[Point]) -> tuple[str, ...]:
    name = one.name or one.address
    if not one.answered:
        return (name, one.problem, *["-"] * (len(_HEADER) - 2))
    last = seen[-1] if seen else Point(0.0)
    return (
        name,
        state(one),
        "-" if last.entries is None else str(last.entries),
        "-" if last.rate is None else f"{last.rate:.1f}",
        "-" if last.lag is None else str(last.lag),
        milliseconds(one.seconds * 1000).lstrip("+"),
        milliseconds(one.real("offset_ms")),
        one.text("disk") or "-",
    )


def _cut(lines: Sequence[str], width: int, height: int) -> list[str]:
    return [line[:width].rstrip() for line in lines[:height]]
