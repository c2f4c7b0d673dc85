"""Names and keys in a secured cluster: registration, devices, revocation, suspension, local accounts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from recado.protocol.names import key_uid
from recado.protocol.publications import direct_topic
from recado.secured import NodeSecurity
from recado.wire.ports import Principal
from tests.daemons.server.people import OPERATOR, key, key_text, people, whole_roster
from tests.daemons.server.secured_bench import CLUSTER_KEY
from tests.daemons.server.server_bench import BIRTH


async def test_a_name_is_its_key_s(autojump_clock: trio.abc.Clock) -> None:
    """The first login registers the name with the key, later ones prove it, another key is refused."""
    async with people() as cluster:
        first = await cluster.done("ana", "login", user="ana")
        assert first["status"] == "sucesso"
        assert first["topic"] == direct_topic(
            CLUSTER_KEY, "ana", generation=0, owner=key_uid(key("ana"), "ana")
        )
        again = await cluster.done("ana", "login", user=" ana ")
        assert (again["status"], again["key"]) == ("sucesso", first["key"])
        other = await cluster.ask("zé", "login", user="ana")
        assert (other["code"], other["description"]) == ("user_taken", "Usuário já existe")
        assert await cluster.refused("ana", "login", user="bia") == "not_you"
        assert (await cluster.done("ana", "users"))["users"] == ["ana"]


async def test_two_keys_at_once_for_one_name(autojump_clock: trio.abc.Clock) -> None:
    """Of two logins in one batch one is refused, and who was refused can't publish in that name."""
    async with people() as cluster:
        replies: dict[str, object] = {}

        async def login(name: str) -> None:
            replies[name] = (await cluster.ask(name, "login", user="ana")).get("code")

        async with trio.open_nursery() as nursery:
            for name in ("ana", "zé"):
                nursery.start_soon(login, name)
        assert sorted(map(str, replies.values())) == ["None", "user_taken"]


async def test_who_just_registered_may_go_on(autojump_clock: trio.abc.Clock) -> None:
    """Login, channel and publish that arrive before the first of them is durable are served in order."""
    durable = trio.Event()

    async def held(commit: Callable[[], None]) -> None:
        await durable.wait()
        commit()

    async with people() as cluster:
        await cluster.stop("server-1")
        await cluster.start("server-1", committer=held)
        codes: list[object] = []

        async def ask(service: str, **fields: str) -> None:
            codes.append((await cluster.ask("ana", service, **fields, user="ana")).get("code"))

        async with trio.open_nursery() as nursery:
            for service, fields in (
                ("login", {}),
                ("channel", {"channel": "c"}),
                ("publish", {"channel": "c", "message": "oi"}),
            ):
                nursery.start_soon(lambda service=service, fields=fields: ask(service, **fields))  # type: ignore[misc]
                await trio.sleep(0.1)
            assert not codes
            assert (
                await cluster.refused("zé", "publish", user="ana", channel="c", message="oi") == "key_unknown"
            )
            durable.set()
        assert codes == [None, None, None]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("аna", "name_confusable"),  # its first letter is Cyrillic
        ("ＡＮＡ", "name_confusable"),
        ("Ana", "name_confusable"),
        ("a\u202ena", "name_invalid"),
        ("a\u200bna", "name_invalid"),
        ("ana~abcd", "name_reserved"),
        ("servers", "name_reserved"),
        (" ", "user_empty"),
    ],
)
async def test_names_that_pass_for_others(autojump_clock: trio.abc.Clock, name: str, code: str) -> None:
    """A name that reads like a registered one, or holds what can't be seen, is not registered."""
    async with people() as cluster:
        await cluster.login("ana")
        assert await cluster.refused("zé", "login", user=name) == code


async def test_channels_that_pass_for_others(autojump_clock: trio.abc.Clock) -> None:
    """So it is with channels."""
    async with people() as cluster:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        for name, code in (
            ("gеral", "name_confusable"),
            ("GERAL", "name_confusable"),
            ("g\u2066", "name_invalid"),
        ):
            assert await cluster.refused("ana", "channel", channel=name, user="ana") == code


async def test_names_that_pass_for_others_at_once(autojump_clock: trio.abc.Clock) -> None:
    """Of names and channels that read alike, and come before the first of them is durable, one is kept."""
    async with people() as cluster:
        codes: list[str | None] = []

        async def ask(who: str, service: str, **fields: str) -> None:
            codes.append((await cluster.ask(who, service, **fields)).get("code"))

        async with trio.open_nursery() as nursery:
            for who, name in (("ana", "ana"), ("zé", "Ana"), ("má", "АNА".lower())):
                nursery.start_soon(lambda who=who, name=name: ask(who, "login", user=name))  # type: ignore[misc]
        assert codes.count(None) == 1
        await cluster.login("bia")
        codes.clear()
        async with trio.open_nursery() as nursery:
            for name in ("geral", "Geral"):
                nursery.start_soon(lambda name=name: ask("bia", "channel", channel=name, user="bia"))  # type: ignore[misc]
        assert sorted(map(str, codes)) == ["None", "name_confusable"]


