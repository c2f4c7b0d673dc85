"""The broker over the network in memory, on a virtual clock."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daemons.broker.app import run_broker
from daemons.broker.requests import may_repeat
from daemons.broker.rotation import Rotation
from daemons.shared.logging import ListSink
from recado.config import load
from recado.protocol.codec import decode_request, encode, pack, unpack
from recado.protocol.errors import Malformed
from recado.protocol.limits import BROKER_OUTSTANDING_MAX
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Asker, Outgoing, Publication, WireError

REQUEST = "tcp://127.0.0.1:5561"
SERVERS = [f"tcp://127.0.0.1:{port}" for port in (5555, 5556, 5557)]
CONFIG = load(None, overrides={"broker.servers": SERVERS})
PLAIN = {"user": "ana", "channel": "geral", "message": "oi"}


async def _settle() -> None:
    """Let every task run until it waits, without letting the virtual clock jump as blocking would."""
    for _ in range(50):
        await trio.lowlevel.checkpoint()


class FakeServer:
    """Answers each request with its own number; `silent` makes it read and say nothing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.silent = False
        self.seconds = 0.0
        self.asked: list[str] = []

    async def serve(self, network: MemoryNetwork, *, task_status: trio.TaskStatus[None]) -> None:
        async with network.listener(SERVERS[self.number]) as listener:
            task_status.started()
            while True:
                for incoming in await listener.receive_batch():
                    assert incoming.body is not None
                    self.asked.append(unpack(incoming.body)["service"])
                    if not self.silent:
                        await trio.sleep(self.seconds)
                        body = encode("x", {"server": self.number})
                        listener.send([Outgoing(incoming.envelope, body)])


class Town:
    """A broker, the servers behind it, and a client at its request port."""

    def __init__(
        self, network: MemoryNetwork, servers: list[FakeServer], asker: Asker, sink: ListSink
    ) -> None:
        self.network = network
        self.servers = servers
        self.asker = asker
        self.sink = sink
        self.stopping = trio.Event()

    async def ask(self, service: str, **data: Any) -> dict[str, Any]:
        """The `data` of the reply."""
        return dict(unpack(await self.asker.ask(encode(service, data)))["data"])

    def silence(self, *numbers: int) -> None:
        for server in self.servers:
            server.silent = server.number in numbers


@asynccontextmanager
async def _town() -> AsyncIterator[Town]:
    network, sink = MemoryNetwork(), ListSink()
    servers = [FakeServer(number) for number in range(3)]
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        asker = await ends.enter_async_context(network.asker(REQUEST))
        town = Town(network, servers, asker, sink)
        for server in servers:
            await nursery.start(server.serve, network)

        async def broker(*, task_status: trio.TaskStatus[dict[str, str]]) -> None:
            await run_broker(CONFIG, network, sink=sink, stopping=town.stopping, task_status=task_status)

        await nursery.start(broker)
        yield town
        nursery.cancel_scope.cancel()


async def test_requests_go_round(autojump_clock: trio.abc.Clock) -> None:
    """Six requests reach three servers twice each, in turn, and each gets that server's reply."""
    async with _town() as town:
        answers = [(await town.ask("users"))["server"] for _ in range(6)]
    assert answers == [0, 1, 2, 0, 1, 2]


async def test_a_read_is_asked_of_the_next_server(autojump_clock: trio.abc.Clock) -> None:
    """A silent server costs one request 2 s; that one is answered by the next, later ones at once."""
    async with _town() as town:
        town.silence(0)
        start = trio.current_time()
        assert (await town.ask("users"))["server"] == 1
        assert trio.current_time() - start == pytest.approx(2)
        assert [(await town.ask("users"))["server"] for _ in range(4)] == [2, 1, 2, 1]
        assert trio.current_time() - start == pytest.approx(2)
        assert [event["server"] for event in town.sink.named("server skipped")] == [SERVERS[0]]


@pytest.mark.parametrize(
    ("extra", "repeated"),
    [({}, False), ({"clock": 1}, False), ({"timestamp": 1}, False), ({"clock": 1, "timestamp": 1.5}, True)],
)
async def test_a_write_is_repeated_only_if_its_retry_is_recognised(
    autojump_clock: trio.abc.Clock, extra: dict[str, Any], repeated: bool
) -> None:
    """A write without id needs clock and timestamp to be asked twice; else its outcome is unknown."""
    async with _town() as town:
        town.silence(0)
        answer = await town.ask("publish", **PLAIN, **extra)
        if repeated:
            assert answer["server"] == 1
        else:
            assert (answer["status"], answer["code"]) == ("erro", "indeterminate")
            assert answer["indeterminate"] is True
            assert answer["message"] == answer["description"] != ""
            assert answer["clock"] > extra.get("clock", 0)
            assert isinstance(answer["timestamp"], int)
        assert [server.asked for server in town.servers] == [["publish"], ["publish"] * repeated, []]


