"""Subscriptions granted one by one: who hears what, and what a hostile subscriber cannot change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import pytest
import zmq
from secured_worlds import (
    ANA,
    ANY,
    BRUNO,
    CLIENT,
    SERVER,
    SILENCE_SECONDS,
    Keys,
    admit,
    dialling,
    make_keys,
    securely,
    serving,
)
from wire_worlds import until_delivered

from recado.protocol.limits import SUBSCRIPTIONS_PER_CONNECTION_MAX
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Network, Principal, Publication, Publisher, Subscriber
from recado.wire.security import HandshakeLimits, Security


def grant(principal: Principal, topic: bytes) -> bool:
    """Channels (``c`` name NUL) to everybody, direct messages (``u`` name NUL) to oneself."""
    kind, name, end = topic[:1], topic[1:-1], topic[-1:]
    return end == b"\0" and (kind == b"c" or (kind == b"u" and name == principal.name.encode()))


class Broker(NamedTuple):
    """A granting forwarder and the security of its network."""

    xsub: str
    xpub: str
    security: Security


@asynccontextmanager
async def broker(
    limits: HandshakeLimits | None = None, at: tuple[str, str] = (ANY, ANY), keys: Keys = SERVER
) -> AsyncIterator[Broker]:
    """A broker that grants."""
    security = securely(keys, authenticate=admit, limits=limits)
    async with serving(security) as network, network.forwarder(*at, grant=grant) as (xsub, xpub):
        yield Broker(xsub, xpub, security)


@asynccontextmanager
async def subscribed(keys: Keys, xpub: str, *topics: bytes) -> AsyncIterator[Subscriber]:
    """A subscriber with these keys."""
    async with dialling(keys) as network, network.subscriber([xpub]) as subscriber:
        for topic in topics:
            subscriber.subscribe(topic)
        yield subscriber


async def hears_nothing(subscriber: Subscriber) -> bool:
    """Whether nothing comes."""
    with anyio.move_on_after(SILENCE_SECONDS):
        await subscriber.receive_batch()
        return False
    return True


@pytest.mark.parametrize("carrier", ["zeromq", "memory"])
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_each_hears_what_was_granted(carrier: str, backend: str) -> None:
    """Own direct messages and channels come; others', prefixes and everything at once never do."""

    async def scenario(server: Network, ana: Network, bruno: Network) -> None:
        async with (
            server.forwarder("tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002", grant=grant)
            if carrier == "memory"
            else server.forwarder(ANY, ANY, grant=grant) as (xsub, xpub),
            server.publisher([xsub]) as publisher,
            ana.subscriber([xpub]) as one,
            bruno.subscriber([xpub]) as two,
        ):
            one.subscribe(b"uana\0")
            one.subscribe(b"cgeral\0")
            for topic in (b"cgeral\0", b"uana\0", b"u", b"", b"uan", b"c", b"uanabel\0"):
                two.subscribe(topic)
            await until_delivered(publisher, one, b"uana\0")
            await until_delivered(publisher, one, b"cgeral\0")
            await until_delivered(publisher, two, b"cgeral\0")
            topics = (b"uana\0", b"uanabel\0", b"cgeral\0", b"uana\0", b"czzz\0", b"cgeral\0")
            publisher.publish(Publication(topic, b"x") for topic in topics)
            assert await _topics(one, 4) == [b"uana\0", b"cgeral\0", b"uana\0", b"cgeral\0"]
            assert await _topics(two, 2) == [b"cgeral\0", b"cgeral\0"]
            one.unsubscribe(b"uana\0")
            publisher.publish([Publication(b"uana\0", b"x"), Publication(b"cgeral\0", b"x")])
            assert await _topics(one, 1) == [b"cgeral\0"]

    async def run() -> None:
        with anyio.fail_after(15):
            if carrier == "memory":
                network = MemoryNetwork()
                hosts = (
                    ("b", Principal("server")),
                    ("a", Principal("key", "ana")),
                    ("x", Principal("key", "x")),
                )
                await scenario(*(network.host(name, principal) for name, principal in hosts))
                return
            async with serving() as server, dialling(ANA) as first, dialling(BRUNO) as second:
                await scenario(server, first, second)

    anyio.run(run, backend=backend)


