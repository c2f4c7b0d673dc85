"""Other projects' servers: `replicate`, `sync`, `adjust`, `election` and `clock` in their plain form."""

from typing import Any

import pytest
import trio

from recado.protocol import codec
from recado.protocol.limits import PLAIN_SYNC_BYTES_MAX, TEXT_BYTES_MAX
from tests.daemons.server.server_bench import BIRTH, Running, bench, lone

SEND = "channel_message"
CONTENT: dict[str, Any] = {
    "login": {"username": "caio", "timestamp": 1_600_000_000},
    "channel": "novo",
    "channel_message": {"user": "caio", "channel": "novo", "message": "oi", "timestamp": 1_600_000_000},
    "user_message": {"src": "caio", "dst": "ana", "message": "psiu", "timestamp": 1_600_000_000},
}


async def sync(server: Running, last_sync: Any = None) -> dict[str, Any]:
    """The content of one plain `sync`."""
    return await server.ask("sync", **({} if last_sync is None else {"last_sync": last_sync}))


@pytest.mark.parametrize("kind", CONTENT)
async def test_replicate_is_kept_once(autojump_clock: trio.abc.Clock, kind: str) -> None:
    """Each kind is `OK`, and a repetition, at this server or another, is shown once."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running.values()
        for server in (one, one, two):
            assert (await server.ask("replicate", type=kind, content=CONTENT[kind]))["status"] == "OK"
        assert one.store.counts().entries <= 2
        await cluster.level()
        for server in (one, two):
            content = await sync(server)
            shown = {key: len(content[key]) for key in ("logins", "channel_messages", "user_messages")}
            assert shown == {
                "logins": kind == "login",
                "channel_messages": kind == "channel_message",
                "user_messages": kind == "user_message",
            }
            assert content["channels"] == (["novo"] if kind.startswith("channel") else [])


@pytest.mark.parametrize("content", ["novo", {"channel": "novo"}, {"name": "novo"}])
async def test_a_channel_in_each_of_its_forms(autojump_clock: trio.abc.Clock, content: Any) -> None:
    """A channel is replicated as a bare name or in a map."""
    async with lone() as server:
        assert (await server.ask("replicate", type="channel", content=content))["status"] == "OK"
        assert (await server.ask("channels"))["channels"] == ["novo"]


async def test_what_was_replicated_keeps_its_time_and_author(autojump_clock: trio.abc.Clock) -> None:
    """A message is shown with the time and the name that it came with, though nobody registered here."""
    async with lone() as server:
        await server.ask("replicate", type=SEND, content=CONTENT[SEND])
        (shown,) = (await server.ask("history", channel="novo"))["messages"]
        assert (shown["user"], shown["timestamp"]) == ("caio", 1_600_000_000)


INVALID: list[tuple[Any, Any]] = [
    (None, None), ("login", None), ("login", "ana"), ("login", {}), ("login", {"username": 7}),
    ("login", {"username": ""}), ("login", {"username": "servers"}), ("karaoke", "x"), ("", {}),
    ("channel", None), ("channel", ""), ("channel", {"channel": 7}), ("channel", "a\x00b"),
    ("channel", b"novo"),
    (SEND, {"user": "ana", "channel": "geral"}), (SEND, {"user": "ana", "channel": "geral", "message": ""}),
    (SEND, {"user": "ana", "channel": "geral", "message": "x" * (TEXT_BYTES_MAX + 1)}),
    (SEND, {"user": "", "channel": "geral", "message": "oi"}), (SEND, []),
    ("user_message", {"src": "ana", "message": "oi"}),
    ("user_message", {"src": "ana", "dst": " ", "message": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), INVALID)
async def test_replicate_is_checked_like_a_client(
    autojump_clock: trio.abc.Clock, kind: Any, content: Any
) -> None:
    """What a client could not write, another server can't either: `erro`, and nothing is kept."""
    async with lone() as server:
        reply = await server.ask("replicate", type=kind, content=content)
        assert reply["status"] == "erro"
        assert server.store.heads() == {}
        assert server.faults() == []


async def test_keys_of_any_type_make_no_fault(autojump_clock: trio.abc.Clock) -> None:
    """A content map with text and binary keys is taken for what it says."""
    async with lone() as server:
        content = {"username": "caio", b"extra": 1, "timestamp": float("nan")}
        assert (await server.ask("replicate", type="login", content=content))["status"] == "OK"
        assert server.faults() == []


