"""The service `search`: what is found, and above all what is not."""

from pathlib import Path
from typing import Any

import pytest
import trio

from daemons.server.meters import Room
from daemons.server.node import Node
from recado.protocol.limits import SEARCH_MESSAGES_MAX, SEARCH_TERMS_MAX, SEARCH_WAITING_PER_CLIENT_MAX
from recado.settings import Disk, Search
from storage.replica import Replica
from tests.daemons.server.peer_frames import ORIGIN, log_of, stored
from tests.daemons.server.people import OPERATOR, People, people
from tests.daemons.server.server_bench import Bench, Running, bench, lone, together, until

SECRET = "segredo"


async def indexed(one: Running) -> None:
    """Wait until the index has all that is durable."""
    await until(lambda: (one.node.search_state() or {}).get("lag") == 0, within_seconds=60)


async def found(one: Running, text: str, **fields: Any) -> list[str]:
    """The texts that a search finds, oldest first."""
    await indexed(one)
    data = await one.ask("search", text=text, **fields)
    assert data["status"] == "OK", data
    assert (data["partial"], data["lag"]) == (False, 0)
    return [m["message"] for m in data["messages"]]


async def test_words_phrases_and_beginnings_are_found(autojump_clock: trio.abc.Clock) -> None:
    """A word is found without its accents, a phrase only in its order, a beginning with a star."""
    async with lone() as one:
        await one.furnish()
        for text in ("Um café, por favor", "o favor por um cafezinho", "nada disso"):
            await one.say(text)
        assert await found(one, "CAFE") == ["Um café, por favor"]
        assert await found(one, "cafe*") == ["Um café, por favor", "o favor por um cafezinho"]
        assert await found(one, '"por favor"') == ["Um café, por favor"]
        assert await found(one, "favor por") == ["Um café, por favor", "o favor por um cafezinho"]
        assert await found(one, "favor", author="bia") == []
        assert await found(one, "favor", author="ana", limit=1) == ["o favor por um cafezinho"]
        assert not one.faults()


async def test_a_message_has_the_form_of_the_history(autojump_clock: trio.abc.Clock) -> None:
    """What a search tells of a message is what the history tells of it."""
    async with lone() as one:
        await one.furnish()
        await one.say("oi", id=b"7")
        await indexed(one)
        told = (await one.ask("history", channel="geral"))["messages"]
        assert (await one.ask("search", text="oi"))["messages"] == told


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("search_empty", {"text": " !? "}),
        ("search_too_short", {"text": "ab*"}),
        ("search_too_long", {"text": "x" * 600}),
        ("search_too_long", {"text": " ".join(f"w{n}" for n in range(SEARCH_TERMS_MAX + 1))}),
        ("history_invalid", {"text": "oi", "direct": True}),
        ("history_invalid", {"text": "oi", "direct": True, "user": "ana", "channel": "geral"}),
        ("name_too_long", {"text": "oi", "channel": "x" * 65}),
        ("malformed", {"text": 5}),
        ("behind", {"text": "oi", "session": {ORIGIN: 99}}),
    ],
)
async def test_what_is_no_search_is_refused(
    autojump_clock: trio.abc.Clock, code: str, fields: dict[str, Any]
) -> None:
    """Each with its own code, and the next search is served."""
    async with lone() as one:
        await one.furnish()
        await one.say("oi")
        await indexed(one)
        assert (await one.ask("search", **fields))["code"] == code
        assert await found(one, "oi") == ["oi"]


async def test_pages_hold_everything_once(autojump_clock: trio.abc.Clock) -> None:
    """Turning back page by page gives every message once, in total order, also where stamps are equal."""
    async with bench("server-1", "server-2", "server-3", of=3) as cluster:
        first = cluster.running["server-1"]
        await first.furnish()
        await cluster.level()
        everybody = list(cluster.running.values())
        for n in range(30):
            said = {"user": "ana", "channel": "geral", "message": f"oi {n}"}
            await together([one.ask("publish", **said) for one in everybody])
        await cluster.level()
        for one in everybody:
            await indexed(one)
        whole = (await first.ask("history", channel="geral", limit=1000))["messages"]
        assert len({m["clock"] for m in whole}) < len(whole) == 90, "some stamps must be equal"
        for one in everybody:
            for limit in (1, 7, SEARCH_MESSAGES_MAX):
                assert await turned(one, limit) == whole


