"""What the in-memory network adds: time, hosts, faults, crashes, and the same result every time."""

import random
from collections.abc import Sequence

import anyio
import pytest
import trio
import trio.testing
from wire_worlds import echo

from recado.protocol.limits import (
    MEMORY_REQUESTS_QUEUED_MAX,
    PEER_FRAME_BYTES_MAX,
    PUBLICATIONS_QUEUED_MAX,
    REQUEST_FRAME_BYTES_MAX,
)
from recado.wire.memory import ConstantDelay, MemoryNetwork, TrafficKind
from recado.wire.ports import Asker, Listener, Outgoing, Publication, Subscriber, WireError

SERVER, BROKER, CLIENT = "tcp://server:5555", ("tcp://broker:5557", "tcp://broker:5558"), "client"


class Scripted:
    """A `Transit` that delays per link and kind, and keeps a record of what it was asked."""

    def __init__(self, default: Sequence[float] = (0.0,)) -> None:
        self.default = default
        self.rules: dict[tuple[str, str], Sequence[float]] = {}
        self.record: list[tuple[str, str, TrafficKind, int]] = []

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        self.record.append((source, destination, kind, size))
        return self.rules.get((source, destination), self.default)


async def _reply(listener: Listener) -> list[bytes | None]:
    """Answer one batch; gives the bodies."""
    batch = await listener.receive_batch()
    listener.send(Outgoing(request.envelope, request.body or b"") for request in batch)
    return [request.body for request in batch]


async def _nothing_comes(subscriber: Subscriber, seconds: float = 60.0) -> bool:
    with trio.move_on_after(seconds):
        await subscriber.receive_batch()
        return False
    return True


