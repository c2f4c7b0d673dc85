"""Servers for tests: the real program on the network in memory, with SQLite in memory, one clock.

A `Bench` holds the members of one cluster; those that a test starts serve, the others are absent.
Requests and replies are bytes, and every reply is held to the envelope of the contract.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import msgspec
import trio

from daemons.server.app import run_server
from daemons.server.commit import Committer, commit_inline
from daemons.server.in_force import InForce
from daemons.server.node import Node as ServerNode
from daemons.server.node import Surroundings
from daemons.shared.logging import ListSink, get_logger
from recado.config import Config
from recado.protocol import codec
from recado.settings import BrokerAddresses, Cluster, Disk, Member, Node, Search, Server, Timings
from recado.wire.memory import MemoryHost, MemoryNetwork, Transit
from recado.wire.ports import Asker
from storage.replica import Replica

BIRTH = 1_750_000_000.0  # wall time, in seconds since 1970, at time zero of the event loop
BROKER = BrokerAddresses(xsub="tcp://broker:5560", xpub="tcp://broker:5558")  # if a test forwards there
DEFAULT_TIMINGS = Timings()
DEFAULT_DISK = Disk()
DEFAULT_SEARCH = Search()
FAULT = "fault while serving"  # the log line of an error that no handler foresaw


def members(count: int) -> tuple[Member, ...]:
    """server-1 … server-N with ranks 1 … N, each at a host of its own name."""
    return tuple(
        Member(name=f"server-{n}", rank=n, address=f"tcp://server-{n}:5555") for n in range(1, count + 1)
    )


def configured(
    name: str,
    *,
    of: int,
    server: dict[str, Any],
    timings: Timings,
    disk: Disk = DEFAULT_DISK,
    search: Search = DEFAULT_SEARCH,
) -> Config:
    """The configuration of one of `of` members, without reference."""
    all_of_them = members(of)
    address = next(member.address for member in all_of_them if member.name == name)
    return Config(
        node=Node(name=name),
        cluster=Cluster(members=all_of_them, reference="", brokers=(BROKER,)),
        server=msgspec.structs.replace(Server(listen=address), **server),
        timings=timings,
        disk=disk,
        search=search,
    )


def surroundings(name: str, *, committer: Committer = commit_inline) -> Surroundings:
    """Repeatable randomness, the event loop's clock, and a wall clock that goes with it."""
    random = Random(name)
    return Surroundings(
        now=trio.current_time,
        wall=lambda: BIRTH + trio.current_time(),
        entropy=random.randbytes,
        random=random,
        committer=committer,
    )


def enveloped(frame: bytes) -> tuple[str, dict[str, Any]]:
    """(service, data) of a reply, after checking what holds for every reply of the contract."""
    raw = codec.unpack(frame, array_items_max=len(frame))
    assert set(raw) == {"service", "data"}, raw
    service, data = raw["service"], raw["data"]
    assert isinstance(service, str), raw
    assert type(data["timestamp"]) is int, "strict clients read whole seconds"
    assert type(data["clock"]) is int, "strict clients read a whole number"
    assert data["clock"] > 0
    if data.get("status") == "erro":
        assert data["description"] == data["message"] != ""
        assert isinstance(data["code"], str)
    return service, data


class Running:
    """One server that serves, and a client at its door."""

    def __init__(self, name: str, *, store: Replica, sink: ListSink, asker: Asker) -> None:
        self.name = name
        self.store = store
        self.sink = sink
        self.asker = asker
        self.stopping = trio.Event()
        self.stopped = trio.Event()
        self.node: ServerNode  # as soon as it serves

    def opened(self, node: ServerNode) -> None:
        """It is bound: this is its inside, to be looked at."""
        self.node = node

    async def send(self, frame: bytes) -> tuple[str, dict[str, Any]]:
        """Any bytes, and the (service, data) of the reply."""
        return enveloped(await self.asker.ask(frame))

    async def ask(self, service: str, **fields: Any) -> dict[str, Any]:
        """A request with just these fields, and the data of its reply."""
        echoed, data = await self.send(codec.encode(service, fields))
        assert echoed == service
        assert data["clock"] > fields.get("clock", 0)
        return data

    async def later(self, nursery: trio.Nursery, service: str, **fields: Any) -> list[dict[str, Any]]:
        """Ask in the background; the list gets the reply's data when it comes."""
        replies: list[dict[str, Any]] = []

        async def ask() -> None:
            replies.append(await self.ask(service, **fields))

        nursery.start_soon(ask)
        await trio.sleep(0.1)
        return replies

    async def say(
        self, text: str, *, channel: str = "geral", user: str = "ana", **more: Any
    ) -> dict[str, Any]:
        """Publish, with success."""
        data = await self.ask("publish", user=user, channel=channel, message=text, **more)
        assert data["status"] == "OK", data
        return data

    async def furnish(self) -> None:
        """Users ana and bia, channel geral."""
        for name in ("ana", "bia"):
            assert (await self.ask("login", user=name))["status"] == "sucesso"
        assert (await self.ask("channel", channel="geral"))["status"] == "sucesso"

    async def texts(self, channel: str = "geral") -> list[str]:
        """What is said in a channel, in the order that people see."""
        return [m["message"] for m in (await self.ask("history", channel=channel, limit=1000))["messages"]]

    def faults(self) -> list[dict[str, Any]]:
        """Errors that no handler foresaw."""
        return self.sink.named(FAULT)


