"""Searches at servers that were killed and robbed of their disks: all find what is shown."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from verdict import final_states
from workload import Crowd, PlainClient
from world import World

from recado.protocol import codec

Simulate = Callable[..., Any]
SEED = 4  # one of those with an index
Place = tuple[int, str, int]


async def ask(world: World, server: str, **fields: Any) -> dict[str, Any]:
    """One search, or the status if nothing is looked for."""
    address = world.servers[server].member.address
    async with world.network.host("searcher").asker(address) as asker:
        service = "search" if fields else "status"
        data: dict[str, Any] = codec.unpack(await asker.ask(codec.encode(service, fields)))["data"]
        return data


async def found(world: World, server: str) -> list[Place]:
    """Where everything is that has been said on channels, page by page, once the index has it."""
    for _ in range(100):
        if (await ask(world, server))["search"]["lag"] == 0:
            break
        await trio.sleep(0.5)
    places: list[Place] = []
    before: dict[str, Any] = {}
    while True:
        page = await ask(world, server, text="says", limit=50, **before)
        places = [*((m["clock"], m["origin"], m["seq"]) for m in page["messages"]), *places]
        if not page["more"]:
            return places
        before = {"before": list(places[0])}


@pytest.mark.slow
def test_all_servers_find_what_is_shown(simulate: Simulate) -> None:
    """After a kill and a lost disk each server finds every message once, in their order."""

    async def story(world: World) -> None:
        crowd = Crowd(world, clients=(PlainClient,) * 3, pause_seconds=0.3)
        world.nursery.start_soon(crowd.run)
        await trio.sleep(10.0)
        world.servers["server-2"].kill()
        await trio.sleep(5.0)
        world.servers["server-2"].start()
        world.servers["server-3"].kill()
        await trio.sleep(2.0)
        world.servers["server-3"].restore(None)
        world.servers["server-3"].start()
        await trio.sleep(10.0)
        await crowd.go_home(within_seconds=60.0)
        await world.until(world.level, within_seconds=30.0, what="equal replicas")
        shown = [(row.lamport, row.origin, row.seq) for row in final_states(world)[0].views.channel_messages]
        assert len(shown) > 20
        for name in world.servers:
            assert await found(world, name) == shown

    simulate(story, seed=SEED)
