"""Subscriptions of the library against fake servers, in virtual time, under trio and asyncio."""

import json

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import XPUB, XSUB, FakeServer, fake_cluster

from recado.client import Subscription, connect
from recado.protocol import codec
from recado.protocol.messages import Asked
from recado.protocol.publications import BEACON_TOPIC, beacon
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Publication

GERAL = {"channel": "geral", "user": "bob"}


async def texts(incoming: Subscription, count: int, *, seconds: float = 60) -> list[str]:
    """The next `count` texts; fails if they take longer than `seconds`."""
    found = []
    with anyio.fail_after(seconds):
        for _ in range(count):
            found.append((await anext(incoming)).text)
    return found


async def nothing_more(incoming: Subscription, *, seconds: float = 30) -> None:
    """Nothing arrives for so long."""
    with anyio.move_on_after(seconds):
        message = await anext(incoming)
        pytest.fail(f"{message} arrived")


def beat(server: FakeServer, *, heads: dict[str, dict[str, int]]) -> None:
    """Publish a beacon of this server."""
    body = beacon(server=server.name, boot="b", heads=heads, vector={}, timestamp=1000, clock=1)
    assert server.publisher is not None
    server.publisher.publish([Publication(BEACON_TOPIC, codec.pack(body))])


@on_both_loops
async def test_live_messages_arrive_in_order() -> None:
    """What is published after entering the block arrives, in order, with all its fields, once."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        cluster.servers[1].say(GERAL, "antes")
        async with chat.subscribe("geral") as incoming:
            receipt = await chat.publish("geral", "um")
            message = await anext(incoming)
            assert (message.text, message.user, message.channel) == ("um", "ana", "geral")
            assert (message.key, message.id, message.late) == (receipt.key, receipt.id, False)
            for number in range(20):
                cluster.servers[0].say(GERAL, f"{number}")
            assert await texts(incoming, 20) == [f"{n}" for n in range(20)]
            await nothing_more(incoming)


@on_both_loops
async def test_backlog_comes_first() -> None:
    """`backlog` begins with so many earlier messages; more than one page of them are read page by page."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        for number in range(30):
            cluster.servers[0].say(GERAL, f"{number}")
        async with chat.subscribe("geral", backlog=5) as incoming:
            assert await texts(incoming, 5) == ["25", "26", "27", "28", "29"]
            await nothing_more(incoming)


@on_both_loops
async def test_direct_messages_of_this_user_only() -> None:
    """`direct` gives what is addressed to this user, and nothing of users whose names begin alike."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        server = cluster.servers[0]
        async with chat.subscribe("anel", direct=True) as incoming:
            server.say({"from": "bob", "src": "bob", "dst": "anabel"}, "não é para ana")
            server.say({"from": "ana", "src": "ana", "dst": "anabel"}, "nem isto")
            server.say({"channel": "ana", "user": "bob"}, "canal do mesmo nome")
            server.say({"from": "bob", "src": "bob", "dst": "ana"}, "psst")
            message = await anext(incoming)
            assert (message.src, message.dst, message.text, message.channel) == ("bob", "ana", "psst", None)
            await nothing_more(incoming)


@on_both_loops
async def test_a_lost_publication_comes_from_the_history() -> None:
    """A gap is seen at the next publication and filled before it is shown."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        server = cluster.servers[0]
        async with chat.subscribe("geral") as incoming:
            server.say(GERAL, "um")
            server.say(GERAL, "dois", publish=False)
            server.say(GERAL, "três", publish=False)
            server.say(GERAL, "quatro")
            assert await texts(incoming, 4, seconds=1) == ["um", "dois", "três", "quatro"]


