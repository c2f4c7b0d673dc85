"""A storm: everything that goes wrong, at random from the seed, and then the healing."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from nodes import DISK_SECONDS, ServerNode
from transit import CALM, ROUGH
from world import World

PAUSE_SECONDS = 4.0  # the mean time between two blows
CLOCK_JUMP_SECONDS = 30.0
LOSSES_MAX = 1  # disks that forget in one storm: more would excuse too much


class Storm:
    """Blows one after the other, each undone some seconds later; `heal` undoes all of them."""

    def __init__(self, world: World, *, losses: bool = True) -> None:
        self.world = world
        self._random = world.random
        self._backups: dict[str, bytes] = {}
        self._losses = LOSSES_MAX if losses else 0
        self._liar = self._server()
        self._blows: list[tuple[int, Callable[[], Awaitable[Any]]]] = [
            (6, self._kill),
            (2, self._stop),
            (3, self._isolate),
            (3, self._cut_pair),
            (3, self._one_way),
            (3, self._weather),
            (1, self._broker),
            (1, self._reference),
            (2, self._disk_full),
            (2, self._disk_slow),
            (1, self._backup),
            (2, self._forget),
            (1, self._clock),
        ]

    async def rage(self, seconds: float) -> None:
        """Blow for so long, then heal."""
        weights = [weight for weight, _ in self._blows]
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                while True:
                    await trio.sleep(self._random.expovariate(1 / PAUSE_SECONDS))
                    (_, blow), *_ = self._random.choices(self._blows, weights)
                    nursery.start_soon(blow)
        self.heal()

    def heal(self) -> None:
        """Whole links, fair weather, room on every disk, and every node up."""
        world = self.world
        world.transit.heal()
        world.transit.become(CALM)
        for node in world.servers.values():
            node.store.full = False
            node.disk_seconds = DISK_SECONDS
        world.start()

    # Blows: each is undone by itself or by `heal` -------------------------------------------------

    async def _kill(self) -> None:
        node = self._server()
        node.kill()
        await self._a_while(15.0)
        if not node.alive:
            node.start()

    async def _stop(self) -> None:
        node = self._server()
        if node.alive:
            await node.stop()
            await self._a_while(5.0)
            if not node.alive:
                node.start()

    async def _isolate(self) -> None:
        alone = self._server().name
        self.world.transit.cut([alone], [name for name in self.world.servers if name != alone])
        await self._a_while(20.0)
        self.world.transit.heal()

    async def _cut_pair(self) -> None:
        one, other = self._random.sample(list(self.world.servers), 2)
        self.world.transit.cut([one], [other])
        await self._a_while(20.0)
        self.world.transit.heal()

    async def _one_way(self) -> None:
        one, other = self._random.sample(list(self.world.servers), 2)
        self.world.transit.cut([one], [other], both_ways=False)
        await self._a_while(20.0)
        self.world.transit.heal()

    async def _weather(self) -> None:
        self.world.transit.become(ROUGH)
        await self._a_while(20.0)
        self.world.transit.become(CALM)

    async def _broker(self) -> None:
        self.world.broker.kill()
        await self._a_while(10.0)
        if not self.world.broker.alive:
            self.world.broker.start()

    async def _reference(self) -> None:
        self.world.reference.kill()
        await self._a_while(10.0)
        if not self.world.reference.alive:
            self.world.reference.start()

    async def _disk_full(self) -> None:
        node = self._server()
        node.store.full = True
        self.world.transit.note(f"{node.name} disk full")
        await self._a_while(8.0)
        node.store.full = False

    async def _disk_slow(self) -> None:
        node = self._server()
        node.disk_seconds = DISK_SECONDS * 500
        self.world.transit.note(f"{node.name} disk slow")
        await self._a_while(10.0)
        node.disk_seconds = DISK_SECONDS

    async def _backup(self) -> None:
        node = self._server()
        self._backups[node.name] = node.store.image()
        self.world.transit.note(f"{node.name} is backed up")

    async def _forget(self) -> None:
        """The disk is replaced: by a backup if there is one, else by an empty one."""
        if self._losses:
            self._losses -= 1
            node = self._server()
            node.kill()
            await self._a_while(5.0)
            if not node.alive:
                node.restore(self._backups.get(node.name))
                node.start()

    async def _clock(self) -> None:
        """Always the same server's: with two wrong clocks of three no round can tell who is right."""
        node = self._liar
        node.wall.offset_seconds += self._random.uniform(-CLOCK_JUMP_SECONDS, CLOCK_JUMP_SECONDS)
        self.world.transit.note(f"{node.name} clock jumps")

    # ------------------------------------------------------------------------------------------------

    def _server(self) -> ServerNode:
        return self._random.choice(list(self.world.servers.values()))

    async def _a_while(self, most_seconds: float) -> None:
        await trio.sleep(self._random.uniform(0.2, most_seconds))