@pytest.mark.parametrize("stamp", [0, 2**53 - 2**40, 2**53 - 1])
async def test_any_place_can_be_asked_for(autojump_clock: trio.abc.Clock, stamp: int) -> None:
    """A stamp that nothing has, also the largest that a request may carry, gives what is before it."""
    async with lone() as one:
        await one.furnish()
        await one.say("oi")
        assert await found(one, "oi", before=[stamp, "x", 2**53 - 1]) == (["oi"] if stamp else [])
        assert not one.faults()


async def turned(one: Running, limit: int) -> list[dict[str, Any]]:
    """All that a search finds, by pages of `limit`."""
    pages: list[dict[str, Any]] = []
    before: dict[str, Any] = {}
    while True:
        data = await one.ask("search", text="oi", limit=limit, **before)
        pages = [*data["messages"], *pages]
        if not data["more"]:
            return pages
        assert len(data["messages"]) == limit
        oldest = pages[0]
        before = {"before": [oldest["clock"], oldest["origin"], oldest["seq"]]}


async def test_two_replicas_find_the_same(autojump_clock: trio.abc.Clock) -> None:
    """What was said at either server, and copies of it, is found at both alike."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running["server-1"], cluster.running["server-2"]
        await one.furnish()
        await cluster.level()
        for n in range(20):
            await (one, two)[n % 2].say(f"oi de número {n}")
        for server in (one, two):
            await server.say("oi, uma vez só", id=b"same")
        await cluster.level()
        everything = await found(one, "oi")
        assert everything == await found(two, "oi")
        assert len(everything) == 21


async def test_a_search_off_is_refused(autojump_clock: trio.abc.Clock) -> None:
    """With `search.enabled = false` there is no index, no state of one, and a code that says so."""
    async with lone(search=Search(enabled=False)) as one:
        await one.furnish()
        assert (await one.ask("search", text="oi"))["code"] == "search_off"
        assert (await one.ask("status"))["search"] is None


# Who may find what ----------------------------------------------------------------------------------


async def texts(cluster: People, name: str, **fields: Any) -> list[str]:
    """What somebody's search for the secret finds."""
    await indexed(cluster.first)
    data = await cluster.done(name, "search", text=SECRET, **fields)
    return [m["message"] for m in data["messages"]]


async def private_town(cluster: People) -> None:
    """Ana's private channel with bia in it, a public one, and direct messages: the secret in each."""
    await cluster.login("ana", "bia", "caio", OPERATOR)
    await cluster.done("ana", "channel", channel="cofre", user="ana", private=True)
    await cluster.rule("ana", "cofre", "invite", who="bia")
    await cluster.done("ana", "channel", channel="geral", user="ana")
    for channel in ("cofre", "geral"):
        await cluster.done("ana", "publish", user="ana", channel=channel, message=f"{SECRET} em {channel}")
    await cluster.done("ana", "message", src="ana", dst="bia", message=f"{SECRET} para bia")
    await cluster.done("bia", "message", src="bia", dst="ana", message=f"{SECRET} para ana")
    await cluster.done("ana", "message", src="ana", dst="ana", message=f"{SECRET} para mim")


async def test_private_channels_are_found_by_members_only(autojump_clock: trio.abc.Clock) -> None:
    """By name and among all channels; who was put out finds nothing any more; operators of the cluster do."""
    async with people() as cluster:
        await private_town(cluster)
        both = [f"{SECRET} em cofre", f"{SECRET} em geral"]
        assert await texts(cluster, "ana") == await texts(cluster, "bia") == both
        assert await texts(cluster, OPERATOR) == both
        assert await texts(cluster, "caio") == [f"{SECRET} em geral"]
        assert await cluster.refused("caio", "search", text=SECRET, channel="cofre") == "channel_closed"
        await cluster.rule("ana", "cofre", "kick", who="bia", reason="basta")
        assert await texts(cluster, "bia") == [f"{SECRET} em geral"]
        assert await cluster.refused("bia", "search", text=SECRET, channel="cofre") == "channel_closed"