@on_both_loops
async def test_a_beacon_tells_of_the_last_message_before_a_silence() -> None:
    """A lost publication that nothing follows is fetched as soon as a beacon names it."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        server = cluster.servers[0]
        async with chat.subscribe("geral") as incoming:
            lost = server.say(GERAL, "último", publish=False)
            beat(server, heads={"#geral": {lost["origin"]: lost["seq"]}})
            assert await texts(incoming, 1, seconds=1) == ["último"]


@on_both_loops
async def test_silence_of_the_broker_makes_the_client_look() -> None:
    """With nothing from the broker for 6 s, not even a beacon, the history is asked."""
    async with (
        fake_cluster() as cluster,
        connect("ana", **cluster.reaching()) as chat,
        chat.subscribe("geral") as incoming,
    ):
        for server in cluster.servers:
            server.publishing = False
        cluster.servers[0].say(GERAL, "um")
        cluster.servers[0].say(GERAL, "dois")
        began = anyio.current_time()
        assert await texts(incoming, 2) == ["um", "dois"]
        assert 5 < anyio.current_time() - began < 7


@on_both_loops
async def test_without_brokers_the_history_is_polled() -> None:
    """A connection without brokers still follows, a second behind."""
    async with (
        fake_cluster() as cluster,
        connect("ana", **cluster.reaching(brokers=())) as chat,
        chat.subscribe("geral") as incoming,
    ):
        for number in range(3):
            cluster.servers[0].say(GERAL, f"{number}")
            assert await texts(incoming, 1, seconds=1.5) == [f"{number}"]


@on_both_loops
async def test_the_servers_name_the_brokers() -> None:
    """A connection without brokers subscribes at those that a server's status names."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(brokers=())) as chat:
        cluster.shared.brokers = [XPUB]
        async with chat.subscribe("geral") as incoming:
            cluster.servers[0].say(GERAL, "oi")
            assert await texts(incoming, 1, seconds=0.1) == ["oi"]


@on_both_loops
async def test_a_dead_server_does_not_stop_the_repair() -> None:
    """A gap is filled by another server when the one asked first is dead."""
    async with (
        fake_cluster() as cluster,
        connect("ana", **cluster.reaching()) as chat,
        chat.subscribe("geral") as incoming,
    ):
        cluster.servers[1].say(GERAL, "um")
        await cluster.kill(cluster.servers[0])
        cluster.servers[1].say(GERAL, "dois", publish=False)
        cluster.servers[1].say(GERAL, "três")
        assert await texts(incoming, 3, seconds=5) == ["um", "dois", "três"]


@on_both_loops
async def test_plain_servers_give_live_messages_only() -> None:
    """Publications without origin and seq, from servers without history, are shown as they are."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching()) as chat:
        cluster.servers[0].plain = True
        async with chat.subscribe("geral") as incoming, cluster.network.publisher([XSUB]) as publisher:
            await anyio.sleep(0.1)
            body = {"user": "bob", "message": "oi", "timestamp": 1700000000, "clock": 3, "channel": "geral"}
            publisher.publish([Publication(b"geral", codec.pack(body))])
            message = await anext(incoming)
            assert (message.text, message.key, message.timestamp) == ("oi", None, 1700000000)
            publisher.publish([Publication(b"geral", b"\xc1"), Publication(b"geral", codec.pack({"a": 1}))])
            publisher.publish([Publication(b"geral", codec.pack(body))])
            assert (await anext(incoming)).text == "oi"


@on_both_loops
async def test_a_cursor_resumes_exactly_where_reading_stopped() -> None:
    """A new subscription with the JSON of an earlier one's cursor shows the unread rest, once."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        for number in range(10):
            cluster.servers[number % 3].say(GERAL, f"{number}")
        async with chat.subscribe("geral", backlog=10) as incoming:
            assert len(await texts(incoming, 10)) == 10
            for number in range(10, 20):
                cluster.servers[number % 3].say(GERAL, f"{number}")
            assert len(await texts(incoming, 4)) == 4
            kept = json.dumps(incoming.cursor)
        for number in range(20, 25):
            cluster.servers[number % 3].say(GERAL, f"{number}")
        async with chat.subscribe("geral", since=json.loads(kept)) as incoming:
            assert await texts(incoming, 11) == [f"{n}" for n in range(14, 25)]
            await nothing_more(incoming)


