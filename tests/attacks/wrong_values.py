"""A value of every kind that does not fit, for every field of every service, made from the messages.

What a field takes is written down here once more, by its type's name, so that a type that grows wider
than it was meant to is noticed; a type that is new has to be entered.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgpack
import msgspec

from recado.protocol.services import REQUESTS
from tests.daemons.server.peer_frames import ORIGIN
from tests.daemons.server.people import key_text
from tests.fuzz.frames import SURROGATE, VALID


def nested(depth: int) -> Any:
    """Lists in each other."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


class Bytes(NamedTuple):
    """A value that msgpack would not write: its bytes."""

    packed: bytes


VALUES: Final[dict[str, Any]] = {
    "nil": None,
    "true": True,
    "false": False,
    "-1": -1,
    "2^63": 2**63,
    "2^64-1": 2**64 - 1,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "bytes": b"\x00\xff",
    "a text of 70 kB": "x" * 70_000,
    "half a surrogate": Bytes(SURROGATE),
    "an extension": Bytes(msgpack.packb(msgpack.ExtType(5, b"x"))),
    "a time": Bytes(msgpack.packb(msgpack.Timestamp(1, 5))),
    "a map of maps": {"a": {"b": {"c": [None]}}},
    "lists in lists": nested(5),
    "600 lists": Bytes(b"\x91" * 600 + b"\x90"),
}
NEVER: Final = frozenset({"half a surrogate", "an extension", "a time", "600 lists", "a text of 70 kB"})
_WHOLE: Final = frozenset({"-1", "2^63", "2^64-1"})
_FLOATS: Final = frozenset({"NaN", "infinity"})
_BOOLS: Final = frozenset({"true", "false"})
_NIL: Final = frozenset({"nil"})
# By the name of a type: which of the values are of it.  Whether they make sense there is another matter.
FITS: Final[dict[str, frozenset[str]]] = {
    "str": frozenset(),
    "bytes": frozenset({"bytes"}),
    "bool": _BOOLS,
    "int": _WHOLE,
    "float": _FLOATS | _WHOLE,
    "Number": frozenset(),
    "Limit": _WHOLE - {"-1"},
    "vector": frozenset(),
    "place": frozenset(),
    "epoch": frozenset(),
    "runs": frozenset(),
    "names": frozenset(),
    "publishes": frozenset(),
    "confirmed": frozenset(),
    "nil": _NIL,
    "any": frozenset(VALUES) - NEVER,
}


class Case(NamedTuple):
    """One field of one service with one value.  `fits`: the value is of the field's type."""

    service: str
    field: str
    value: str
    fits: bool

    def frame(self, fields: dict[str, Any]) -> bytes:
        """The request, its other fields as given."""
        value = VALUES[self.value]
        others = {name: one for name, one in fields.items() if name != self.field}
        packed = value.packed if isinstance(value, Bytes) else msgpack.packb(value)
        data = _map_head(len(others) + 1)
        for name, one in others.items():
            data += msgpack.packb(name) + msgpack.packb(one)
        data += msgpack.packb(self.field) + packed
        return b"\x82" + msgpack.packb("service") + msgpack.packb(self.service) + msgpack.packb("data") + data


def _map_head(items: int) -> bytes:
    return bytes(msgpack.Packer().pack_map_header(items))


def _names_of(kind: Any) -> Iterator[str]:
    """The types that one may be, by the names of `FITS`.  Raises `KeyError` for one that is new."""
    match kind:
        case msgspec.inspect.UnionType():
            for one in kind.types:
                yield from _names_of(one)
        case msgspec.inspect.IntType(ge=0, lt=9_007_199_254_740_992):
            yield "Number"
        case msgspec.inspect.IntType(ge=1):
            yield "Limit"
        case msgspec.inspect.IntType(ge=None):
            yield "int"
        case msgspec.inspect.TupleType(item_types=(_, msgspec.inspect.StrType(), _)):
            yield "place"
        case msgspec.inspect.DictType(value_type=msgspec.inspect.IntType()):
            yield "vector"
        case msgspec.inspect.DictType(value_type=msgspec.inspect.TupleType()):
            yield "confirmed"
        case msgspec.inspect.StructType(cls=cls) if cls.__name__ == "Epoch":
            yield "epoch"
        case msgspec.inspect.ListType(item_type=msgspec.inspect.StructType()):
            yield "runs"
        case msgspec.inspect.ListType(item_type=msgspec.inspect.StrType()):
            yield "names"
        case msgspec.inspect.ListType(item_type=msgspec.inspect.TupleType(), min_length=1):
            yield "publishes"
        case _:
            yield _SIMPLE[type(kind)]


_SIMPLE: Final[dict[type, str]] = {
    msgspec.inspect.StrType: "str",
    msgspec.inspect.BytesType: "bytes",
    msgspec.inspect.BoolType: "bool",
    msgspec.inspect.FloatType: "float",
    msgspec.inspect.NoneType: "nil",
    msgspec.inspect.AnyType: "any",
}


def cases_of(service: str) -> Iterator[Case]:
    """Every field with every value.  `clock` is no more than a number here: who asks checks its range."""
    described = msgspec.inspect.type_info(REQUESTS[service])
    assert isinstance(described, msgspec.inspect.StructType)
    for field in described.fields:
        fitting = frozenset().union(*(FITS[name] for name in _names_of(field.type)))
        if field.encode_name == "clock":
            fitting = _NIL
        for value in VALUES:
            yield Case(service, field.encode_name, value, value in fitting)


def texts_of(service: str) -> Iterator[str]:
    """The fields that take a text."""
    described = msgspec.inspect.type_info(REQUESTS[service])
    assert isinstance(described, msgspec.inspect.StructType)
    for field in described.fields:
        if {"str", "any"} & set(_names_of(field.type)):
            yield field.encode_name


def valid(service: str, *, me: str, other: str = "bia") -> dict[str, Any]:
    """A request that would be carried out, in the name `me`."""
    fields = {**VALID[service], "clock": 7, "timestamp": 1_750_000_000}
    named = {
        "user_rule": {"user": me, "who": me, "key": key_text("ninguém")},
        "message": {"src": me, "dst": other},
        "history_messages": {"user": me, "peer": other},
        "get_messages": {"username": me},
        "login": {"user": me},
        "fetch": {"origin": ORIGIN},
    }
    own = {"user": me} if "user" in fields else {}
    return {**fields, **own, **named.get(service, {})}
