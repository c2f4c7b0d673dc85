"""Clock tags (A14): whose clocks a server of a secured cluster believes, and what nobody gets vouched for."""

from typing import Any

import pytest
import trio

from recado.protocol.clock_tag import clock_tag, is_tagged
from recado.protocol.lamport import ceiling
from recado.protocol.limits import CLIENT_ADVANCE_PER_REQUEST
from tests.daemons.server.links import Links
from tests.daemons.server.secured_bench import CLUSTER_KEY, furnish, secured
from tests.daemons.server.server_bench import BIRTH, Running, lone

FAR = 50_000


async def ahead(server: Running) -> tuple[int, bytes]:
    """Bring a server's clock far ahead, as a cluster's tag does; what it then tells."""
    reply = await server.ask("users", clock=FAR, ctag=clock_tag(CLUSTER_KEY, FAR))
    assert reply["clock"] > FAR
    return reply["clock"], reply["ctag"]


async def test_every_reply_tells_a_clock_with_its_tag(autojump_clock: trio.abc.Clock) -> None:
    """Successes and refusals alike; the tag is that of this cluster."""
    async with secured("server-1") as cluster:
        server = cluster.running["server-1"]
        for service in ("users", "publish", "no such service"):
            reply = await server.ask(service)
            assert is_tagged(CLUSTER_KEY, reply["clock"], reply["ctag"]), service


async def test_own_order_survives_the_change_to_a_server_far_behind(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A writer changes to a server that is cut off and 50,000 ticks behind: its next message comes last."""
    links = Links()
    async with secured("server-1", "server-2", of=2, transit=links) as cluster:
        one, two = cluster.running.values()
        await furnish(one)
        await cluster.level()
        links.cut("server-1", "server-2")
        await ahead(one)
        first = await one.say("primeiro")
        second = await two.say("segundo", clock=first["clock"], ctag=first["ctag"])
        assert second["key"][0] > first["key"][0]
        links.heal()
        await cluster.level(within_seconds=60)
        assert await one.texts() == await two.texts() == ["primeiro", "segundo"]


FALSE_TAGS: dict[str, Any] = {
    "none": None,
    "of a smaller clock": clock_tag(CLUSTER_KEY, FAR - 1),
    "of another cluster": clock_tag(bytes(32), FAR),
    "empty": b"",
    "cut": clock_tag(CLUSTER_KEY, FAR)[:7],
}


@pytest.mark.parametrize("tag", FALSE_TAGS)
async def test_without_its_tag_a_clock_moves_ours_only_so_far(
    autojump_clock: trio.abc.Clock, tag: str
) -> None:
    """A13's budget holds for whoever has no tag, and the reply that exceeds the lie is not vouched for."""
    async with secured("server-1") as cluster:
        server = cluster.running["server-1"]
        before = (await server.ask("users"))["clock"]
        reply = await server.ask("users", clock=FAR, ctag=FALSE_TAGS[tag])
        assert reply["clock"] > FAR
        assert "ctag" not in reply
        assert (await server.ask("users"))["clock"] <= before + CLIENT_ADVANCE_PER_REQUEST + 10


async def test_a_lie_can_t_be_laundered(autojump_clock: trio.abc.Clock) -> None:
    """What a server answers to a poisoned clock moves no other server far either (A13)."""
    async with secured("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running.values()
        most = lie = ceiling(BIRTH) - 1000
        for _ in range(3):
            echoed = await one.ask("users", clock=lie)
            told = {key: echoed[key] for key in ("clock", "ctag") if key in echoed}
            await two.ask("users", **told)
            lie = min(echoed["clock"], most)
        for server in (one, two):
            assert (await server.ask("users"))["clock"] < 100_000


async def test_a_member_s_clock_needs_its_tag_too(autojump_clock: trio.abc.Clock) -> None:
    """A pull with a clock far ahead moves ours only with a tag."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]

        async def pull(**more: Any) -> int:
            who = {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}
            await cluster.ask_as(cluster.host("server-2").principal, server, "sync", **who, **more)
            return int((await server.ask("users"))["clock"])

        assert await pull(clock=FAR) < FAR
        assert await pull(clock=FAR, ctag=clock_tag(CLUSTER_KEY, FAR)) > FAR


async def test_members_tell_each_other_tagged_clocks(autojump_clock: trio.abc.Clock) -> None:
    """What one server has learned all have within a round of pulls, however far they were behind."""
    async with secured("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running.values()
        await ahead(one)
        await trio.sleep(10)
        assert (await two.ask("users"))["clock"] > FAR


async def test_open_mode_knows_no_tags(autojump_clock: trio.abc.Clock) -> None:
    """No reply has one, and none is believed."""
    async with lone() as server:
        reply = await server.ask("users", clock=FAR, ctag=clock_tag(b"", FAR))
        assert "ctag" not in reply
        assert (await server.ask("users"))["clock"] < FAR