async def test_direct_messages_are_found_by_their_two_ends_only(autojump_clock: trio.abc.Clock) -> None:
    """Nobody finds another's, operators neither; a peer and an author narrow what is one's own."""
    async with people() as cluster:
        await private_town(cluster)
        mine = {"direct": True, "user": "ana"}
        every = [f"{SECRET} para {who}" for who in ("bia", "ana", "mim")]
        assert await texts(cluster, "ana", **mine) == every
        assert await texts(cluster, "ana", **mine, peer="bia") == [f"{SECRET} para bia", f"{SECRET} para ana"]
        assert await texts(cluster, "ana", **mine, peer="ana") == [f"{SECRET} para mim"]
        assert await texts(cluster, "ana", **mine, author="bia") == [f"{SECRET} para ana"]
        assert await texts(cluster, "caio", direct=True, user="caio") == []
        assert await texts(cluster, "caio", direct=True, user="caio", peer="ana") == []
        for name in ("caio", "bia", OPERATOR):
            assert await cluster.refused(name, "search", text=SECRET, **mine) == "not_you"
        assert await texts(cluster, OPERATOR, author="ana") == [f"{SECRET} em cofre", f"{SECRET} em geral"]


async def test_the_index_proves_nothing(autojump_clock: trio.abc.Clock) -> None:
    """Rows that lie about where a message is, in a file that somebody changed, give nobody more to read."""
    async with people() as cluster:
        await private_town(cluster)
        await indexed(cluster.first)
        index = lying_index(cluster.first.node)
        public, caio = b"geral".hex(), cluster.first.node.accounts.identities.named("caio")
        assert caio is not None
        places = f"c{public} d{caio.uid.hex()} a{caio.uid.hex()}"
        rows = index._writer.execute("select rowid from words where words match ?", (SECRET,)).fetchall()
        for (number,) in rows:
            row = (number, SECRET, SECRET, places)
            index._writer.execute("insert into words(rowid, said, direct, place) values(?, ?, ?, ?)", row)
        assert await texts(cluster, "caio") == [f"{SECRET} em geral"]
        assert await texts(cluster, "caio", channel="geral") == [f"{SECRET} em geral"]
        assert await texts(cluster, "caio", direct=True, user="caio") == []
        assert await texts(cluster, "caio", author="caio") == []


def lying_index(node: Node) -> Any:
    """The index behind the server's back."""
    state: Any = node.search_state
    return state.__self__.index


# What becomes of the index --------------------------------------------------------------------------


async def test_it_follows_on_disk_and_over_restarts(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """With files: what was indexed stays, what came later is found too, a deleted index is made again."""
    async with bench(of=1) as cluster:
        one = await cluster.start("server-1", store=Replica.open(tmp_path, node="server-1"))
        await one.furnish()
        await one.say("oi primeiro")
        assert await found(one, "oi") == ["oi primeiro"]
        for text in ("oi segundo", "oi terceiro"):
            one = await restarted(cluster, tmp_path)
            await one.say(text)
            assert text in await found(one, "oi")
            (tmp_path / "search.db").unlink()
        one = await restarted(cluster, tmp_path)
        assert await found(one, "oi") == ["oi primeiro", "oi segundo", "oi terceiro"]
        (await cluster.stop("server-1")).store.close()


async def restarted(cluster: Bench, directory: Path) -> Running:
    """The one server, stopped and started on the same files."""
    (await cluster.stop("server-1")).store.close()
    return await cluster.start("server-1", store=Replica.open(directory, node="server-1"))


async def test_it_follows_a_snapshot(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """A server whose file is exchanged for a peer's finds what it had and all that came, also on disk."""
    async with bench(of=2, disk=Disk(snapshot_entries=100)) as cluster:
        behind = await cluster.start("server-2", store=Replica.open(tmp_path, node="server-2"))
        await behind.furnish()
        await behind.say("só aqui")
        assert await found(behind, "aqui") == ["só aqui"]
        await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, 500, text="longe {}")))
        await until(lambda: bool(behind.sink.named("snapshot installed")), within_seconds=60)
        assert await found(behind, "aqui") == ["só aqui"]
        assert len(await found(behind, "longe", limit=SEARCH_MESSAGES_MAX)) == SEARCH_MESSAGES_MAX
        assert not behind.sink.named("the search index begins anew")
        (await cluster.stop("server-2")).store.close()


