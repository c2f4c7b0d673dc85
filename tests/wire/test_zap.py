"""The ZAP handler's own rules: which questions it takes, what it tells, how it rations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.wire.allowances import Allowances, Places, sender_of
from recado.wire.ports import Principal
from recado.wire.security import NOBODY, decode_user_id, encode_user_id
from recado.wire.zap import parse, uid_of

KEY = bytes(range(32))
CURVE = [b"pipe", b"", b"1.0", b"1", b"requests", b"10.0.0.7", b"", b"CURVE", KEY]
NULL = [b"pipe", b"", b"1.0", b"1", b"local", b"localhost:1000:1000:7", b"", b"NULL"]


def _with(message: list[bytes], **fields: bytes) -> list[bytes]:
    names = ("pipe", "delimiter", "version", "id", "domain", "address", "identity", "mechanism", "key")
    return [fields.get(name, field) for name, field in zip(names, message, strict=False)]


def test_questions_of_libzmq_are_understood() -> None:
    """Key, domain and address come out of a CURVE question, the address of a local one."""
    question = parse(CURVE)
    assert question is not None
    assert (question.envelope, question.request_id) == ((b"pipe", b""), b"1")
    assert (question.domain, question.address, question.key) == ("requests", "10.0.0.7", KEY)
    local = parse(NULL)
    assert local is not None
    assert (local.domain, local.key, uid_of(local.address)) == ("local", b"", 1000)


@pytest.mark.parametrize(
    "message",
    [
        [],
        CURVE[:7],
        CURVE[:8],
        [*CURVE, b""],
        [*NULL, KEY],
        _with(CURVE, delimiter=b"x"),
        _with(CURVE, version=b"1.1"),
        _with(CURVE, version=b""),
        _with(CURVE, domain=b""),
        _with(CURVE, domain=b"global"),
        _with(CURVE, domain=b"local"),
        _with(CURVE, mechanism=b"NULL"),
        _with(CURVE, mechanism=b"PLAIN"),
        _with(CURVE, key=KEY[:31]),
        _with(CURVE, key=KEY + b"\0"),
        _with(CURVE, key=b""),
        _with(CURVE, address=b"\xff"),
        _with(CURVE, address=bytes(256)),
        _with(CURVE, id=bytes(256)),
        _with(NULL, domain=b"requests"),
        _with(NULL, mechanism=b"CURVE"),
    ],
)
def test_anything_else_is_no_question(message: list[bytes]) -> None:
    """Another version, mechanism, domain or length than agreed is not answered with a yes."""
    assert parse(message) is None


@pytest.mark.parametrize(
    ("address", "uid"),
    [
        ("localhost:0:0:1", 0),
        ("localhost:1000:1000", None),
        ("localhost:-1:0:1", None),
        ("10.0.0.7", None),
        ("elsewhere:1:1:1", None),
    ],
)
def test_only_the_kernels_form_names_a_user(address: str, uid: int | None) -> None:
    """A Unix user is told from exactly what libzmq writes of peer credentials."""
    assert uid_of(address) == uid


@given(
    role=st.sampled_from(["server", "broker", "reference", "operator", "key", "local"]),
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=16),
    key=st.sampled_from([b"", KEY]),
    address=st.sampled_from(["", "127.0.0.1", "fe80::1%eth0", "localhost:1:1:1"]),
)
def test_a_principal_survives_its_connection(role: str, name: str, key: bytes, address: str) -> None:
    """What is told of a connection comes out as it went in, whatever the name contains."""
    principal = Principal(role, name, key, address)
    assert decode_user_id(encode_user_id(principal, 7)) == principal


@pytest.mark.parametrize(
    "principal",
    [
        Principal("open", "ana"),
        Principal("root", "ana"),
        Principal("key", "a\0b"),
        Principal("key", "a" * 300),
        Principal("key", "ana", KEY[:8]),
        Principal("key", "ana", KEY, "a|b"),
    ],
)
def test_what_no_connection_can_have_is_refused(principal: Principal) -> None:
    """A principal that would read otherwise on the other side, or is too long, is not told at all."""
    with pytest.raises(ValueError, match="principal"):
        encode_user_id(principal, 1)


@pytest.mark.parametrize("user_id", [b"", b"key", b"root|1|||x", b"open|1|||x"])
def test_an_unknown_user_id_is_nobody(user_id: bytes) -> None:
    """A message without a User-Id of ours comes from a stranger without a key."""
    assert decode_user_id(user_id) == NOBODY


def test_allowances_are_used_up_and_come_back() -> None:
    """Each key has its burst, gets its rate, and the table keeps to its size."""
    allowances = Allowances(most=2)
    take = [allowances.take(b"a", 0.0, rate=2.0, burst=3) for _ in range(4)]
    assert take == [True, True, True, False]
    assert allowances.take(b"b", 0.0, rate=2.0, burst=3)
    assert not allowances.take(b"a", 0.4, rate=2.0, burst=3)
    assert allowances.take(b"a", 0.6, rate=2.0, burst=3)
    assert allowances.take(b"c", 0.6, rate=2.0, burst=1)
    assert allowances.take(b"b", 0.6, rate=0.0, burst=1), "b was forgotten for c"


@pytest.mark.parametrize(
    ("address", "sender"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::/64%eth0"),
        ("fe80::2%eth1", "fe80::/64%eth1"),
        ("localhost:1000:1000:7", "localhost:1000:1000:7"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_whoever_has_a_subnet_is_one_sender(address: str, sender: str) -> None:
    """A host has 2⁶⁴ addresses of IPv6 and one allowance; neighbours in IPv4 have one each."""
    assert sender_of(address) == sender


@pytest.mark.parametrize(("senders", "each"), [(1, 512), (3, 256), (10, 93), (100, 10)])
def test_a_few_never_fill_all_places(senders: int, each: int) -> None:
    """However many want everything, each has its share, a newcomer gets in, and places come back."""
    places = Places()
    had = dict.fromkeys((str(sender) for sender in range(senders)), 0)
    for _ in range(1024):
        for sender in had:
            had[sender] += places.take(sender, most=1024)
    assert min(had.values()) >= each - 1
    assert max(had.values()) <= each + 1
    assert places.take("newcomer", most=1024)
    places.leave("newcomer")
    for sender, count in had.items():
        for _ in range(count):
            places.leave(sender)
    assert sum(places.take("alone", most=1024) for _ in range(1024)) == 512
