"""The library searches real servers on the network in memory."""

import pytest
import trio

from recado.client import NameRefused, TextRefused, connect
from tests.daemons.server.server_bench import Bench, bench, until
from tests.daemons.server.test_library_and_servers import talking


async def indexed(cluster: Bench) -> None:
    """Wait until every server has the same, and has it in its index."""
    await cluster.level()
    for one in cluster.running.values():
        await until(lambda node=one.node: (node.search_state() or {}).get("lag") == 0)  # type: ignore[misc]


async def test_what_was_said_is_found_page_by_page(autojump_clock: trio.abc.Clock) -> None:
    """Words of a channel, an author, direct messages; `earlier` turns back; errors have their classes."""
    async with (
        bench("server-1", "server-2", of=2) as cluster,
        talking(cluster, "ana") as ana,
        talking(cluster, "bia") as bia,
    ):
        for chat in (ana, bia):
            await chat.login()
        for name in ("geral", "livros"):
            await ana.create_channel(name)
        for n in range(5):
            await ana.publish("geral", f"um café, número {n}")
        await bia.publish("livros", "café com letras")
        await ana.message("bia", "café às dez?")
        await indexed(cluster)
        found = await bia.search("cafe", limit=4)
        assert [m.text for m in found][-2:] == ["um café, número 4", "café com letras"]
        assert (found.more, found.partial, found.lag, found.behind, len(found)) == (True, False, 0, False, 4)
        earlier = await bia.search("cafe", before=found.earlier)
        assert [m.text for m in earlier] == ["um café, número 0", "um café, número 1"]
        assert not earlier.more
        assert [m.channel for m in await ana.search("café", author="bia")] == ["livros"]
        assert len(await ana.search("café", channel="geral")) == 5
        for chat, peer in ((ana, "bia"), (bia, "ana")):
            (direct,) = await chat.search('"as dez"', peer=peer)
            assert (direct.src, direct.dst, direct.text) == ("ana", "bia", "café às dez?")
        assert len(await ana.search("dez", direct=True)) == 1
        with pytest.raises(TextRefused):
            await ana.search("?!")


async def test_a_reader_without_a_name_searches_channels(autojump_clock: trio.abc.Clock) -> None:
    """`connect(None)` may search what everybody may read, and nobody's direct messages."""
    async with bench("server-1", of=1) as cluster:
        one = cluster.running["server-1"]
        await one.furnish()
        await one.say("oi a todos")
        await indexed(cluster)
        async with connect(None, servers=[one.asker.address], network=cluster.network.host("x")) as chat:
            assert [m.text for m in await chat.search("todos")] == ["oi a todos"]
            with pytest.raises(NameRefused):
                await chat.search("todos", direct=True)
