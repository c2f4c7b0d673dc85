"""The storm: two lanes of faults at the same time, one of processes and disks, one of network and clocks.

Of disks that lose what they had synced a level promises to survive only so many, so before each such
fault the storm waits, without cuts, until everything that exists is everywhere (`Record.barriers`).  A
barrier that is not reached in time is a failure: the replicas do not become equal.
"""

from collections.abc import Mapping, Sequence
from random import Random
from time import monotonic

import trio

from tests.torture.faults import Act, Faults, Record
from tests.torture.fleet import Fleet
from tests.torture.watching import everywhere

BARRIER_SECONDS = 60.0
PERHAPS_SECONDS = 3.0
REST_SECONDS = (0.3, 2.5)
# What is done, in which lane, what it needs of the machine, and how often in a round.
ACTS: dict[str, tuple[str, str, int]] = {
    "kill": ("nodes", "", 6),
    "kill_all": ("nodes", "", 1),
    "pause": ("nodes", "", 2),
    "drain": ("nodes", "", 1),
    "copy": ("nodes", "", 1),
    "wipe": ("nodes", "", 1),
    "restore": ("nodes", "", 1),
    "rot": ("nodes", "", 1),
    "wipe_reference": ("nodes", "", 1),
    "power": ("nodes", "disks", 4),
    "power_all": ("nodes", "disks", 1),
    "full": ("nodes", "disks", 1),
    "partition": ("network", "network", 3),
    "one_way": ("network", "network", 2),
    "coordinator_alone": ("network", "network", 1),
    "weather": ("network", "network", 2),
    "clock": ("network", "clocks", 2),
}


class Storm:
    """Faults on a fleet by a seed.  `complaints`: what already went wrong during the storm."""

    def __init__(
        self, fleet: Fleet, record: Record, *, seed: str, only: Mapping[str, int] | None = None
    ) -> None:
        """`only`: these acts alone, each so many times a round (`ACTS`)."""
        self.complaints: list[str] = []
        self._only = only
        self._fleet = fleet
        self._record = record
        self._seed = seed
        self._calm = trio.Lock()  # held by whoever needs the network
        self._lost_since_barrier = False

    async def rage(self, seconds: float) -> None:
        """Both lanes for so long; everything is healed afterwards."""
        until = monotonic() + seconds
        async with trio.open_nursery() as lanes:
            lanes.start_soon(self._lane, "nodes", until)
            lanes.start_soon(self._lane, "network", until)

    async def _lane(self, name: str, until: float) -> None:
        random = Random(f"{self._seed} {name}")
        faults = Faults(self._fleet, self._record, random=random)
        acts = self._acts(faults, name)
        deck: list[Act] = []
        while acts and monotonic() < until:
            if not deck:  # every act comes round, in an order of chance
                deck = [act for act, times in acts for _ in range(times)]
                random.shuffle(deck)
            await self._one(name, deck.pop())
            await trio.sleep(random.uniform(*REST_SECONDS))

    async def _one(self, lane: str, act: Act) -> None:
        if lane == "network":
            async with self._calm:
                if self._lost_since_barrier:
                    await self._perhaps_recovered()
                await act()
            return
        if act.__name__ in ("wipe", "restore", "rot"):
            await self._barrier()
            self._lost_since_barrier = True
        await act()

    async def _barrier(self) -> None:
        """Everything that exists is everywhere; only needed between two losses."""
        async with self._calm:
            at = monotonic()
            if await everywhere(self._fleet, seconds=BARRIER_SECONDS) is None:
                self.complaints.append(
                    f"after {at - self._record.began:.0f} s: replicas not equal within {BARRIER_SECONDS:g} s"
                )
            else:
                self._recovered(at)

    async def _perhaps_recovered(self) -> None:
        at = monotonic()
        if await everywhere(self._fleet, seconds=PERHAPS_SECONDS) is not None:
            self._recovered(at)

    def _recovered(self, at: float) -> None:
        # What a disk lost while we looked may never have been seen.
        if not any(loss >= at for loss in self._record.losses):
            self._record.barriers.append(at)
            self._lost_since_barrier = False

    def _acts(self, faults: Faults, lane: str) -> Sequence[tuple[Act, int]]:
        means = self._fleet.means
        had = {"": True, "disks": means.disks, "network": means.network, "clocks": means.clocks}
        wished = {name: self._only.get(name, 0) for name in ACTS} if self._only else {}
        return [
            (getattr(faults, name), times)
            for name, (where, needs, usual) in ACTS.items()
            if where == lane and had[needs] and (times := wished.get(name, usual))
        ]


def only(text: str) -> dict[str, int]:
    """``kill=3,pause`` as acts and how often each comes in a round.  Raises `ValueError`."""
    wished = {}
    for part in text.split(","):
        name, _, times = part.strip().partition("=")
        if name not in ACTS:
            raise ValueError(f"no such fault: {name!r}; there are {', '.join(ACTS)}")
        wished[name] = int(times or 1)
    return wished
