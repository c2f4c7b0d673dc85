"""The storm: two lanes of faults at the same time, one of processes and disks, one of network and clocks.

Of disks that lose what they had synced a level promises to survive only so many, so before each such
fault the storm waits, without cuts, until everything that exists is everywhere (`Record.barriers`).  A
barrier that is not reached in time is a failure: the replicas do not become equal.
"""

from collections.abc import Sequence
from random import Random
from time import monotonic

import trio

from tests.torture.faults import Act, Faults, Record
from tests.torture.fleet import Fleet
from tests.torture.watching import everywhere

BARRIER_SECONDS = 60.0
PERHAPS_SECONDS = 3.0
REST_SECONDS = (0.3, 2.5)


class Storm:
    """Faults on a fleet by a seed.  `complaints`: what already went wrong during the storm."""

    def __init__(self, fleet: Fleet, record: Record, *, seed: str) -> None:
        self.complaints: list[str] = []
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
        acts = self._node_acts(faults) if name == "nodes" else self._network_acts(faults)
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
        if act.__name__ in ("wipe", "restore"):
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

    def _node_acts(self, faults: Faults) -> Sequence[tuple[Act, int]]:
        acts: list[tuple[Act, int]] = [
            (faults.kill, 6),
            (faults.kill_all, 1),
            (faults.pause, 2),
            (faults.drain, 1),
            (faults.copy, 1),
            (faults.wipe, 1),
            (faults.restore, 1),
            (faults.wipe_reference, 1),
        ]
        if self._fleet.means.disks:
            acts += [(faults.power, 4), (faults.power_all, 1), (faults.full, 1)]
        return acts

    def _network_acts(self, faults: Faults) -> Sequence[tuple[Act, int]]:
        acts: list[tuple[Act, int]] = []
        if self._fleet.means.network:
            acts += [
                (faults.partition, 3),
                (faults.one_way, 2),
                (faults.coordinator_alone, 1),
                (faults.weather, 2),
            ]
        if self._fleet.means.clocks:
            acts += [(faults.clock, 2)]
        return acts