@pytest.mark.parametrize("last", [b"2", None])
async def test_many_publishes_are_repeated_only_if_each_is_recognised(
    autojump_clock: trio.abc.Clock, last: bytes | None
) -> None:
    """A request of many is asked twice if each has an id; else its outcome is unknown, like a write's."""
    async with _town() as town:
        town.silence(0)
        items = [["geral", "oi", b"1"], ["geral", "oi", last]]
        answer = await town.ask("publish_many", user="ana", items=items, clock=1, timestamp=1)
        assert answer.get("server") == (1 if last else None)
        assert answer.get("indeterminate") == (None if last else True)
        assert [len(server.asked) for server in town.servers] == [1, int(last is not None), 0]


async def test_an_id_makes_a_write_repeatable(autojump_clock: trio.abc.Clock) -> None:
    """With a client-made id the next server is asked."""
    async with _town() as town:
        town.silence(0, 1)
        assert (await town.ask("publish", **PLAIN, id=b"1"))["server"] == 2


async def test_a_skipped_server_is_called_back(autojump_clock: trio.abc.Clock) -> None:
    """After 5 s the server is asked for the time, not a client's request; if it answers it is in again."""
    async with _town() as town:
        town.silence(0)
        await town.ask("users")
        await trio.sleep(4.9)
        assert town.servers[0].asked == ["users"]
        await trio.sleep(0.2)
        assert town.servers[0].asked == ["users", "clock"]
        town.silence()
        await trio.sleep(2 + 5)
        assert {(await town.ask("users"))["server"] for _ in range(3)} == {0, 1, 2}
        assert len(town.sink.named("server back")) == 1


async def test_nobody_alive_is_said_at_once(autojump_clock: trio.abc.Clock) -> None:
    """While all servers are skipped a request is refused without waiting."""
    async with _town() as town:
        town.silence(0, 1, 2)
        await town.ask("users")
        start = trio.current_time()
        answer = await town.ask("publish", **PLAIN)
        assert (answer["status"], answer["code"]) == ("erro", "unavailable")
        assert trio.current_time() == start


async def test_one_silent_server_holds_nobody_else_up(autojump_clock: trio.abc.Clock) -> None:
    """While one request waits for a silent server, others are answered by the rest without delay."""
    async with _town() as town, trio.open_nursery() as nursery:
        town.silence(0)
        nursery.start_soon(partial(town.ask, "publish", **PLAIN))
        start = trio.current_time()
        await _settle()
        assert [(await town.ask("users"))["server"] for _ in range(2)] == [1, 2]
        assert trio.current_time() == start


@pytest.mark.parametrize(
    ("frame", "service", "code"),
    [
        (b"\xc1", "error", "malformed"),
        (b"", "error", "malformed"),
        (pack([1, 2]), "error", "malformed"),
        (pack({"service": "login", "data": {"user": 7}}), "login", "malformed"),
        (pack({"service": "adjust", "data": {"adjustment": 86400}}), "adjust", "service_not_offered"),
        (pack({"service": "snapshot", "data": {}}), "snapshot", "service_not_offered"),
        (pack({"service": "abdicate", "data": {"epoch": [1]}}), "abdicate", "service_not_offered"),
    ],
)
async def test_junk_gets_an_envelope(
    autojump_clock: trio.abc.Clock, frame: bytes, service: str, code: str
) -> None:
    """What can't be forwarded is answered here, echoing the service as far as it could be read."""
    async with _town() as town:
        answer = unpack(await town.asker.ask(frame))
        assert answer["service"] == service
        assert (answer["data"]["status"], answer["data"]["code"]) == ("erro", code)
        assert [server.asked for server in town.servers] == [[], [], []]


async def test_junk_is_summed_in_the_log(autojump_clock: trio.abc.Clock) -> None:
    """A flood of junk makes a line at once and one a second later with the sum; people are told."""
    async with _town() as town:
        for _ in range(100):
            answer = unpack(await town.asker.ask(b"\xc1"))
            assert answer["data"]["message"].startswith("Pedido inválido: ")
        assert [line["requests"] for line in town.sink.named("malformed request")] == [1]
        await trio.sleep(1.5)
        assert [line["requests"] for line in town.sink.named("malformed request")] == [1, 99]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decision(frame: bytes) -> None:
    """Any bytes either are a request about which the broker can decide, or are refused as malformed."""
    try:
        may_repeat(decode_request(frame))
    except Malformed:
        return


