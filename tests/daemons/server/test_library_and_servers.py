"""The library against real servers on the network in memory: failover, lost disks, years of restarts."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from recado.client import Change, Chat, connect
from recado.protocol.vector import Vector
from storage.replica import Batch, Replica
from tests.daemons.server.links import Links
from tests.daemons.server.peer_frames import log_of
from tests.daemons.server.server_bench import BROKER, Bench, bench, members

ORIGINS = 5000


@asynccontextmanager
async def talking(cluster: Bench, user: str, **more: Any) -> AsyncIterator[Chat]:
    """The library at a cluster with a broker."""
    addresses = [member.address for member in members(len(cluster.running))]
    options = {"servers": addresses, "brokers": [BROKER.xpub], "random": Random(user)} | more
    async with connect(user, network=cluster.network.host(user), **options) as chat:
        yield chat


@asynccontextmanager
async def three(links: Links | None = None) -> AsyncIterator[Bench]:
    async with (
        bench("server-1", "server-2", "server-3", of=3, transit=links) as cluster,
        cluster.network.host("broker").forwarder(BROKER.xsub, BROKER.xpub),
    ):
        yield cluster


async def test_failover_takes_less_than_two_and_a_half_seconds(autojump_clock: trio.abc.Clock) -> None:
    """The server in use goes mute: a write and a read are answered by another one in time, and once."""
    links = Links()
    async with three(links) as cluster, talking(cluster, "ana") as chat:
        await chat.login()
        await chat.create_channel("geral")
        async with chat.subscribe("geral") as incoming:
            await chat.publish("geral", "antes")
            links.cut("ana", "server-1")
            began = trio.current_time()
            await chat.publish("geral", "durante")
            assert trio.current_time() - began < 2.5
            cluster.network.crash("server-1")
            assert [m.text for m in await chat.history("geral")] == ["antes", "durante"]
            await chat.publish("geral", "depois")
            with trio.fail_after(10):
                assert [(await anext(incoming)).text for _ in range(3)] == ["antes", "durante", "depois"]


async def test_what_only_a_lost_disk_had_is_told_and_can_be_said_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Cut off, a server answers a write and shows it; its disk burns; the reader learns what is gone."""
    links, changes = Links(), list[Change]()
    async with three(links) as cluster, talking(cluster, "ana", level="local") as chat:
        await chat.login()
        await chat.create_channel("geral")
        async with chat.subscribe("geral", on_change=changes.append) as incoming:
            kept = await chat.publish("geral", "guardada", level="all")
            for peer in ("server-2", "server-3"):
                links.cut("server-1", peer)
            lost = await chat.publish("geral", "perdida")
            with trio.fail_after(10):
                assert [(await anext(incoming)).text for _ in range(2)] == ["guardada", "perdida"]
            cluster.network.crash("server-1")
            links.heal()
            await cluster.start("server-1", store=Replica.in_memory("server-1"))
            await cluster.level()
            found = []
            with trio.move_on_after(30):
                found.append(await anext(incoming))
            assert found == []
            (change,) = changes
            assert (change.id, change.was, change.lost) == (lost.id, lost.key, True)
            page = await chat.history("geral")
            assert ([m.id for m in page], page.behind) == ([kept.id], False)
            await chat.publish("geral", "perdida", id=lost.id)
            with trio.fail_after(10):
                assert (await anext(incoming)).text == "perdida"


async def test_the_last_message_of_a_dead_server_arrives(autojump_clock: trio.abc.Clock) -> None:
    """Its publication is lost and it dies after the answer: the others' beacons tell of the message (E3)."""
    links = Links()
    async with three(links) as cluster, talking(cluster, "ana") as chat:
        await chat.login()
        await chat.create_channel("geral")
        async with chat.subscribe("geral") as incoming:
            links.cut("server-1", "broker")
            await chat.publish("geral", "última", level="quorum")
            cluster.network.crash("server-1")
            with trio.fail_after(10):
                assert (await anext(incoming)).text == "última"


def years_old(name: str) -> tuple[Replica, Vector]:
    """A replica with the logs of five thousand starts of servers, one message each."""
    store, vector = Replica.in_memory(name), Vector()
    entries = []
    for number in range(ORIGINS):
        origin = f"server-{number % 3 + 1}.{number:016x}"
        (entry,) = log_of(origin, 1)
        entries.append(entry)
        vector[origin] = 1
    for first in range(0, ORIGINS, 500):
        store.stage(Batch(entries=entries[first : first + 500]))
        store.commit()
    return store, vector


async def test_cursors_stay_usable_after_years(autojump_clock: trio.abc.Clock) -> None:
    """With 5,000 origins a page, a resumed subscription and a peer's pull take less than a second each.

    Of this process, that is: how fast the machine gets round to it says nothing of it.
    """
    store, vector = years_old("server-1")
    async with bench(of=2) as cluster:
        server = await cluster.start("server-1", store=store)
        async with talking(cluster, "ana", brokers=[]) as chat:
            began = time.process_time()
            page = await chat.history("geral", limit=10, since=vector)
            assert (len(page), dict(page.upto)) == (0, vector)
            assert time.process_time() - began < 1
            await server.ask("login", user="ana")
            await server.ask("channel", channel="geral")
            await server.say("nova")
            began = time.process_time()
            async with chat.subscribe("geral", since={"#geral": vector}) as incoming:
                assert (await anext(incoming)).text == "nova"
                assert len(incoming.cursor["#geral"]) == ORIGINS + 1
            assert time.process_time() - began < 1
        other, _ = years_old("server-2")
        await cluster.start("server-2", store=other)
        began = time.process_time()
        await cluster.level()
        assert time.process_time() - began < 1


async def test_a_name_that_was_listed_is_in_every_later_list(autojump_clock: trio.abc.Clock) -> None:
    """Lists of names do not go back when another server, which lags, is asked."""
    links = Links()
    async with three(links) as cluster, talking(cluster, "ana") as chat:
        await chat.login()
        for peer in ("server-2", "server-3"):
            links.cut("server-1", peer)
        server = cluster.running["server-1"]
        assert (await server.ask("channel", channel="novo"))["status"] == "sucesso"
        assert await chat.channels() == ["novo"]
        links.cut("ana", "server-1")
        assert await chat.channels() == []
        assert chat.behind, "nobody else has it, and that is said"
        links.heal()
        links.cut("ana", "server-1")
        await trio.sleep(6)
        assert await chat.channels() == ["novo"]
        assert not chat.behind
