"""Log lines for what happens often: the first at once, then at most one a second, with sums."""

from collections.abc import Callable
from typing import Any, NoReturn

import trio

from daemons.shared.logging import Logger
from daemons.shared.periodic import every

EVERY_SECONDS = 1.0
LOOK_SECONDS = 0.25  # between two looks at what was left out
LABELS_MAX = 256  # sets of labels remembered per event; labels may come from strangers
Labels = tuple[tuple[str, str], ...]


class Tally:
    """One event.  Whole numbers are summed over the lines left out, per set of the texts beside them.

    `now`: monotonic seconds.
    """

    def __init__(
        self,
        event: str,
        *,
        log: Logger,
        now: Callable[[], float],
        level: str = "info",
    ) -> None:
        self._event = event
        self._log = log
        self._now = now
        self._level = level
        self._last: dict[Labels, float] = {}
        self._sums: dict[Labels, dict[str, int]] = {}
        self._samples: dict[Labels, dict[str, Any]] = {}

    def add(self, sample: dict[str, Any] | None = None, /, **fields: int | str) -> None:
        """Count one occurrence; write the line if the last one is long enough ago.

        `sample` stands in the line as it was at the latest occurrence.
        """
        labels = tuple(sorted((k, v) for k, v in fields.items() if isinstance(v, str)))
        if len(self._last) >= LABELS_MAX and labels not in self._last:
            for left_out in list(self._sums):
                self._write(left_out)
            self._last.clear()
        sums = self._sums.setdefault(labels, {})
        for key, value in fields.items():
            if isinstance(value, int):
                sums[key] = value if key == "servers" else sums.get(key, 0) + value
        self._samples[labels] = sample or {}
        self._due(labels)

    def flush(self) -> None:
        """Write what was left out long enough ago; daemons look several times a second."""
        for labels in list(self._sums):
            self._due(labels)

    def _due(self, labels: Labels) -> None:
        now = self._now()
        if now - self._last.get(labels, float("-inf")) >= EVERY_SECONDS:
            self._last[labels] = now
            self._write(labels)

    def _write(self, labels: Labels) -> None:
        write = getattr(self._log, self._level)
        write(self._event, **dict(labels), **self._sums.pop(labels), **self._samples.pop(labels, {}))


class Tallies:
    """All tallies of a daemon."""

    def __init__(self, log: Logger, now: Callable[[], float] = trio.current_time) -> None:
        self._log = log
        self._now = now
        self._all: list[Tally] = []

    def of(self, event: str, *, level: str = "info") -> Tally:
        """A new tally of an event."""
        self._all.append(Tally(event, log=self._log, now=self._now, level=level))
        return self._all[-1]

    def flush(self) -> None:
        """Look at all of them."""
        for tally in self._all:
            tally.flush()

    async def run(self) -> NoReturn:
        """The task of a daemon that has no other moment to look: for ever."""

        async def look() -> None:
            self.flush()

        await every(LOOK_SECONDS, look)
