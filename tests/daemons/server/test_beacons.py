"""Beacons: heads of all origins, and how many copies there are of what was written lately (E3, 3d)."""

from contextlib import suppress
from typing import Any

import trio

from daemons.server.durability import REPEAT_SECONDS, kept_by
from recado.protocol import codec
from recado.protocol.publications import BEACON_TOPIC
from recado.wire.ports import WireError
from tests.daemons.server.server_bench import BROKER, Bench, bench, until


async def beacons_of(cluster: Bench, nursery: trio.Nursery) -> dict[str, dict[str, Any]]:
    """The latest beacon of each server, kept up to date by a task."""
    latest: dict[str, dict[str, Any]] = {}
    host = cluster.network.host("broker")
    await cluster.ends.enter_async_context(host.forwarder(BROKER.xsub, BROKER.xpub))
    inward = await cluster.ends.enter_async_context(host.subscriber([BROKER.xpub]))
    inward.subscribe(BEACON_TOPIC)

    async def listen() -> None:
        with suppress(WireError):  # the test has ended
            while True:
                for _topic, body in await inward.receive_batch():
                    beacon = codec.decode_publication(body)
                    latest[beacon["server"]] = dict(beacon)

    nursery.start_soon(listen)
    return latest


def test_copies_are_counted_by_component() -> None:
    """The n-th largest component is what n members have; unknown origins count as nothing."""
    mine, others = {"a": 5, "b": 1}, [{"a": 3}, {"a": 4, "b": 2}]
    assert kept_by(1, mine, others, origins=["a", "b", "c"]) == {"a": 5, "b": 2, "c": 0}
    assert kept_by(2, mine, others, origins=["a", "b"]) == {"a": 4, "b": 1}
    assert kept_by(3, mine, others, origins=["a", "b"]) == {"a": 3, "b": 0}


async def test_beacons_tell_of_copies_as_members_confirm(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """With one of three members away a majority is told, not all; with its return, all; then nothing."""
    async with bench("server-1", "server-2", of=3) as cluster:
        latest = await beacons_of(cluster, nursery)
        server = cluster.running["server-1"]
        await server.furnish()
        said = await server.say("oi", level="quorum", id=b"0123456789abcdef")
        _, origin, seq = said["key"]
        for name in ("server-1", "server-2"):
            await until(lambda n=name: latest.get(n, {}).get("majority", {}).get(origin) == seq)
            assert latest[name]["all"].get(origin, 0) < seq
            assert latest[name]["heads"]["#geral"] == {origin: seq}
        await cluster.start("server-3")
        for name in ("server-1", "server-2", "server-3"):
            await until(lambda n=name: latest.get(n, {}).get("all", {}).get(origin) == seq, within_seconds=15)
        await trio.sleep(REPEAT_SECONDS + 5)
        assert all(origin not in latest[name]["all"] for name in latest)
        assert latest["server-1"]["vector"] == {origin: seq}


async def test_a_started_server_tells_of_its_last_origins(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """After a restart the first beacons name what the disk still has of the origins before (E8)."""
    async with bench("server-1", of=1) as cluster:
        latest = await beacons_of(cluster, nursery)
        server = cluster.running["server-1"]
        await server.furnish()
        _, origin, seq = (await server.say("oi"))["key"]
        await cluster.stop("server-1")
        latest.clear()
        await cluster.start("server-1", store=server.store)
        await until(lambda: "server-1" in latest)
        assert latest["server-1"]["vector"] == {origin: seq}


async def test_a_started_server_tells_of_its_last_messages(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """After a restart beacons name the heads of what was said last: its publication may have been lost
    with the server, and nothing else would ever tell of it (E3).
    """
    async with bench("server-1", of=1) as cluster:
        latest = await beacons_of(cluster, nursery)
        server = cluster.running["server-1"]
        await server.furnish()
        _, origin, seq = (await server.say("oi"))["key"]
        await cluster.stop("server-1")
        latest.clear()
        await cluster.start("server-1", store=server.store)
        await until(lambda: "server-1" in latest)
        assert latest["server-1"]["heads"] == {"#geral": {origin: seq}}