@on_both_loops
async def test_a_slow_reader_loses_nothing() -> None:
    """Four thousand messages while nobody reads: bounded memory meanwhile, all of them in the end."""
    async with (
        fake_cluster(1) as cluster,
        connect("ana", **cluster.reaching()) as chat,
        chat.subscribe("geral") as incoming,
    ):
        for number in range(4_000):
            cluster.servers[0].say(GERAL, f"{number}")
            if number % 100 == 0:
                await anyio.sleep(0.01)
        assert len(incoming._queue.items) < 2500
        assert await texts(incoming, 4_000) == [f"{n}" for n in range(4_000)]


class Rough:
    """One publication in three is lost, one doubled, some overtake; requests and replies get lost too."""

    def __init__(self) -> None:
        self.number = 0

    def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
        self.number += 7
        if kind == "subscription":
            return [0.001]
        if self.number % (3 if kind == "publication" else 11) == 0:
            return []
        if self.number % 5 == 0:
            return [0.001, 0.2]
        return [0.001 * (1 + self.number % 4)]


@on_both_loops
async def test_loss_doubling_and_reordering_show_nothing_twice_and_lose_nothing() -> None:
    """Over a rough network the reader sees every message exactly once."""
    network = MemoryNetwork(Rough())
    async with (
        fake_cluster(network=network) as cluster,
        connect("ana", **cluster.reaching()) as chat,
        chat.subscribe("geral") as incoming,
    ):
        for number in range(120):
            cluster.servers[number % 3].say(GERAL, f"{number}")
            await anyio.sleep(0.05)
        found = await texts(incoming, 120)
        assert sorted(found, key=int) == [f"{n}" for n in range(120)]
        await nothing_more(incoming)


@on_both_loops
async def test_channels_can_be_joined_and_left() -> None:
    """`join` adds a channel to a subscription, `leave` ends it, others go on."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        server = cluster.servers[0]
        async with chat.subscribe("geral") as incoming:
            server.say({"channel": "festa", "user": "bob"}, "antes")
            await incoming.join("festa", backlog=1)
            assert await texts(incoming, 1) == ["antes"]
            server.say({"channel": "festa", "user": "bob"}, "agora")
            assert await texts(incoming, 1) == ["agora"]
            incoming.leave("festa")
            server.say({"channel": "festa", "user": "bob"}, "depois")
            server.say(GERAL, "geral")
            assert await texts(incoming, 1) == ["geral"]
            assert incoming.channels == ("geral",)
            await nothing_more(incoming)


@on_both_loops
async def test_a_reader_may_be_cancelled_and_read_on() -> None:
    """A cancelled `anext` takes no message with it."""
    async with (
        fake_cluster() as cluster,
        connect("ana", **cluster.reaching()) as chat,
        chat.subscribe("geral") as incoming,
    ):
        found = []
        for number in range(20):
            with anyio.move_on_after(0.001 * (number % 3)):
                found.append((await anext(incoming)).text)
            cluster.servers[0].say(GERAL, f"{number}")
        found += await texts(incoming, 20 - len(found))
        assert found == [f"{n}" for n in range(20)]


@on_both_loops
async def test_closing_is_prompt() -> None:
    """Leaving the connection with everything mute takes no time."""
    async with fake_cluster() as cluster:
        for server in cluster.servers:
            server.mute = True
        async with connect("ana", **cluster.reaching()) as chat, chat.subscribe("geral", direct=True):
            began = anyio.current_time()
        assert anyio.current_time() - began < 0.6


class SlowHistory:
    """Replies take a second, publications none."""

    def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
        return [1.0 if kind == "reply" else 0.0]


@on_both_loops
async def test_what_is_published_while_the_history_is_fetched_is_shown() -> None:
    """Of a burst between subscription and first page, larger than that page, nothing is missing."""
    async with (
        fake_cluster(network=MemoryNetwork(SlowHistory())) as cluster,
        connect("ana", **cluster.reaching()) as chat,
    ):
        cluster.servers[0].say(GERAL, "antes")

        def burst(asked: Asked) -> None:
            if asked.service == "history":
                cluster.servers[0].on_request = None
                for number in range(300):
                    cluster.servers[0].say(GERAL, f"{number}")

        cluster.servers[0].on_request = burst
        async with chat.subscribe("geral") as incoming:
            assert await texts(incoming, 300) == [f"{n}" for n in range(300)]
            await nothing_more(incoming)
