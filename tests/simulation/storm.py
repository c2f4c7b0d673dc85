"""A storm: the faults of a plan, each at its time and undone at its end; and then the healing."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import trio
from disks import DISK_SECONDS
from faults import Fault
from forgery import poison
from nodes import Process, ServerNode
from transit import CALM, Weather
from workload import Operation
from world import World

from recado.protocol.entry import origin_node
from recado.protocol.messages import Level

SLOW = 500  # times slower is a slow disk
CLOCK_JUMP_SECONDS = 30.0
STRUCK_SLOW = 100  # before a strike, so that there is something unsynced to lose
FLAP_SECONDS = 6.0  # the mean life of a server that flaps


def rough(amount: float) -> Weather:
    """Bad weather, up to 30 % loss, 20 % duplicates, 10 % late by up to 6 s, 90 % of publications lost."""
    return Weather(
        delay_seconds=0.01,
        spread=1.0,
        loss=0.3 * amount,
        duplication=0.2 * amount,
        late=0.01 + 0.09 * amount,
        late_seconds=0.5 + 5.5 * amount,
        publication_loss=0.9 * amount,
    )


class Storm:
    """`rage` brings about the faults one after the other; `heal` undoes whatever is left of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._strikes: list[Callable[[Operation], None]] = []  # what waits for a quorum
        self._backups: dict[str, bytes] = {}
        self._weathers: list[Weather] = []

    async def rage(self, faults: Sequence[Fault], *, seconds: float) -> None:
        """Until the time `seconds`; then heal."""
        with trio.move_on_at(seconds):
            async with trio.open_nursery() as nursery:
                for fault in faults:
                    await trio.sleep_until(fault.at)
                    nursery.start_soon(self.deed(fault.kind), fault)
                await trio.sleep_forever()
        await self.heal()

    def deed(self, kind: str) -> Callable[[Fault], Awaitable[None]]:
        """The method that carries out a kind of fault."""
        deed: Callable[[Fault], Awaitable[None]] = getattr(self, "_" + kind.replace(" ", "_"))
        return deed

    def told(self, operation: Operation) -> None:
        """People's history tells of each acknowledgement."""
        for strike in list(self._strikes):
            strike(operation)

    async def heal(self) -> None:
        """Whole links, fair weather, room on every disk, and every node up."""
        world = self.world
        self._strikes.clear()
        self._weathers.clear()
        world.transit.heal()
        world.transit.become(CALM)
        for node in world.servers.values():
            node.store.full = node.store.locked = node.store.failing = False
            node.disk.seconds = DISK_SECONDS
            node.disk.frozen_until = 0.0
        for process in world.nodes.values():
            if process.stopping:
                await process.ended()
        world.start()

    def _server(self, fault: Fault) -> ServerNode:
        return self.world.servers[fault.node]

    # Processes ------------------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> None:
        self._server(fault).kill()
        await _back(self._server(fault), fault.seconds)

    async def _power(self, fault: Fault) -> None:
        self._server(fault).kill("powerless", kept=fault.amount < 0.5)
        await _back(self._server(fault), fault.seconds)

    async def _blackout(self, fault: Fault) -> None:
        dice = Random(fault.amount)
        async with trio.open_nursery() as nursery:
            for node in self.world.servers.values():
                node.kill("powerless", kept=dice.random() < 0.5)
                nursery.start_soon(_back, node, dice.uniform(0.1, fault.seconds + 0.1))

    async def _stop(self, fault: Fault) -> None:
        node = self._server(fault)
        if node.alive and not node.stopping:
            await node.stop()
            await _back(node, fault.seconds)

    async def _pause(self, fault: Fault) -> None:
        self._server(fault).pause(fault.seconds)

    async def _broker(self, fault: Fault) -> None:
        self.world.broker.kill()
        await _back(self.world.broker, fault.seconds)

    async def _reference(self, fault: Fault) -> None:
        self.world.reference.kill()
        await _back(self.world.reference, fault.seconds)

    async def _reference_wiped(self, fault: Fault) -> None:
        self.world.reference.kill()
        self.world.reference.wipe()
        await _back(self.world.reference, fault.seconds)

    # Links ----------------------------------------------------------------------------------------

    async def _isolate(self, fault: Fault) -> None:
        others = [name for name in self.world.servers if name != fault.node]
        await self._cut([fault.node], others, fault.seconds)

    async def _cut_pair(self, fault: Fault) -> None:
        await self._cut([fault.node], [fault.other], fault.seconds)

    async def _cut_one_way(self, fault: Fault) -> None:
        await self._cut([fault.node], [fault.other], fault.seconds, both_ways=False)

    async def _cut(self, one: list[str], other: list[str], seconds: float, *, both_ways: bool = True) -> None:
        self.world.transit.cut(one, other, both_ways=both_ways)
        await trio.sleep(seconds)
        self.world.transit.mend(one, other, both_ways=both_ways)

    async def _swizzle(self, fault: Fault) -> None:
        """Swizzle-clogging, as FoundationDB's simulation calls it."""
        dice = Random(fault.amount)
        pairs = [(a, b) for a in self.world.servers for b in self.world.servers if a != b]
        clogged = dice.sample(pairs, dice.randint(2, len(pairs)))
        step = fault.seconds / (2 * len(clogged))
        for a, b in clogged:
            self.world.transit.cut([a], [b], both_ways=False)
            await trio.sleep(step)
        for a, b in dice.sample(clogged, len(clogged)):
            self.world.transit.mend([a], [b], both_ways=False)
            await trio.sleep(step)

    async def _weather(self, fault: Fault) -> None:
        weather = rough(fault.amount)
        self._weathers.append(weather)
        self.world.transit.become(weather)
        await trio.sleep(fault.seconds)
        self._weathers.remove(weather)
        self.world.transit.become(self._weathers[-1] if self._weathers else CALM)

    # Disks ----------------------------------------------------------------------------------------

    async def _disk_full(self, fault: Fault) -> None:
        store = self._server(fault).store
        store.full = True
        await trio.sleep(fault.seconds)
        store.full = False

    async def _disk_locked(self, fault: Fault) -> None:
        store = self._server(fault).store
        store.locked = True
        await trio.sleep(fault.seconds)
        store.locked = False

    async def _disk_slow(self, fault: Fault) -> None:
        disk = self._server(fault).disk
        disk.seconds = DISK_SECONDS * SLOW
        await trio.sleep(fault.seconds)
        disk.seconds = DISK_SECONDS

    async def _disk_fails(self, fault: Fault) -> None:
        """The process ends with an unknown outcome, and is started again on the same disk (A33)."""
        node = self._server(fault)
        node.store.keeps = fault.amount < 0.5
        node.store.failing = True
        await trio.sleep(fault.seconds + 1.0)
        node.store.failing = False
        await _back(node, 0.0)

    async def _backup(self, fault: Fault) -> None:
        self._backups[fault.node] = self._server(fault).store.image()

    async def _forget(self, fault: Fault) -> None:
        """The disk is replaced: by a backup if there is one, else by an empty one."""
        await self._lose(self._server(fault), fault.seconds, self._backups.get(fault.node))

    async def _lose(self, node: ServerNode, seconds: float, image: bytes | None) -> None:
        if node.stopping:
            await node.ended()
        node.kill()
        node.restore(image)
        await _back(node, seconds)

    async def _lonely_death(self, fault: Fault) -> None:
        """A server that only clients and brokers can reach for a while loses its disk."""
        await self._isolate(fault)
        await self._lose(self._server(fault), 1.0, None)

    async def _cut_at_ack(self, fault: Fault) -> None:
        """At the next acknowledgement the server that gave it loses its power, and keeps its disk."""
        op = await self._next_acknowledged(Level.LOCAL, lambda name, by: name == by)
        await _back(self.world.servers[_answerer(op)], fault.seconds)

    async def _strike(self, fault: Fault) -> None:
        """At the next quorum: the disk that said so is lost, and all the others lose their power."""
        await self._struck(fault, lambda _op: True)

    async def _strike_at_repeat(self, fault: Fault) -> None:
        """The same when a server that only clients can reach is asked again for what it has kept alone."""
        armed = trio.current_time()
        others = [name for name in self.world.servers if name != fault.node]
        self.world.transit.cut([fault.node], others)
        await self._struck(
            fault,
            lambda op: op.repeats is not None and op.repeats > armed and _answerer(op) == fault.node,
        )
        self.world.transit.mend([fault.node], others)

    async def _struck(self, fault: Fault, which: Callable[[Operation], bool]) -> None:
        op = await self._next_acknowledged(Level.QUORUM, lambda _name, _by: True, which)
        async with trio.open_nursery() as nursery:
            for name, node in self.world.servers.items():
                if name == _answerer(op) and not node.alive:
                    node.restore(None)
                nursery.start_soon(_back, node, fault.seconds)

    async def _next_acknowledged(
        self,
        level: Level,
        whom: Callable[[str, str], bool],
        which: Callable[[Operation], bool] = lambda _op: True,
    ) -> Operation:
        """Slow down all disks, so that there is something unsynced; at the next acknowledgement of this
        level, of an operation of `which`, cut the power of each server for which `whom` (its name, who
        answered) holds.
        """
        found: list[Operation] = []
        done = trio.Event()

        def strike(op: Operation) -> None:
            if op.level is level and op.key is not None and which(op) and not found:
                found.append(op)
                for name, node in self.world.servers.items():
                    if whom(name, _answerer(op)):
                        node.kill("powerless")
                done.set()

        for node in self.world.servers.values():
            node.disk.seconds = DISK_SECONDS * STRUCK_SLOW
        self._strikes.append(strike)
        try:
            await done.wait()
        finally:
            if strike in self._strikes:
                self._strikes.remove(strike)
            for node in self.world.servers.values():
                node.disk.seconds = DISK_SECONDS
        return found[0]

    # Others ---------------------------------------------------------------------------------------

    async def _clock(self, fault: Fault) -> None:
        self._server(fault).wall.offset_seconds += CLOCK_JUMP_SECONDS * (2 * fault.amount - 1)

    async def _poison(self, fault: Fault) -> None:
        with trio.move_on_after(10.0):
            await poison(self.world, fault)

    # What never ends ------------------------------------------------------------------------------

    async def _deaf(self, fault: Fault) -> None:
        self.world.transit.cut(self._others(fault), [fault.node], both_ways=False)

    async def _mute(self, fault: Fault) -> None:
        self.world.transit.cut([fault.node], self._others(fault), both_ways=False)

    async def _cut_from_one(self, fault: Fault) -> None:
        self.world.transit.cut([fault.node], [fault.other])

    async def _slow_disk(self, fault: Fault) -> None:
        self._server(fault).disk.seconds = DISK_SECONDS * 1000

    async def _clock_liar(self, fault: Fault) -> None:
        while True:
            self._server(fault).wall.offset_seconds += 100.0
            await trio.sleep(7.0)

    async def _flapping(self, fault: Fault) -> None:
        node, dice = self._server(fault), Random(fault.at)
        while True:
            node.kill()
            await _back(node, dice.expovariate(1.0))
            await trio.sleep(dice.expovariate(1 / FLAP_SECONDS))

    def _others(self, fault: Fault) -> list[str]:
        return [name for name in self.world.servers if name != fault.node]


def _answerer(op: Operation) -> str:
    """The server that acknowledged; for clients who don't say, the one that wrote it down."""
    return op.answered_by or origin_node(op.key[1] if op.key else "")


async def _back(node: Process, seconds: float) -> Any:
    """Start a node again after some time, unless something else has."""
    await trio.sleep(seconds)
    if not node.alive:
        node.start()
