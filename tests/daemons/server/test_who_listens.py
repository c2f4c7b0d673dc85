"""In open mode a server publishes what somebody listens to, each message by itself or in runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from recado.forms import SETTLED_SECONDS
from recado.protocol import codec
from recado.protocol.limits import RUN_BYTES_MAX
from recado.protocol.publications import BEACON_TOPIC, RUNS_TOPIC, out_of_run, run_topic
from recado.wire.memory_pubsub import MemoryForwarder, MemorySubscriber
from recado.wire.ports import Publication
from tests.daemons.server.disks import Brake
from tests.daemons.server.server_bench import BROKER, Bench, bench
from tests.daemons.server.test_library_and_servers import talking

Heard = list[tuple[bytes, Any]]
SAID = 10


@asynccontextmanager
async def ears(cluster: Bench, *topics: bytes) -> AsyncIterator[list[Heard]]:
    """One subscriber to each of the topics, and what it hears."""
    heard: list[Heard] = [[] for _ in topics]

    async def listen(topic: bytes, mine: Heard) -> None:
        async with cluster.network.host("ears").subscriber([BROKER.xpub]) as inward:
            inward.subscribe(topic)
            while True:
                mine += [(topic, codec.unpack(body)) for topic, body in await inward.receive_batch()]

    async with trio.open_nursery() as nursery:
        for topic, mine in zip(topics, heard, strict=True):
            nursery.start_soon(listen, topic, mine)
        await trio.sleep(5)
        yield heard
        nursery.cancel_scope.cancel()


async def said_in_one_commit(cluster: Bench, brake: Brake) -> None:
    """Ten messages that wait for one commit."""
    one = cluster.running["server-1"]
    brake.hold()
    async with trio.open_nursery() as nursery:
        for number in range(SAID):
            nursery.start_soon(partial(one.say, "oi", id=b"m%d" % number))
        await trio.sleep(1)
        brake.released.set()
    await trio.sleep(1)


@asynccontextmanager
async def speaking(brake: Brake) -> AsyncIterator[Bench]:
    """A server that can be made to wait with its commits, and a broker."""
    async with (
        bench(of=1) as cluster,
        cluster.network.host("broker").forwarder(BROKER.xsub, BROKER.xpub),
    ):
        one = await cluster.start("server-1", committer=brake)
        await one.furnish()
        yield cluster


def sizes(heard: Heard, topic: bytes) -> list[int]:
    """How many messages each frame at a topic held; 0 stands for a map, which is not in a list."""
    return [len(body) if isinstance(body, list) else 0 for at, body in heard if at == topic]


async def test_each_form_is_published_to_who_listens_to_it(autojump_clock: trio.abc.Clock) -> None:
    """Whoever subscribes to a name, or the beginning of one, gets each message once as a map, and no run."""
    brake, shared = Brake(), run_topic(b"geral")
    async with speaking(brake) as cluster, ears(cluster, b"geral", b"ge", shared) as heard:
        await said_in_one_commit(cluster, brake)
        plain, prefix, runs = heard
        assert sizes(plain, b"geral") == sizes(prefix, b"geral") == [0] * SAID
        assert {topic for topic, _ in plain + prefix} == {b"geral"}
        assert [m for _, run in runs for m in out_of_run(run)] == [message for _, message in plain]
        assert max(sizes(runs, shared)) >= SAID


async def test_who_listens_to_everything_gets_no_run(autojump_clock: trio.abc.Clock) -> None:
    """One who does ends the runs for all, and beacons say so before the next message."""
    brake, shared = Brake(), run_topic(b"geral")
    async with speaking(brake) as cluster, ears(cluster, BEACON_TOPIC, shared) as (beacons, runs):
        assert beacons[-1][1]["runs"] is True
        async with ears(cluster, b"") as (everything,):
            await said_in_one_commit(cluster, brake)
            assert sizes(everything, b"geral") == [0] * SAID
            assert not [topic for topic, _ in everything if topic.startswith(RUNS_TOPIC)]
            assert [body["runs"] for topic, body in everything if topic == BEACON_TOPIC][-1] is False
            assert runs == []
        await said_in_one_commit(cluster, brake)
        await trio.sleep(5)
        assert beacons[-1][1]["runs"] is True


async def test_what_nobody_listens_to_is_not_published(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it comes to the broker, in neither form; beacons still tell of it."""
    brake, forward = Brake(), MemoryForwarder.forward
    arrived: list[bytes] = []

    def noted(broker: MemoryForwarder, publication: Publication, *, at: float) -> None:
        arrived.append(publication.topic)
        forward(broker, publication, at=at)

    async with speaking(brake) as cluster, ears(cluster, BEACON_TOPIC, b"outro") as (beacons, _):
        monkeypatch.setattr(MemoryForwarder, "forward", noted)
        await said_in_one_commit(cluster, brake)
        assert set(arrived) == {BEACON_TOPIC}
        assert beacons[-1][1]["heads"]["#geral"]


async def test_the_library_comes_to_hear_runs_and_loses_nothing(autojump_clock: trio.abc.Clock) -> None:
    """Before, while and after it changes the form, and while somebody hears everything: each message once."""
    brake = Brake()
    async with (
        speaking(brake) as cluster,
        talking(cluster, "bia") as chat,
        chat.subscribe("geral") as incoming,
    ):
        subscribers = [s for s in cluster.network.subscribers if isinstance(s, MemorySubscriber)]
        (ours,) = [s for s in subscribers if b"geral" in s.topics]
        one, number = cluster.running["server-1"], 0
        while b"geral" in ours.topics:
            assert number < 4 * SETTLED_SECONDS
            await one.say(f"{number}")
            number += 1
            await trio.sleep(1)
        assert run_topic(b"geral") in ours.topics
        async with ears(cluster, b""):
            for _ in range(10):
                await one.say(f"{number}")
                number += 1
                await trio.sleep(1)
            assert b"geral" in ours.topics
        with trio.fail_after(10):
            texts = [(await anext(incoming)).text for _ in range(number)]
        assert texts == [f"{n}" for n in range(number)]


async def test_a_channel_and_a_user_of_one_name_share_no_run(autojump_clock: trio.abc.Clock) -> None:
    """Nor does a run outgrow its limits; what comes out of them is what is published one by one."""
    brake, text = Brake(), "x" * 4000
    async with speaking(brake) as cluster, ears(cluster, b"ana", run_topic(b"ana")) as (plain, runs):
        one = cluster.running["server-1"]
        await one.ask("channel", channel="ana")
        brake.hold()
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(partial(one.ask, "publish", user="bia", channel="ana", message=text))
                nursery.start_soon(partial(one.ask, "message", src="bia", dst="ana", message=text))
            await trio.sleep(1)
            brake.released.set()
        await trio.sleep(1)
    told = [out_of_run(run) for _, run in runs]
    assert all(len({frozenset(message) for message in run}) == 1 for run in told)
    assert max(len(run) for run in told) * len(text) <= RUN_BYTES_MAX
    by_seq = sorted((message for run in told for message in run), key=lambda message: message["seq"])
    assert len(by_seq) == 12
    assert by_seq == sorted((message for _, message in plain), key=lambda message: message["seq"])
