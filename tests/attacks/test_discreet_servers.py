"""Group 19 and judge K12: what a server never tells, logs or keeps.

There are no passwords: users have keys, of which a server sees the public half.  The secrets that are left
are its own keys, the cluster's key, capabilities (topics) and tokens of invitations.  Files and real logs:
`test_wiretapped`; key files and their modes: `tests/keys/`.
"""

from typing import Any

import trio

from daemons.shared.logging import render_json, render_text
from recado.protocol import codec
from tests.attacks.conduct import leaks
from tests.attacks.test_wrong_types import asked_by, fields
from tests.attacks.wrong_values import cases_of
from tests.daemons.server.people import OPERATOR, People, people, principal
from tests.daemons.server.secured_bench import CLUSTER_KEY, identity

INSIDE = ("Traceback", ".py", "sqlite", "Error(", "object at 0x", "/home", "/tmp", "/usr")
TEXT = "o encontro é às nove, no lugar de sempre"


def secrets() -> dict[str, bytes]:
    server = identity("server-1")
    return {
        "the cluster key": CLUSTER_KEY,
        "the key": server.secret,
        "the signing key": server.signing_secret,
    }


def logged(cluster: People) -> list[str]:
    return [
        render(e)
        for one in cluster.running.values()
        for e in one.sink.events
        for render in (render_text, render_json)
    ]


def kept(cluster: People) -> str:
    """The whole database, as SQL."""
    with cluster.first.store.reading() as connection:
        return "\n".join(connection.iterdump())


async def lively(cluster: People) -> list[dict[str, Any]]:
    """Everything asked once rightly and in many wrong ways, by those who may and those who may not."""
    await cluster.login("ana", "bia", OPERATOR)
    await cluster.done("ana", "channel", channel="geral", user="ana", private=True)
    await cluster.done("ana", "message", src="ana", dst="bia", message=TEXT)
    await cluster.done("ana", "publish", user="ana", channel="geral", message=TEXT)
    told = []
    for service in (
        "history",
        "users",
        "status",
        "invite",
        "audit_log",
        "user_keys",
        "channel_info",
        "sync",
        "whois",
    ):
        for who in {asked_by(service), "zé", "bia", OPERATOR, "server-2", "broker-1"}:
            told.append(await cluster.ask(who, service, **fields(service, who)))
        async with cluster.network.host("x", principal(asked_by(service))).asker(
            cluster.first.asker.address
        ) as asker:
            for case in cases_of(service):
                frame = case.frame(fields(service, asked_by(service)))
                told.append(dict(codec.decode_reply(await asker.ask(frame)).data))
    return told


async def test_nothing_inside_is_told(autojump_clock: trio.abc.Clock) -> None:
    """No reply and no log line has a secret key, a path, a traceback, or what people wrote privately."""
    async with people(of=2) as cluster:
        told = await lively(cluster)
        refused = [repr(data) for data in told if data.get("status") == "erro"]
        assert len(refused) > 500
        assert leaks([*map(repr, told), *logged(cluster), kept(cluster)], secrets()) == []
        for text in [*refused, *logged(cluster)]:
            assert not any(word in text for word in INSIDE), text[:300]
            assert TEXT not in text, text[:300]


async def test_an_invitation_is_told_once(autojump_clock: trio.abc.Clock) -> None:
    """Its token stands in the reply to who asked for it and in no log, audit or database."""
    async with people(settings={"registration": "invite"}) as cluster:
        token = (await cluster.done(OPERATOR, "invite", user=OPERATOR, reason="para bia"))["token"]
        assert len(token) >= 16
        assert token not in kept(cluster)
        assert not any(token in line for line in logged(cluster))
        audit = await cluster.done(OPERATOR, "audit_log", user=OPERATOR)
        assert "para bia" in repr(audit)
        assert token not in repr(audit)
        assert (await cluster.done("bia", "login", user="bia", invite=token))["status"] == "sucesso"
        assert token not in kept(cluster)
        assert not any(token in line for line in logged(cluster))
        assert await cluster.refused("zé", "login", user="zé", invite=token) == "invite_invalid"


async def test_topics_are_told_to_who_may_hear(autojump_clock: trio.abc.Clock) -> None:
    """The capabilities of a private channel and of direct messages are in no log and no stranger's reply."""
    async with people() as cluster:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="geral", user="ana", private=True)
        topics = [
            (await cluster.done("ana", "history", channel="geral"))["topic"],
            (await cluster.done("ana", "history", user="ana"))["topic"],
        ]
        told = [
            await cluster.ask("bia", s, **fields(s, "bia"))
            for s in ("history", "channel_info", "channels", "users")
        ]
        told.append(await cluster.ask("bia", "history", user="bia", peer="ana"))
        capabilities = {repr(topic): topic[-16:] for topic in topics}
        assert leaks([*map(repr, told), *logged(cluster), kept(cluster)], capabilities) == []