async def _topics(subscriber: Subscriber, count: int) -> list[bytes]:
    """The topics of what comes, probes left out."""
    topics: list[bytes] = []
    while len(topics) < count:
        topics += [p.topic for p in await subscriber.receive_batch() if p.body == b"x"]
    return topics


@pytest.mark.parametrize("carrier", ["zeromq", "memory"])
async def test_only_servers_publish(carrier: str) -> None:
    """What a proved key that is no server's publishes reaches nobody."""
    memory = MemoryNetwork()
    async with (
        broker() if carrier == "zeromq" else _memory_broker(memory) as (xsub, xpub, *_),
        dialling(SERVER) as server,
        dialling(CLIENT) as client,
    ):
        members: tuple[Network, Network] = (server, client)
        if carrier == "memory":
            members = memory.host("s", Principal("server")), memory.host("c", Principal("key"))
        async with (
            members[0].publisher([xsub]) as right,
            members[1].publisher([xsub]) as wrong,
            members[1].subscriber([xpub]) as subscriber,
        ):
            subscriber.subscribe(b"cgeral\0")
            with anyio.fail_after(10):
                await until_delivered(right, subscriber, b"cgeral\0")
            for _ in range(3):
                wrong.publish([Publication(b"cgeral\0", b"forged")])
                await anyio.sleep(0.05)
            assert await hears_nothing(subscriber)


@asynccontextmanager
async def _memory_broker(network: MemoryNetwork) -> AsyncIterator[tuple[str, str]]:
    async with network.host("b").forwarder("tcp://b:1", "tcp://b:2", grant=grant) as addresses:
        yield addresses


async def test_leaving_harms_nobody() -> None:
    """Subscribers that vanish with the same topics, granted or not, leave the others their publications."""
    with anyio.fail_after(15):
        async with (
            broker() as (xsub, xpub, _),
            subscribed(ANA, xpub, b"cgeral\0", b"uana\0") as stays,
            dialling(SERVER) as server,
            server.publisher([xsub]) as publisher,
        ):
            for _ in range(5):
                async with subscribed(BRUNO, xpub, b"cgeral\0", b"uana\0", b"") as leaves:
                    await until_delivered(publisher, leaves, b"cgeral\0")
            await until_delivered(publisher, stays, b"uana\0")
            await until_delivered(publisher, stays, b"cgeral\0")


def _hostile(context: "zmq.Context[zmq.Socket[bytes]]", keys: Keys, xpub: str) -> zmq.Socket[bytes]:
    """An XSUB, which may send upstream what it likes."""
    raw = context.socket(zmq.XSUB)
    raw.setsockopt(zmq.LINGER, 0)
    raw.setsockopt(zmq.RECONNECT_IVL, 20)
    raw.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    raw.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    raw.setsockopt(zmq.CURVE_SERVERKEY, SERVER.public)
    raw.connect(xpub)
    return raw


async def _heard(raw: zmq.Socket[bytes], publisher: Publisher, topic: bytes) -> bool:
    """Whether what is published on the topic from now on reaches a raw subscriber."""
    marker = b"from now on"
    with anyio.move_on_after(2):
        while True:
            publisher.publish([Publication(topic, marker)])
            await anyio.sleep(0.02)
            while raw.poll(0):
                if raw.recv_multipart() == [topic, marker]:
                    return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("junk", [b"junk", b"", b"\2"])
async def test_junk_gives_nobody_anothers_topic(junk: bytes) -> None:
    """Junk between two wishes, by which libzmq mixes up whose they are, leaks and starves nothing."""
    with anyio.fail_after(20), zmq.Context() as context:
        async with (
            broker() as (xsub, xpub, security),
            dialling(SERVER) as server,
            server.publisher([xsub]) as publisher,
            subscribed(ANA, xpub, b"cwarm\0") as ana,
        ):
            with _hostile(context, CLIENT, xpub) as spoiler, _hostile(context, BRUNO, xpub) as other:
                for raw in (spoiler, other):
                    raw.send(b"\1cwarm\0")
                    assert await _heard(raw, publisher, b"cwarm\0")
                await until_delivered(publisher, ana, b"cwarm\0")
                _in_one_go(spoiler, junk, ana, other)
                await until_delivered(publisher, ana, b"uana\0")
                while other.poll(100):
                    assert other.recv_multipart()[0] != b"uana\0"
                assert (security.refusals.junk, security.refusals.rebuilds) == (1, 1)
                assert await _heard(other, publisher, b"cother\0")
                spoiler.send(b"\1clater\0")
                assert not await _heard(spoiler, publisher, b"clater\0")


