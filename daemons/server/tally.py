"""Log lines for what happens often: the first at once, then at most one a second, with sums."""

from daemons.server.node import Node

EVERY_SECONDS = 1.0


class Tally:
    """One event.  Fields that are numbers are summed over the lines left out, per set of the others."""

    def __init__(self, node: Node, event: str) -> None:
        self._node = node
        self._event = event
        self._last: dict[tuple[tuple[str, str], ...], float] = {}
        self._sums: dict[tuple[tuple[str, str], ...], dict[str, int]] = {}

    def add(self, **fields: int | str) -> None:
        """Count one occurrence; write the line if the last one is long enough ago."""
        labels = tuple(sorted((k, v) for k, v in fields.items() if isinstance(v, str)))
        sums = self._sums.setdefault(labels, {})
        for key, value in fields.items():
            if isinstance(value, int):
                sums[key] = value if key == "servers" else sums.get(key, 0) + value
        now = self._node.surroundings.now()
        if now - self._last.get(labels, float("-inf")) >= EVERY_SECONDS:
            self._last[labels] = now
            self._node.log.info(self._event, **dict(labels), **self._sums.pop(labels))

    def flush(self) -> None:
        """Write what was left out."""
        for labels, sums in self._sums.items():
            if sums:
                self._node.log.info(self._event, **dict(labels), **sums)
        self._sums.clear()
