"""Reads: history and its pages, aliases, sessions, audit, status."""

from typing import Any

import pytest
import trio

from recado.protocol.limits import (
    HISTORY_MESSAGES_DEFAULT,
    HISTORY_MESSAGES_MAX,
    HISTORY_PAGE_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from storage.replica import Replica
from tests.daemons.server.peer_frames import ORIGIN, log_of, stored
from tests.daemons.server.server_bench import Running, bench, lone


def told(count: int, **how: Any) -> Replica:
    """A store with so many messages of one origin."""
    return stored("server-1", log_of(ORIGIN, count, **how))


async def pages(server: Running, *, since: dict[str, int], **fields: Any) -> list[list[dict[str, Any]]]:
    """All pages of a history from `since` on, each asked with the `upto` of the one before."""
    found = []
    while True:
        page = await server.ask("history", since=since, **fields)
        found.append(page["messages"])
        assert all(page["upto"].get(o, 0) >= n for o, n in since.items())
        if not page["more"]:
            assert page["upto"][ORIGIN] == server.store.heads()[ORIGIN].seq
            return found
        assert page["upto"] != since, "a page that moves nothing is asked for ever"
        since = page["upto"]


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
async def test_pages_give_everything_once(autojump_clock: trio.abc.Clock, limit: int) -> None:
    """Paging by `since` and `upto` shows each message of the channel once, in order, none of another."""
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=told(60, targets=("geral", "outro")))
        found = await pages(server, since={}, channel="geral", limit=limit)
        assert [m["message"] for page in found for m in page] == [f"m{n}" for n in range(0, 60, 2)]
        assert max(map(len, found)) <= limit
        assert await pages(server, since={ORIGIN: 60}, channel="geral") == [[]]
        later = await pages(server, since={ORIGIN: 30}, channel="geral", limit=limit)
        assert [m["seq"] for page in later for m in page] == list(range(31, 61, 2))


async def test_a_page_is_bounded_in_bytes(autojump_clock: trio.abc.Clock) -> None:
    """Long texts make short pages: none much larger than 1 MiB, nothing left out."""
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=told(150, text=f"{{:>{TEXT_BYTES_MAX}}}"))
        found = await pages(server, since={}, channel="geral", limit=1000)
        assert sum(map(len, found)) == 150
        assert len(found) >= 150 * TEXT_BYTES_MAX // HISTORY_PAGE_BYTES_MAX
        assert max(map(len, found)) * TEXT_BYTES_MAX <= HISTORY_PAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("limit", "count"),
    [(None, HISTORY_MESSAGES_DEFAULT), (0, 1), (-(2**63), 1), (2, 2), (2**64 - 1, HISTORY_MESSAGES_MAX)],
)
async def test_limit_is_bounded(autojump_clock: trio.abc.Clock, limit: int | None, count: int) -> None:
    """No limit is the default, absurd ones become 1 or the maximum; the last messages come."""
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=told(HISTORY_MESSAGES_MAX + 1))
        page = await server.ask("history", channel="geral", limit=limit)
        assert len(page["messages"]) == count
        assert page["more"]
        assert page["messages"][-1]["message"] == f"m{HISTORY_MESSAGES_MAX}"


async def test_before_goes_back_in_order(autojump_clock: trio.abc.Clock) -> None:
    """`before` with the key of the first message shown gives the ones before it, to the beginning."""
    async with bench(of=1) as cluster:
        server = await cluster.start("server-1", store=told(25))
        texts: list[str] = []
        before = None
        while True:
            page = await server.ask("history", channel="geral", limit=10, before=before)
            texts = [m["message"] for m in page["messages"]] + texts
            if not page["more"]:
                break
            first = page["messages"][0]
            before = [first["clock"], first["origin"], first["seq"]]
        assert texts == [f"m{n}" for n in range(25)]


@pytest.mark.parametrize(
    "fields",
    [{"limit": "10"}, {"limit": 1.5}, {"since": []}, {"since": {"a": -1}}, {"since": {"a": 2**53}},
     {"since": {"a": "1"}}, {"before": [1, "a"]}, {"before": [2**63, "a", 1]}, {"before": [1, 2, 3]},
     {"before": "x"}, {"session": {"a": True}}, {"session": [1]}, {"channel": 7}, {"user": b"ana"}],
)  # fmt: skip
async def test_a_wrong_type_in_a_read_is_malformed(
    autojump_clock: trio.abc.Clock, fields: dict[str, Any]
) -> None:
    """Fields of reads are checked like those of writes."""
    async with lone() as server:
        await server.furnish()
        assert (await server.ask("history", **{"channel": "geral", **fields}))["code"] == "malformed"
        assert server.faults() == []


