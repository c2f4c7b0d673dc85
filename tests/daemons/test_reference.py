"""The reference over the network in memory, on a virtual clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daemons.reference.app import run_reference
from daemons.reference.node import Node
from daemons.reference.requests import Requests
from daemons.shared.logging import ListSink, get_logger
from recado.config import load
from recado.protocol.codec import encode, pack, unpack
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import REGISTERED_SERVERS_MAX
from recado.protocol.registry import Registered
from recado.secured import UNLIMITED, Rate
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Asker, Principal
from storage.database import StorageFull
from storage.registry import RegistryStore

CONFIG = load(None)
WALL_SECONDS = 1_700_000_000.25


class Town:
    """A reference and somebody who asks it."""

    def __init__(self, asker: Asker, sink: ListSink, network: MemoryNetwork) -> None:
        self.asker, self.sink, self.network = asker, sink, network
        self.stopping = trio.Event()

    async def ask(self, service: str, **data: Any) -> dict[str, Any]:
        """The `data` of the reply, which echoes the service."""
        answer = unpack(await self.asker.ask(encode(service, data)))
        assert answer["service"] == service
        return dict(answer["data"])


@asynccontextmanager
async def _town(store: RegistryStore, *, network: MemoryNetwork | None = None) -> AsyncIterator[Town]:
    """A reference on `store`; stopped in its own order at the end."""
    network = network or MemoryNetwork()
    sink = ListSink()
    async with network.asker(CONFIG.reference.listen) as asker, trio.open_nursery() as nursery:
        town = Town(asker, sink, network)
        listen = await nursery.start(
            partial(
                run_reference,
                CONFIG,
                network,
                store=store,
                sink=sink,
                wall=lambda: WALL_SECONDS + trio.current_time(),
                stopping=town.stopping,
            )
        )
        assert listen == {"reference": CONFIG.reference.listen}
        yield town
        town.stopping.set()


async def test_servers_get_ranks_and_are_listed(autojump_clock: trio.abc.Clock) -> None:
    """Three servers get 1, 2, 3, again when they ask again, and stand in the list with what they told."""
    async with _town(RegistryStore.in_memory()) as town:
        for _ in range(2):
            for rank in (1, 2, 3):
                assert (await town.ask("rank", user=f"server-{rank}"))["rank"] == rank
        await town.ask("heartbeat", user="server-2", address="tcp://h:2", load=0.25)
        assert (await town.ask("list"))["list"] == [
            {"name": "server-1", "rank": 1},
            {"name": "server-2", "rank": 2, "address": "tcp://h:2", "load": 0.25},
            {"name": "server-3", "rank": 3},
        ]
        assert [event["new"] for event in town.sink.named("rank assigned")] == [True] * 3 + [False] * 3


async def test_ranks_survive_a_restart(autojump_clock: trio.abc.Clock) -> None:
    """A reference started again on the same store gives the same ranks; the active get a fresh period."""
    store = RegistryStore.in_memory()
    async with _town(store) as town:
        await town.ask("rank", user="gone")
        await trio.sleep(61)
        await town.ask("rank", user="server-3", rank_hint=3)
        await town.ask("rank", user="server-1")
    async with _town(store) as town:
        assert [one["name"] for one in (await town.ask("list"))["list"]] == ["server-1", "server-3"]
        await trio.sleep(55)
        await town.ask("heartbeat", user="server-1")
        await trio.sleep(10)
        assert [one["name"] for one in (await town.ask("list"))["list"]] == ["server-1"]
        assert (await town.ask("rank", user="new"))["rank"] == 4
        assert (await town.ask("rank", user="server-3"))["rank"] == 3
        assert (await town.ask("rank", user="gone"))["rank"] == 1


async def test_a_silent_server_expires_and_comes_back(autojump_clock: trio.abc.Clock) -> None:
    """Sixty seconds of silence take a server off the list, with a log line; a heartbeat puts it back."""
    async with _town(RegistryStore.in_memory()) as town:
        await town.ask("rank", user="server-1")
        await town.ask("rank", user="server-2")
        for _ in range(7):
            await trio.sleep(10)
            await town.ask("heartbeat", user="server-2")
        assert [one["name"] for one in (await town.ask("list"))["list"]] == ["server-2"]
        (expired,) = town.sink.named("server expired")
        assert (expired["server"], expired["rank"]) == ("server-1", 1)
        assert 60 <= expired["silence_seconds"] <= 61
        await town.ask("heartbeat", user="server-1")
        assert len((await town.ask("list"))["list"]) == 2
        assert town.sink.named("server is back")


async def test_last_seen_is_written_in_batches(autojump_clock: trio.abc.Clock) -> None:
    """Heartbeats show in `last_seen` within five seconds, and the last ones when the reference stops."""
    store = RegistryStore.in_memory()

    def last_seen() -> int:
        row = store._connection.execute("select last_seen from servers").fetchone()
        return int(row[0] - WALL_SECONDS + 0.25)

    async with _town(store) as town:
        start = int(trio.current_time())
        await town.ask("rank", user="server-1")
        await trio.sleep(20)
        await town.ask("heartbeat", user="server-1")
        assert last_seen() == start
        await trio.sleep(6)
        assert last_seen() == start + 20
        await town.ask("heartbeat", user="server-1")
    assert last_seen() == start + 26


@pytest.mark.parametrize("timestamp", [1, 1.5, 1_700_000_000_000, "2026-01-02T03:04:05Z", "soon", None])
@pytest.mark.parametrize("clock", [None, 0, 41, 41.0])
async def test_requests_of_other_people(timestamp: Any, clock: Any, autojump_clock: trio.abc.Clock) -> None:
    """Every form of timestamp and clock, and none, is served; the reply's clock exceeds the request's."""
    data = {"user": "s", "clock": clock, "timestamp": timestamp, "unknown": [1, {"x": None}]}
    data = {key: value for key, value in data.items() if value is not None}
    async with _town(RegistryStore.in_memory()) as town:
        for service in ("rank", "heartbeat", "list", "clock", "status"):
            answer = await town.ask(service, **data)
            assert answer.get("status") != "erro"
            assert answer["clock"] > (clock or 0)
            assert type(answer["clock"]) is int
            assert type(answer["timestamp"]) is int


# Bytes as other MessagePack libraries write them: wide integers, doubles, str8, keys in their own order.
_HEAD = b"\x82\xa7service\xa4rank\xa4data"
FOREIGN = {
    "node": _HEAD + b"\x83\xa4user\xa8server-1\xa9timestamp\xcbA\xd9T\xfc@\x10\x00\x00\xa5clock\x01",
    "go": _HEAD
    + b"\x83\xa5clock\xd3\x00\x00\x00\x00\x00\x00\x00\x01"
    + b"\xa9timestamp\xd3\x00\x00\x00\x00eS\xf1\x00\xa4user\xa8server-1",
    "python": _HEAD + b"\x82\xa4user\xa8server-1\xa9timestamp\xb32026-01-02T03:04:05",
    "str8": b"\x82\xa7service\xd9\x04rank\xa4data\x81\xa4user\xd9\x08server-1",
}


@pytest.mark.parametrize("frame", FOREIGN.values(), ids=FOREIGN)
async def test_bytes_of_other_languages(frame: bytes, autojump_clock: trio.abc.Clock) -> None:
    """Frames as other MessagePack libraries write them are understood."""
    async with _town(RegistryStore.in_memory()) as town:
        assert unpack(await town.asker.ask(frame))["data"]["rank"] == 1


JUNK = {
    "empty": (b"", "error"),
    "not MessagePack": (b"\xc1", "error"),
    "JSON": (b'{"service":"rank"}', "error"),
    "not a map": (pack([1, 2]), "error"),
    "no service": (pack({"data": {}}), "error"),
    "service is a number": (pack({"service": 7, "data": {}}), "error"),
    "data is a list": (pack({"service": "rank", "data": []}), "rank"),
    "no name": (pack({"service": "rank", "data": {}}), "rank"),
    "name is a number": (pack({"service": "rank", "data": {"user": 5}}), "rank"),
    "empty name": (pack({"service": "heartbeat", "data": {"user": " "}}), "heartbeat"),
    "huge clock": (pack({"service": "list", "data": {"clock": 2**60}}), "list"),
    "unknown service": (pack({"service": "frobnicate", "data": {"clock": 5}}), "frobnicate"),
    "another program's service": (pack({"service": "login", "data": {"user": "ana"}}), "login"),
    "deep": (pack({"service": "list", "data": {"x": [[[[[[[[[[1]]]]]]]]]]}}), "error"),
}


@pytest.mark.parametrize(("frame", "service"), JUNK.values(), ids=JUNK)
async def test_junk_is_answered(frame: bytes, service: str, autojump_clock: trio.abc.Clock) -> None:
    """Junk gets an `erro` envelope with the service as asked, a log line, and changes nothing."""
    async with _town(RegistryStore.in_memory()) as town:
        answer = unpack(await town.asker.ask(frame))
        assert answer["service"] == service
        data = answer["data"]
        assert data["status"] == "erro"
        assert data["message"] == data["description"] != ""
        assert (await town.ask("status"))["known"] == 0
        assert any(event["level"] == "warning" for event in town.sink.events)


async def test_refusals_are_summed_in_the_log(autojump_clock: trio.abc.Clock) -> None:
    """A flood of refused requests, and one of junk, make two lines each, the second with the sum."""
    async with _town(RegistryStore.in_memory()) as town:
        for _ in range(50):
            assert (await town.ask("rank", user=" "))["code"] == "user_empty"
            assert unpack(await town.asker.ask(b""))["data"]["message"].startswith("Pedido inválido: ")
        await trio.sleep(1.5)
        for event in ("refused", "malformed request"):
            assert [line["requests"] for line in town.sink.named(event)] == [1, 49]


@given(st.binary(max_size=200))
def test_no_bytes_go_unanswered(frame: bytes) -> None:
    """Whatever one frame holds, the answer is an envelope with `data`, `clock` and `timestamp`."""

    async def ask() -> bytes:
        return _requests(RegistryStore.in_memory()).answer(frame)

    data = unpack(trio.run(ask))["data"]
    assert data["clock"] >= 1
    assert "timestamp" in data


def _requests(store: RegistryStore) -> Requests:
    lamport = LamportClock()
    log = get_logger("reference", lambda: lamport.value, sink=ListSink())
    return Requests(Node(store=store, lamport=lamport, log=log, expiry_seconds=60.0))


async def test_more_frames_than_one_are_junk(autojump_clock: trio.abc.Clock) -> None:
    """A request of several body frames is answered with an error, not dropped."""
    answer = unpack(_requests(RegistryStore.in_memory()).answer(None))
    assert answer["service"] == "error"
    assert answer["data"]["code"] == "malformed"


class FullStore(RegistryStore):
    """A registry on a disk that is full."""

    full = False

    def keep(self, record: Registered, *, now_seconds: float) -> None:
        if self.full:
            raise StorageFull("registry: no room on the disk")
        super().keep(record, now_seconds=now_seconds)

    def seen(self, when: Any) -> None:
        if self.full:
            raise StorageFull("registry: no room on the disk")
        super().seen(when)


async def test_a_rank_that_was_not_kept_is_not_told(autojump_clock: trio.abc.Clock) -> None:
    """On a full disk a new server is refused and known ones are served; the rank was never given."""
    store = FullStore.in_memory()
    assert isinstance(store, FullStore)
    async with _town(store) as town:
        await town.ask("rank", user="server-1")
        store.full = True
        refused = await town.ask("rank", user="server-2")
        assert (refused["status"], refused["code"]) == ("erro", "storage_full")
        assert (await town.ask("heartbeat", user="server-1"))["status"] == "OK"
        assert [one["name"] for one in (await town.ask("list"))["list"]] == ["server-1"]
        await trio.sleep(70)
        assert (await town.ask("status"))["status"] == "OK"
        store.full = False
        assert (await town.ask("rank", user="server-2"))["rank"] == 2


async def test_ten_thousand_names_are_bounded(autojump_clock: trio.abc.Clock) -> None:
    """Somebody who invents names is refused at the limit; those who have a rank are served on."""
    store = RegistryStore.in_memory()
    for number in range(1, REGISTERED_SERVERS_MAX + 1):
        store._connection.execute(
            "insert into server values(?, ?, null, 0, ?)", (f"x{number}", number, number == 1)
        )
    async with _town(store) as town:
        assert (await town.ask("rank", user="one-more"))["code"] == "registry_full"
        assert (await town.ask("rank", user="x1"))["rank"] == 1
        assert len((await town.ask("list"))["list"]) == 1


async def test_every_line_has_the_node_and_its_clock(autojump_clock: trio.abc.Clock) -> None:
    """Log lines carry the Lamport clock, which grows with every event of the reference."""
    async with _town(RegistryStore.in_memory()) as town:
        await town.ask("rank", user="server-1", clock=30)
        await town.ask("rank", user="server-2", clock=60)
    clocks = [event["clock"] for event in town.sink.events]
    assert clocks == sorted(clocks)
    assert clocks[-1] > 60
    assert {event["node"] for event in town.sink.events} == {"reference"}


PRINCIPALS = {
    "stranger": Principal("key", "", b"k" * 32),
    "operator": Principal("operator", "olga", b"o" * 32),
    "broker": Principal("broker", "broker-1", b"b" * 32),
    "server": Principal("server", "server-1", b"s" * 32),
}


@pytest.mark.parametrize("service", ["rank", "heartbeat"])
async def test_in_secured_mode_only_a_server_enters_itself(
    autojump_clock: trio.abc.Clock, service: str
) -> None:
    """Nobody but a server gets a rank or an address into the list, and it only its own; all may read it."""
    network = MemoryNetwork()
    async with _town(RegistryStore.in_memory(), network=network) as town:
        told: dict[str, str | None] = {}
        for who, principal in PRINCIPALS.items():
            async with network.host(who, principal).asker(CONFIG.reference.listen) as asker:
                data = {"user": "server-2", "address": "tcp://evil:1"}
                told[who] = unpack(await asker.ask(encode(service, data)))["data"].get("code")
                assert unpack(await asker.ask(encode("list", {})))["data"]["list"] == []
        assert told == {**dict.fromkeys(PRINCIPALS, "members_only"), "server": "not_you"}
        async with network.host("s", PRINCIPALS["server"]).asker(CONFIG.reference.listen) as asker:
            await asker.ask(encode(service, {"user": "server-1", "address": "tcp://h:1"}))
        assert [line["name"] for line in (await town.ask("list"))["list"]] == ["server-1"]


async def test_who_left_the_roster_enters_nothing(autojump_clock: trio.abc.Clock) -> None:
    """A connection of a server that the roster names no longer is nobody's, though it was let in before."""
    sink = ListSink()
    lamport = LamportClock()
    node = Node(
        store=RegistryStore.in_memory(),
        lamport=lamport,
        log=get_logger("reference", lambda: lamport.value, sink=sink),
        expiry_seconds=30.0,
    )
    requests = Requests(node, listed=lambda principal: principal._replace(role="key", name=""))
    body = encode("heartbeat", {"user": "server-1", "address": "tcp://h:1"})
    answer = unpack(requests.answer(body, PRINCIPALS["server"]))
    assert answer["data"]["code"] == "members_only"


async def test_an_address_is_held_to_its_rate(autojump_clock: trio.abc.Clock) -> None:
    """Who asks too much, junk or not, is told when to come back; others, and servers, are answered."""
    rates = UNLIMITED._replace(address=Rate(1.0, 5))
    lamport = LamportClock()
    log = get_logger("reference", lambda: lamport.value, sink=ListSink())
    node = Node(store=RegistryStore.in_memory(), lamport=lamport, log=log, expiry_seconds=60.0)
    requests = Requests(node, rates=lambda: rates)
    frames = [encode("list", {}), b"\xc1", None] * 3

    def codes(role: str, address: str) -> list[str | None]:
        who = Principal(role, "", bytes(32), address)
        return [unpack(requests.answer(frame, who))["data"].get("code") for frame in frames]

    assert codes("key", "10.0.0.1")[5:] == ["rate_limited"] * 4
    assert "rate_limited" not in codes("server", "10.0.0.1")
    assert codes("key", "10.0.0.2")[:2] == [None, "malformed"]
    await trio.sleep(1.001)
    assert codes("key", "10.0.0.1")[:2] == [None, "rate_limited"]
