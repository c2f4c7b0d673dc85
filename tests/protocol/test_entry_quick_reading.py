"""An entry is read in one of two ways; which one makes no difference to anybody."""

import msgpack
import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from recado.protocol import codec, names
from recado.protocol.entry import EMPTY, Head, hash16, parse, parse_carefully, seal
from recado.protocol.errors import InvalidEntry
from recado.protocol.messages import Entry, Kind

BODY = "olá".encode()
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0.0, 1.0, 1e300, "", "geral", "x" * 65, b"", b"x", b"x" * 16, [1], [[[]]], {"a": 1}]),
    st.just(msgpack.Timestamp(4)),
    st.just(msgpack.ExtType(5, b"x")),
)


def sealed(previous: Head = EMPTY) -> Entry:
    return seal(
        previous,
        origin="server-1.0123456789abcdef",
        lamport=previous.lamport + 7,
        wall_ms=1_700_000_000_000,
        kind=Kind.CHANNEL_MESSAGE,
        author=names.uid("ana"),
        id=b"x" * 16,
        target="geral",
        prev=0,
        body=BODY,
    )


def became(read: object, header: bytes, body: bytes, previous: Head) -> tuple[Entry | None, str]:
    try:
        return read(header, body, previous), ""  # type: ignore[operator]
    except InvalidEntry as error:
        return None, str(error)


def agree(header: bytes, body: bytes = BODY, previous: Head = EMPTY) -> None:
    quick, careful = (became(read, header, body, previous) for read in (parse, parse_carefully))
    assert quick == careful
    if quick[0] is not None and careful[0] is not None:
        kinds = [
            [type(v) for v in msgspec.structs.astuple(entry)] for entry in (quick[0], careful[0])
        ]  # 1 is 1.0 is True
        assert kinds[0] == kinds[1]


@given(st.integers(0, 11), ODD)
@example(0, True)
@example(0, 1.0)
@example(2, 1.0)
def test_an_odd_field_is_judged_alike(place: int, value: object) -> None:
    """Whatever stands in one field of a header, both readings take it as the same, or refuse it alike."""
    fields = codec.unpack(sealed().header)
    fields[place] = value
    agree(msgpack.packb(fields))


@given(st.integers(0, 200), st.integers(0, 255), st.binary(max_size=3))
def test_damaged_bytes_are_judged_alike(place: int, byte: int, more: bytes) -> None:
    """So they do with any byte changed, with bytes missing, and with bytes too many."""
    header = sealed().header
    place %= len(header)
    agree(header[:place] + bytes([byte]) + header[place + 1 :])
    agree(header[:place])
    agree(header + more)


@given(st.integers(0, 3), st.integers(0, 20), st.binary(max_size=8))
def test_the_place_in_the_log_is_judged_alike(seq: int, lamport: int, body: bytes) -> None:
    """So they do with another predecessor, and with another body."""
    agree(sealed().header, previous=Head(seq, lamport, bytes(16)))
    agree(sealed().header, body)


def test_longer_encodings_are_refused_by_both() -> None:
    """A header in other than the shortest encoding would give the same entry two hashes."""
    made = sealed()
    longer = b"\xdc\x00\x0c" + made.header[1:]
    assert hash16(longer) != hash16(made.header)
    agree(longer)
    assert became(parse, longer, BODY, EMPTY)[0] is None