@pytest.mark.slow
async def test_too_much_at_once_is_refused_not_dropped(autojump_clock: trio.abc.Clock) -> None:
    """Beyond the limit a request is refused as busy at once, and no server is skipped for being full."""
    async with _town() as town, AsyncExitStack() as ends, trio.open_nursery() as nursery:
        town.silence(0, 1, 2)
        for _ in range(5):
            asker = await ends.enter_async_context(town.network.asker(REQUEST))
            for _ in range(BROKER_OUTSTANDING_MAX // 4):
                nursery.start_soon(_quietly, asker)
            await _settle()
        answer = await town.ask("users")
        assert (answer["code"], answer["retry_after"]) == ("busy", 0.5)
        assert town.sink.named("server skipped") == []
        nursery.cancel_scope.cancel()


async def _quietly(asker: Asker) -> None:
    await asker.ask(encode("users", {}))


async def test_what_was_taken_is_answered_on_the_way_down(autojump_clock: trio.abc.Clock) -> None:
    """A request under way when the broker is asked to stop still gets its reply."""
    async with _town() as town, trio.open_nursery() as nursery:
        town.servers[0].seconds = 1.0

        async def stop() -> None:
            await _settle()
            town.stopping.set()

        nursery.start_soon(stop)
        with trio.fail_after(3):
            assert (await town.ask("users"))["server"] == 0


async def test_stopping_is_bounded(autojump_clock: trio.abc.Clock) -> None:
    """With requests that nobody answers the broker still ends within its drain time."""
    sink, stopping = ListSink(), trio.Event()
    network = MemoryNetwork()
    async with network.asker(REQUEST) as asker, trio.open_nursery() as nursery:
        async with trio.open_nursery() as brokers:

            async def broker(*, task_status: trio.TaskStatus[dict[str, str]]) -> None:
                await run_broker(CONFIG, network, sink=sink, stopping=stopping, task_status=task_status)

            await brokers.start(broker)
            nursery.start_soon(_quietly, asker)
            await _settle()
            start = trio.current_time()
            stopping.set()
        assert trio.current_time() - start <= CONFIG.timings.drain_seconds
        nursery.cancel_scope.cancel()


async def test_publications_pass(autojump_clock: trio.abc.Clock) -> None:
    """What is published at XSUB arrives at a subscriber of XPUB as the same bytes."""
    async with (
        _town() as town,
        town.network.subscriber([CONFIG.broker.xpub]) as subscriber,
        town.network.publisher([CONFIG.broker.xsub]) as publisher,
    ):
        subscriber.subscribe(b"geral")
        await trio.sleep(0.1)
        publisher.publish([Publication(b"geral", b"\x80"), Publication(b"other", b"\x80")])
        with trio.fail_after(1):
            assert await subscriber.receive_batch() == [Publication(b"geral", b"\x80")]


async def test_a_taken_address_fails_before_readiness(autojump_clock: trio.abc.Clock) -> None:
    """If a port is taken the broker raises instead of saying that it is ready."""
    network = MemoryNetwork()
    async with network.listener(REQUEST), trio.open_nursery() as nursery:
        with pytest.raises(ExceptionGroup) as caught:
            await nursery.start(_broker_on(network))
    assert caught.group_contains(WireError)


def _broker_on(network: MemoryNetwork) -> Callable[..., Any]:
    async def broker(*, task_status: trio.TaskStatus[dict[str, str]]) -> None:
        async with trio.open_nursery():
            await run_broker(CONFIG, network, sink=ListSink(), task_status=task_status)

    return broker


async def test_every_line_has_a_growing_clock(autojump_clock: trio.abc.Clock) -> None:
    """Log lines carry the broker's Lamport clock, which exceeds what requests brought."""
    async with _town() as town:
        town.silence(0, 1, 2)
        await town.ask("users", clock=100)
        clocks = [event["clock"] for event in town.sink.events]
        assert clocks == sorted(clocks)
        assert clocks[0] >= 1
        assert clocks[-1] > 100


@given(st.lists(st.integers(-3, 3).filter(lambda n: n != 0), max_size=30))
def test_rotation_never_picks_who_is_out(moves: list[int]) -> None:
    """After any series of misses (−) and answers (+) only servers that are in are picked, all of them."""
    rotation = Rotation(["a", "b", "c"])
    out: set[int] = set()
    for move in moves:
        place = abs(move) - 1
        if move < 0:
            assert rotation.missed(place) == (place not in out)
            out.add(place)
        else:
            rotation.answered(place)
            out.discard(place)
    inside = {0, 1, 2} - out
    assert {rotation.pick() for _ in range(3)} == (inside or {None})
    assert rotation.alive == len(inside)
    assert rotation.pick(tried=inside) is None
