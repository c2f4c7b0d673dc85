"""What hypothesis sends to a server: any bytes, broken valid frames, and any value in any field."""

import os
import struct
from typing import Any

import msgpack
from hypothesis import strategies as st

from recado.protocol import codec

EXAMPLES = int(os.environ.get("RECADO_FUZZ_EXAMPLES", "60"))  # each sends up to `FRAMES` frames
FRAMES = 25
ORIGIN = "server-2.00000000000000aa"
EPOCH = [1, 2, "server-2", "b"]

# A valid request of every service, so that each field is changed in one that would be carried out.
VALID: dict[str, dict[str, Any]] = {
    "login": {"user": "caio", "id": b"1", "bot": False, "invite": "00"},
    "users": {"session": {}},
    "channel": {"channel": "novo", "user": "ana", "id": "x", "private": False},
    "channels": {"session": {}},
    "publish": {"user": "ana", "channel": "geral", "message": "oi", "id": b"2", "level": "local"},
    "publish_many": {"user": "ana", "items": [["geral", "oi", b"2"], ["geral", "já", None]], "level": None},
    "message": {"src": "ana", "dst": "bia", "message": "oi", "id": b"3", "level": "local"},
    "history": {"channel": "geral", "since": {}, "before": None, "limit": 5, "session": {}, "peer": "bia"},
    "get_messages": {"username": "ana"},
    "get_publications": {"channel": "geral", "before": [1, "x", 1]},
    "history_channel": {"channel": "geral"},
    "history_messages": {"user": "ana", "peer": "bia"},
    "search": {"text": '"bom dia" caf*', "channel": "geral", "direct": False, "user": "ana", "peer": "bia",
               "author": "bia", "before": [1, "x", 1], "limit": 5, "session": {}},
    "audit": {"have": {ORIGIN: 1}},
    "user_rule": {"user": "ana", "do": "revoke_key", "who": "ana", "key": "0" * 40, "role": "bot",
                  "token": "00", "reason": "x", "id": b"4", "ssh_key": "ssh-ed25519 AAAA", "ssh": "SHA256:x"},
    "session_key": {"ssh": "SHA256:" + "A" * 43, "key": "0" * 40, "id": b"7"},
    "invite": {"user": "ana", "expires": 1_900_000_000, "reason": "x", "id": b"5"},
    "channel_rule": {"user": "ana", "channel": "geral", "do": "mute", "who": "bia", "text": "x",
                     "reason": "x", "id": b"6"},
    "user_keys": {"user": "ana", "session": {}},
    "channel_info": {"channel": "geral", "user": "ana"},
    "audit_log": {"user": "ana", "channel": "geral", "who": "bia", "before": [1, "x", 1], "limit": 5},
    "whois": {"key": b"\x01" * 32},
    "status": {},
    "who_coordinator": {},
    "rank": {"user": "server-1"},
    "list": {},
    "heartbeat": {"user": "server-1"},
    "clock": {},
    "adjust": {"adjustment": 0.5, "epoch": EPOCH, "round": 1},
    "election": {"epoch": EPOCH},
    "coordinator": {"epoch": EPOCH},
    "release": {"epoch": EPOCH},
    "prevote": {},
    "abdicate": {"epoch": EPOCH, "nonce": 1},
    "fetch": {"origin": ORIGIN, "first": 1, "last": 1},
    "snapshot": {"token": "x", "offset": 0},
    "replicate": {"type": "login", "content": {"username": "davi", "timestamp": 1}, "runs": []},
    "sync": {"last_sync": 0, "vector": {}, "digest": b"", "belief": b"", "heads": b"", "pull": True,
             "stopped": [], "confirmed": {"server-3": ["b", {}]}},
}  # fmt: skip
ASKED_BY = ({}, {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"})  # anybody, a member

SURROGATE = b"\xa3\xed\xa0\x80"  # a text of three bytes that is half of a character
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308,
    float("nan"), float("inf"), -float("inf"), -0.0, "", " ", "a", "a\x00b", "servers", "x" * 20_000,
    "\U0001f600" * 20, "\u202e", b"", b"a", b"\xff" * 16, b"x" * 70_000, [], [[]], {}, {"a": 1}, {"": {}},
    {b"a": 1}, [None] * 100, {"a": 2**64 - 1}, {"a": -1}, {ORIGIN: 2**53 - 1}, [1, "x", 1], EPOCH,
    [2**64 - 1, 2**64 - 1, "server-2", ""], [[ORIGIN, 1, b"", [[b"", b""]]]], [[ORIGIN, 2**63, b"x", []]],
    {"username": "a", b"x": 1}, {"user": "a", "channel": "b", "message": "c"}, {"server-3": ["b", {"a": 1}]},
    msgpack.ExtType(1, b"x"), msgpack.Timestamp(1, 5),
]  # fmt: skip

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=40),
    st.binary(max_size=40),
)  # fmt: skip
values = st.one_of(
    st.sampled_from(ODD),
    scalars,
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    ),
)


def framed(service: Any, data: Any) -> bytes:
    """An envelope of anything that MessagePack can say."""
    return bytes(msgpack.packb({"service": service, "data": data}, use_bin_type=True))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid request, or one with a field changed, left out or added."""
    service = draw(st.sampled_from(sorted(VALID)))
    data = {
        **VALID[service],
        **draw(st.sampled_from(ASKED_BY)),
        "clock": 7,
        "timestamp": 1_750_000_000,
        "ctag": b"\x00" * 8,
    }
    for _ in range(draw(st.integers(0, 2))):
        field = draw(st.sampled_from([*sorted(data), "clock", "timestamp", "id", "level", "extra"]))
        if draw(st.integers(0, 4)):
            data[field] = draw(values)
        else:
            data.pop(field, None)
    return framed(service, data)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A request with bytes changed, cut out, put in or repeated."""
    frame = bytearray(draw(requests()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(frame)))
        piece = draw(st.binary(max_size=6) | st.sampled_from([SURROGATE, b"\xc1", b"\xdf\xff\xff\xff\xff"]))
        frame[at : at + draw(st.integers(0, 4))] = piece
    return bytes(frame)


def hostile() -> list[bytes]:
    """Frames that decoders have been known to fail on."""
    return [
        b"", b"\xc1", b"\x91" * 5000, b"\x81\xa1a" * 2000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xff" * 64,
        framed("login", {"user": "x" * 300_000}), framed("x" * 65, {}), framed(7, {}), framed("login", []),
        b"\x82\xa7service\xa5users\xa4data\x81\xa9timestamp" + b"\x91" * 5000 + b"\x01",
        framed("\x00", {}), framed("users", {str(n): n for n in range(2000)}),
        b"\x82\xa7service\xa5login\xa4data\x81\xa4user" + SURROGATE,
        b"\x82\xa7service" + SURROGATE + b"\xa4data\x80",
        b"\x82\xa7service\xa5users\xa4data\x81" + SURROGATE + b"\x01",
        framed("users", {}) + b"\x00", struct.pack(">Q", 2**63) * 100,
    ]  # fmt: skip


frames = st.one_of(
    requests(), requests(), broken(), st.binary(max_size=200), st.sampled_from(hostile()),
    st.builds(framed, values, values), values.map(lambda value: bytes(msgpack.packb(value))),
)  # fmt: skip


def asked(frame: bytes) -> str | None:
    """The service that a frame asks for, as far as anybody can tell."""
    try:
        return codec.decode_request(frame).service
    except codec.Malformed:
        return None
