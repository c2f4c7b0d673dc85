"""Logins over SSH: a node's account speaks for whose SSH key has opened it, as long as that key is good."""

from typing import Any

import pytest
import trio

from recado.keys import z85
from recado.protocol import ssh_keys
from recado.wire.ports import Principal
from tests.daemons.server.people import OPERATOR, People, key, key_text, people
from tests.protocol.test_ssh_keys import SSH_1, SSH_2, of

SETTINGS = {"local_listen": "ipc:///nowhere", "ssh_accounts": ("1003", "root")}
BBS = Principal("local", "*ssh", b"", "localhost:1003:1003:77")
MINE, OTHER = of(SSH_1), of(SSH_2)


async def session(cluster: People, *, name: str = "sessão", ssh: ssh_keys.SshKey = MINE) -> dict[str, Any]:
    """What the node's account is told when somebody came with that SSH key."""
    return await cluster.raw(BBS, "session_key", ssh=ssh.fingerprint, key=key_text(name))


async def add(cluster: People, name: str, ssh: ssh_keys.SshKey = MINE) -> None:
    await cluster.done(name, "user_rule", user=name, do="add_ssh_key", ssh_key=ssh.text)


async def test_who_comes_with_an_ssh_key_is_its_user(autojump_clock: trio.abc.Clock) -> None:
    """The key that the node made speaks for ana, at other servers too, and for nobody else."""
    async with people("server-1", "server-2", of=2, settings=SETTINGS) as cluster:
        await cluster.login("ana", "bia")
        assert (await session(cluster))["code"] == "ssh_key_unknown"
        await add(cluster, "ana")
        told = await session(cluster)
        assert (told["status"], told["user"]) == ("OK", "ana")
        entries = (await cluster.done("ana", "status"))["entries"]
        assert (await session(cluster))["user"] == "ana"
        assert (await cluster.done("ana", "status"))["entries"] == entries
        assert (await cluster.done("sessão", "login", user="ana"))["user"] == "ana"
        await cluster.done("sessão", "channel", channel="c", user="ana")
        await cluster.done("sessão", "publish", at="server-2", channel="c", user="ana", message="oi")
        assert await cluster.refused("sessão", "publish", user="bia", channel="c", message="oi") == "not_you"
        assert await cluster.refused("sessão", "login", user="zé") == "not_you"
        assert (await cluster.done("broker-1", "whois", key=key("sessão")))["name"] == "ana"


async def test_one_revocation_ends_all_of_it(autojump_clock: trio.abc.Clock) -> None:
    """At every server, for requests, for the broker and for whoever comes anew."""
    async with people("server-1", "server-2", of=2, settings=SETTINGS) as cluster:
        await cluster.login("ana")
        await add(cluster, "ana")
        await session(cluster)
        ended = {"do": "revoke_ssh_key", "ssh": MINE.fingerprint, "reason": "perdi"}
        await cluster.done("ana", "user_rule", user="ana", **ended, level="all")
        for server in ("server-1", "server-2"):
            assert await cluster.refused("sessão", "users", at=server) == "key_revoked"
        assert await cluster.refused("broker-1", "whois", key=key("sessão")) == "key_revoked"
        assert await cluster.refused("sessão", "login", user="ana") == "key_revoked"
        assert (await session(cluster))["code"] == "key_revoked"
        assert (await session(cluster, name="outra"))["code"] == "key_revoked"
        again = {"do": "add_ssh_key", "ssh_key": MINE.text}
        assert await cluster.refused("ana", "user_rule", user="ana", **again) == "key_revoked"


async def test_a_session_makes_no_keys(autojump_clock: trio.abc.Clock) -> None:
    """Who came over SSH adds no key that would outlive the SSH key, and ends none but of SSH."""
    async with people(settings=SETTINGS) as cluster:
        await cluster.login("ana")
        await add(cluster, "ana")
        await session(cluster)
        for deed in ({"do": "add_key", "key": key_text("x")}, {"do": "add_ssh_key", "ssh_key": OTHER.text}):
            assert await cluster.refused("sessão", "user_rule", user="ana", **deed) == "operators_only"
        forged = {"do": "add_session", "key": key_text("x"), "ssh": MINE.fingerprint}
        for name in ("sessão", "ana"):
            assert await cluster.refused(name, "user_rule", user="ana", **forged) == "rule_invalid"
        device = {"do": "revoke_key", "key": key_text("ana")}
        assert await cluster.refused("sessão", "user_rule", user="ana", **device) == "operators_only"
        await cluster.done(OPERATOR, "user_rule", user=OPERATOR, who="ana", **device)
        last = {"do": "revoke_ssh_key", "ssh": MINE.fingerprint}
        assert await cluster.refused("sessão", "user_rule", user="ana", **last) == "key_last"
        keys = (await cluster.done("sessão", "user_keys", user="ana"))["keys"]
        assert [(one["key"], one.get("via")) for one in keys] == [
            (key_text("ana"), None),
            (MINE.fingerprint, None),
            (key_text("sessão"), MINE.fingerprint),
        ]
        assert keys[1]["ssh_key"] == MINE.text


