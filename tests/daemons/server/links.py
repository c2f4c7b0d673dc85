"""Links of the in-memory network that tests cut, slow down and listen to."""

from collections.abc import Sequence

from recado.wire.memory import TrafficKind


class Links:
    """A `Transit`: everything takes `seconds`, nothing passes where it is cut; sizes are written down."""

    def __init__(self, seconds: float = 0.001) -> None:
        self.seconds = seconds
        self.sizes: list[tuple[str, str, int]] = []  # from, to, bytes: requests and replies of servers
        self._cut: set[tuple[str, str]] = set()

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between the two, either way."""
        self._cut |= {(one, other), (other, one)}

    def heal(self) -> None:
        self._cut.clear()

    def largest(self) -> int:
        """Bytes of the largest message between servers."""
        return max((size for _, _, size in self.sizes), default=0)

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        if (source, destination) in self._cut:
            return ()
        if "client" not in (source, destination):
            self.sizes.append((source, destination, size))
        return (self.seconds,)