class Bench:
    """A cluster of `of` members, of which some run."""

    def __init__(
        self,
        nursery: trio.Nursery,
        ends: AsyncExitStack,
        *,
        of: int,
        server: dict[str, Any],
        timings: Timings,
        transit: Transit | None,
        disk: Disk,
        search: Search = DEFAULT_SEARCH,
    ) -> None:
        self.network = MemoryNetwork(transit)
        self.running: dict[str, Running] = {}
        self._nursery = nursery
        self.ends = ends
        self._of = of
        self._server = server
        self._timings = timings
        self._disk = disk
        self._search = search

    async def start(
        self, name: str, *, store: Replica | None = None, committer: Committer = commit_inline
    ) -> Running:
        """Start a member, with an empty store if none is given; returns when it serves."""
        settings: dict[str, Any] = {"timings": self._timings, "disk": self._disk, "search": self._search}
        config = configured(name, of=self._of, server=self._server, **settings)
        asker = await self.ends.enter_async_context(self.host("client").asker(config.server.listen))
        store = store or Replica.in_memory(name)
        one = Running(name, store=store, sink=ListSink(), asker=asker)
        serving = trio.Event()

        async def serve() -> None:
            await run_server(
                config,
                self.host(name),
                store=store,
                surroundings=surroundings(f"{name} {store.boot_count}", committer=committer),
                log=lambda node, clock: get_logger(node, clock, sink=one.sink),
                stopping=one.stopping,
                ready=lambda _listen: serving.set(),
                in_force=self.in_force(config),
                opened=one.opened,
            )
            one.stopped.set()

        self._nursery.start_soon(serve)
        await serving.wait()
        self.running[name] = one
        return one

    def host(self, name: str) -> MemoryHost:
        """The network as a server, or the client, sees it; `secured_bench` says who they are."""
        return self.network.host(name)

    def in_force(self, _config: Config) -> InForce | None:
        """The keys of a server; None: open mode."""
        return None

    async def stop(self, name: str) -> Running:
        """As by SIGTERM; returns when the server has ended."""
        one = self.running.pop(name)
        one.stopping.set()
        await one.stopped.wait()
        return one

    async def level(self, *, within_seconds: float = 10.0) -> None:
        """Wait until all running servers have durably the same entries."""
        await until(
            lambda: len({str(sorted(one.store.heads().items())) for one in self.running.values()}) == 1,
            within_seconds=within_seconds,
        )


@asynccontextmanager
async def bench(
    *running: str,
    of: int = 1,
    server: dict[str, Any] | None = None,
    timings: Timings = DEFAULT_TIMINGS,
    transit: Transit | None = None,
    disk: Disk = DEFAULT_DISK,
    search: Search = DEFAULT_SEARCH,
) -> AsyncIterator[Bench]:
    """A cluster of `of` members with those named serving; at the end everything is cancelled."""
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        settings: dict[str, Any] = {"timings": timings, "disk": disk, "search": search}
        made = Bench(nursery, ends, of=of, server=server or {}, transit=transit, **settings)
        for name in running:
            await made.start(name)
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def lone(**options: Any) -> AsyncIterator[Running]:
    """One server that is the whole cluster."""
    async with bench("server-1", **options) as made:
        yield made.running["server-1"]


async def until(holds: Callable[[], bool], *, within_seconds: float = 10.0) -> float:
    """Wait for a condition, looking often; gives the seconds that it took.  Raises `trio.TooSlowError`."""
    start = trio.current_time()
    with trio.fail_after(within_seconds):
        while True:
            if holds():
                return trio.current_time() - start
            await trio.sleep(0.01)


async def together(asks: Sequence[Any]) -> list[Any]:
    """The results of awaitables begun at the same moment, in their order."""
    results: list[Any] = [None] * len(asks)

    async def run(index: int) -> None:
        results[index] = await asks[index]

    async with trio.open_nursery() as nursery:
        for index in range(len(asks)):
            nursery.start_soon(run, index)
    return results