async def test_repaired_messages_are_found_by_their_words(autojump_clock: trio.abc.Clock) -> None:
    """A message that was damaged when it was indexed is found as soon as a peer has given it again."""
    async with bench(of=2) as cluster:
        store = stored("server-1", log_of(ORIGIN, 40, text="palavra{}"))
        store._writer.connection.execute("update entry set body = 'estrago' where seq = 17")
        hurt = await cluster.start("server-1", store=store)
        await indexed(hurt)
        await cluster.start("server-2", store=stored("server-2", log_of(ORIGIN, 40, text="palavra{}")))
        await until(lambda: bool(hurt.sink.named("entries repaired")), within_seconds=120)
        await trio.sleep(1)
        word = (await hurt.ask("history", channel="geral", limit=40))["messages"][16]["message"]
        assert await found(hurt, word) == [word]


async def test_a_damaged_index_ends_searches_only(autojump_clock: trio.abc.Clock, tmp_path: Path) -> None:
    """Messages are kept and read as ever; searches are refused for a while, and then all is found again."""
    async with bench(of=1) as cluster:
        one = await cluster.start("server-1", store=Replica.open(tmp_path, node="server-1"))
        await one.furnish()
        await one.say("oi antes")
        await indexed(one)
        index = lying_index(one.node)
        index._writer.execute("drop table source")
        await one.say("oi depois")
        await until(lambda: bool(one.sink.named("the search index failed")))
        assert (await one.ask("search", text="oi"))["code"] == "busy"
        assert await one.texts() == ["oi antes", "oi depois"]
        await until(lambda: (one.node.search_state() or {}).get("lag") == 0, within_seconds=60)
        assert await found(one, "oi") == ["oi antes", "oi depois"]
        (await cluster.stop("server-1")).store.close()


async def test_without_room_the_index_stops_first(autojump_clock: trio.abc.Clock) -> None:
    """On a disk that is nearly full messages are kept, and the search says how much it lacks."""
    async with lone() as one:
        await one.furnish()
        await indexed(one)
        one.node.meters.room = Room(free=1024, total=2**30, replica=0, wal=0)
        await one.say("oi")
        await until(lambda: bool(one.sink.named("no room for the search index")))
        await trio.sleep(60)
        assert len(one.sink.named("no room for the search index")) == 1
        data = await one.ask("search", text="oi")
        assert (data["messages"], data["lag"] > 0) == ([], True)
        assert (await one.ask("status"))["search"]["phase"] == "no room"
        one.node.meters.room = None
        assert await found(one, "oi") == ["oi"]


async def test_one_client_s_searches_crowd_out_nobody(autojump_clock: trio.abc.Clock) -> None:
    """Beyond a few that wait one client is told `busy`; each of the others gets its answer."""
    async with lone() as one:
        await one.furnish()
        await one.say("oi")
        await indexed(one)
        many = SEARCH_WAITING_PER_CLIENT_MAX + 6
        answers = await together([one.ask("search", text="oi") for _ in range(many)])
        codes = [data.get("code", "OK") for data in answers]
        assert set(codes) == {"OK", "busy"}
        assert codes.count("OK") >= SEARCH_WAITING_PER_CLIENT_MAX
        assert all(data["retry_after"] > 0 for data in answers if data.get("code") == "busy")
