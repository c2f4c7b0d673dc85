"""The promises of `recado.wire.ports` for publications, over ZeroMQ and in memory, trio and asyncio."""

from collections.abc import Callable

import anyio
import pytest
from wire_worlds import World, echoing, everywhere, until_delivered

from recado.wire.ports import Publication, Subscriber, WireError


async def _take(subscriber: Subscriber, count: int) -> list[Publication]:
    taken: list[Publication] = []
    while len(taken) < count:
        taken += await subscriber.receive_batch(3)
    return taken


@everywhere
async def test_publications_arrive_in_order(world: World) -> None:
    """What one publisher sends on a topic reaches its subscriber complete, unchanged and in order."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as subscriber,
    ):
        subscriber.subscribe(b"geral")
        await until_delivered(publisher, subscriber, b"geral")
        sent = [Publication(b"geral", b"%d" % number) for number in range(500)]
        publisher.publish(sent)
        assert await _take(subscriber, 500) == sent


@everywhere
async def test_topics_match_by_prefix(world: World) -> None:
    """A subscription takes every topic that begins with it, and no other."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as subscriber,
    ):
        subscriber.subscribe(b"ana")
        await until_delivered(publisher, subscriber, b"ana")
        publisher.publish(Publication(topic, b"") for topic in (b"an", b"anabel", b"bruno", b"", b"ana"))
        assert [p.topic for p in await _take(subscriber, 2)] == [b"anabel", b"ana"]


@everywhere
async def test_unsubscribing_takes_effect_at_once(world: World) -> None:
    """Nothing of a topic comes out after its unsubscription, however often it was subscribed."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as subscriber,
    ):
        for topic in (b"keep", b"drop", b"drop"):
            subscriber.subscribe(topic)
        await until_delivered(publisher, subscriber, b"keep")
        await until_delivered(publisher, subscriber, b"drop")
        publisher.publish([Publication(b"drop", b"on its way")])
        subscriber.unsubscribe(b"drop")
        subscriber.unsubscribe(b"never subscribed")
        publisher.publish([Publication(b"drop", b""), Publication(b"keep", b"")])
        assert await _take(subscriber, 1) == [Publication(b"keep", b"")]
        subscriber.subscribe(b"drop")
        await until_delivered(publisher, subscriber, b"drop")


@everywhere
async def test_a_publisher_knows_what_is_wanted(world: World) -> None:
    """As long as somebody behind one of its brokers has subscribed to a topic, or a beginning of it."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.forwarder(world.address(), world.address()) as (other_xsub, other_xpub),
        world.network.publisher([xsub, other_xsub]) as publisher,
        world.network.subscriber([xpub]) as one,
    ):
        assert not publisher.wanted(b"geral")
        async with world.network.subscriber([other_xpub]) as two:
            one.subscribe(b"geral")
            two.subscribe(b"ge")
            await _until(lambda: publisher.wanted(b"geral"))
            await _until(lambda: publisher.wanted(b"gente"))
            assert not publisher.wanted(b"g")
            assert not publisher.wanted(b"outro")
        await _until(lambda: not publisher.wanted(b"gente"))
        assert publisher.wanted(b"geral")
        one.unsubscribe(b"geral")
        await _until(lambda: not publisher.wanted(b"geral"))


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (nothing tells of it)
        await anyio.sleep(0.01)


@everywhere
async def test_each_subscriber_gets_its_copy(world: World) -> None:
    """Two publishers and two brokers: every subscriber hears of everything once per broker."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.forwarder(world.address(), world.address()) as (other_xsub, other_xpub),
        world.network.publisher([xsub, other_xsub]) as publisher,
        world.network.subscriber([xpub]) as one,
        world.network.subscriber([other_xpub]) as two,
        world.network.subscriber([xpub, other_xpub]) as both,
    ):
        for subscriber in (one, two, both):
            subscriber.subscribe(b"t")
        await until_delivered(publisher, one, b"t")
        await until_delivered(publisher, two, b"t")
        publisher.publish([Publication(b"t", b"end")])
        for subscriber, copies in ((one, 1), (two, 1), (both, 2)):
            bodies: list[bytes] = []
            while bodies.count(b"end") < copies:
                bodies += [p.body for p in await subscriber.receive_batch()]


@everywhere
async def test_a_taken_forwarder_address_is_refused(world: World) -> None:
    """If either address is taken the whole forwarder is refused, and the listener there goes on."""
    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
    ):
        for xsub, xpub in ((listener.address, world.address()), (world.address(), listener.address)):
            with pytest.raises(WireError, match="address already in use"):
                async with world.network.forwarder(xsub, xpub):
                    pass
        assert await asker.ask(b"still") == b"still"


@everywhere
async def test_ends_survive_their_broker(world: World) -> None:
    """After a broker is gone and another is at its addresses, publications flow again by themselves."""
    async with world.network.forwarder(world.address(), world.address()) as addresses:
        pass
    async with (
        world.network.publisher(addresses[:1]) as publisher,
        world.network.subscriber(addresses[1:]) as subscriber,
    ):
        subscriber.subscribe(b"t")
        for _ in range(2):
            async with world.network.forwarder(*addresses):
                await until_delivered(publisher, subscriber, b"t")


@everywhere
async def test_cancelled_receives_lose_no_publication(world: World) -> None:
    """However often receiving is cancelled, every publication comes out once and in order."""
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as subscriber,
    ):
        subscriber.subscribe(b"t")
        await until_delivered(publisher, subscriber, b"t")
        publisher.publish(Publication(b"t", b"%d" % number) for number in range(300))
        seen: list[int] = []
        rounds = 0
        while len(seen) < 300:
            rounds += 1
            with anyio.CancelScope() as scope:
                if rounds % 2:
                    scope.cancel()
                seen += [int(p.body) for p in await subscriber.receive_batch(2)]
        assert seen == list(range(300))


@everywhere
async def test_closing_a_subscriber_ends_its_waiting(world: World) -> None:
    """A task that waits for publications gets `WireError` when its end closes; so does later use."""
    async with anyio.create_task_group() as tasks:

        async def expect_refusal() -> None:
            with pytest.raises(WireError):
                await subscriber.receive_batch()

        async with world.network.subscriber([]) as subscriber, world.network.publisher([]) as publisher:
            tasks.start_soon(expect_refusal)
            await anyio.wait_all_tasks_blocked()
    with pytest.raises(WireError):
        subscriber.subscribe(b"t")
    with pytest.raises(WireError):
        publisher.publish([])
