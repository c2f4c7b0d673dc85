"""Lists of names: whole if a reply has room for them, in pages if they are asked for, cut if they must be."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from daemons.server.reads import names_page
from recado.protocol.limits import PLAIN_SYNC_ITEMS_MAX
from recado.protocol.messages import Names
from tests.daemons.server.peer_frames import ORIGIN, log_of, stored
from tests.daemons.server.server_bench import Running, bench, lone

MANY = [f"canal-{n}" for n in range(5000)]


@asynccontextmanager
async def crowded() -> AsyncIterator[Running]:
    """A server with 5,000 channels, each with one message."""
    async with bench() as cluster:
        yield await cluster.start(
            "server-1", store=stored("server-1", log_of(ORIGIN, len(MANY), targets=MANY))
        )


async def test_five_thousand_names_come_whole(autojump_clock: trio.abc.Clock) -> None:
    """A client that knows nothing of pages gets every name, and no field that it does not know."""
    async with crowded() as server:
        reply = await server.ask("channels")
        assert reply["channels"] == reply["users"] == MANY
        assert "more" not in reply


@pytest.mark.parametrize("limit", [1999, 2500, 5000])
async def test_pages_of_names_are_the_whole_list(autojump_clock: trio.abc.Clock, limit: int) -> None:
    """Asked on with the last name of each page, the pages are the list, and the last one says so."""
    async with crowded() as server:
        found: list[str] = []
        more = True
        while more:
            after = {"after": found[-1]} if found else {}
            page = await server.ask("channels", limit=limit, **after)
            assert len(page["channels"]) == min(limit, len(MANY) - len(found))
            found += page["channels"]
            more = page["more"]
        assert found == MANY


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"after": "outro"}, "behind"), ({"limit": 0}, "malformed"), ({"after": 7}, "malformed")],
)
async def test_a_page_that_cannot_be_told(
    autojump_clock: trio.abc.Clock, fields: dict[str, Any], code: str
) -> None:
    """A name that this server does not know, and a page of nothing, are refused."""
    async with lone() as server:
        await server.furnish()
        assert (await server.ask("users", **fields))["code"] == code


@pytest.mark.parametrize(("bytes_max", "whole"), [(15, 2), (14, 2), (13, 1), (21, 3)])
def test_a_list_beyond_the_frame_is_cut(bytes_max: int, whole: int) -> None:
    """As many names come as have room, and `more` says whether these were all."""
    here: Sequence[str] = ["a" * 5, "b" * 5, "c" * 5]
    page, told = names_page(here, Names(), bytes_max=bytes_max)
    assert (list(page), told) == (list(here[:whole]), {} if whole == 3 else {"more": True})


async def test_plain_sync_of_many_names_comes_in_pages(autojump_clock: trio.abc.Clock) -> None:
    """No list of a page is longer than other projects' decoders take; together they are everything."""
    async with crowded() as server:
        channels: list[str] = []
        messages = 0
        content: dict[str, Any] = {"more": True}
        while content["more"]:
            since = {"last_sync": content["next_sync"]} if "next_sync" in content else {}
            content = await server.ask("sync", **since)
            items = len(content["channels"]) + len(content["channel_messages"])
            assert 0 < items <= PLAIN_SYNC_ITEMS_MAX
            channels += content["channels"]
            messages += len(content["channel_messages"])
        assert (channels, messages) == (MANY, len(MANY))
