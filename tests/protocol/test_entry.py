"""Entries: canonical bytes, the chain, and what is refused (A2, A10, A15, A35)."""

import dataclasses
import hashlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import codec, names
from recado.protocol.entry import (
    EMPTY,
    GENESIS,
    Head,
    encode_header,
    hash16,
    ident,
    names_extra,
    origin_name,
    origin_node,
    parse,
    seal,
    shape_problem,
    told_names,
)
from recado.protocol.errors import InvalidEntry
from recado.protocol.messages import Entry, Kind

ORIGIN = "server-1.0123456789abcdef"
PLAIN = {
    "origin": ORIGIN,
    "lamport": 7,
    "wall_ms": 1_700_000_000_000,
    "kind": Kind.CHANNEL_MESSAGE,
    "author": names.uid("ana"),
    "id": b"x" * 16,
    "target": "geral",
    "prev": 0,
    "body": "olá".encode(),
}


def entry(previous: Head = EMPTY, **fields: object) -> Entry:
    return seal(previous, **{**PLAIN, **fields})  # type: ignore[arg-type]


def test_a_sealed_entry_is_read_back_from_its_bytes() -> None:
    """parse(header, body) gives exactly the entry that seal made, hash included."""
    made = entry()
    assert parse(made.header, made.body, EMPTY) == made


def test_golden_header() -> None:
    """The bytes on the wire and under the hashes do not change by accident."""
    made = entry()
    assert made.header.hex() == (
        "9c01b97365727665722d312e3031323334353637383961626364656601 07cf0000018bcfe5680003".replace(" ", "")
        + "c410" + names.uid("ana").hex() + "c410" + b"x".hex() * 16 + "a5676572616c00"
        + "c410" + hash16("olá".encode()).hex() + "c0"
    )  # fmt: skip
    assert made.hash == hash16(GENESIS, made.header)


def test_the_chain_binds_every_earlier_entry() -> None:
    """Two logs that differ in their first entry differ in every later hash."""
    one, other = entry(body=b"a"), entry(body=b"b")
    second = [entry(Head(e.seq, e.lamport, e.hash), lamport=8) for e in (one, other)]
    assert second[0].header == second[1].header
    assert second[0].hash != second[1].hash


INVALID = {
    "seq jumps": {"seq": 3},
    "seq zero": {"seq": 0},
    "lamport not larger": {"lamport": 5},
    "lamport over the limit": {"lamport": 2**53 - 2**40},
    "lamport is true": {"lamport": True},
    "lamport is a float": {"lamport": 9.0},
    "wall negative": {"wall_ms": -1},
    "kind zero": {"kind": 0},
    "author short": {"author": b"short"},
    "author is text": {"author": "ana"},
    "id empty": {"id": b""},
    "id of 65 bytes": {"id": b"x" * 65},
    "target empty": {"target": ""},
    "target of 65 bytes": {"target": "x" * 65},
    "target is a number": {"target": 3},
    "prev not earlier": {"prev": 2},
    "origin without hex": {"origin": "server-1"},
    "origin with a slash": {"origin": "../x.0123456789abcdef"},
    "extra too long": {"extra": b"x" * 5000},
}


@pytest.mark.parametrize("change", INVALID.values(), ids=INVALID.keys())
def test_what_no_correct_origin_writes_is_invalid(change: dict[str, object]) -> None:
    """Each wrong field alone makes the entry invalid, even with a matching hash and encoding."""
    fields: dict[str, object] = {**PLAIN, "seq": 2, "lamport": 8, "extra": None, **change}
    body = fields.pop("body")
    assert isinstance(body, bytes)
    order = ("origin", "seq", "lamport", "wall_ms", "kind", "author", "id", "target", "prev")
    header = encode_header(*(fields[name] for name in order), hash16(body), fields["extra"])
    with pytest.raises(InvalidEntry):
        parse(header, body, Head(1, 7, bytes(16)))


def test_a_header_that_is_not_canonical_is_invalid() -> None:
    """The same values in a longer encoding are refused: one entry has one header."""
    made = entry()
    fields = codec.unpack(made.header)
    longer = b"\xdc\x00\x0c" + b"".join(msgpack.packb(field, use_bin_type=True) for field in fields)
    assert codec.unpack(longer) == fields
    with pytest.raises(InvalidEntry, match="canonical"):
        parse(longer, made.body, EMPTY)


