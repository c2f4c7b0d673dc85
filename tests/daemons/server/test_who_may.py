"""Who may ask what in a secured cluster: every service for every role, and nobody for another."""

from typing import Any

import pytest
import trio

from recado.protocol.policy import SERVER_POLICY, Role, refusal
from recado.protocol.services import REQUESTS
from recado.wire.ports import Principal
from tests.daemons.server.people import OPERATOR, People, key, key_text, people, principal

HEX = "00" * 16
ROLES = {
    Role.STRANGER: principal("zé"),
    Role.SUSPENDED: principal("suspenso"),
    Role.USER: principal("ana"),
    Role.BOT: principal("robô"),
    Role.LOCAL: Principal("local", "novata", b"", "localhost:1000:1000:1"),
    Role.GATEWAY: Principal("local", "*", b"", "localhost:1001:1001:1"),
    Role.SSH: Principal("local", "*ssh", b"", "localhost:1003:1003:1"),
    Role.OPERATOR: principal(OPERATOR),
    Role.SERVER: principal("server-2"),
    Role.BROKER: principal("broker-1"),
    Role.REFERENCE: principal("reference-1"),
}
NAMES = {Role.SUSPENDED: "suspenso", Role.USER: "ana", Role.BOT: "robô", Role.LOCAL: "novata",
         Role.GATEWAY: "ana", Role.OPERATOR: OPERATOR}  # fmt: skip
MEMBER = {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}
POLICY = {"key_unknown", "key_revoked", "suspended", "operators_only", "not_for_you", "members_only"}


def fields(service: str, me: str) -> dict[str, Any]:
    """A request of the service in one's own name, of whatever use."""
    own: dict[str, dict[str, Any]] = {
        "login": {"user": me},
        "channel": {"channel": f"canal de {me}"[:20], "user": me},
        "publish": {"user": me, "channel": "geral", "message": "oi"},
        "publish_many": {"user": me, "items": [["geral", "oi", None], ["geral", "oi", b"2"]]},
        "message": {"src": me, "dst": "ana", "message": "oi"},
        "history": {"channel": "geral"},
        "get_messages": {"username": me},
        "get_publications": {"channel": "geral"},
        "history_channel": {"channel": "geral"},
        "history_messages": {"user": me},
        "search": {"text": "oi", "direct": True, "user": me},
        "audit": {"have": {}},
        "user_rule": {"user": me, "do": "revoke_key", "key": key_text("ninguém")},
        "channel_rule": {"user": me, "channel": "geral", "do": "topic", "text": "x"},
        "session_key": {"ssh": "SHA256:" + "A" * 43, "key": key_text("ninguém")},
        "user_keys": {"user": "ana"},
        "channel_info": {"channel": "geral", "user": me},
        "invite": {"user": me},
        "audit_log": {"user": me},
        "whois": {"key": key("ana")},
        "adjust": {**MEMBER, "adjustment": 0.0, "epoch": [1, 2, "server-2", "b"]},
        "abdicate": {**MEMBER, "epoch": [1, 2, "server-2", "b"]},
        "coordinator": {**MEMBER, "epoch": [1, 2, "server-2", "b"]},
        "release": {**MEMBER, "epoch": [1, 2, "server-2", "b"]},
        "election": {**MEMBER, "epoch": [1, 2, "server-2", "b"]},
        "replicate": {**MEMBER, "runs": []},
        "fetch": {**MEMBER, "origin": "server-1.00000000000000aa", "first": 1, "last": 1},
    }
    peer = service in ("sync", "snapshot", "prevote", "clock")
    return own.get(service, MEMBER if peer else {})


async def settled(cluster: People) -> None:
    """Everybody of `ROLES` who is registered, and a channel."""
    await cluster.login("ana", "suspenso", OPERATOR)
    await cluster.done("robô", "login", user="robô", bot=True)
    await cluster.done(OPERATOR, "user_rule", user=OPERATOR, do="suspend", who="suspenso", reason="x")
    await cluster.done("ana", "channel", channel="geral", user="ana")


SETTINGS = {
    "local_listen": "ipc:///nowhere",
    "local_accounts": ("1000=novata", "1001=*"),
    "ssh_accounts": ("1003",),
}