async def test_sync_gives_the_four_lists(autojump_clock: trio.abc.Clock) -> None:
    """The contract's four lists in the contract's forms, times in whole seconds."""
    async with lone() as server:
        await server.furnish()
        await server.say("oi")
        await server.ask("message", src="ana", dst="bia", message="psiu")
        content = await sync(server)
        said = {"message": "oi", "channel": "geral", "user": "ana", "timestamp": int(BIRTH)}
        assert content["logins"] == [{"username": name, "timestamp": int(BIRTH)} for name in ("ana", "bia")]
        assert content["channels"] == ["geral"]
        assert content["channel_messages"] == [said]
        assert content["user_messages"] == [
            {"src": "ana", "dst": "bia", "message": "psiu", "timestamp": int(BIRTH)}
        ]
        assert content["more"] is False


EARLY = ["2025-01-01T00:00:00Z", 0, 0.0, 1_700_000_000, 1_700_000_000.5, 1_700_000_000_000, "nonsense", -1]


@pytest.mark.parametrize("last_sync", EARLY)
async def test_sync_since_long_ago_gives_everything(autojump_clock: trio.abc.Clock, last_sync: Any) -> None:
    """Every variant of an early or unreadable `last_sync` gives everything."""
    async with lone() as server:
        await server.furnish()
        content = await sync(server, last_sync)
        assert (len(content["logins"]), content["channels"]) == (2, ["geral"])


async def test_sync_filters_on_arrival(autojump_clock: trio.abc.Clock) -> None:
    """A later `last_sync` leaves out what had arrived well before, whatever time it bears itself."""
    async with lone() as server:
        await server.furnish()
        await trio.sleep(60)
        await server.say("agora")
        await server.ask("replicate", type=SEND, content=CONTENT[SEND])  # said years ago, arrives now
        content = await sync(server, BIRTH + 61)
        assert (content["logins"], content["channels"]) == ([], ["novo"])
        assert sorted(m["message"] for m in content["channel_messages"]) == ["agora", "oi"]


@pytest.mark.parametrize("wrong", [[], {}, b"x", True])
async def test_sync_of_a_wrong_type(autojump_clock: trio.abc.Clock, wrong: Any) -> None:
    """A `last_sync` that can't be a time is malformed."""
    async with lone() as server:
        assert (await server.ask("sync", last_sync=wrong))["code"] == "malformed"


async def test_sync_comes_in_pages(autojump_clock: trio.abc.Clock) -> None:
    """More than 1 MiB comes in pages by `next_sync`, each within the bound; together they are everything."""
    async with lone() as server:
        await server.furnish()
        texts = [f"{n} " + "x" * (TEXT_BYTES_MAX - 10) for n in range(100)]
        for text in texts:
            await server.say(text)
        found: list[str] = []
        content: dict[str, Any] = {"more": True, "next_sync": None}
        while content["more"]:
            content = await sync(server, content["next_sync"])
            assert len(codec.pack(content)) < PLAIN_SYNC_BYTES_MAX + 32 * 1024
            found += [m["message"] for m in content["channel_messages"]]
        assert sorted(found) == sorted(texts)
        again = await sync(server, content["next_sync"])
        assert len(again["channel_messages"]) <= len(texts)
        assert not again["more"]


async def test_adjust_is_bounded(autojump_clock: trio.abc.Clock) -> None:
    """A plain adjustment of seconds is taken, one beyond a day or not finite is not, nor two at once."""
    async with lone() as server:

        async def adjust(seconds: Any) -> str:
            return str((await server.ask("adjust", adjustment=seconds)).get("code", "OK"))

        async def ahead() -> float:
            return float((await server.ask("clock"))["time"]) - BIRTH - trio.current_time()

        for absurd in (86_401, -86_401.0, float("nan"), float("inf"), 2**64 - 1):
            assert await adjust(absurd) == "adjust_refused"
        for wrong in ("5", None, True, [5]):
            assert await adjust(wrong) == "malformed"
        assert await ahead() == 0
        assert await adjust(5) == "OK"
        assert await adjust(5) == "adjust_refused"
        assert await ahead() == pytest.approx(5)
        await trio.sleep(6)
        assert await adjust(-2.5) == "OK"
        assert await ahead() == pytest.approx(2.5)


async def test_election_and_clock_answer_anybody(autojump_clock: trio.abc.Clock) -> None:
    """The plain `election` is answered `OK`, `clock` with seconds as a number: in every mode."""
    for mode in (True, False):
        async with lone(server={"open": mode}) as server:
            assert (await server.ask("election"))["election"] == "OK"
            assert (await server.ask("clock"))["time"] == pytest.approx(BIRTH, abs=1)


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("replicate", {"type": "login", "content": {"username": "x"}}),
        ("sync", {}),
        ("adjust", {"adjustment": 1}),
    ],
)
async def test_a_closed_cluster_refuses_the_plain_forms(
    autojump_clock: trio.abc.Clock, service: str, fields: dict[str, Any]
) -> None:
    """Where the cluster is not open, what writes or tells everything is for members only."""
    async with lone(server={"open": False}) as server:
        assert (await server.ask(service, **fields))["code"] == "members_only"
        assert server.store.heads() == {}
