"""What servers publish: own messages after their commit, beacons, coordinators; and what they hear."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.publications import BEACON_TOPIC, COORDINATOR_TOPIC
from recado.wire.ports import Publication
from tests.daemons.server.disks import Brake
from tests.daemons.server.server_bench import BROKER, Bench, bench, until


class Ear:
    """A subscriber of everything: `heard` holds (topic, body) of what was published."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, Any]] = []

    def named(self, topic: bytes) -> list[Any]:
        return [body for heard, body in self.heard if heard == topic]


@asynccontextmanager
async def listening(cluster: Bench) -> AsyncIterator[Ear]:
    """A broker that forwards, and an ear at it."""
    ear = Ear()
    host = cluster.network.host("broker")
    async with host.forwarder(BROKER.xsub, BROKER.xpub), host.subscriber([BROKER.xpub]) as inward:
        inward.subscribe(b"")

        async def listen() -> None:
            while True:
                for topic, body in await inward.receive_batch():
                    with suppress(Malformed):  # what a test says itself
                        ear.heard.append((topic, codec.unpack(body)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            yield ear
            nursery.cancel_scope.cancel()


async def test_messages_are_published_once_in_the_contract_s_form(autojump_clock: trio.abc.Clock) -> None:
    """One flat map for each message, on the channel's or the receiver's topic, by its own server alone."""
    async with bench(of=2) as cluster, listening(cluster) as ear:
        one, _ = await cluster.start("server-1"), await cluster.start("server-2")
        await one.furnish()
        await one.say("oi", id=b"m1")
        await one.ask("message", src="ana", dst="bia", message="psiu")
        await cluster.level()
        await trio.sleep(5)
        (spoken,) = ear.named(b"geral")
        assert {key: spoken[key] for key in ("channel", "user", "message", "id")} == {
            "channel": "geral", "user": "ana", "message": "oi", "id": b"m1",
        }  # fmt: skip
        assert type(spoken["timestamp"]) is type(spoken["clock"]) is int
        (whispered,) = ear.named(b"bia")
        assert (whispered["from"], whispered["src"], whispered["dst"]) == ("ana", "ana", "bia")


async def test_nothing_leaves_before_its_commit(autojump_clock: trio.abc.Clock) -> None:
    """While the commit is out the message is at no peer and at no subscriber (I4)."""
    brake = Brake()
    async with bench(of=2) as cluster, listening(cluster) as ear, trio.open_nursery() as nursery:
        one = await cluster.start("server-1", committer=brake)
        two = await cluster.start("server-2")
        await one.furnish()
        await cluster.level()
        brake.hold()
        said = await one.later(nursery, "publish", user="ana", channel="geral", message="oi")
        await trio.sleep(10)
        assert two.store.message_counts()[0] == 0
        assert ear.named(b"geral") == said == []
        brake.released.set()
        await until(lambda: bool(ear.named(b"geral") and said))
        await cluster.level()


async def test_beacons_tell_of_the_last_message(autojump_clock: trio.abc.Clock) -> None:
    """Soon after a burst a beacon names the heads, so that a lost last publication is noticed."""
    async with bench("server-1", of=1) as cluster, listening(cluster) as ear:
        await trio.sleep(1)
        _, origin, seq = (await cluster.running["server-1"].ask("channel", channel="geral"))["key"]
        _, origin, seq = (await cluster.running["server-1"].say("oi"))["key"]
        await trio.sleep(0.5)
        beacon = ear.named(BEACON_TOPIC)[-1]
        assert beacon["heads"] == {"#geral": {origin: seq}}
        assert beacon["vector"] == {origin: seq}


async def test_the_coordinator_is_announced(autojump_clock: trio.abc.Clock) -> None:
    """The winner says so on `servers`, in the contract's envelope."""
    async with bench("server-1", "server-2", of=2) as cluster, listening(cluster) as ear:
        await until(lambda: bool(ear.named(COORDINATOR_TOPIC)), within_seconds=30)
        said = ear.named(COORDINATOR_TOPIC)[0]
        assert said["service"] == "election"
        assert said["data"]["coordinator"] == "server-2"
        assert type(said["data"]["timestamp"]) is type(said["data"]["clock"]) is int


HEARD: list[Any] = [
    7, None, [], {}, {"service": "election"}, {"service": "election", "data": []}, {"service": 7, "data": {}},
    *({"service": "election", "data": {"coordinator": "server-9", "clock": clock}}
      for clock in ("x", b"x", True, -1, float("nan"), 2**64 - 1, [], {})),
    *({"service": "election", "data": {"coordinator": name, "clock": 1, "epoch": epoch}}
      for name in (7, None, [], "server-2") for epoch in (7, [], ["x"], [2**64 - 1, 9, "server-2", "b"], {})),
]  # fmt: skip


async def test_no_announcement_ends_a_server(autojump_clock: trio.abc.Clock) -> None:
    """Anybody may publish on `servers`; whatever it is, the server goes on and follows nobody unknown."""
    async with bench("server-1", of=2) as cluster, listening(cluster):
        async with cluster.network.host("client").publisher([BROKER.xsub]) as out:
            for body in (b"", b"\xc1", *map(codec.pack, HEARD)):
                out.publish([Publication(COORDINATOR_TOPIC, body)])
                out.publish([Publication(COORDINATOR_TOPIC + b"x", body)])
            await trio.sleep(20)
        status = await cluster.running["server-1"].ask("status")
        assert status["coordinator"] in ("", "server-1")
        assert status["clock"] < 10_000


async def test_without_a_broker_everything_else_works(autojump_clock: trio.abc.Clock) -> None:
    """A dead broker costs publications only."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one = cluster.running["server-1"]
        await one.furnish()
        assert (await one.say("oi", level="all"))["acks"] == 2


async def test_a_plain_message_to_a_stranger_is_published_to_it(autojump_clock: trio.abc.Clock) -> None:
    """Who is registered nowhere here gets what another project's server passed on, by name; nobody is `?`."""
    async with bench() as cluster, listening(cluster) as ear:
        one = await cluster.start("server-1")
        content = {"src": "caio", "dst": "dora", "message": "psiu", "timestamp": 1_600_000_000}
        await one.ask("replicate", type="user_message", content=content)
        await trio.sleep(5)
        (spoken,) = ear.named(b"dora")
        assert (spoken["src"], spoken["dst"], spoken["message"]) == ("caio", "dora", "psiu")
        assert ear.named(b"?") == []
        (shown,) = (await one.ask("history", user="dora"))["messages"]
        assert (shown["src"], shown["dst"]) == ("caio", "dora")
        assert (await one.ask("login", user="?"))["code"] == "name_reserved"
