"""Subscriptions while servers lack the names of users, in virtual time, under trio and asyncio."""

import anyio
from both_loops import on_both_loops
from fake_cluster import fake_cluster
from test_client_subscriptions import GERAL, nothing_more

from recado.client import connect

TO_ANA = {"from": "bob", "src": "bob", "dst": "ana"}
SECONDS = 20  # a silence of 6 s, and the pages that are put off


@on_both_loops
async def test_an_author_is_shown_by_the_name_that_any_server_knows() -> None:
    """A message that is fetched from a server to which its author is unknown is not shown as `?`."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        for server in cluster.servers[:2]:
            server.unknown = {"bob"}
        async with chat.subscribe("geral") as incoming:
            cluster.servers[0].say(GERAL, "oi", publish=False)
            with anyio.fail_after(SECONDS):
                message = await anext(incoming)
            assert (message.user, message.text) == ("bob", "oi")
            await nothing_more(incoming)


@on_both_loops
async def test_a_direct_message_reaches_whom_a_server_does_not_know() -> None:
    """A server that lacks the receiver's registration, so that its history says `?`, loses nothing."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        cluster.servers[0].say(TO_ANA, "antes")
        for server in cluster.servers[:2]:
            server.unknown = {"ana"}
        async with chat.subscribe(direct=True, backlog=10) as incoming:
            cluster.servers[0].say(TO_ANA, "oi", publish=False)
            with anyio.fail_after(SECONDS):
                found = [await anext(incoming), await anext(incoming)]
            assert [(m.src, m.dst, m.text) for m in found] == [("bob", "ana", "antes"), ("bob", "ana", "oi")]
            await nothing_more(incoming)


@on_both_loops
async def test_a_direct_message_is_shown_although_no_server_knows_the_receiver() -> None:
    """What is in the history of this user and not from this user is to this user, whatever it says."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        cluster.servers[0].say({"from": "ana", "src": "ana", "dst": "caio"}, "não é para ana")
        cluster.servers[0].say(TO_ANA, "oi")
        for server in cluster.servers:
            server.unknown = {"ana", "caio"}
        async with chat.subscribe(direct=True, backlog=1) as incoming:
            with anyio.fail_after(SECONDS):
                message = await anext(incoming)
            assert (message.src, message.dst, message.text) == ("bob", "?", "oi")
            await nothing_more(incoming)