@pytest.mark.parametrize("role", list(ROLES), ids=str)
async def test_every_service_for_every_role(autojump_clock: trio.abc.Clock, role: Role) -> None:
    """Each service answers each role as the policy says, and with the policy's code."""
    async with people(of=2, settings=SETTINGS) as cluster:
        await settled(cluster)
        # Login last: it makes somebody of a stranger.
        for service in sorted(set(REQUESTS) & set(SERVER_POLICY), key=lambda name: name == "login"):
            data = await cluster.raw(ROLES[role], service, **fields(service, NAMES.get(role, "zé")))
            expected = refusal(service, role)
            if expected is not None:
                assert data.get("code") == expected, (service, data)
            elif service != "clock" or role is Role.SERVER:  # told to members only, whoever may know it
                assert data.get("code") not in POLICY, (service, data)


NAMED = {
    "channel": "user",
    "publish": "user",
    "publish_many": "user",
    "message": "src",
    "get_messages": "username",
    "history_messages": "user",
    "search": "user",
    "user_rule": "user",
    "channel_rule": "user",
    "channel_info": "user",
}


@pytest.mark.parametrize("asker", ["ana", "robô", OPERATOR])
@pytest.mark.parametrize("service", sorted(NAMED))
async def test_nobody_asks_in_another_name(autojump_clock: trio.abc.Clock, service: str, asker: str) -> None:
    """A field that names somebody else is refused with `not_you`, of operators too, and nothing is kept."""
    async with people() as cluster:
        await settled(cluster)
        await cluster.login("bia")
        entries = (await cluster.done("ana", "status"))["entries"]
        asked = {**fields(service, asker), NAMED[service]: "bia"}
        assert await cluster.refused(asker, service, **asked) == "not_you"
        assert await cluster.refused(asker, service, **{**asked, NAMED[service]: " bia "}) == "not_you"
        assert (await cluster.done("ana", "status"))["entries"] == entries


async def test_a_direct_history_is_its_user_s_alone(autojump_clock: trio.abc.Clock) -> None:
    """Not another user, not the operator, not as somebody's peer: direct messages are told to their ends."""
    async with people() as cluster:
        await settled(cluster)
        await cluster.login("bia", "caio")
        await cluster.done("ana", "message", src="ana", dst="bia", message="segredo")
        for reader in ("caio", OPERATOR):
            assert await cluster.refused(reader, "history", user="ana") == "not_you"
            assert await cluster.refused(reader, "history", user="bia", peer="ana") == "not_you"
            told = await cluster.done(reader, "history", user=reader, peer="ana")
            assert told["messages"] == []
        for reader, peer in (("ana", "bia"), ("bia", "ana")):
            told = await cluster.done(reader, "history", user=reader, peer=peer)
            assert [m["message"] for m in told["messages"]] == ["segredo"]


async def test_members_speak_for_themselves_only(autojump_clock: trio.abc.Clock) -> None:
    """A member's request in another member's name is refused, and so is one of who has left the roster."""
    async with people(of=3) as cluster:
        for service in ("replicate", "sync", "prevote", "snapshot"):
            asked = {**MEMBER, "from": "server-3"}
            assert await cluster.refused("server-2", service, **asked) == "not_the_sender"
        assert await cluster.refused("server-9", "sync", **MEMBER) == "members_only"


async def test_the_broker_learns_whose_key_it_is(autojump_clock: trio.abc.Clock) -> None:
    """`whois` tells a broker name and role, and of revoked, suspended and unknown keys that they are."""
    async with people() as cluster:
        await settled(cluster)
        ana = await cluster.done("broker-1", "whois", key=key("ana"))
        assert (ana["name"], ana["role"]) == ("ana", "user")
        assert (await cluster.done("broker-1", "whois", key=key("robô")))["role"] == "bot"
        assert await cluster.refused("broker-1", "whois", key=key("suspenso")) == "key_revoked"
        assert await cluster.refused("broker-1", "whois", key=key("zé")) == "key_unknown"
        assert await cluster.refused("broker-1", "whois", key=b"x") == "key_invalid"