def _in_one_go(
    spoiler: zmq.Socket[bytes], junk: bytes, victim: Subscriber, eavesdropper: zmq.Socket[bytes]
) -> None:
    """Junk, the victim's wish and another's reach the broker in this order while it is not looking."""
    pause = 0.1
    spoiler.send(junk)
    _block(pause)
    victim.subscribe(b"uana\0")
    _block(pause)
    eavesdropper.send(b"\1cother\0")
    _block(pause)


def _block(seconds: float) -> None:
    """Hold the whole event loop, broker included, while libzmq's threads carry on."""
    with zmq.Context() as context, context.socket(zmq.PULL) as idle:
        idle.poll(round(seconds * 1000))


async def test_subscriptions_of_one_connection_are_bounded() -> None:
    """Beyond the bound, further topics of one connection are refused; those of another are granted."""
    topics = [b"c%d\0" % number for number in range(SUBSCRIPTIONS_PER_CONNECTION_MAX + 5)]
    with anyio.fail_after(20):
        async with (
            broker() as (xsub, xpub, security),
            dialling(SERVER) as server,
            server.publisher([xsub]) as publisher,
            subscribed(ANA, xpub, *topics) as greedy,
            subscribed(BRUNO, xpub, topics[-1]) as modest,
        ):
            await until_delivered(publisher, greedy, topics[0])
            await until_delivered(publisher, modest, topics[-1])
            with anyio.move_on_after(5):
                while security.refusals.subscriptions_too_many < 5:
                    await hears_nothing(modest)
            publisher.publish([Publication(topics[-1], b"")])
            assert await hears_nothing(greedy)


async def test_a_storm_of_subscriptions_is_rationed() -> None:
    """Who subscribes and unsubscribes without end is refused after a while, and others are served."""
    limits = HandshakeLimits(subscriptions_per_second=0.01, subscriptions_burst=50)
    with anyio.fail_after(20):
        async with (
            broker(limits) as (xsub, xpub, security),
            dialling(SERVER) as server,
            server.publisher([xsub]) as publisher,
            subscribed(ANA, xpub) as stormy,
        ):
            while security.refusals.subscriptions_too_many < 100:
                for number in range(100):
                    stormy.subscribe(b"c%d\0" % number)
                for number in range(100):
                    stormy.unsubscribe(b"c%d\0" % number)
                await anyio.sleep(0.01)
            async with subscribed(BRUNO, xpub, b"cgeral\0") as calm:
                await until_delivered(publisher, calm, b"cgeral\0")


async def test_a_broker_that_changed_its_key_is_found_again() -> None:
    """Publishers and subscribers go over to the second key in the roster when the broker does."""
    new = make_keys()
    both = [SERVER.public, new.public]
    at = (ANY, ANY)
    with anyio.fail_after(20):
        async with (
            dialling(SERVER, expects=both) as server,
            dialling(ANA, expects=both) as outside,
            broker() as first,
        ):
            at = (first.xsub, first.xpub)
        async with (
            dialling(SERVER, expects=both) as server,
            dialling(ANA, expects=both) as outside,
            server.publisher(at[:1]) as publisher,
            outside.subscriber(at[1:]) as subscriber,
        ):
            subscriber.subscribe(b"cgeral\0")
            for keys in (SERVER, new, SERVER):
                async with broker(at=at, keys=keys):
                    await until_delivered(publisher, subscriber, b"cgeral\0")


async def test_a_subscriber_hears_two_brokers() -> None:
    """Over two brokers a subscriber hears both, and goes on hearing one when the other is gone."""
    with anyio.fail_after(20):
        async with (
            broker() as one,
            dialling(SERVER) as server,
            dialling(ANA) as outside,
            server.publisher([one.xsub]) as first,
            broker() as two,
            server.publisher([two.xsub]) as second,
            outside.subscriber([one.xpub, two.xpub]) as subscriber,
        ):
            subscriber.subscribe(b"cgeral\0")
            await until_delivered(first, subscriber, b"cgeral\0")
            await until_delivered(second, subscriber, b"cgeral\0")
            first.publish([Publication(b"cgeral\0", b"still")])
            assert (await subscriber.receive_batch())[-1].body == b"still"
