"""Group 14: who reads without end, from everywhere, with limits from nowhere.

Expected: pages of bounded size in bounded time of the processor, and `rate_limited` beyond one's rate.
Pages and bounds for honest readers: `tests/daemons/server/test_reads`; rates: `test_rates` there.
"""

from typing import Any

import pytest
import trio

from recado.protocol import codec
from recado.protocol.limits import (
    CURSOR_FRAME_BYTES_MAX,
    HISTORY_MESSAGES_MAX,
    HISTORY_PAGE_BYTES_MAX,
    PEER_MAP_ITEMS_MAX,
)
from recado.wire.ports import Principal
from tests.attacks.conduct import cpu_seconds
from tests.daemons.server.people import people, principal
from tests.daemons.server.server_bench import Running, bench
from tests.daemons.server.test_rates import limits

MESSAGES = 3000
CPU_SECONDS_MAX = 0.25  # for the largest page, made and read
ORIGIN = "server-1.00000000000000aa"


async def full(server: Running) -> None:
    """A channel with much in it."""
    await server.furnish()
    for number in range(MESSAGES):
        await server.say(f"{number} " + "x" * 400)


LIMITS = (-1, 0, 1, 10**9, 2**53, 2**63, -(2**63), 2**64 - 1, 1.5, "1000", True)


@pytest.mark.slow
async def test_limits_from_nowhere(autojump_clock: trio.abc.Clock) -> None:
    """Whatever is asked for, a page has between one message and the largest page's, or it is refused."""
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await full(server)
        for service in ("history", "get_publications", "history_channel"):
            for limit in LIMITS:
                for since in (None, {}, {ORIGIN: 2**53 - 1}):
                    asked = {"channel": "geral", "limit": limit, "since": since}
                    took = await cpu_seconds(lambda s=service, a=asked: server.ask(s, **a), attempts=2)
                    assert took < CPU_SECONDS_MAX, (service, limit, took)
                    data = await server.ask(service, **asked)
                    if type(limit) is int and -(2**63) <= limit < 2**64:
                        assert 1 <= len(data["messages"]) <= HISTORY_MESSAGES_MAX
                        assert len(codec.pack(data["messages"])) < 2 * HISTORY_PAGE_BYTES_MAX
                    else:
                        assert data["code"] == "malformed"


PLACES: dict[str, Any] = {
    "before everything": [0, "", 0],
    "after everything": [2**53 - 1, "\U0010ffff", 2**53 - 1],
    "beyond numbers": [2**64 - 1, "x", 1],
    "below zero": [-1, "x", -1],
    "too short": [1, "x"],
    "too long": [1, "x", 1, 1],
    "words": ["1", "x", "1"],
    "an origin of a page": [1, "x" * 60_000, 1],
}


@pytest.mark.parametrize("place", PLACES)
async def test_places_from_nowhere(autojump_clock: trio.abc.Clock, place: str) -> None:
    """A place that none of our messages has gives a page, perhaps empty, or `malformed`."""
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        await server.say("um")
        data = await server.ask("history", channel="geral", before=PLACES[place])
        assert data.get("code") in (None, "malformed")
        assert len(data.get("messages", [])) <= 1


def origins(count: int) -> dict[str, int]:
    return {f"server-1.{n:016x}": 1 for n in range(count)}


FITS = 28_000  # of a cursor in the largest frame that a client may send


@pytest.mark.slow
@pytest.mark.parametrize("field", ["since", "session", "have"])
async def test_vectors_of_a_hundred_thousand_origins(autojump_clock: trio.abc.Clock, field: str) -> None:
    """As many origins as fit are served in bounded time; more are refused, and nobody waits for it."""
    service = "audit" if field == "have" else "history"
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        await server.say("um")
        assert len(codec.pack(origins(FITS))) < CURSOR_FRAME_BYTES_MAX < len(codec.pack(origins(100_000)))
        asked = {"channel": "geral", field: origins(FITS)}
        assert await cpu_seconds(lambda: server.ask(service, **asked)) < CPU_SECONDS_MAX
        for count in (FITS + 20_000, PEER_MAP_ITEMS_MAX + 1, 100_000):
            _, data = await server.send(codec.encode(service, {"channel": "geral", field: origins(count)}))
            assert data["code"] == "malformed"
        assert await server.texts() == ["um"]


async def test_everything_in_a_loop(autojump_clock: trio.abc.Clock) -> None:
    """Who reads all of it without a pause is refused beyond the address's rate, with the time to wait."""
    rates = limits(address_requests_per_second=5.0, address_requests_burst=20)
    async with people(limits=rates) as cluster:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        greedy, modest = _at("10.0.0.1"), _at("10.0.0.2")
        told = [(await cluster.raw(greedy, "history", channel="geral", since={})) for _ in range(100)]
        refused = [one for one in told if one.get("code") == "rate_limited"]
        assert len(refused) == 80
        assert 0 < refused[0]["retry_after"] <= 0.3
        assert (await cluster.raw(modest, "history", channel="geral", since={}))["status"] == "OK"
        await trio.sleep(1)
        assert (await cluster.raw(greedy, "history", channel="geral", since={}))["status"] == "OK"


def _at(address: str) -> Principal:

    return principal("ana", address=address)
