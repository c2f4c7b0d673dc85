"""Sessions: no read shows less than was written or shown before; and what a lost disk makes of that."""

import json
from pathlib import Path
from typing import Any

import anyio
from both_loops import on_both_loops
from fake_cluster import XPUB, XSUB, Cluster, FakeServer, fake_cluster
from test_client_subscriptions import GERAL, nothing_more, texts

from recado.client import Change, Message, connect
from recado.protocol import codec
from recado.protocol.publications import BEACON_TOPIC, beacon
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Publication


def beat(server: FakeServer, *, boot: str = "b", **more: Any) -> None:
    """A beacon of this server."""
    fields = {"heads": {}, "vector": {}, **more}
    body = beacon(server=server.name, boot=boot, timestamp=1000, clock=1, **fields)
    assert server.publisher is not None
    server.publisher.publish([Publication(BEACON_TOPIC, codec.pack(body))])


def named_apart(cluster: Cluster) -> None:
    """Each server writes to an origin of its own."""
    for number, server in enumerate(cluster.servers, start=1):
        server.origin = f"server-{number}.{number:016x}"


@on_both_loops
async def test_reads_name_what_was_written_and_shown() -> None:
    """Own writes, pages and messages of a subscription are covered by every later read's session."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        named_apart(cluster)
        one, two, three = cluster.servers
        await chat.create_channel("geral")
        written = await chat.publish("geral", "um")
        two.say(GERAL, "dois")
        await chat.history("geral")
        async with chat.subscribe("geral") as incoming:
            three.say(GERAL, "três")
            assert await texts(incoming, 1) == ["três"]
        await chat.users()
        assert written.key is not None
        assert one.sessions[-1] == {one.origin: written.key.seq, two.origin: 1, three.origin: 1}


@on_both_loops
async def test_servers_that_are_behind_are_passed_over_or_it_is_said() -> None:
    """A page of a server that has all comes as usual; if none that answers has it, `behind` says so."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        await chat.publish("geral", "oi")
        await cluster.kill(cluster.servers[0])
        cluster.servers[1].behind = True
        page = await chat.history("geral")
        assert (len(page), page.behind, chat.behind) == (1, False, False)
        cluster.servers[2].behind = True
        began = anyio.current_time()
        assert (await chat.history("geral")).behind
        assert anyio.current_time() - began < 5
        assert chat.behind
        began = anyio.current_time()
        assert await chat.users() == []
        assert anyio.current_time() - began < 0.1, "it is not looked for everywhere at every read"
        cluster.servers[1].behind = False
        await anyio.sleep(5)
        assert not (await chat.history("geral")).behind


@on_both_loops
async def test_what_no_member_has_is_released() -> None:
    """A place that died with a disk is named no longer once all members have said that they lack it."""
    async with fake_cluster() as cluster:
        cluster.shared.addresses = cluster.addresses
        options = cluster.reaching(level="local", servers=cluster.addresses[:1])
        async with connect("ana", **options) as chat:
            named_apart(cluster)
            await chat.create_channel("geral")
            await chat.publish("geral", "um")
            cluster.shared.messages.clear()
            cluster.servers[0].behind = True
            page = await chat.history("geral")
            assert (len(page), page.behind) == (0, False)
            assert {s.name for s in cluster.servers for a in s.asked if a.service == "audit"} == {
                "server-1", "server-2", "server-3",
            }  # fmt: skip
            await chat.users()
            assert cluster.servers[0].sessions[-1] == {}


@on_both_loops
async def test_nothing_is_released_while_a_member_is_silent() -> None:
    """With one member away nobody knows what it has: its places are named again later."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        await chat.publish("geral", "um")
        cluster.shared.messages.clear()
        cluster.servers[2].mute = True
        for server in cluster.servers:
            server.behind = True
        assert (await chat.history("geral")).behind
        await anyio.sleep(10)
        await chat.users()
        assert any(cluster.servers[0].sessions[-3:])


@on_both_loops
async def test_a_message_lost_with_a_disk_is_told() -> None:
    """A server returns without what only it had: the change is told, and what follows arrives (E8)."""
    changes: list[Change] = []
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        named_apart(cluster)
        one = cluster.servers[0]
        async with chat.subscribe("geral", on_change=changes.append) as incoming:
            beat(one, vector={one.origin: 1})
            kept = one.say(GERAL, "um", ident=b"1")
            lost = one.say(GERAL, "dois", ident=b"2")
            assert await texts(incoming, 2) == ["um", "dois"]
            cluster.shared.messages.remove(lost)
            beat(one, boot="c", vector={one.origin: kept["seq"]})
            await nothing_more(incoming, seconds=3)
            (change,) = changes
            assert (change.id, change.lost, change.was) == (b"2", True, (lost["clock"], one.origin, 2))
            assert incoming.cursor["#geral"] == {one.origin: 1}
            one.origin, one._seq, one._last = "server-1.ffffffffffffffff", 0, {}
            one.say(GERAL, "dois", ident=b"2")  # its author says it again
            assert await texts(incoming, 1) == ["dois"]


@on_both_loops
async def test_a_beacon_that_lags_loses_nothing() -> None:
    """Another server's older beacon leads to an audit at most, and nothing on display changes (A45)."""
    changes: list[Change] = []
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        named_apart(cluster)
        one, two, _ = cluster.servers
        async with chat.subscribe("geral", on_change=changes.append) as incoming:
            one.say(GERAL, "um")
            one.say(GERAL, "dois")
            beat(two, vector={one.origin: 1})
            beat(one, vector={one.origin: 1})
            assert await texts(incoming, 2) == ["um", "dois"]
            await nothing_more(incoming)
            assert changes == []
            assert incoming.cursor["#geral"] == {one.origin: 2}


