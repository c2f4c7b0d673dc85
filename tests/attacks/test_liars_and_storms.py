"""Groups 15 and 16: a liar among the beacons, and a network that says everything ten times.

Expected: repairs at a bounded pace, since a beacon only raises suspicion; a reply answers one attempt, so
that neither copies nor lies are multiplied.  The machines: `tests/protocol/test_subscription*`, `test_retry`;
in storms of all faults, the judge of links in `tests/simulation/`.
"""

from collections import Counter
from collections.abc import Sequence

import anyio
import pytest
import trio

from recado.client import Subscription, connect
from recado.protocol import codec
from recado.protocol.publications import BEACON_TOPIC, beacon
from recado.wire.memory import MemoryNetwork, TrafficKind
from recado.wire.ports import Publication
from tests.client.fake_cluster import Cluster, FakeServer, fake_cluster
from tests.daemons.server.people import people

GERAL = {"channel": "geral", "user": "bob"}
LIES_PER_SECOND = 20
STORM_SECONDS = 60
SERVERS = 3
REPAIR_SECONDS = 5.0  # at most one repair in so long asks each server
COPIES = 10
MESSAGES = 20

LIES: dict[str, dict[str, dict[str, int]]] = {
    "heads at the end of numbers": {"#geral": {"server-1.0000000000000abc": 2**53}},
    "an origin that never was": {"#geral": {"server-9.00000000000000aa": 2**53 - 1}},
    "ten thousand origins": {"#geral": {f"server-9.{n:016x}": 1 for n in range(10_000)}},
    "heads below zero": {"#geral": {"server-1.0000000000000abc": -1}},
}


def lie(server: FakeServer, heads: dict[str, dict[str, int]], number: int) -> None:
    """A beacon with these heads, a little more each time."""
    told = {target: {o: n + number for o, n in seqs.items()} for target, seqs in heads.items()}
    body = beacon(server=server.name, boot="b", heads=told, vector=told["#geral"], timestamp=1000, clock=1)
    assert server.publisher is not None
    server.publisher.publish([Publication(BEACON_TOPIC, codec.pack(body))])


async def storm(liar: FakeServer, heads: dict[str, dict[str, int]]) -> None:
    for number in range(STORM_SECONDS * LIES_PER_SECOND):
        lie(liar, heads, number)
        await anyio.sleep(1 / LIES_PER_SECOND)


async def heard(incoming: Subscription, count: int) -> list[str]:
    with anyio.fail_after(30):
        return [(await anext(incoming)).text for _ in range(count)]


def asked(cluster: Cluster) -> Counter[str]:
    return Counter(one.service for server in cluster.servers for one in server.asked)


@pytest.mark.slow
@pytest.mark.parametrize("what", LIES)
async def test_a_liar_among_the_beacons(autojump_clock: trio.abc.Clock, what: str) -> None:
    """1,200 lies in a minute cost each server at most a repair in five seconds; messages arrive meanwhile."""
    async with fake_cluster(SERVERS) as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        async with chat.subscribe("geral") as incoming:
            await anyio.sleep(1)
            before = asked(cluster)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(storm, cluster.servers[2], LIES[what])
                await anyio.sleep(10)
                for number in range(5):
                    cluster.servers[0].say(GERAL, f"{number}")
                    assert await heard(incoming, 1) == [f"{number}"]
            cost = asked(cluster) - before
            assert cost.total() <= SERVERS * (STORM_SECONDS / REPAIR_SECONDS) + 10, cost
            cluster.servers[1].say(GERAL, "depois")
            assert await heard(incoming, 1) == ["depois"]


class Echoes:
    """A `Transit` on which some kinds of messages arrive ten times."""

    def __init__(self, *kinds: TrafficKind) -> None:
        self._kinds = kinds
        self.sent: Counter[str] = Counter()

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        self.sent[kind] += 1
        copies = COPIES if kind in self._kinds else 1
        return [0.001 * (n + 1) ** 2 for n in range(copies)]


@pytest.mark.parametrize("kinds", [("reply",), ("request",), ("publication",), ("request", "reply")])
async def test_every_word_ten_times(autojump_clock: trio.abc.Clock, kinds: tuple[TrafficKind, ...]) -> None:
    """Copies of replies, requests and publications make no request more, and no message is shown twice."""
    quiet, noisy = await conversation(Echoes()), await conversation(Echoes(*kinds))
    assert noisy["request"] <= quiet["request"] + 5, (quiet, noisy)


async def conversation(echoes: Echoes) -> Counter[str]:
    """Twenty messages and who listens to them; what went over the wires."""
    async with (
        fake_cluster(SERVERS, network=MemoryNetwork(echoes)) as cluster,
        connect("ana", **cluster.reaching()) as chat,
    ):
        await chat.create_channel("geral")
        async with chat.subscribe("geral") as incoming:
            await anyio.sleep(1)
            for number in range(MESSAGES):
                await chat.publish("geral", f"{number}")
            assert await heard(incoming, MESSAGES) == [f"{n}" for n in range(MESSAGES)]
            with anyio.move_on_after(10):
                pytest.fail(f"shown twice: {await anext(incoming)}")
    return echoes.sent


@pytest.mark.slow
async def test_servers_in_an_echoing_network(autojump_clock: trio.abc.Clock) -> None:
    """Three servers, each word ten times, for a minute: each message once, no more asked than in peace."""
    sent = {}
    for name, echoes in (("peace", Echoes()), ("echoes", Echoes("request", "reply"))):
        async with people("server-1", "server-2", "server-3", of=3, transit=echoes) as cluster:
            await cluster.login("ana")
            await cluster.done("ana", "channel", channel="geral", user="ana")
            for number in range(MESSAGES):
                said = {"user": "ana", "channel": "geral", "message": f"{number}"}
                await cluster.done("ana", "publish", id=b"%d" % number, **said)
            await trio.sleep(60)
            await cluster.level()
            told = await cluster.done("ana", "history", channel="geral", at="server-3")
            assert [one["message"] for one in told["messages"]] == [f"{n}" for n in range(MESSAGES)]
            sent[name] = echoes.sent["request"]
    assert sent["echoes"] < 1.5 * sent["peace"], sent