def test_a_body_of_another_entry_is_invalid() -> None:
    """The header's hash vouches for the body."""
    with pytest.raises(InvalidEntry, match="hash"):
        parse(entry().header, b"something else", EMPTY)


@pytest.mark.parametrize("version", [True, 1.0, 2, None], ids=str)
def test_the_version_is_the_number_one(version: object) -> None:
    """What equals one in Python but has other bytes is refused: no row would remember those."""
    fields = codec.unpack(entry().header)
    with pytest.raises(InvalidEntry):
        parse(codec.pack([version, *fields[1:]]), PLAIN["body"], EMPTY)  # type: ignore[arg-type]


_FIELD = st.one_of(
    st.none(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=70), st.binary(max_size=70_000)
)


@given(st.lists(_FIELD, min_size=11, max_size=11))
def test_headers_have_the_shortest_encodings(fields: list[object]) -> None:
    """The header's own encoder makes the bytes that every other part of the protocol is packed in."""
    assert encode_header(*fields) == codec.pack((1, *fields)) == msgpack.packb((1, *fields))


@given(st.lists(st.binary(max_size=5000), max_size=3))
def test_a_hash_is_that_of_all_its_parts(parts: list[bytes]) -> None:
    """BLAKE2b with a digest of 16 bytes over the concatenation, whatever was hashed before."""
    assert hash16(*parts) == hashlib.blake2b(b"".join(parts), digest_size=16).digest()


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_any_bytes_are_an_entry_or_invalid(header: bytes, body: bytes) -> None:
    """No bytes make the parser fail in another way."""
    with pytest.raises(InvalidEntry):
        parse(header, body, EMPTY)


def test_idents_tell_copies_from_reused_ids() -> None:
    """Author, id and content make the ident; place, stamp and time do not (A8, A10)."""
    assert ident(entry()) == ident(entry(lamport=99, wall_ms=5, origin=origin_name("b", b"12345678")))
    for change in ({"body": b"other"}, {"target": "outro"}, {"author": names.uid("bia")}, {"id": b"y"}):
        assert ident(entry()) != ident(entry(**change))
    assert ident(entry(id=None)) is None


def test_what_people_cannot_be_shown_has_a_reason() -> None:
    """A valid entry that makes no sense is named, an unknown kind is left alone (A35, A36)."""
    assert shape_problem(entry()) is None
    assert shape_problem(entry(body=b"\xff")) == "text is not UTF-8"
    assert shape_problem(entry(body=b" ")) == "text_empty"
    assert shape_problem(entry(target=names.uid("bia"))) == "no name"
    assert shape_problem(entry(author=None)) == "message without author"
    assert shape_problem(entry(kind=Kind.USER_MESSAGE)) == "no destination"
    assert shape_problem(entry(kind=Kind.CHANNEL, target=" geral")) == "name is not trimmed"
    assert shape_problem(entry(kind=4711, target=None)) is None


def test_a_message_names_only_who_has_the_name() -> None:
    """A name in `extra` counts only if the user id was made from it: the author's, or the receiver's."""
    ana, bia = names.uid("ana"), names.uid("bia")
    assert told_names(entry(extra=names_extra("ana"))) == [(ana, "ana")]
    assert told_names(entry(extra=names_extra("bia"))) == []
    assert told_names(entry(extra=b"\xc1")) == told_names(entry(extra=b"\x91\x01")) == []
    assert told_names(entry()) == []
    direct = {"kind": Kind.USER_MESSAGE, "target": bia}
    assert told_names(entry(extra=names_extra("ana", dst="bia"), **direct)) == [(ana, "ana"), (bia, "bia")]
    assert told_names(entry(extra=names_extra("bia", dst="ana"), **direct)) == []
    assert told_names(entry(extra=names_extra("ana", dst="geral"), target="geral")) == [(ana, "ana")]


def test_entries_are_values() -> None:
    """An entry can't be changed after it is made."""
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        entry().seq = 9  # type: ignore[misc]


def test_origins_name_their_node() -> None:
    """``node.hex16``, and back."""
    assert origin_name("server-1", b"\x01" * 8) == "server-1.0101010101010101"
    assert origin_node("server-1.0101010101010101") == "server-1"
