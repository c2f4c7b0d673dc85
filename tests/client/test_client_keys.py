"""What a client of a cluster with keys goes by: files, addresses and keys, stamps, kinds of refusals."""

from pathlib import Path
from random import Random

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import REFERENCE, XPUB, fake_cluster, reference_for
from hypothesis import given
from hypothesis import strategies as st

from recado import client
from recado.client import Busy, Forbidden, connect
from recado.credentials import credentials, wire_security
from recado.failures import refusal
from recado.keys import Identity, KeyFileError, make_identity, write_identity
from recado.protocol.lamport import LamportClock
from recado.roster import Roster, RosterError
from recado.secured import AddressBook, ClientSecurity
from recado.stamps import Stamps
from recado.texts import ERRORS
from recado.whereabouts import Whereabouts


def identity(kind: str, name: str) -> Identity:
    return make_identity(kind, name, Random(name).randbytes)  # type: ignore[arg-type]


ANA = identity("user", "ana")
NODES = {
    name: identity(name.split("-", maxsplit=1)[0], name) for name in ("server-1", "server-2", "broker-1")
}
NODES["reference"] = identity("reference", "reference")


def roster() -> Roster:
    """Two servers, of which the first has an address; a broker; a reference."""
    made = Roster(cluster="recado")
    for one in NODES.values():
        made = made.with_part(one.public_part)
    return made.at("server", "server-1", ["tcp://one:5555"])


def security() -> ClientSecurity:
    return ClientSecurity(identity=ANA, roster=roster(), book=AddressBook(roster()))


def test_files_or_what_was_read_of_them(tmp_path: Path) -> None:
    """Both forms give the same; one alone, a missing file and an open key file are refused."""
    key, listed = tmp_path / "ana.key", tmp_path / "roster.toml"
    write_identity(key, ANA)
    roster().write(listed)
    assert credentials(str(listed), key).identity == credentials(roster(), ANA).identity == ANA
    assert credentials(listed, ANA).roster == roster()
    for given_roster, given_key in ((listed, None), (None, key)):
        with pytest.raises(ValueError, match="both"):
            credentials(given_roster, given_key)
    with pytest.raises(RosterError):
        credentials(tmp_path / "none", key)
    key.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        credentials(listed, key)


def test_no_other_kind_of_node_answers_for_a_server() -> None:
    """At an address that the roster does not name only keys of that kind of node are expected."""
    known = security()
    whereabouts = Whereabouts(known)
    keys = {name: one.public for name, one in NODES.items()}
    whereabouts.servers(["tcp://somewhere:5555"])
    whereabouts.broker("tcp://bus:5558")
    whereabouts.reference("tcp://list:5559")
    whereabouts.listed("server-2", "tcp://two:5555")
    whereabouts.listed("server-2", "tcp://one:5555")  # a lie: the roster says whose that is
    whereabouts.listed("server-9", "tcp://nine:5555")
    expected = wire_security(known).keys_of
    assert expected("tcp://somewhere:5555") == (keys["server-1"], keys["server-2"])
    assert expected("tcp://bus:5558") == (keys["broker-1"],)
    assert expected("tcp://list:5559") == (keys["reference"],)
    assert expected("tcp://two:5555") == (keys["server-2"],)
    assert expected("tcp://one:5555") == (keys["server-1"],)
    assert expected("tcp://nine:5555") == ()


@on_both_loops
async def test_listed_and_told_addresses_are_learned() -> None:
    """Names that the reference lists, and brokers that servers name, are expected with their own keys."""
    known = security()
    async with fake_cluster(2) as cluster, anyio.create_task_group() as group:
        cluster.shared.brokers = [XPUB]
        group.start_soon(reference_for, cluster, cluster.addresses)
        reaching = {"network": cluster.network.host("me"), "reference": REFERENCE, "security": known}
        async with connect("ana", **reaching) as chat:
            await chat.users()
            async with chat.subscribe("geral"):
                assert known.book.keys_of(XPUB) == (NODES["broker-1"].public,)
            assert known.book.keys_of(REFERENCE) == (NODES["reference"].public,)
            assert known.book.keys_of(cluster.addresses[0]) == ()  # listed by a name that the roster has not
        group.cancel_scope.cancel()


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=30))
def test_the_largest_vouched_stamp_is_told(heard: list[tuple[int, bool]]) -> None:
    """The largest stamp that came with a tag goes back with that tag; without any, each is larger."""
    stamps = Stamps(LamportClock())
    tagged = {stamp for stamp, has_tag in heard if has_tag and stamp > 0}
    for stamp, has_tag in heard:
        stamps.heard({"clock": stamp, **({"ctag": b"%d" % stamp} if has_tag else {})})
    first, second = stamps.told(), stamps.told()
    if tagged:
        assert first == second == {"clock": max(tagged), "ctag": b"%d" % max(tagged)}
    else:
        assert second["clock"] > first["clock"] > max((stamp for stamp, _ in heard), default=0)
        assert "ctag" not in first


KINDS = {
    "rate_limited": client.RateLimited,
    "not_you": client.NotYou,
    "key_unknown": client.KeyUnknown,
    "key_revoked": client.KeyUnknown,
    "registration_closed": client.RegistrationRefused,
    "invite_needed": client.RegistrationRefused,
    "invite_invalid": client.RegistrationRefused,
    "name_confusable": client.NameRefused,
    "channel_closed": client.NotMember,
    "banned": client.Banned,
    "muted": client.Muted,
    "moderated": client.Muted,
    "suspended": client.Forbidden,
}


@pytest.mark.parametrize("code", KINDS)
def test_refusals_of_a_cluster_with_keys_have_their_kinds(code: str) -> None:
    """Each of these codes is known on the wire and raised as what a program catches."""
    assert code in ERRORS
    error = refusal({"status": "erro", "code": code, "message": "x", "retry_after": 7}, server="s")
    assert type(error) is KINDS[code]
    assert (error.code, error.text, error.server) == (code, "x", "s")
    if isinstance(error, Busy):
        assert error.retry_after == 7.0


def test_what_forbids_is_one_family() -> None:
    """Who is not let do something catches `Forbidden`, whatever the reason."""
    codes = ["channel_closed", "banned", "muted", "moderated", "suspended", "operators_only", "is_founder"]
    assert all(isinstance(refusal({"code": code}, server=""), Forbidden) for code in codes)
