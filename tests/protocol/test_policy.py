"""The policy of secured mode: the whole table to be read in review, and who speaks for whom."""

from typing import NamedTuple

import pytest

from recado.protocol import publications
from recado.protocol.identities import Identities
from recado.protocol.messages import CreateChannel, History, Login, Message, Publish
from recado.protocol.names import key_text
from recado.protocol.policy import (
    REFERENCE_POLICY,
    SERVER_POLICY,
    Role,
    actor_of,
    claimed,
    may_rule,
    may_subscribe,
    refusal,
    role_of,
    speaks_as,
)
from recado.protocol.rule_messages import ChannelInfo, UserRule
from recado.protocol.services import REQUESTS
from tests.protocol import goldens
from tests.protocol.rule_entries import KEYS, PEOPLE, about_user, login

ANA, OTHER_ANA, BIA = PEOPLE
PEERS = {"replicate", "sync", "fetch", "snapshot", "adjust", "prevote", "abdicate", "election", "coordinator"}


class Proved(NamedTuple):
    role: str
    name: str = ""
    key: bytes = b""


@pytest.fixture
def identities() -> Identities:
    """ana, another ana, and bia, a suspended bot."""
    found = Identities()
    for one in (
        login("ana", KEYS[0], at=1),
        login("ana", KEYS[1], at=2),
        login("bia", KEYS[2], at=3, bot=True),
        about_user(BIA, "suspend", at=4, by=ANA),
    ):
        found.take(one)
    return found


def test_the_table() -> None:
    """Every service against every role, at servers and at the reference."""
    lines = []
    for where, policy in (("server", SERVER_POLICY), ("reference", REFERENCE_POLICY)):
        for service in policy:
            answers: dict[str, list[str]] = {"yes": []}
            for role in Role:
                answers.setdefault(refusal(service, role, policy=policy) or "yes", []).append(role)
            lines += [f"== {where}: {service}"]
            lines += [f"   {code:<15} {' '.join(roles)}" for code, roles in answers.items()]
    goldens.check("policy", "\n".join(lines) + "\n")


def test_every_service_has_a_row() -> None:
    """No service of the wire is without a policy."""
    assert set(REQUESTS) <= set(SERVER_POLICY) | set(REFERENCE_POLICY)


def test_only_servers_are_peers() -> None:
    """No other role is answered what servers ask each other, operators neither."""
    for service in PEERS | {"release"}:
        allowed = {role for role in Role if refusal(service, role) is None}
        assert allowed == {Role.SERVER, Role.OPEN}


@pytest.mark.parametrize(
    ("principal", "role", "name"),
    [
        (Proved("open"), Role.OPEN, ""),
        (Proved("server", "server-1"), Role.SERVER, "server-1"),
        (Proved("broker", "broker-1"), Role.BROKER, "broker-1"),
        (Proved("key", "", KEYS[0]), Role.USER, "ana"),
        (Proved("key", "bia", KEYS[3]), Role.STRANGER, "bia"),
        (Proved("key", "", KEYS[2]), Role.SUSPENDED, "bia"),
        (Proved("operator", "root", KEYS[3]), Role.OPERATOR, "root"),
        (Proved("operator", "root", KEYS[0]), Role.OPERATOR, "ana"),
        (Proved("local", "ana"), Role.USER, "ana"),
        (Proved("local", "davi"), Role.LOCAL, "davi"),
        (Proved("local", "*"), Role.GATEWAY, ""),
        (Proved("local", ""), Role.STRANGER, ""),
        (Proved("what", "ana"), Role.STRANGER, ""),
    ],
)
def test_roles(principal: Proved, role: Role, name: str, identities: Identities) -> None:
    """What each kind of principal is by what the log says."""
    actor = actor_of(principal, identities)
    assert (actor.role, actor.name) == (role, name)
    assert role_of(principal, identities) == role


def test_a_revoked_key_is_a_strangers(identities: Identities) -> None:
    """From the moment that the rule is here."""
    stolen = Proved("key", "", KEYS[0])
    assert role_of(stolen, identities) == Role.USER
    identities.take(about_user(ANA, "revoke_key", key=key_text(KEYS[0]), at=9))
    assert role_of(stolen, identities) == Role.STRANGER


def test_who_speaks_as_whom(identities: Identities) -> None:
    """A user in the registered or the shown name, a gateway for everybody not suspended, no one else."""
    ana, other = (actor_of(Proved("key", "", key), identities) for key in KEYS[:2])
    assert [getattr(speaks_as(ana, name, identities), "uid", None) for name in ("ana", "bia")] == [ANA, None]
    assert getattr(speaks_as(other, other.name, identities), "uid", None) == OTHER_ANA
    gateway = actor_of(Proved("local", "*"), identities)
    found = [speaks_as(gateway, name, identities) for name in ("ana", "bia", "davi")]
    assert [user and user.uid for user in found] == [ANA, None, None]
    assert speaks_as(actor_of(Proved("server", "ana"), identities), "ana", identities) is None


def test_the_name_that_a_request_claims() -> None:
    """The author, the sender, or whose direct messages are asked for."""
    said = [
        Login(user="a"),
        CreateChannel(channel="c"),
        Publish(user="b", channel="c", message="oi"),
        Message(src="d", dst="e", message="oi"),
        History(user="f", peer="g"),
        History(username="h"),
        History(channel="c", user="i"),
        UserRule(user="j", do="suspend", who="k"),
        ChannelInfo(channel="c", user="l"),
    ]
    assert [claimed(one) for one in said] == ["a", None, "b", "d", "f", "h", None, "j", "l"]


def test_who_may_rule_about_whom(identities: Identities) -> None:
    """One's own keys; everything else is an operator's."""
    ana = actor_of(Proved("key", "", KEYS[0]), identities)
    root = actor_of(Proved("operator", "root", KEYS[3]), identities)
    assert may_rule(ana, "add_key", about=ANA)
    assert not may_rule(ana, "add_key", about=BIA)
    assert not may_rule(ana, "restore", about=ANA)
    assert may_rule(root, "suspend", about=ANA)


def test_subscriptions() -> None:
    """Exact topics of channels and of oneself; no prefix, nobody else's, nothing for strangers (A39)."""
    key = bytes(32)
    mine, other = (publications.direct_topic(key, name, generation=0) for name in ("ana", "anabel"))
    channels = [publications.public_topic("geral"), publications.private_topic(key, "x", generation=1)]
    common = [publications.BEACON_TOPIC, publications.SECURED_COORDINATOR_TOPIC]
    refused = [
        b"",
        b"c",
        b"u",
        b"uana",
        b"uana\x00",
        b"\x00",
        b"\x00b",
        mine[:-1],
        mine + b"x",
        other,
        b"geral",
    ]
    for role in (Role.USER, Role.BOT, Role.OPERATOR):
        granted = [t for t in [mine, *channels, *common, *refused] if may_subscribe(t, role=role, name="ana")]
        assert granted == [mine, *channels, *common]
    for role in (Role.STRANGER, Role.SUSPENDED, Role.OPEN, Role.LOCAL, Role.REFERENCE):
        assert not any(may_subscribe(t, role=role, name="ana") for t in [mine, *channels, *common])
