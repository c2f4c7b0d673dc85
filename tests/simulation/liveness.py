"""Who may act as coordinator, and how full each table is, looked at all the time (K5, K10)."""

from typing import TYPE_CHECKING, Any

import judges
import trio
from sightings import Sightings

from daemons.server.node import Node
from recado.protocol.limits import (
    ACK_WAITERS_MAX,
    PAGE_ENTRIES_MAX,
    PENDING_CALLBACKS_MAX,
    PENDING_ENTRIES_MAX,
    WINDOW_ENTRIES_MAX,
)

if TYPE_CHECKING:
    from world import World

SAMPLE_SECONDS = 0.5
WARMING_SECONDS = 35.0  # a cold start with leases, and an election after the fault


class Watch:
    """`run` is the task; `two_leaders` and `unled` give the judges' complaints."""

    def __init__(self, world: "World", sightings: Sightings) -> None:
        self._world = world
        self._sightings = sightings
        self.samples: list[tuple[float, list[str]]] = []
        self.fullest: dict[str, tuple[int, int, float]] = {}  # by table: most, its limit, when

    async def run(self) -> None:
        """Look for ever."""
        while True:
            names = [name for name, node in self._world.servers.items() if node.alive]
            acting = [name for name in names if self._sightings.acting(name)]
            self.samples.append((trio.current_time(), acting))
            for name in names:
                if (node := self._sightings.node_of(name)) is not None:
                    self._measure(node)
            await trio.sleep(SAMPLE_SECONDS)

    def _measure(self, node: Node) -> None:
        replication: Any = node.catch_up
        peers = replication.__self__.peers.values() if hasattr(replication, "__self__") else ()
        # What is checked before a page is taken may be exceeded by that page.
        tables = [
            ("pending entries", node.commits.backlog, PENDING_ENTRIES_MAX + PAGE_ENTRIES_MAX),
            ("pending callbacks", len(node.commits._items), PENDING_CALLBACKS_MAX + PAGE_ENTRIES_MAX),
            ("writes that wait for copies", node.acks.waiting, ACK_WAITERS_MAX),
            *(("entries in a push window", peer.window_entries, WINDOW_ENTRIES_MAX) for peer in peers),
        ]
        for what, size, limit in tables:
            if size > self.fullest.get(what, (-1, 0, 0.0))[0]:
                self.fullest[what] = (size, limit, trio.current_time())

    def crowded(self) -> list[str]:
        """K10."""
        return judges.within_bounds(self.fullest)

    def two_leaders(self) -> list[str]:
        """In mode quorum."""
        return judges.at_most_one_leads(self.samples)

    def unled(self, share_min: float = judges.LED_SHARE_MIN) -> list[str]:
        """With one bad server, which may count itself a leader of nobody in mode available."""
        avoided = self._world.avoided
        healthy = [(at, [name for name in acting if name not in avoided]) for at, acting in self.samples]
        someone = [
            (at, well or acting) for (at, well), (_, acting) in zip(healthy, self.samples, strict=True)
        ]
        late = [sample for sample in someone if sample[0] >= WARMING_SECONDS]
        return judges.led(late, share_min=share_min)