async def test_delays_add_up(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """A round trip takes the delay of the way there and of the way back, to the virtual second."""
    network = MemoryNetwork(ConstantDelay(1.5))
    async with (
        network.host("server").listener(SERVER) as listener,
        network.host(CLIENT).asker(SERVER) as asker,
    ):
        nursery.start_soon(echo, listener)
        started = trio.current_time()
        assert await asker.ask(b"oi") == b"oi"
        assert trio.current_time() - started == pytest.approx(3.0)
        nursery.cancel_scope.cancel()


async def test_the_transit_knows_who_talks_to_whom(autojump_clock: trio.testing.MockClock) -> None:
    """Each hop is asked about once, with host names, kind and size; a broker makes two hops."""
    transit = Scripted()
    network = MemoryNetwork(transit)
    async with (
        network.host("server").listener(SERVER) as listener,
        network.host(CLIENT).asker(SERVER) as asker,
        network.host("broker").forwarder(*BROKER),
        network.host("server").publisher(BROKER[:1]) as publisher,
        network.host(CLIENT).subscriber(BROKER[1:]) as subscriber,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_reply, listener)
        await asker.ask(b"12345")
        subscriber.subscribe(b"ge")
        publisher.publish([Publication(b"geral", b"123"), Publication(b"outro", b"1234")])
        await subscriber.receive_batch()
    assert transit.record == [
        (CLIENT, "server", "request", 5),
        ("server", CLIENT, "reply", 5),
        (CLIENT, "broker", "subscription", 2),
        ("server", "broker", "publication", 3),
        ("broker", CLIENT, "publication", 3),
        ("server", "broker", "publication", 4),
    ]


async def test_losses_and_duplicates(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    """No delay is a loss, two are a duplicate; the asker takes the first reply and drops the other."""
    transit = Scripted()
    network = MemoryNetwork(transit)
    async with network.host("server").listener(SERVER) as listener, network.asker(SERVER) as asker:
        transit.rules["local", "server"] = ()
        with trio.move_on_after(3600) as lost:
            await asker.ask(b"lost")
        assert lost.cancelled_caught
        transit.rules["local", "server"] = (2.0, 1.0)
        replies: list[bytes] = []

        async def ask() -> None:
            replies.append(await asker.ask(b"twice"))

        nursery.start_soon(ask)
        assert [await _reply(listener), await _reply(listener)] == [[b"twice"], [b"twice"]]
        await trio.testing.wait_all_tasks_blocked()
        assert replies == [b"twice"]
        assert asker.late == 1


async def test_the_faster_copy_of_a_reply_wins(autojump_clock: trio.testing.MockClock) -> None:
    """Of two copies of a reply the one that arrives first is taken, whichever was sent first."""
    transit = Scripted()
    transit.rules["server", "local"] = (9.0, 1.0)
    network = MemoryNetwork(transit)
    async with (
        network.host("server").listener(SERVER) as listener,
        network.asker(SERVER) as asker,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_reply, listener)
        started = trio.current_time()
        await asker.ask(b"oi")
        assert trio.current_time() - started == pytest.approx(1.0)
        nursery.cancel_scope.cancel()


async def test_order_is_of_arrival_then_of_sending(autojump_clock: trio.testing.MockClock) -> None:
    """Messages with equal delays keep their order; a slower one is overtaken."""
    transit = Scripted()
    network = MemoryNetwork(transit)
    async with (
        network.host("broker").forwarder(*BROKER),
        network.publisher(BROKER[:1]) as publisher,
        network.subscriber(BROKER[1:]) as subscriber,
    ):
        subscriber.subscribe(b"")
        transit.rules["local", "broker"] = (5.0,)
        publisher.publish([Publication(b"slow", b"")])
        transit.rules["local", "broker"] = (1.0,)
        publisher.publish(Publication(b"%d" % number, b"") for number in range(50))
        first = await subscriber.receive_batch()
        assert [p.topic for p in first] == [b"%d" % number for number in range(50)]
        assert [p.topic for p in await subscriber.receive_batch()] == [b"slow"]


async def test_a_subscription_counts_from_its_arrival(autojump_clock: trio.testing.MockClock) -> None:
    """What is published before the subscription reaches the broker is missed, the rest is heard."""
    transit = Scripted()
    transit.rules["local", "broker"] = (10.0,)
    network = MemoryNetwork(transit)
    async with (
        network.host("broker").forwarder(*BROKER),
        network.host("server").publisher(BROKER[:1]) as publisher,
        network.subscriber(BROKER[1:]) as subscriber,
    ):
        subscriber.subscribe(b"t")
        publisher.publish([Publication(b"t", b"too early")])
        await trio.sleep(10.5)
        publisher.publish([Publication(b"t", b"in time")])
        assert await subscriber.receive_batch() == [Publication(b"t", b"in time")]


async def test_a_lost_subscription_is_made_up_for(autojump_clock: trio.testing.MockClock) -> None:
    """After a partition in which somebody subscribed, publications reach it without its doing anything."""
    transit = Scripted()
    transit.rules["local", "broker"] = ()
    network = MemoryNetwork(transit)
    async with (
        network.host("broker").forwarder(*BROKER),
        network.host("server").publisher(BROKER[:1]) as publisher,
        network.subscriber(BROKER[1:]) as subscriber,
    ):
        subscriber.subscribe(b"t")
        publisher.publish([Publication(b"t", b"cut off")])
        assert await _nothing_comes(subscriber)
        transit.rules.clear()
        publisher.publish([Publication(b"t", b"healed")])
        assert await subscriber.receive_batch() == [Publication(b"t", b"healed")]


async def test_a_crash_frees_addresses_and_silences(autojump_clock: trio.testing.MockClock) -> None:
    """After `crash` nothing of the host sends or receives, nobody gets an error, and it can come back."""
    network = MemoryNetwork(ConstantDelay(1.0))
    server = network.host("server")
    async with network.host(CLIENT).asker(SERVER) as asker, trio.open_nursery() as nursery:
        async with server.listener(SERVER) as dead, server.asker(SERVER) as dead_asker:
            with trio.move_on_after(1.5):
                await asker.ask(b"in its hands")
            (request,) = await dead.receive_batch()
            nursery.start_soon(_ask_in_vain, asker)
            nursery.start_soon(_wait_in_vain, dead, dead_asker)
            await trio.sleep(0.5)
            network.crash("server")
            assert dead.send([Outgoing(request.envelope, b"from the grave")]) == 0
            async with server.listener(SERVER) as listener:
                nursery.start_soon(echo, listener)
                assert await asker.ask(b"risen?") == b"risen?"
                await trio.sleep(3600)
                nursery.cancel_scope.cancel()
        with pytest.raises(KeyError):
            network.listening[SERVER]


async def _ask_in_vain(asker: Asker) -> None:
    await asker.ask(b"on its way when the host died")
    raise AssertionError("a request to a dead host was answered")


async def _wait_in_vain(listener: Listener, asker: Asker) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.receive_batch)
        await asker.ask(b"?")
        raise AssertionError("a dead host heard something")


async def test_a_dead_broker_forwards_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """What had not reached the broker when it died is lost, what had left it arrives; a new one serves."""
    network = MemoryNetwork(ConstantDelay(1.0))
    broker = network.host("broker")
    async with network.publisher(BROKER[:1]) as publisher, network.subscriber(BROKER[1:]) as subscriber:
        async with broker.forwarder(*BROKER):
            subscriber.subscribe(b"")
            await trio.sleep(2)
            publisher.publish([Publication(b"t", b"passed on")])
            await trio.sleep(0.6)
            publisher.publish([Publication(b"t", b"lost with the broker")])
            await trio.sleep(0.6)
            network.crash("broker")
            assert [p.body for p in await subscriber.receive_batch()] == [b"passed on"]
            assert await _nothing_comes(subscriber)
        async with broker.forwarder(*BROKER):
            await trio.sleep(1.5)
            publisher.publish([Publication(b"t", b"again")])
            assert [p.body for p in await subscriber.receive_batch()] == [b"again"]


async def test_queues_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """A listener that never reads refuses in the end; a subscriber that never reads loses the newest."""
    network = MemoryNetwork()
    async with network.listener(SERVER), network.asker(SERVER) as asker:
        for _ in range(MEMORY_REQUESTS_QUEUED_MAX):
            with trio.CancelScope() as scope:
                scope.cancel()
                await asker.ask(b"")
        with pytest.raises(WireError, match="full"):
            await asker.ask(b"")
    async with (
        network.forwarder(*BROKER),
        network.publisher(BROKER[:1]) as publisher,
        network.subscriber(BROKER[1:]) as subscriber,
    ):
        subscriber.subscribe(b"")
        publisher.publish(Publication(b"", b"%d" % n) for n in range(PUBLICATIONS_QUEUED_MAX + 5))
        kept = await subscriber.receive_batch(PUBLICATIONS_QUEUED_MAX + 5)
        assert len(kept) == PUBLICATIONS_QUEUED_MAX
        assert kept[-1].body == b"%d" % (PUBLICATIONS_QUEUED_MAX - 1)


async def test_oversize_bodies_vanish(autojump_clock: trio.testing.MockClock) -> None:
    """A body that would end a ZeroMQ connection never arrives here either; one byte less does."""
    network = MemoryNetwork()
    async with (
        network.listener(SERVER) as listener,
        network.asker(SERVER) as asker,
        network.forwarder(*BROKER),
        network.publisher(BROKER[:1]) as publisher,
        network.subscriber(BROKER[1:]) as subscriber,
    ):
        for size in (PEER_FRAME_BYTES_MAX + 1, PEER_FRAME_BYTES_MAX):
            with trio.move_on_after(1):
                await asker.ask(bytes(size))
        (request,) = await listener.receive_batch()
        assert len(request.body or b"") == PEER_FRAME_BYTES_MAX
        subscriber.subscribe(b"")
        publisher.publish(
            Publication(b"", bytes(size)) for size in (REQUEST_FRAME_BYTES_MAX + 1, REQUEST_FRAME_BYTES_MAX)
        )
        (publication,) = await subscriber.receive_batch()
        assert len(publication.body) == REQUEST_FRAME_BYTES_MAX


async def test_wildcards_mean_the_host_itself() -> None:
    """``*`` binds under the host's own name, so that hosts do not collide; free ports are never equal."""
    network = MemoryNetwork()
    async with (
        network.host("a").listener("tcp://*:5555") as one,
        network.host("b").listener("tcp://0.0.0.0:5555") as two,
        network.host("a").listener("tcp://*:*") as three,
        network.host("a").listener("tcp://*:0") as four,
    ):
        assert (one.address, two.address) == ("tcp://a:5555", "tcp://b:5555")
        assert three.address != four.address


async def _story(seed: int) -> list[tuple[float, bytes]]:
    """Five clients, one server, a network with random delays, losses and duplicates."""
    rng = random.Random(seed)

    class Weather:
        def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
            return [rng.uniform(0.001, 0.5) for _ in range(rng.choice((0, 1, 1, 1, 2)))]

    trace: list[tuple[float, bytes]] = []
    network = MemoryNetwork(Weather())
    async with network.host("server").listener(SERVER) as listener, trio.open_nursery() as nursery:

        async def client(name: int) -> None:
            async with network.host(f"client-{name}").asker(SERVER) as asker:
                for turn in range(20):
                    await trio.sleep(0.1 + name / 1000)  # no two clients act at the same instant
                    with trio.move_on_after(2):
                        trace.append((trio.current_time(), await asker.ask(b"%d:%d" % (name, turn))))
            if name == 4:
                await trio.sleep(100)
                nursery.cancel_scope.cancel()

        for name in range(5):
            nursery.start_soon(client, name)
        nursery.start_soon(echo, listener)
    return trace


def test_the_same_seed_tells_the_same_story() -> None:
    """Nothing in the network is left to chance: equal seeds give equal traces, to the microsecond."""

    def tell(seed: int) -> list[tuple[int, bytes]]:
        clock = trio.testing.MockClock(autojump_threshold=0)
        start = clock.current_time()
        trace = trio.run(_story, seed, clock=clock)
        return [(round((when - start) * 1e6), body) for when, body in trace]

    first = tell(7)
    assert len(first) > 30
    assert tell(7) == first
    assert tell(8) != first


def test_asyncio_waits_for_its_own_clock() -> None:
    """Under asyncio a delayed message arrives after its delay in real time, not before."""

    async def scenario() -> float:
        network = MemoryNetwork(ConstantDelay(0.02))
        async with (
            network.listener(SERVER) as listener,
            network.asker(SERVER) as asker,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(echo, listener)
            started = anyio.current_time()
            await asker.ask(b"oi")
            took = anyio.current_time() - started
            tasks.cancel_scope.cancel()
        return took

    assert anyio.run(scenario, backend="asyncio") >= 0.04
