"""Who may act as coordinator, looked at all the time, for the judges of leadership (K5)."""

from typing import TYPE_CHECKING

import judges
import trio
from sightings import Sightings

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

    async def run(self) -> None:
        """Look for ever."""
        while True:
            names = [name for name, node in self._world.servers.items() if node.alive]
            acting = [name for name in names if self._sightings.acting(name)]
            self.samples.append((trio.current_time(), acting))
            await trio.sleep(SAMPLE_SECONDS)

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
