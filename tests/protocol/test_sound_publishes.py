"""The quick way to read a publish takes nothing that the careful way would read otherwise."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import LAMPORT_LIMIT, PUBLISHES_OF_REQUEST_MAX, TEXT_BYTES_MAX
from recado.protocol.messages import Asked
from recado.protocol.sound import sound_publish

PUBLISH = {"user": "ana", "channel": "geral", "message": "olá", "id": b"1", "timestamp": 1.5, "clock": 7}
MANY = {
    "user": "ana",
    "items": [["geral", "olá", b"1"], ["geral", "oi", None]],
    "level": "quorum",
    "clock": 7,
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, LAMPORT_LIMIT - 1, LAMPORT_LIMIT, 3.0, float("nan"), float("inf")]),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
items = st.lists(st.lists(scalars, min_size=2, max_size=4) | st.just(["geral", "oi", b"1"]), max_size=4)
fields = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("user", "channel", "message", "id", "timestamp", "clock", "level", "ctag"), values),
        "items": items,
        "more": values,
    },
)


def read_carefully(frame: bytes) -> tuple[str, int, dict[str, Any]]:
    """Service, clock and fields; raises `Malformed`."""
    asked = codec.decode_carefully(frame, client=True)
    return told(asked)


def told(asked: Asked) -> tuple[str, int, dict[str, Any]]:
    assert asked.known
    return asked.service, asked.clock, msgspec.structs.asdict(asked.data)


def same(frame: bytes) -> bool:
    """Whether it was taken; if so, the careful way gives the same."""
    asked = sound_publish(frame)
    if asked is None:
        return False
    # By their text: NaN is no other NaN.
    assert repr(told(asked)) == repr(read_carefully(frame))
    return True


@pytest.mark.parametrize("data", [PUBLISH, {**PUBLISH, "level": "local"}, {**PUBLISH, "clock": None}])
def test_a_publish_as_programs_send_it_is_taken(data: dict[str, Any]) -> None:
    """Those that are sent all day go the quick way, whatever order their fields have."""
    assert same(codec.encode("publish", data))
    assert same(codec.encode("publish", dict(reversed(data.items()))))


def test_many_publishes_are_taken() -> None:
    """As many as a request may carry, too."""
    assert same(codec.encode("publish_many", MANY))
    assert same(
        codec.encode("publish_many", {**MANY, "items": MANY["items"] * (PUBLISHES_OF_REQUEST_MAX // 2)})
    )


@given(st.sampled_from([("publish", PUBLISH), ("publish_many", MANY)]), fields)
@example(("publish", PUBLISH), {"id": "1"})
@example(("publish", PUBLISH), {"clock": 3.0})
@example(("publish", PUBLISH), {"clock": LAMPORT_LIMIT})
@example(("publish", PUBLISH), {"message": "x" * (4 * TEXT_BYTES_MAX + 1)})
@example(("publish_many", MANY), {"items": []})
def test_what_is_taken_is_read_alike(sound: tuple[str, dict[str, Any]], changed: dict[str, Any]) -> None:
    """With any fields changed or added: either not taken, or the same service, clock and fields."""
    service, data = sound
    same(msgpack.packb({"service": service, "data": {**data, **changed}}))


@given(
    st.integers(0, 200), st.integers(0, 255), st.sampled_from([("publish", PUBLISH), ("publish_many", MANY)])
)
def test_a_byte_of_a_frame_is_changed(place: int, byte: int, sound: tuple[str, dict[str, Any]]) -> None:
    """Any byte of a sound frame replaced, or the frame cut there: not taken, or read alike."""
    frame = bytearray(codec.encode(*sound))
    same(bytes(frame[: place % len(frame)]))
    frame[place % len(frame)] = byte
    same(bytes(frame))
    same(bytes(frame) + bytes([byte]))


@pytest.mark.parametrize(
    "pairs", [[("clock", 1), ("clock", 9)], [("user", "bia")], [("clock", 1), ("clock", [1])], [("x", 1)]]
)
def test_fields_that_stand_twice(pairs: list[tuple[str, Any]]) -> None:
    """The last of two of one name counts, in both ways."""
    packer = msgpack.Packer()
    said = [*PUBLISH.items(), *pairs]
    data = packer.pack_map_header(len(said)) + b"".join(packer.pack(k) + packer.pack(v) for k, v in said)
    same(b"\x82" + packer.pack("service") + packer.pack("publish") + packer.pack("data") + data)


def test_what_is_refused_is_refused_as_ever() -> None:
    """A publish that is not sound is refused with the reason that the careful way gives."""
    with pytest.raises(Malformed, match="clock out of range"):
        codec.decode_request(codec.encode("publish", {**PUBLISH, "clock": LAMPORT_LIMIT}), client=True)
