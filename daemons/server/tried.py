"""Whether the first synchronisation was tried."""

from collections.abc import Iterable

import trio


class FirstTries:
    """Which peers were not asked yet since the start; `all_made` is set when each was, answered or not."""

    def __init__(self, peers: Iterable[str]) -> None:
        self._left = set(peers)
        self.all_made = trio.Event()
        self.made(None)

    def left_for(self, peer: str) -> bool:
        """Whether that one was not asked yet."""
        return peer in self._left

    def made(self, peer: str | None) -> None:
        """It was asked, and has answered or not."""
        self._left.discard(peer or "")
        if not self._left:
            self.all_made.set()