async def test_registration_by_invitation(autojump_clock: trio.abc.Clock) -> None:
    """An invitation lets one user in, once; a forged, expired or withdrawn one nobody."""
    async with people(settings={"registration": "invite"}) as cluster:
        await cluster.login(OPERATOR)
        assert await cluster.refused("ana", "login", user="ana") == "invite_needed"
        assert await cluster.refused("ana", "login", user="ana", invite="junk") == "invite_invalid"
        token = (await cluster.done(OPERATOR, "invite", user=OPERATOR, id=b"1"))["token"]
        assert (await cluster.done(OPERATOR, "invite", user=OPERATOR, id=b"1"))["token"] == token
        await cluster.login("ana", invite=token)
        await cluster.login("ana")
        assert await cluster.refused("bia", "login", user="bia", invite=token) == "invite_invalid"
        late = (await cluster.done(OPERATOR, "invite", user=OPERATOR, expires=BIRTH + 60))["token"]
        await trio.sleep(120)
        assert await cluster.refused("bia", "login", user="bia", invite=late) == "invite_invalid"
        back = await cluster.done(OPERATOR, "invite", user=OPERATOR)
        changes = (await cluster.done(OPERATOR, "audit_log", user=OPERATOR))["changes"]
        assert [change["do"] for change in changes] == ["invite"] * 3
        await cluster.done(
            OPERATOR, "user_rule", user=OPERATOR, do="revoke_invite", token=changes[-1]["token"]
        )
        assert await cluster.refused("bia", "login", user="bia", invite=back["token"]) == "invite_invalid"


async def test_registration_by_operators(autojump_clock: trio.abc.Clock) -> None:
    """Where operators register, nobody else can; SIGHUP changes who may."""
    async with people(settings={"registration": "operators"}) as cluster:
        assert await cluster.refused("ana", "login", user="ana") == "registration_closed"
        added = await cluster.done(
            OPERATOR, "user_rule", user=OPERATOR, do="add_key", who="ana", key=key_text("ana")
        )
        assert added["status"] == "sucesso"
        await cluster.login("ana")
        assert await cluster.refused("bia", "login", user="bia") == "registration_closed"
        cluster.change(registration="open")
        await cluster.login("bia")


async def test_devices(autojump_clock: trio.abc.Clock) -> None:
    """A second key speaks as its user until it is revoked, at once and for ever; the last one stays."""
    async with people() as cluster:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        phone = {"user": "ana", "do": "add_key", "key": key_text("telefone")}
        await cluster.done("ana", "user_rule", **phone)
        assert (await cluster.done("telefone", "login", user="ana"))["user"] == "ana"
        said = await cluster.done("telefone", "publish", user="ana", channel="geral", message="oi")
        assert said["status"] == "OK"
        before = (await cluster.done("ana", "history", user="ana"))["topic"]
        await cluster.done("telefone", "user_rule", **{**phone, "do": "revoke_key", "reason": "perdi"})
        for service, fields in (
            ("publish", {"user": "ana", "channel": "geral", "message": "oi"}),
            ("history", {"user": "ana"}),
            ("login", {"user": "ana"}),
            ("login", {"user": "outra"}),
        ):
            assert await cluster.refused("telefone", service, **fields) == "key_revoked"
        assert (await cluster.done("ana", "history", user="ana"))["topic"] != before
        assert await cluster.refused("ana", "user_rule", **phone) == "key_revoked"
        own = {"user": "ana", "do": "revoke_key", "key": key_text("ana")}
        assert await cluster.refused("ana", "user_rule", **own) == "key_last"
        keys = (await cluster.done("ana", "user_keys", user="ana"))["keys"]
        assert [(k["key"], k["revoked"] is None) for k in keys] == [
            (key_text("ana"), True),
            (key_text("telefone"), False),
        ]


