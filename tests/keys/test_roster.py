"""The roster: reading, changing, and everything wrong with one."""

from base64 import b64encode
from pathlib import Path

import pytest

from recado.keys import Kind, make_identity
from recado.roster import Roster, RosterError

KEY, OTHER, THIRD = (
    "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
    "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
    "a" * 40,
)
SIGN, SIGN_2 = b64encode(bytes(32)).decode(), b64encode(bytes(31) + b"\1").decode()
GOOD = f"""
cluster = "recado"
[[server]]
name = "server-1"
keys = ["{KEY}"]
signing = ["{SIGN}"]
addresses = ["tcp://10.0.0.1:5555"]
[[operator]]
name = "ana"
keys = ["{OTHER}"]
"""


def _roster() -> Roster:
    return Roster.parse(GOOD)


def test_who_has_a_key() -> None:
    """Roles and names by key; an unknown key is nobody."""
    roster = _roster()
    [server], [operator] = roster.of("server"), roster.of("operator")
    found = roster.role_of(server.keys[0])
    assert found is not None
    assert (found.role, found.name, found.key) == ("server", "server-1", server.keys[0])
    other = roster.role_of(operator.keys[0])
    assert other is not None
    assert (other.role, other.name) == ("operator", "ana")
    assert roster.role_of(bytes(32)) is None
    assert roster.server_keys("tcp://10.0.0.1:5555") == server.keys
    assert roster.server_keys("tcp://10.0.0.1:5556") == ()


def test_dump_and_parse_are_inverse(tmp_path: Path) -> None:
    """What is written is what was meant, names with quotes included; all may read it."""
    roster = _roster().with_part(make_identity("user", 'q"\\').public_part, operator=True)
    roster = roster.with_part(make_identity("broker", "broker").public_part, addresses=["ipc:///x"])
    roster = roster.without("server", "server-1")
    roster.write(tmp_path / "roster.toml")
    assert Roster.read(tmp_path / "roster.toml") == roster
    assert (tmp_path / "roster.toml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cluster = "recado"', "", "cluster"),
        ('cluster = "recado"', 'cluster = ""', "length"),
        ("[[operator]]", "[[king]]", "king"),
        ('name = "ana"', 'name = " "', "operator"),
        ('name = "server-1"', 'name = "../1"', "name"),
        (OTHER, KEY, "has the key of server server-1"),
        (OTHER, "short", "40 characters"),
        (SIGN, "AAAA", "32 bytes in base64"),
        (f'"{SIGN}"', "", "no signing key"),
        (f'"{OTHER}"', "", "operator ana has no key"),
        ("tcp://10.0.0.1:5555", "10.0.0.1", "regex"),
        (
            "[[operator]]",
            f'[[server]]\nname="server-1"\nsigning=["{SIGN_2}"]\nkeys=["{THIRD}"]\n[[operator]]',
            "twice",
        ),
        (
            "[[operator]]",
            f'[[server]]\nname="server-2"\nsigning=["{SIGN}"]\nkeys=["{THIRD}"]\n[[operator]]',
            "signing key of server-1",
        ),
        (
            "[[operator]]",
            f'[[former]]\nname="server-2"\nsigning=["{SIGN}"]\n[[operator]]',
            "signing key of server-1",
        ),
        ("cluster", "= cluster", "not TOML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A wrong roster is refused as a whole, with the file and the reason."""
    assert old in GOOD
    path = tmp_path / "roster.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(RosterError, match=said) as caught:
        Roster.read(path)
    assert str(path) in str(caught.value)


def test_missing_binary_and_huge_files(tmp_path: Path) -> None:
    """No traceback for what is no roster at all."""
    path = tmp_path / "r"
    with pytest.raises(RosterError, match="can't be read"):
        Roster.read(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(RosterError, match="UTF-8"):
        Roster.read(path)
    path.write_bytes(b"#" * (3 << 20))
    with pytest.raises(RosterError, match="larger"):
        Roster.read(path)


def test_a_roster_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    """Whoever writes it decides who is a server."""
    path = tmp_path / "roster.toml"
    _roster().write(path)
    path.chmod(0o646)
    with pytest.raises(RosterError, match="chmod o-w"):
        Roster.read(path)
    path.chmod(0o664)
    assert Roster.read(path) == _roster()


def test_rotation_of_a_servers_key() -> None:
    """A second key is accepted beside the first, may be dialled first, and the old one can go."""
    old, new = make_identity("server", "s"), make_identity("server", "s")
    roster = Roster(cluster="c").with_part(old.public_part)
    assert roster.with_part(new.public_part).keys_of("server", "s") == (old.public, new.public)
    both = roster.with_part(new.public_part, first=True)
    assert both.keys_of("server", "s") == (new.public, old.public)
    after = both.without("server", "s", key=old.public)
    assert after.role_of(old.public) is None
    assert after.signing_keys("s") == (old.signing_public, new.signing_public)
    with pytest.raises(RosterError, match="only key"):
        after.without("server", "s", key=new.public)
    with pytest.raises(RosterError, match="already"):
        both.with_part(old.public_part)


def test_a_server_that_leaves_is_no_server_but_its_log_stays_verifiable() -> None:
    """Its key proves nothing any more; what it signed does, unless it is to be forgotten."""
    one = make_identity("server", "s")
    roster = Roster(cluster="c").with_part(one.public_part)
    left = roster.without("server", "s")
    assert left.role_of(one.public) is None
    assert left.signing_keys("s") == (one.signing_public,)
    assert roster.without("server", "s", forget=True).signing_keys("s") == ()
    back = left.with_part(make_identity("server", "s").public_part)
    assert one.signing_public in back.signing_keys("s")
    with pytest.raises(RosterError, match="no server s"):
        left.without("server", "s")


@pytest.mark.parametrize(
    ("kind", "operator"), [("user", False), ("bot", False), ("bot", True), ("server", True)]
)
def test_only_nodes_and_operators_are_listed(kind: Kind, operator: bool) -> None:
    """A user is not listed by mistake, and no node becomes an operator."""
    with pytest.raises(RosterError):
        Roster(cluster="c").with_part(make_identity(kind, "x").public_part, operator=operator)


def test_a_key_has_one_owner() -> None:
    """The key of one node can't be given to another."""
    one = make_identity("server", "a")
    stolen = one.public_part._replace(name="b")
    with pytest.raises(RosterError, match="has the key of"):
        Roster(cluster="c").with_part(one.public_part).with_part(stolen)
