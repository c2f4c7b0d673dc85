"""Channels that communities need: topics, private ones, operators, voices, mutes, bans, kicks."""

from typing import Any

import pytest
import trio

from recado.protocol.limits import ABSENCE_CHECKS_MAX
from recado.protocol.names import key_uid
from recado.protocol.publications import private_topic, public_topic
from tests.daemons.server.people import OPERATOR, People, key, people
from tests.daemons.server.secured_bench import CLUSTER_KEY
from tests.daemons.server.server_bench import bench


async def furnished(cluster: People, *, private: bool = False) -> None:
    """Users ana, bia and caio; ana's channel c."""
    await cluster.login("ana", "bia", "caio")
    await cluster.done("ana", "channel", channel="c", user="ana", private=private)


async def code(cluster: People, name: str, *, at: str = "server-1") -> Any:
    """What becomes of a message to c."""
    return (await cluster.say(name, "c", at=at)).get("code")


async def test_a_public_channel(autojump_clock: trio.abc.Clock) -> None:
    """Everybody reads and writes; the reply to a history tells the topic; the founder sets what is shown."""
    async with people() as cluster:
        await furnished(cluster)
        assert await code(cluster, "bia") is None
        told = await cluster.done("caio", "history", channel="c")
        assert told["topic"] == public_topic("c")
        assert [m["user"] for m in told["messages"]] == ["bia"]
        await cluster.rule("ana", "c", "topic", text="só recados", reason="ordem")
        info = await cluster.done("bia", "channel_info", channel="c", user="bia")
        assert (info["topic"], info["topic_by"], info["founder"]) == ("só recados", "ana", "ana")
        rule = {"user": "bia", "channel": "c", "do": "topic", "text": "x"}
        assert await cluster.refused("bia", "channel_rule", **rule) == "not_channel_operator"
        assert await cluster.refused("bia", "history", channel="nenhum") == "channel_missing"


async def test_a_private_channel(autojump_clock: trio.abc.Clock) -> None:
    """Who is not invited does not find, read, write or ask about it; operators of the cluster read it."""
    async with people() as cluster:
        await furnished(cluster, private=True)
        for service in ("history", "channel_info"):
            assert await cluster.refused("bia", service, channel="c") == "channel_closed"
        assert await code(cluster, "bia") == "channel_closed"
        assert (await cluster.done("bia", "channels"))["channels"] == []
        assert (await cluster.done("ana", "channels"))["channels"] == ["c"]
        assert (await cluster.done(OPERATOR, "channels"))["channels"] == ["c"]
        await cluster.done(OPERATOR, "history", channel="c")
        await cluster.rule("ana", "c", "invite", who="bia")
        assert await code(cluster, "bia") is None
        topic = (await cluster.done("bia", "history", channel="c"))["topic"]
        assert topic == private_topic(CLUSTER_KEY, "c", generation=0, owner=key_uid(key("ana"), "ana"))
        await cluster.rule("ana", "c", "kick", who="bia", reason="basta")
        assert await code(cluster, "bia") == "channel_closed"
        assert await cluster.refused("bia", "history", channel="c") == "channel_closed"
        assert (await cluster.done("ana", "history", channel="c"))["topic"] != topic


@pytest.mark.parametrize(
    ("do", "undo", "expected"), [("mute", "unmute", "muted"), ("ban", "unban", "banned")]
)
async def test_put_to_silence(autojump_clock: trio.abc.Clock, do: str, undo: str, expected: str) -> None:
    """Muted and banned users are refused until it is taken back; what they said before stays."""
    async with people() as cluster:
        await furnished(cluster)
        said = await cluster.done("bia", "publish", user="bia", channel="c", message="antes", id=b"1")
        await cluster.rule("ana", "c", do, who="bia", reason="x")
        assert await code(cluster, "bia") == expected
        again = await cluster.done("bia", "publish", user="bia", channel="c", message="antes", id=b"1")
        assert again["key"] == said["key"], "a repetition is answered as before"
        await cluster.rule("ana", "c", undo, who="bia")
        assert await code(cluster, "bia") is None
        messages = (await cluster.done("caio", "history", channel="c"))["messages"]
        assert [m["message"] for m in messages] == ["antes", "de bia"]


async def test_moderation(autojump_clock: trio.abc.Clock) -> None:
    """In a moderated channel voices and operators speak; who is made operator makes rules."""
    async with people() as cluster:
        await furnished(cluster)
        await cluster.rule("ana", "c", "moderated")
        assert await code(cluster, "bia") == "moderated"
        await cluster.rule("ana", "c", "op", who="bia")
        await cluster.rule("bia", "c", "voice", who="caio")
        assert [await code(cluster, name) for name in ("ana", "bia", "caio")] == [None] * 3
        rule = {"user": "bia", "channel": "c", "do": "ban", "who": "ana"}
        assert await cluster.refused("bia", "channel_rule", **rule) == "is_founder"
        await cluster.done(
            OPERATOR, "channel_rule", user=OPERATOR, channel="c", do="ban", who="ana", reason="tomou o canal"
        )
        assert await code(cluster, "ana") == "banned"


