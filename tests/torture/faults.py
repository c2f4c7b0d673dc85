"""What is done to a cluster.  Each fault injects, holds, and heals; `Record` writes down when and to whom.

A fault leaves the cluster able to recover by itself: every process runs again, every cut is healed.  What
it took from a disk, if it took anything that was synced, is written down as a loss.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import permutations, product
from random import Random
from time import monotonic
from typing import Any

import trio

from tests.torture import disks
from tests.torture.fleet import CLIENTS, RESTART_SECONDS, Fleet, Node, forget
from tests.torture.plan import Role
from tests.torture.watching import coordinator

FULL_SECONDS = (10.0, 18.0)
PAUSE_SECONDS = (1.0, 20.0)
CUT_SECONDS = (2.0, 20.0)
WEATHER_SECONDS = (5.0, 15.0)
EXCUSES = 2  # a server that meets damage ends with 70 and has its file checked
CLOCK_STEPS_SECONDS = (3600.0, -3600.0, 600.0, -45.0)


@dataclass
class Record:
    """Every fault with its times in seconds since `began`; when disks lost what they had synced."""

    began: float = field(default_factory=monotonic)
    faults: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # monotonic seconds
    barriers: list[float] = field(default_factory=list)  # when all that was there was known to be everywhere

    def note(self, kind: str, **fields: Any) -> dict[str, Any]:
        """A fault begins; the caller sets `until`."""
        fault = {"kind": kind, "at": round(monotonic() - self.began, 3), **fields}
        self.faults.append(fault)
        return fault

    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(fault["kind"] for fault in self.faults).items()))


class Faults:
    """The acts, each a method that ends when the fault is over."""

    def __init__(self, fleet: Fleet, record: Record, *, random: Random) -> None:
        self._fleet = fleet
        self._record = record
        self._random = random
        self._copies: dict[str, Any] = {}

    # Processes -------------------------------------------------------------------------------

    async def kill(self) -> None:
        """SIGKILL for a process of any kind."""
        node = self._random.choice(
            self._fleet.of(Role.SERVER) * 3 + self._fleet.of(Role.BROKER, Role.REFERENCE)
        )
        await self._killed(f"kill -9 {node.member.role}", [node])

    async def kill_all(self) -> None:
        """SIGKILL for all servers at once."""
        await self._killed("kill -9 of all servers at once", self._fleet.servers)

    async def _killed(self, kind: str, nodes: list[Node]) -> None:
        async with self._harming(kind, nodes):
            await self._fleet.kill(*nodes)

    async def drain(self) -> None:
        """SIGTERM for a server."""
        node = self._random.choice(self._fleet.servers)
        async with self._harming("stop (SIGTERM)", [node]) as fault:
            fault["exit_codes"] = await self._fleet.stop(node)

    async def pause(self) -> None:
        """SIGSTOP for a process, and SIGCONT."""
        node = self._random.choice(
            self._fleet.of(Role.SERVER) * 3 + self._fleet.of(Role.BROKER, Role.REFERENCE)
        )
        async with self._held([node]):
            fault = self._record.note("pause (SIGSTOP)", node=node.name)
            assert node.process is not None
            await node.process.freeze()
            try:
                await trio.sleep(self._random.uniform(*PAUSE_SECONDS))
            finally:
                node.process.thaw()
            self._over(fault)

    # Disks -----------------------------------------------------------------------------------

    async def power(self) -> None:
        """The power of one server goes: no packet leaves, nothing that was not synced stays."""
        await self._powerless("power cut", [self._random.choice(self._fleet.servers)])

    async def power_all(self) -> None:
        """The power of all servers goes at once."""
        await self._powerless("power cut of all servers at once", self._fleet.servers)

    async def _powerless(self, kind: str, nodes: list[Node]) -> None:
        async with self._harming(kind, nodes):
            for node in nodes:
                node.harmed = True
                assert node.process is not None
                await node.process.freeze()
            # A host without power resets no connection: its peers only hear nothing more.
            gone = {node.name for node in nodes}
            everybody = (*self._fleet.nodes, CLIENTS)
            self._fleet.network.cut(kind, [p for p in permutations(everybody, 2) if gone & set(p)])
            for node in nodes:
                await node.disk.cut_power()
            await self._fleet.kill(*nodes)
            for node in nodes:
                await node.disk.come_back()
            self._fleet.network.cut(kind, ())

    async def full(self) -> None:
        """A server's disk has no room for a while."""
        node = self._random.choice(self._fleet.servers)
        async with self._held([node]):
            fault = self._record.note("disk full", node=node.name)
            node.disk.fill()
            try:
                await trio.sleep(self._random.uniform(*FULL_SECONDS))
            finally:
                node.disk.free()
            self._over(fault)

    async def copy(self) -> None:
        """Keep a copy of a server's directory for `restore`; the server stands still meanwhile."""
        node = self._random.choice(self._fleet.servers)
        async with self._held([node]):
            assert node.process is not None
            await node.process.freeze()
            try:
                target = self._fleet.plan.directory / "copies" / node.name
                await trio.to_thread.run_sync(disks.copy_of, node.data, target)
            finally:
                node.process.thaw()
            self._copies[node.name] = target

    async def restore(self) -> None:
        """A server goes on with an old copy of its directory."""
        if not self._copies:
            return
        name = self._random.choice(sorted(self._copies))
        node, copy = self._fleet.nodes[name], self._copies.pop(name)

        def lose() -> None:
            disks.put_back(copy, node.data)

        await self._losing("old copy of a directory restored", node, lose)

    async def wipe(self) -> None:
        """A server's directory is deleted."""
        node = self._random.choice(self._fleet.servers)
        await self._losing("directory deleted", node, lambda: forget(node.data))

    async def _losing(self, kind: str, node: Node, lose: Callable[[], None]) -> None:
        async with self._harming(kind, [node]):
            await self._fleet.kill(node)
            self._record.losses.append(monotonic())
            await trio.to_thread.run_sync(lose)

    async def rot(self) -> None:
        """Bits of a server's database or of its WAL flip, or the end of the file is gone (A34)."""
        node = self._random.choice(self._fleet.servers)
        async with self._harming("bits flipped, or a file cut short", [node]) as fault:
            await self._fleet.kill(node)
            self._record.losses.append(monotonic())
            node.excuses = EXCUSES
            fault.update(await trio.to_thread.run_sync(disks.rot, node.data, self._random))

    async def wipe_reference(self) -> None:
        """The reference loses its process and everything it knew."""
        node = self._fleet.of(Role.REFERENCE)[0]
        async with self._harming("reference killed and wiped", [node]):
            await self._fleet.kill(node)
            forget(node.data)

    # Network and clocks ------------------------------------------------------------------------

    async def partition(self) -> None:
        """The servers fall into two parts; everybody else is on one side, or sees both."""
        servers = [node.name for node in self._fleet.servers]
        self._random.shuffle(servers)
        size = self._random.randrange(1, len(servers))
        sides: list[list[str]] = [servers[:size], servers[size:]]
        for name in (*(node.name for node in self._fleet.of(Role.BROKER, Role.REFERENCE)), CLIENTS):
            side = self._random.randrange(3)
            if side < 2:
                sides[side].append(name)
        pairs = [*product(sides[0], sides[1]), *product(sides[1], sides[0])]
        await self._cut("partition", pairs, " | ".join(" ".join(side) for side in sides))

    async def one_way(self) -> None:
        """One server's frames no longer reach one or all of the others; theirs reach it."""
        first, *rest = self._random.sample(
            [node.name for node in self._fleet.servers], k=len(self._fleet.servers)
        )
        deaf = rest if self._random.random() < 0.5 else rest[:1]
        pairs = [(first, other) for other in deaf]
        await self._cut("one-way cut", pairs, f"{first} -/-> {' '.join(deaf)}")

    async def coordinator_alone(self) -> None:
        """The coordinator is cut off from everybody."""
        lead = await coordinator(self._fleet) or self._fleet.servers[-1].name
        others = [name for name in (*self._fleet.nodes, CLIENTS) if name != lead]
        pairs = [pair for pair in permutations([lead, *others], 2) if lead in pair]
        await self._cut("coordinator cut off", pairs, lead)

    async def _cut(self, kind: str, pairs: Iterable[tuple[str, str]], told: str) -> None:
        fault = self._record.note(kind, who=told)
        self._fleet.network.cut(kind, pairs)
        try:
            await trio.sleep(self._random.uniform(*CUT_SECONDS))
        finally:
            self._fleet.network.cut(kind, ())
        self._over(fault)

    async def weather(self) -> None:
        """Delay, loss, duplicates and reordering between all nodes."""
        dice = self._random
        conditions = {
            "delay": dice.choice([0.005, 0.04, 0.1]),
            "jitter": dice.choice([0.0, 0.02]),
            "loss": dice.choice([0.0, 0.01, 0.05, 0.1]),
            "dup": dice.choice([0.0, 0.05, 0.2]),
            "reorder": dice.choice([0.0, 0.1, 0.3]),
        }
        fault = self._record.note("delay, loss, duplication, reordering", **conditions)
        self._fleet.network.weather(conditions)
        try:
            await trio.sleep(dice.uniform(*WEATHER_SECONDS))
        finally:
            self._fleet.network.weather({})
        self._over(fault)

    async def clock(self) -> None:
        """A server's wall clock jumps, and some seconds later back."""
        node = self._random.choice(self._fleet.servers)
        step = self._random.choice(CLOCK_STEPS_SECONDS)
        fault = self._record.note("clock jump", node=node.name, seconds=step)
        self._fleet.set_clock(node, step)
        try:
            await trio.sleep(self._random.uniform(*CUT_SECONDS))
        finally:
            self._fleet.set_clock(node, 0.0)
        self._over(fault)

    # Within ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _harming(self, kind: str, nodes: list[Node]) -> Any:
        """Own the nodes for a fault that ends their processes, and start them again."""
        async with self._held(nodes):
            fault = self._record.note(kind, node=" ".join(node.name for node in nodes))
            yield fault
            await trio.sleep(RESTART_SECONDS)
            for node in nodes:
                await self._fleet.start(node)
            self._over(fault)

    @asynccontextmanager
    async def _held(self, nodes: list[Node]) -> Any:
        async with AsyncExitStack() as stack:
            for node in nodes:  # always in the same order
                await stack.enter_async_context(node.lock)
            yield

    def _over(self, fault: dict[str, Any]) -> None:
        fault["until"] = round(monotonic() - self._record.began, 3)


Act = Callable[[], Awaitable[None]]