@on_both_loops
async def test_two_brokers_show_nothing_twice() -> None:
    """What two brokers publish is shown once; one of them dead, the other suffices (E6)."""
    other_xsub, other_xpub = "tcp://broker-2:5557", "tcp://broker-2:5558"
    network = MemoryNetwork()
    async with fake_cluster(1, network=network) as cluster:
        server = cluster.servers[0]
        both = cluster.reaching(brokers=[XPUB, other_xpub])
        async with connect("ana", **both) as chat:
            async with (
                network.host("broker-2").forwarder(other_xsub, other_xpub),
                network.host("server-1").publisher([XSUB, other_xsub]) as publisher,
                chat.subscribe("geral") as incoming,
            ):
                server.publisher = publisher
                for number in range(50):
                    server.say(GERAL, f"{number}")
                assert await texts(incoming, 50) == [f"{n}" for n in range(50)]
                await nothing_more(incoming, seconds=5)
            async with (
                network.host("server-1").publisher([XSUB]) as publisher,
                chat.subscribe("geral") as incoming,
            ):
                server.publisher = publisher
                server.say(GERAL, "só um")
                assert await texts(incoming, 1, seconds=1) == ["só um"]


@on_both_loops
async def test_copies_are_recognised_over_a_restart() -> None:
    """A cursor knows the messages read last: a copy of one, sent to another server, is not shown again."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        named_apart(cluster)
        one, two, _ = cluster.servers
        async with chat.subscribe("geral") as incoming:
            one.say(GERAL, "um", ident=b"1")
            assert await texts(incoming, 1) == ["um"]
            kept = json.loads(json.dumps(incoming.cursor))
        two.say(GERAL, "um", ident=b"1", publish=False)
        async with chat.subscribe("geral", since=kept) as incoming:
            two.say(GERAL, "um", ident=b"1")
            two.say(GERAL, "dois", ident=b"2")
            assert await texts(incoming, 1) == ["dois"]


@on_both_loops
async def test_a_cursor_is_kept_under_its_name(tmp_path: Path) -> None:
    """`resume` goes on where the last run stopped reading, also on channels joined later."""
    async with fake_cluster() as cluster:
        options = cluster.reaching(data=tmp_path / str(id(cluster)))
        server = cluster.servers[0]
        server.say(GERAL, "antes")
        async with connect("ana", **options) as chat, chat.subscribe("geral", resume="ana") as incoming:
            server.say(GERAL, "um")
            server.say(GERAL, "dois")
            server.say({"channel": "festa", "user": "bob"}, "viva")
            assert await texts(incoming, 1) == ["um"]
            await incoming.join("festa", backlog=1)
            assert await texts(incoming, 2) == ["dois", "viva"]
            await nothing_more(incoming, seconds=3)  # it is written meanwhile
            server.say(GERAL, "três")
            assert await texts(incoming, 1) == ["três"]
        for number in range(300):
            server.say(GERAL, f"{number}")
        server.say({"channel": "festa", "user": "bob"}, "fim")
        async with connect("ana", **options) as chat:
            async with chat.subscribe("festa", resume="ana") as incoming:
                assert await texts(incoming, 1) == ["fim"]
            async with chat.subscribe("geral", resume="ana", most=3) as incoming:
                assert await texts(incoming, 3) == ["297", "298", "299"]
                await nothing_more(incoming, seconds=3)
            server.say(GERAL, "quatro")
            async with chat.subscribe("geral", resume="ana", most=3) as incoming:
                assert await texts(incoming, 1) == ["quatro"]
                await nothing_more(incoming, seconds=3)


@on_both_loops
async def test_beacons_raise_the_level_of_a_write() -> None:
    """`level_of` begins with what the receipt said and rises with the vectors of beacons."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        server = cluster.servers[0]
        await chat.create_channel("geral")
        async with chat.subscribe("geral"):
            server.acks = 1
            receipt = await chat.publish("geral", "oi")
            assert receipt.key is not None
            assert chat.level_of(receipt) == "local"
            for field, level in (("majority", "quorum"), ("everywhere", "all")):
                beat(server, **{field: {receipt.key.origin: receipt.key.seq - 1}})
                beat(server, **{field: {receipt.key.origin: receipt.key.seq}})
                await anyio.sleep(0.1)
                assert chat.level_of(receipt) == level


@on_both_loops
async def test_thousands_published_before_the_first_page_all_arrive() -> None:
    """Of more than can be held back while the first page is under way, none is skipped (E1)."""

    class SlowHistory:
        def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
            return [1.0 if kind == "reply" else 0.0]

    async with (
        fake_cluster(1, network=MemoryNetwork(SlowHistory())) as cluster,
        connect("ana", **cluster.reaching()) as chat,
    ):
        server = cluster.servers[0]
        server.say(GERAL, "antes")

        def burst(asked: Any) -> None:
            if asked.service == "history":
                server.on_request = None
                for number in range(3000):
                    server.say(GERAL, f"{number}")

        server.on_request = burst
        async with chat.subscribe("geral") as incoming:
            found: list[Message] = []
            with anyio.fail_after(60):
                while len(found) < 3000:
                    found.append(await anext(incoming))
            assert [m.text for m in found] == [f"{n}" for n in range(3000)]
            await nothing_more(incoming, seconds=5)