async def test_a_key_that_was_added_by_who_has_it_not(autojump_clock: trio.abc.Clock) -> None:
    """Whoever adds another's key to himself, and revokes it, keeps nobody out, neither user nor operator."""
    async with people() as cluster:
        await cluster.login("má", "bia")
        own = {"user": "má", "do": "add_key"}
        assert await cluster.refused("má", "user_rule", **own, key=key_text(OPERATOR)) == "key_taken"
        for name in ("ana", "caio", "celular"):
            await cluster.done("má", "user_rule", **own, key=key_text(name))
        revoked = {**own, "do": "revoke_key", "key": key_text("caio")}
        await cluster.done("má", "user_rule", **revoked)
        assert await cluster.refused("caio", "login", user="má") == "key_revoked"
        await cluster.login("ana", "caio")
        await cluster.done("bia", "user_rule", user="bia", do="add_key", key=key_text("celular"))
        assert (await cluster.done("celular", "login", user="bia"))["user"] == "bia"
        await cluster.done("celular", "channel", channel="c", user="bia")
        for name in ("ana", "celular"):
            stolen = {**own, "do": "revoke_key", "key": key_text(name)}
            assert await cluster.refused("má", "user_rule", **stolen) == "key_missing"
            assert await cluster.refused("má", "user_rule", **own, key=key_text(name)) == "key_taken"
        assert await cluster.refused("má", "user_rule", **{**stolen, "do": "prove_key"}) == "rule_invalid"


async def test_an_operator_whose_key_was_added_before(autojump_clock: trio.abc.Clock) -> None:
    """One who becomes operator later acts in his own name, not in that of who had added his key."""
    async with people() as cluster:
        await cluster.login("má")
        security = cluster.given["server-1"].security
        assert security is not None
        before = replace(security, roster=security.roster.without("operator", OPERATOR))
        cluster.given["server-1"].change(security=before)
        await cluster.done("má", "user_rule", user="má", do="add_key", key=key_text(OPERATOR))
        cluster.given["server-1"].change(security=security)
        assert (await cluster.ask("broker-1", "whois", key=key(OPERATOR)))["code"] == "key_unknown"
        await cluster.done(OPERATOR, "user_rule", user=OPERATOR, who="má", do="suspend")
        assert (await cluster.done(OPERATOR, "login", user=OPERATOR))["user"] == OPERATOR


async def test_an_invitation_is_good_once_also_at_once(autojump_clock: trio.abc.Clock) -> None:
    """Of four who come with one invitation before the first is durable one is let in."""
    async with people(settings={"registration": "invite"}) as cluster:
        token = (await cluster.done(OPERATOR, "invite", user=OPERATOR))["token"]
        codes: list[str | None] = []

        async def login(name: str) -> None:
            codes.append((await cluster.ask(name, "login", user=name, invite=token)).get("code"))

        async with trio.open_nursery() as nursery:
            for name in ("ana", "bia", "caio", "duda"):
                nursery.start_soon(login, name)
        assert sorted(map(str, codes)) == ["None"] + ["invite_invalid"] * 3


async def test_nobody_registers_without_a_key(autojump_clock: trio.abc.Clock) -> None:
    """A Unix user whose account was taken off the settings registers no name, though still connected."""
    async with people() as cluster:
        gone = Principal("local", "ana", b"", "localhost:1234:1234:99")
        assert (await cluster.raw(gone, "login", user="bia"))["code"] == "key_unknown"
        await cluster.login("bia")


async def test_keys_of_others(autojump_clock: trio.abc.Clock) -> None:
    """Nobody takes a key that is another's, a node's, or no key; nobody but an operator touches others'."""
    async with people() as cluster:
        await cluster.login("ana", "bia")
        add = {"user": "ana", "do": "add_key"}
        for name, code in (("bia", "key_taken"), ("broker-1", "key_taken")):
            assert await cluster.refused("ana", "user_rule", **add, key=key_text(name)) == code
        assert await cluster.refused("ana", "user_rule", **add, key="x") == "rule_invalid"
        for do, more in (
            ("revoke_key", {"key": key_text("bia")}),
            ("suspend", {}),
            ("role", {"role": "bot"}),
        ):
            asked = {"user": "ana", "who": "bia", "do": do, **more}
            assert await cluster.refused("ana", "user_rule", **asked) == "operators_only"
        lost = {"user": OPERATOR, "who": "bia", "do": "revoke_key", "key": key_text("bia")}
        await cluster.done(OPERATOR, "user_rule", **lost, reason="roubada")
        assert await cluster.refused("bia", "users") == "key_revoked"
        new = {"user": OPERATOR, "who": "bia", "do": "add_key", "key": key_text("bia nova")}
        await cluster.done(OPERATOR, "user_rule", **new)
        assert (await cluster.done("bia nova", "login", user="bia"))["user"] == "bia"


