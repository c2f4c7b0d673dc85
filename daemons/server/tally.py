"""Log lines for what happens often: the first at once, then at most one a second, with sums."""

from typing import Any

from daemons.server.node import Node

EVERY_SECONDS = 1.0
LABELS_MAX = 256  # sets of labels remembered per event; labels may come from strangers
Labels = tuple[tuple[str, str], ...]


class Tally:
    """One event.  Whole numbers are summed over the lines left out, per set of the texts beside them."""

    def __init__(self, node: Node, event: str, *, level: str = "info") -> None:
        self._node = node
        self._event = event
        self._level = level
        self._last: dict[Labels, float] = {}
        self._sums: dict[Labels, dict[str, int]] = {}
        self._samples: dict[Labels, dict[str, Any]] = {}
        node.tallies.append(self)

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
        """Write what was left out long enough ago; the server looks every quarter of a second."""
        for labels in list(self._sums):
            self._due(labels)

    def _due(self, labels: Labels) -> None:
        now = self._node.surroundings.now()
        if now - self._last.get(labels, float("-inf")) >= EVERY_SECONDS:
            self._last[labels] = now
            self._write(labels)

    def _write(self, labels: Labels) -> None:
        write = getattr(self._node.log, self._level)
        write(self._event, **dict(labels), **self._sums.pop(labels), **self._samples.pop(labels, {}))
