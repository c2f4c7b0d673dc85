"""Bodies of logins, channels and rules: canonical, bounded, and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import names, rules
from recado.protocol.entry import shape_problem
from recado.protocol.limits import REASON_BYTES_MAX, RULE_TEXT_BYTES_MAX
from recado.protocol.messages import Kind
from tests.protocol.rule_entries import KEYS, PEOPLE, about_channel, about_user, creation, entry, login

ANA, _, BIA = PEOPLE
READERS = (rules.login_of, rules.channel_of, rules.user_deed_of, rules.channel_deed_of)


def test_golden_bodies() -> None:
    """The bytes in the log: sorted keys, no spaces, UTF-8, nothing for what is not said."""
    assert rules.body_of(rules.LoginBody()) == rules.body_of(rules.ChannelBody()) == b""
    assert rules.body_of(rules.ChannelBody(private=True)) == b'{"private":true}'
    assert rules.body_of(rules.LoginBody(key=names.key_text(bytes(32)), bot=True)) == (
        b'{"bot":true,"key":"' + b"0" * 40 + b'"}'
    )
    deed = rules.ChannelDeed(do="ban", who=ANA.hex(), reason="não “volta”", by=rules.OPERATOR)
    assert rules.body_of(deed).decode() == (
        f'{{"by":"operator","do":"ban","reason":"não “volta”","who":"{ANA.hex()}"}}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"1", b"{", b"\xff", b'{"do":"jump"}', b'{"do": "suspend"}', b'{"do":"suspend"} ',
        b'{"do":"suspend","do":"suspend"}', b'{"reason":"x","do":"suspend"}', b'{"do":"suspend","x":[1]}',
        b'{"do":"suspend","x":{}}', b'{"do":"suspend","x":1.5}', b'{"do":"suspend","x":null}',
        b'{"do":"suspend","x":-1}', b'{"do":"suspend","x":' + b"9" * 30 + b"}", b'{"do":1}',
        b'{"do":"sus\\u0070end"}', b'{"do":"suspend","reason":"a\\nb"}',
        b'{"do":"suspend","reason":"\\ud800"}',
        b'{"do":"add_key"}', b'{"do":"add_key","key":"short"}', b'{"do":"role","role":"king"}',
        b'{"do":"invite","token":"AB"}', b'{"by":"me","do":"suspend"}', b'{"do":"suspend","x":' + b"[" * 5000,
        b'{"do":"suspend","reason":"' + b"x" * (REASON_BYTES_MAX + 1) + b'"}',
        b'{"do":"suspend","x":"' + b"x" * (RULE_TEXT_BYTES_MAX + 1) + b'"}',
    ],
)  # fmt: skip
def test_bodies_that_are_no_rule_about_a_user(body: bytes) -> None:
    """Not JSON, not flat, not canonical, an unknown word, a field missing or out of bounds."""
    assert rules.user_deed_of(body) is None
    assert shape_problem(entry(Kind.USER_RULE, ANA, body, author=ANA, at=1)) is not None


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_without_a_fault(body: bytes) -> None:
    """Every reader gives something or nothing, and what it gives has these very bytes or says nothing."""
    for read in READERS:
        said = read(body)  # type: ignore[operator]
        assert said is None or not body.startswith(b"{") or isinstance(rules.body_of(said), bytes)


def test_fields_of_later_versions_are_passed_over() -> None:
    """A field that nobody knows yet does no harm."""
    said = rules.user_deed_of(b'{"do":"suspend","zeal":7}')
    assert said == rules.UserDeed(do="suspend")


def test_shapes_of_entries() -> None:
    """Well-formed ones have no problem; without author, of another key, about the wrong thing they have."""
    for good in (
        login("ana", KEYS[0], at=1),
        creation(ANA, private=True),
        about_user(ANA, "suspend", at=1, by=BIA),
        about_channel(ANA, "ban", BIA, at=1),
    ):
        assert shape_problem(good) is None
    body = rules.LoginBody(key=names.key_text(KEYS[0]))
    suspend = rules.UserDeed(do="suspend")
    for bad in (
        entry(Kind.LOGIN, "ana", body, author=BIA, at=1),
        entry(Kind.USER_RULE, ANA, suspend, author=None, at=1),
        entry(Kind.USER_RULE, "ana", suspend, author=ANA, at=1),
        entry(Kind.CHANNEL_RULE, ANA, rules.ChannelDeed(do="private"), author=ANA, at=1),
        entry(Kind.CHANNEL_RULE, "geral", rules.ChannelDeed(do="ban", who="x"), author=ANA, at=1),
        entry(Kind.CHANNEL, "geral", b'{"private":1}', author=ANA, at=1),
    ):
        assert shape_problem(bad) is not None


@given(st.binary(min_size=32, max_size=32))
def test_keys_in_z85(key: bytes) -> None:
    """Read back as written; ZeroMQ's own example is read as it says."""
    assert names.key_bytes(names.key_text(key)) == key


def test_z85_as_zeromq_writes_it() -> None:
    """The test key of ZeroMQ RFC 32, and what is no key."""
    example = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    assert names.key_bytes(example) == bytes.fromhex(
        "54FCBA24E93249969316FB617C872BB0C1D1FF14800427C594CBFACF1BC2D652"
    )
    for bad in ("", example[:-1], example + "0", example[:-1] + '"', "#" * 40, "ç" * 20, "é" * 40):
        assert names.key_bytes(bad) is None