async def test_suspension(autojump_clock: trio.abc.Clock) -> None:
    """A suspended user is refused from the next request on, until restored."""
    async with people() as cluster:
        await cluster.login("ana")
        rule = {"user": OPERATOR, "who": "ana"}
        await cluster.done("ana", "user_rule", user="ana", do="add_key", key=key_text("telefone"))
        await cluster.done(OPERATOR, "user_rule", **rule, do="suspend", reason="spam")
        assert await cluster.refused("telefone", "login", user="ana") == "suspended"
        assert await cluster.refused("telefone", "users") == "key_unknown"
        assert await cluster.refused("ana", "users") == "suspended"
        assert await cluster.refused("ana", "login", user="ana") == "suspended"
        await cluster.done(OPERATOR, "user_rule", **rule, do="restore")
        await cluster.done("ana", "users")


async def test_another_roster_counts_at_once(autojump_clock: trio.abc.Clock) -> None:
    """Who is taken off the roster is nobody with the next request of an old connection."""
    async with people(of=2) as cluster:
        await cluster.done(OPERATOR, "audit_log", user=OPERATOR)
        for given in cluster.given.values():
            assert given.security is not None
            left = whole_roster(2).without("operator", OPERATOR).without("server", "server-2")
            security: NodeSecurity = given.security
            given.change(
                security=NodeSecurity(
                    identity=security.identity, roster=left, book=security.book, cluster_key=CLUSTER_KEY
                )
            )
        assert await cluster.refused(OPERATOR, "audit_log", user=OPERATOR) == "key_unknown"
        member = {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}
        assert await cluster.refused("server-2", "sync", **member) == "members_only"


async def test_local_accounts(autojump_clock: trio.abc.Clock) -> None:
    """A Unix user is the account that the settings say, also after they changed; others are nobody."""
    accounts = {"local_listen": "ipc:///nowhere", "local_accounts": ("1000=ana", "1002=*")}
    here = {uid: Principal("local", name, b"", f"localhost:{uid}:{uid}:77")
            for uid, name in ((1000, "ana"), (1001, ""), (1002, "*"))}  # fmt: skip
    async with people(settings=accounts) as cluster:
        await cluster.login("bia")
        assert (await cluster.raw(here[1000], "users"))["code"] == "key_unknown"
        assert (await cluster.raw(here[1000], "login", user="bia"))["code"] == "not_you"
        assert (await cluster.raw(here[1000], "login", user="ana"))["status"] == "sucesso"
        assert (await cluster.raw(here[1000], "channel", channel="c", user="ana"))["status"] == "sucesso"
        assert (await cluster.raw(here[1001], "users"))["code"] == "key_unknown"
        assert (await cluster.refused("zé", "login", user="ana")) == "user_taken"
        said = {"channel": "c", "message": "oi"}
        for user, code in (("ana", None), ("bia", None), ("caio", "sender_missing")):
            assert (await cluster.raw(here[1002], "publish", user=user, **said)).get("code") == code
        assert (await cluster.raw(here[1002], "audit_log", user="ana"))["code"] == "operators_only"
        cluster.change(local_accounts=("1000=bia",))
        assert (await cluster.raw(here[1000], "publish", user="ana", **said))["code"] == "not_you"
        assert (await cluster.raw(here[1000], "publish", user="bia", **said))["status"] == "OK"
        assert (await cluster.raw(here[1002], "publish", user="bia", **said))["code"] == "key_unknown"


async def test_one_name_registered_at_two_servers(autojump_clock: trio.abc.Clock) -> None:
    """Both keep their user; everywhere the same one has the name, and the other learns how it is shown."""
    async with people("server-1", "server-2", of=2) as cluster:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: cluster.login("ana", at="server-1"))
            nursery.start_soon(lambda: cluster.done("zé", "login", at="server-2", user="ana"))
        await cluster.level()
        shown = {}
        for server in ("server-1", "server-2"):
            for name in ("ana", "zé"):
                told = await cluster.done(name, "login", at=server, user="ana")
                assert shown.setdefault(name, told["user"]) == told["user"]
            users = (await cluster.done("ana", "users", at=server))["users"]
            assert sorted(users) == sorted(shown.values())
        loser = max(shown, key=lambda name: len(shown[name]))
        assert len(set(shown.values())) == 2
        assert "ana" in shown.values()
        await cluster.done(loser, "channel", channel="c", user=shown[loser])
        await cluster.done(loser, "publish", channel="c", user=shown[loser], message="oi")
        message = (await cluster.done("ana", "history", channel="c"))["messages"][0]
        assert message["user"] == shown[loser]


async def test_open_clusters_users_get_keys(autojump_clock: trio.abc.Clock) -> None:
    """A key that an operator adds to an unknown name is a registration by that very key."""
    async with people() as cluster:
        await cluster.done(
            OPERATOR, "user_rule", user=OPERATOR, do="add_key", who="rita", key=key_text("rita"), role="bot"
        )
        told = await cluster.done("rita", "user_keys", user="rita")
        assert (told["uid"], told["role"]) == (key_uid(key("rita"), "rita").hex(), "bot")