async def test_every_change_is_told(autojump_clock: trio.abc.Clock) -> None:
    """The audit log tells who did what to whom, why, and whether as operator; pages follow each other."""
    async with people() as cluster:
        await furnished(cluster)
        for n in range(5):
            await cluster.rule("ana", "c", "topic", text=f"t{n}", reason=f"r{n}")
        await cluster.done(OPERATOR, "user_rule", user=OPERATOR, do="suspend", who="bia", reason="spam")
        log = await cluster.done(OPERATOR, "audit_log", user=OPERATOR)
        changes = log["changes"]
        assert [c.get("text") for c in changes] == [f"t{n}" for n in range(5)] + [None]
        last = {k: changes[-1][k] for k in ("user", "who", "do", "reason", "operator")}
        assert last == {"user": "?", "who": "bia", "do": "suspend", "reason": "spam", "operator": True}
        page = await cluster.done(
            OPERATOR, "audit_log", user=OPERATOR, channel="c", limit=2, before=changes[-1]["key"]
        )
        assert [c["reason"] for c in page["changes"]] == ["r3", "r4"]
        about = await cluster.done(OPERATOR, "audit_log", user=OPERATOR, who="bia")
        assert [c["do"] for c in about["changes"]] == ["suspend"]


async def test_nonsense_is_no_rule(autojump_clock: trio.abc.Clock) -> None:
    """Unknown words, missing people and over-long reasons are refused, and nothing is kept."""
    async with people() as cluster:
        await furnished(cluster)
        entries = (await cluster.done("ana", "status"))["entries"]
        for more, expected in (
            ({"do": "explode"}, "rule_invalid"),
            ({"do": "mute"}, "rule_invalid"),
            ({"do": "mute", "who": "ninguém"}, "user_missing"),
            ({"do": "topic", "text": "x" * 2000}, "rule_invalid"),
            ({"do": "topic", "text": "x", "reason": "y" * 600}, "rule_invalid"),
            ({"do": "topic", "text": "a\x1b[2J"}, "rule_invalid"),
            ({"do": "topic", "text": "x", "channel": "outro"}, "channel_missing"),
        ):
            asked = {"user": "ana", "channel": "c", **more}
            assert await cluster.refused("ana", "channel_rule", **asked) == expected, more
        assert (await cluster.done("ana", "status"))["entries"] == entries


async def test_rules_given_at_once_converge(autojump_clock: trio.abc.Clock) -> None:
    """Two operators of a channel depose each other at two servers: both servers keep the same one."""
    async with people("server-1", "server-2", of=2) as cluster:
        await furnished(cluster)
        for name in ("bia", "caio"):
            await cluster.rule("ana", "c", "op", who=name)
        await cluster.level()
        async with trio.open_nursery() as nursery:
            for name, other, at in (("bia", "caio", "server-1"), ("caio", "bia", "server-2")):
                rule = {"user": name, "channel": "c", "do": "deop", "who": other, "at": at}
                nursery.start_soon(lambda name=name, rule=rule: cluster.ask(name, "channel_rule", **rule))  # type: ignore[misc]
        await cluster.level()
        told = [
            await cluster.done("ana", "channel_info", channel="c", at=at) for at in ("server-1", "server-2")
        ]
        assert told[0]["operators"] == told[1]["operators"]
        assert len(told[0]["operators"]) == 1


async def test_what_is_not_here_yet_is_asked_for(autojump_clock: trio.abc.Clock) -> None:
    """User, channel and invitation made at one server are good at the next one at once."""
    async with people("server-1", "server-2", of=2) as cluster:
        await cluster.login("ana", "bia")
        assert await code(cluster, "ana", at="server-2") == "channel_missing"
        await cluster.done("ana", "channel", channel="c", user="ana", private=True)
        assert await code(cluster, "ana", at="server-2") is None
        assert await code(cluster, "bia", at="server-2") == "channel_closed"


async def test_asking_for_nonsense_crowds_out_nobody(autojump_clock: trio.abc.Clock) -> None:
    """Who asks for hundreds of things that are nowhere has the peers asked for some; others' wait is kept."""
    async with people("server-1", "server-2", of=2) as cluster:
        await cluster.login("ana", at="server-2")
        codes: list[str] = []

        async def nonsense() -> None:
            codes.append(await cluster.refused("zé", "users"))

        async with trio.open_nursery() as nursery:
            for _ in range(2 * ABSENCE_CHECKS_MAX):
                nursery.start_soon(nonsense)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(lambda: cluster.done("ana", "users"))
        assert codes == ["key_unknown"] * 2 * ABSENCE_CHECKS_MAX


async def test_open_mode_goes_by_claimed_names(autojump_clock: trio.abc.Clock) -> None:
    """Without keys the same rules hold for whoever claims the name, and nobody is an operator."""
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        assert (await server.ask("channel", channel="c", user="ana", private=True))["status"] == "sucesso"
        closed = await server.ask("publish", user="bia", channel="c", message="oi")
        assert closed["code"] == "channel_closed"
        assert (await server.ask("history", channel="c"))["code"] == "channel_closed"
        rule = {"user": "ana", "channel": "c", "do": "invite", "who": "bia"}
        assert (await server.ask("channel_rule", **rule))["status"] == "OK"
        await server.say("oi", channel="c", user="bia")
        assert (await server.ask("user_rule", user="ana", do="suspend", who="bia"))[
            "code"
        ] == "operators_only"
        assert (await server.ask("invite", user="ana"))["code"] == "operators_only"
        assert "topic" not in await server.ask("history", channel="geral")