async def test_direct_messages_are_read_from_both_ends(autojump_clock: trio.abc.Clock) -> None:
    """The sender's and the receiver's history hold them; `peer` narrows; others' are not in it."""
    async with lone() as server:
        await server.furnish()
        await server.ask("login", user="caio")
        for src, dst in (("ana", "bia"), ("bia", "ana"), ("caio", "ana"), ("bia", "caio")):
            await server.ask("message", src=src, dst=dst, message=f"{src} a {dst}")

        async def heard(**fields: Any) -> list[str]:
            return [m["message"] for m in (await server.ask("history", **fields))["messages"]]

        assert await heard(user="ana") == ["ana a bia", "bia a ana", "caio a ana"]
        assert await heard(user="ana", peer="bia") == ["ana a bia", "bia a ana"]
        assert await heard(user="caio", since={}) == ["caio a ana", "bia a caio"]
        shown = (await server.ask("history", user="ana", limit=1))["messages"][0]
        assert (shown["from"], shown["src"], shown["dst"]) == ("caio", "caio", "ana")


@pytest.mark.parametrize(
    ("alias", "fields", "text"),
    [("get_messages", {"username": "bia"}, "segredo"), ("get_publications", {"channel": "geral"}, "oi"),
     ("history_channel", {"channel": "geral"}, "oi"), ("history_messages", {"user": "bia"}, "segredo"),
     ("get_messages", {"username": "bia", "channel": "geral"}, "segredo")],
)  # fmt: skip
async def test_aliases_of_other_projects(
    autojump_clock: trio.abc.Clock, alias: str, fields: dict[str, Any], text: str
) -> None:
    """Each name that other projects use is answered with the messages meant."""
    async with lone() as server:
        await server.furnish()
        await server.say("oi")
        await server.ask("message", src="ana", dst="bia", message="segredo")
        assert [m["message"] for m in (await server.ask(alias, **fields))["messages"]] == [text]


async def test_history_of_nothing_is_refused(autojump_clock: trio.abc.Clock) -> None:
    """Without channel and user there is nothing to read; an unknown one is just empty."""
    async with lone() as server:
        assert (await server.ask("history"))["code"] == "history_invalid"
        assert (await server.ask("history", channel="nada"))["messages"] == []
        assert (await server.ask("history", user="ninguém"))["messages"] == []


@pytest.mark.parametrize(
    ("service", "fields"), [("users", {}), ("channels", {}), ("history", {"channel": "geral"})]
)
async def test_a_session_is_covered_or_refused(
    autojump_clock: trio.abc.Clock, service: str, fields: dict[str, Any]
) -> None:
    """A server that lacks what the reader has seen says `behind` and how far it is, never something older."""
    async with lone() as server:
        await server.furnish()
        said = await server.say("oi")
        _, origin, seq = said["key"]
        assert "code" not in await server.ask(service, **fields, session={origin: seq})
        for session in ({origin: seq + 1}, {"server-2.00000000000000aa": 1}):
            refused = await server.ask(service, **fields, session=session)
            assert (refused["code"], refused["behind"]) == ("behind", {origin: seq})


async def test_a_session_is_caught_up_with(autojump_clock: trio.abc.Clock) -> None:
    """A server with peers pulls what the reader has seen before it answers."""
    async with bench("server-1", of=2) as cluster:
        one = cluster.running["server-1"]
        await one.furnish()
        _, origin, seq = (await one.say("oi"))["key"]
        two = await cluster.start("server-2")
        assert (await two.ask("users", session={origin: seq}))["users"] == ["ana", "bia"]


async def test_audit_says_what_is_durable(autojump_clock: trio.abc.Clock) -> None:
    """For each origin named, how much is durable here; 0 for unknown ones."""
    async with lone() as server:
        _, origin, seq = (await server.ask("login", user="ana"))["key"]
        said = await server.ask("audit", have={origin: 99, "x": 5})
        assert said["have"] == {origin: seq, "x": 0}
        assert said["server"] == "server-1"
        assert (await server.ask("audit"))["have"] == {}


async def test_status_tells_who_and_how_far(autojump_clock: trio.abc.Clock) -> None:
    """Names, ranks, members, coordinator, and how far each peer is behind."""
    async with bench("server-1", "server-2", of=3) as cluster:
        one, two = cluster.running.values()
        await one.furnish()
        await cluster.level()
        await trio.sleep(15)
        said = await one.ask("status")
        assert (said["server"], said["rank"], said["of"]) == ("server-1", 1, 3)
        assert said["members"] == ["server-1", "server-2", "server-3"]
        assert said["coordinator"] == "server-2" == (await two.ask("who_coordinator"))["coordinator"]
        assert said["entries"] == 3
        assert {peer["name"]: (peer["lag"], peer["silent"]) for peer in said["peers"]} == {
            "server-2": (0, False),
            "server-3": (3, True),
        }
