"""One simulated cluster: the real programs on the network in memory, with real SQLite in memory.

Everything that is not determined comes from the seed: delays and faults, entropy, back-off, the
clocks' offsets and drifts, the time a disk takes.  A node is killed as by SIGKILL: its tasks are
cancelled where they stand, its sockets are gone, and its disk keeps the last commit.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal

import secured_world
import trio
from nodes import ReferenceNode, ServerNode, ServiceNode
from transit import CALM, OBSERVER, FaultyTransit, Weather

from daemons.broker.app import run_broker
from daemons.reference.app import run_reference
from recado.config import Config
from recado.protocol import codec
from recado.settings import Broker, BrokerAddresses, Cluster, Disk, Member, Reference, Search, Timings
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import OPEN

REFERENCE, BROKER = "reference", "broker"
REFERENCE_ADDRESS = f"tcp://{REFERENCE}:5559"
BROKER_ADDRESSES = BrokerAddresses(
    xsub=f"tcp://{BROKER}:5560", xpub=f"tcp://{BROKER}:5558", request=f"tcp://{BROKER}:5561"
)
OBSERVER_PATIENCE_SECONDS = 15.0  # longer than a write waits for its copies
STEP_SECONDS = 0.25  # how often `until` looks


class Journal:
    """The log lines of all nodes with the virtual time of each: (seconds, event)."""

    level = "info"

    def __init__(self) -> None:
        self.lines: list[tuple[float, Mapping[str, Any]]] = []

    def write(self, event: Mapping[str, Any]) -> None:
        self.lines.append((trio.current_time(), dict(event)))

    def named(self, event: str, *, node: str | None = None, since: float = 0.0) -> list[Mapping[str, Any]]:
        """The events of that name, of one node or of all, in order."""
        return [
            line
            for at, line in self.lines
            if line["event"] == event and at >= since and (node is None or line["node"] == node)
        ]


class World:
    """A cluster of `servers` servers, a reference and a broker; `nursery` holds all of it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        seed: int,
        servers: int = 3,
        weather: Weather = CALM,
        timings: Timings = Timings(),  # noqa: B008 (frozen)
        clock_offset_seconds: float = 0.0,
        clock_drift: float = 0.0,
        lease_drift: float = 0.0,
        election: Literal["available", "quorum"] = "available",
        disk: Disk = Disk(),  # noqa: B008 (frozen)
        secured: bool = False,
    ) -> None:
        self.seed = seed
        self.election = election
        self.nursery = nursery
        self.random = Random(f"{seed} faults")
        self.transit = FaultyTransit(Random(f"{seed} network"), now=trio.current_time, weather=weather)
        self.roster = secured_world.roster(servers) if secured else None
        self.network = (
            MemoryNetwork(self.transit)
            if self.roster is None
            else secured_world.SecuredNetwork(self.transit, self.roster)
        )
        self.journal = Journal()
        self._ticks = 0
        self.avoided: set[str] = set()  # servers that clients do not know
        self.losses: list[float] = []  # when a disk forgot something that it had committed
        members = tuple(
            Member(name=f"server-{rank}", rank=rank, address=f"tcp://server-{rank}:5555")
            for rank in range(1, servers + 1)
        )
        self.config = Config(
            cluster=Cluster(members=members, reference=REFERENCE_ADDRESS, brokers=(BROKER_ADDRESSES,)),
            reference=Reference(listen=REFERENCE_ADDRESS),
            broker=Broker(
                xsub=BROKER_ADDRESSES.xsub, xpub=BROKER_ADDRESSES.xpub, request=BROKER_ADDRESSES.request
            ),
            timings=timings,
            disk=disk,
            search=Search(enabled=seed % 4 == 0),  # a third of the time of a storm
        )
        if secured:
            self.config = secured_world.configured(self.config)
        clocks, leases = Random(f"{seed} clocks"), Random(f"{seed} leases")
        rates = (1.0, 1.0 + lease_drift)  # so that the fastest and the slowest differ by no more
        self.servers = {
            member.name: ServerNode(
                self,
                member,
                offset_seconds=clocks.uniform(-clock_offset_seconds, clock_offset_seconds),
                drift=clocks.uniform(-clock_drift, clock_drift),
                lease_rate=leases.uniform(*rates) if leases.random() < 0.5 else leases.choice(rates),
            )
            for member in members
        }
        self.reference = ReferenceNode(self, REFERENCE, run_reference)
        self.broker = ServiceNode(self, BROKER, run_broker)

    @property
    def nodes(self) -> dict[str, ServerNode | ServiceNode]:
        return {**self.servers, REFERENCE: self.reference, BROKER: self.broker}

    @property
    def addresses(self) -> list[str]:
        """Where clients may ask."""
        members = self.config.cluster.members
        return [member.address for member in members if member.name not in self.avoided]

    @property
    def healthy(self) -> list[ServerNode]:
        """The living servers, without those that clients avoid."""
        return [node for node in self.servers.values() if node.alive and node.name not in self.avoided]

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes.values():
            if not node.alive:
                node.start()

    # Looking at it ------------------------------------------------------------------------------

    async def ask(self, server: str, service: str, **fields: Any) -> dict[str, Any]:
        """A reply's data, over a link without faults.  Raises `trio.TooSlowError`."""
        return await self.ask_at(self.servers[server].member.address, service, **fields)

    async def ask_at(self, address: str, service: str, **fields: Any) -> dict[str, Any]:
        """The same, of whoever listens at an address."""
        frame = codec.encode(service, {**fields, "timestamp": 0, "clock": 0})
        user = fields.get("user")
        principal = OPEN if self.roster is None or user is None else secured_world.user(user)
        async with self.network.host(OBSERVER, principal).asker(address) as asker:
            with trio.fail_after(OBSERVER_PATIENCE_SECONDS):
                return codec.decode_reply(await asker.ask(frame)).data

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """What every living server says of itself; nothing of one that does not answer."""
        said = {}
        for name in [name for name, server in self.servers.items() if server.alive]:
            try:
                said[name] = await self.ask(name, "status")
            except trio.TooSlowError:
                said[name] = {}
        return said

    async def until(
        self,
        holds: Callable[[], Any],
        *,
        within_seconds: float,
        what: str,
        step_seconds: float = STEP_SECONDS,
    ) -> float:
        """Wait for a condition (which may be asynchronous); gives the seconds that it took."""
        start = trio.current_time()
        while True:
            found = holds()
            if hasattr(found, "__await__"):
                found = await found
            if found:
                return trio.current_time() - start
            if trio.current_time() - start > within_seconds:
                raise AssertionError(f"not within {within_seconds} virtual seconds: {what}")
            await trio.sleep(step_seconds)

    async def coordinator(self) -> str | None:
        """The one that all living servers agree on, in one epoch; None while they don't."""
        said = {(s.get("coordinator"), s.get("epoch")) for s in (await self.statuses()).values()}
        return next(iter(said))[0] if len(said) == 1 else None

    async def agreed(self) -> bool:
        """Whether all servers name the one of highest rank as coordinator, in one epoch."""
        return await self.coordinator() == max(self.servers, key=lambda name: self.servers[name].member.rank)

    def level(self) -> bool:
        """Whether all living servers have durably the same entries."""
        logs = [node.store.heads() for node in self.healthy]
        return all(log == logs[0] for log in logs)

    async def takes_writes(self) -> bool:
        """Whether every living server takes a write.  Leaves entries."""
        self._ticks += 1
        for name in [name for name, server in self.servers.items() if server.alive]:
            reply = await self.ask(name, "login", user=f"probe-{self._ticks}-{name}")
            if reply["status"] != "sucesso":
                return False
        return True

    async def shown_times(self) -> dict[str, float]:
        """What every living server stamps an entry with at one and the same moment, in seconds.

        Leaves entries; all must take writes.
        """
        shown: dict[str, float] = {}
        self._ticks += 1

        async def stamp(server: ServerNode) -> None:
            reply = await self.ask(server.name, "login", user=f"tick-{self._ticks}-{server.name}")
            assert "key" in reply, (server.name, reply)
            shown[server.name] = server.stamped(*reply["key"])

        async with trio.open_nursery() as nursery:
            for server in self.servers.values():
                if server.alive:
                    nursery.start_soon(stamp, server)
        return shown


@asynccontextmanager
async def cluster(*, seed: int, started: bool = True, **options: Any) -> AsyncIterator[World]:
    """A world, started or not, and its end: everything in it is cancelled."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, seed=seed, **options)
        if started:
            world.start()
        yield world
        for node in world.nodes.values():
            node.kill()
        nursery.cancel_scope.cancel()