async def test_the_account_can_do_nothing_else(autojump_clock: trio.abc.Clock) -> None:
    """It takes no key that somebody has, reads nothing, and is nobody when the settings drop it."""
    async with people(settings=SETTINGS) as cluster:
        await cluster.login("ana", "bia")
        await add(cluster, "ana")
        for name in ("bia", OPERATOR, "broker-1"):
            assert (await session(cluster, name=name))["code"] == "key_taken"
        await cluster.done("ana", "user_rule", user="ana", do="add_key", key=key_text("telefone"))
        assert (await session(cluster, name="telefone"))["code"] == "key_taken"
        for service in ("users", "status", "login"):
            data = await cluster.raw(BBS, service, user="ana")
            assert data["code"] == "not_for_you"
        cluster.change(ssh_accounts=("1004",))
        assert (await session(cluster))["code"] == "key_unknown"


async def test_an_account_by_its_name(autojump_clock: trio.abc.Clock) -> None:
    """The settings may name the Unix user; a name that the host does not have is nobody's."""
    root = BBS._replace(address="localhost:0:0:7")
    async with people(settings={**SETTINGS, "ssh_accounts": ("root", "no-such-account")}) as cluster:
        await cluster.login("ana")
        await add(cluster, "ana")
        asked = {"ssh": MINE.fingerprint, "key": key_text("sessão")}
        assert (await cluster.raw(root, "session_key", **asked))["user"] == "ana"
        assert (await session(cluster))["code"] == "key_unknown"


async def test_an_ssh_key_is_one_user_s(autojump_clock: trio.abc.Clock) -> None:
    """The first who adds it has it, who comes second is told; an operator can give it to whom it belongs."""
    async with people(settings=SETTINGS) as cluster:
        await cluster.login("ana", "má")
        await add(cluster, "má")
        own = {"user": "ana", "do": "add_ssh_key", "ssh_key": MINE.text}
        assert (await session(cluster))["user"] == "má"
        assert await cluster.refused("ana", "user_rule", **own) == "key_taken"
        await cluster.done(OPERATOR, "user_rule", **{**own, "user": OPERATOR}, who="ana")
        assert await cluster.refused("sessão", "users") == "key_unknown"
        assert (await session(cluster, name="outra"))["user"] == "ana"
        assert await cluster.refused("má", "user_rule", **{**own, "user": "má"}) == "key_taken"


async def test_an_operator_registers_who_has_only_an_ssh_key(autojump_clock: trio.abc.Clock) -> None:
    """Name and SSH key, no key of the wire: that is enough to talk; nobody else can register so."""
    async with people(settings=SETTINGS) as cluster:
        await cluster.login("ana")
        new = {"do": "register", "who": "rita"}
        assert await cluster.refused("ana", "user_rule", user="ana", **new) == "operators_only"
        await cluster.done(OPERATOR, "user_rule", user=OPERATOR, **new)
        assert await cluster.refused(OPERATOR, "user_rule", user=OPERATOR, **new) == "user_taken"
        rule = {"user": OPERATOR, "do": "add_ssh_key", "ssh_key": OTHER.text}
        await cluster.done(OPERATOR, "user_rule", **rule, who="rita")
        assert (await session(cluster, ssh=OTHER))["user"] == "rita"
        await cluster.done("sessão", "channel", channel="c", user="rita")
        assert await cluster.refused("zé", "login", user="rita") == "user_taken"
        await cluster.done(OPERATOR, "user_rule", user=OPERATOR, do="suspend", who="rita", reason="x")
        assert (await session(cluster, ssh=OTHER))["code"] == "suspended"
        assert await cluster.refused("sessão", "users") == "suspended"


@pytest.mark.parametrize(
    ("ssh", "text"),
    [(MINE.fingerprint, "x"), ("SHA256:$(id)", key_text("a")), ("", ""), (MINE.text, z85(bytes(32)))],
)
async def test_what_is_no_key(autojump_clock: trio.abc.Clock, ssh: str, text: str) -> None:
    """A fingerprint or key that is none is refused."""
    async with people(settings=SETTINGS) as cluster:
        assert (await cluster.raw(BBS, "session_key", ssh=ssh, key=text))["code"] == "key_invalid"
