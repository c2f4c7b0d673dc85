"""A small cluster of the real server program, in memory and in virtual time, to plant faults in."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import trio

from clients.watching.doctor import examine
from clients.watching.findings import Finding
from clients.watching.survey import Known, Surveyor
from clients.watching.values import Problem, Survey
from daemons.server.app import run_server
from daemons.server.node import Node
from daemons.shared.logging import ListSink, get_logger
from recado.protocol import codec
from recado.wire.memory import MemoryNetwork, Transit
from recado.wire.ports import Outgoing
from storage.replica import Replica
from tests.daemons.server.server_bench import (
    BIRTH,
    BROKER,
    DEFAULT_TIMINGS,
    configured,
    members,
    surroundings,
)

SETTLED_SECONDS = 60.0  # an election, some clock rounds; nobody is young any more


class Planted:
    """Servers by name; `nodes` are their insides, for faults that nothing outside brings about."""

    def __init__(self, nursery: trio.Nursery, *, of: int, transit: Transit | None) -> None:
        self.network = MemoryNetwork(transit)
        self.nodes: dict[str, Node] = {}
        self.known = Known(servers={member.address: member.name for member in members(of)})
        self._nursery = nursery
        self._of = of
        self._bound: set[str] = set()

    async def start(self, name: str, *, wall_seconds: float = 0.0, **cluster: Any) -> None:
        """Start a member; its clock is `wall_seconds` ahead, `cluster` are settings of that section."""
        config = configured(name, of=self._of, server={}, timings=DEFAULT_TIMINGS)
        config = msgspec.structs.replace(config, cluster=msgspec.structs.replace(config.cluster, **cluster))
        around = surroundings(name)
        around = msgspec.structs.replace(around, wall=lambda: BIRTH + wall_seconds + trio.current_time())
        serving = trio.Event()

        async def serve() -> None:
            await run_server(
                config,
                self.network.host(name),
                store=Replica.in_memory(name),
                surroundings=around,
                log=lambda node, clock: get_logger(node, clock, sink=ListSink()),
                stopping=trio.Event(),
                ready=lambda _listen: serving.set(),
                opened=lambda node: self.nodes.__setitem__(name, node),
            )

        self._nursery.start_soon(serve)
        await serving.wait()
        self._bound.add(config.server.listen)

    async def all(self) -> None:
        """Every member, and a broker."""
        await self.broker()
        for n in range(1, self._of + 1):
            await self.start(f"server-{n}")

    async def broker(self) -> None:
        """A broker at the addresses that the servers are configured with."""

        async def forward(*, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            async with self.network.host("broker").forwarder(BROKER.xsub, BROKER.xpub):
                task_status.started()
                await trio.sleep_forever()

        await self._nursery.start(forward)
        self._bound.add(BROKER.xpub)

    async def pretend(self, name: str, **fields: Any) -> None:
        """A server of that name that only answers `status`: as server-1 would, but for these fields."""
        address = next(member.address for member in members(self._of) if member.name == name)

        async def serve(*, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            async with self.network.host(name).listener(address) as listener:
                task_status.started()
                while True:
                    for asked in await listener.receive_batch():
                        data = {"status": "OK", "server": name, "timestamp": 1, "clock": 2, **fields}
                        listener.send([Outgoing(asked.envelope, codec.encode("status", data))])

        await self._nursery.start(serve)

    async def lists(self, address: str, **servers: str) -> None:
        """A reference there that lists these servers, by name, beside the members that the doctor knows."""
        rows = [{"name": name, "rank": 9, "address": at} for name, at in servers.items()]

        async def serve(*, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            async with self.network.host("reference").listener(address) as listener:
                task_status.started()
                while True:
                    for asked in await listener.receive_batch():
                        data = {"status": "OK", "timestamp": 1, "clock": 2, "list": rows}
                        listener.send([Outgoing(asked.envelope, codec.encode("list", data))])

        await self._nursery.start(serve)
        self.known = replace(self.known, reference=address)

    async def examine(self, *, left: Collection[str] = (), **expected: Any) -> tuple[Survey, list[Finding]]:
        """What the doctor finds from a host of its own; `left`: who was a member once."""

        async def dialled(address: str) -> Problem:
            return "mute" if address in self._bound else "refused"

        async with AsyncExitStack() as stack:
            surveyor = Surveyor(
                self.network.host("doctor"),
                stack,
                dial=dialled,
                wall=lambda: BIRTH + trio.current_time(),
                left=left,
            )
            return await examine(surveyor, self.known, **expected)

    async def codes(self, **expected: Any) -> set[tuple[str, str]]:
        """(case, subject) of all that it finds."""
        return {(one.case, one.subject) for one in (await self.examine(**expected))[1]}


@asynccontextmanager
async def planted(*, of: int = 3, transit: Transit | None = None) -> AsyncIterator[Planted]:
    """None of the members runs yet."""
    async with trio.open_nursery() as nursery:
        yield Planted(nursery, of=of, transit=transit)
        nursery.cancel_scope.cancel()
