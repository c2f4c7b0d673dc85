"""MessagePack in and out: the only room that knows the bytes.

Decoding is bounded twice: the frame by the socket, the containers here.  What comes out has been
checked against `messages`; what does not fit raises `Malformed`, never anything else.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgpack
import msgspec

from recado.protocol.errors import Malformed
from recado.protocol.limits import (
    ARRAY_ITEMS_MAX,
    CLIENT_MAP_ITEMS_MAX,
    CURSOR_FRAME_BYTES_MAX,
    LAMPORT_LIMIT,
    NESTING_MAX,
    PEER_FRAME_BYTES_MAX,
    PEER_MAP_ITEMS_MAX,
    PUBLICATIONS_OF_RUN_MAX,
    REQUEST_FRAME_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from recado.protocol.messages import Asked, Reply, Request
from recado.protocol.services import REQUESTS
from recado.protocol.sound import sound_publish

T = TypeVar("T")

# Services whose frames may be as large as a page between servers.
PEER_SERVICES = frozenset({"replicate", "sync"})
# Services of clients whose frames may hold a cursor.
CURSOR_SERVICES = frozenset({"history", "audit"})
# Fields of clients that are version vectors: a component for each start of each server, for years.
_VECTOR_FIELDS = frozenset({"session", "since", "have"})

_pack = msgspec.msgpack.Encoder().encode
_pack_array_header = msgpack.Packer(autoreset=True).pack_array_header
# Walks over a value without making it: what claims more items than it has is refused before room is made.
_walk = msgspec.msgpack.Decoder(msgspec.Raw).decode


def pack(value: Any) -> bytes:
    """MessagePack in shortest encodings."""
    return _pack(value)


def _reject_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


def unpack(
    frame: bytes,
    *,
    frame_bytes_max: int = PEER_FRAME_BYTES_MAX,
    map_items_max: int = PEER_MAP_ITEMS_MAX,
    array_items_max: int = ARRAY_ITEMS_MAX,
) -> Any:
    """Bounded decode of one complete MessagePack value.  Raises `Malformed`."""
    if len(frame) > frame_bytes_max:
        raise Malformed(f"frame of {len(frame)} bytes, at most {frame_bytes_max}")
    try:
        _walk(frame)
        value = msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=True,
            ext_hook=_reject_extension,
            max_array_len=array_items_max,
            max_map_len=map_items_max,
            max_str_len=4 * TEXT_BYTES_MAX,
            max_bin_len=REQUEST_FRAME_BYTES_MAX,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError, msgpack.UnpackException) as error:
        raise Malformed(f"not MessagePack: {str(error) or type(error).__name__}") from None
    if type(value) is dict or type(value) is list:
        _check_depth(value, NESTING_MAX)
    return value


def _check_depth(container: Any, left: int) -> None:
    """Refuse containers in containers beyond `left` levels; msgpack makes plain dicts and lists only."""
    if left == 0:
        raise Malformed(f"nested deeper than {NESTING_MAX}")
    for item in container.values() if type(container) is dict else container:
        kind = type(item)
        if kind is dict or kind is list:
            _check_depth(item, left - 1)


def lamport(value: Any, *, service: str = "error") -> int:
    """A clock from the wire: missing is 0, integral floats are taken.  Raises `Malformed`."""
    if value is None:
        return 0
    if type(value) is not int and type(value) is not float:
        raise Malformed("clock is not a number", service=service)
    if type(value) is float and not (math.isfinite(value) and value.is_integer()):
        raise Malformed("clock is not a whole number", service=service)
    if not 0 <= value < LAMPORT_LIMIT:
        raise Malformed("clock out of range", service=service)
    return int(value)


def decode_request(frame: bytes, *, client: bool = False) -> Asked:
    """A request frame, checked against the schema of its service.

    `client`: it is known to be no server's, so what only servers may send is not even looked at.
    An unknown service comes back with ``known=False``.  Raises `Malformed` with the service name
    to echo and the clock to exceed, as far as they could be read.
    """
    if (publish := sound_publish(frame)) is not None:
        return publish
    return decode_carefully(frame, client=client)


def decode_carefully(frame: bytes, *, client: bool = False) -> Asked:
    """As `decode_request`, of whatever service."""
    raw = unpack(frame, frame_bytes_max=CURSOR_FRAME_BYTES_MAX if client else PEER_FRAME_BYTES_MAX)
    if not isinstance(raw, dict):
        raise Malformed("a request is a map with 'service' and 'data'")
    service, data = raw.get("service"), raw.get("data")
    if not isinstance(service, str) or not 0 < len(service) <= 64:
        raise Malformed("'service' is missing or not a short text")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise Malformed("'data' is not a map", service=service)
    if service not in PEER_SERVICES:
        _check_client(frame, data, service)
    clock = lamport(data.get("clock"), service=service)
    schema = REQUESTS.get(service)
    try:
        asked = msgspec.convert(data, schema or Request)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Malformed(str(error), service=service, clock=clock) from None
    return Asked(service, asked, clock, schema is not None)


def _check_client(frame: bytes, data: dict[str, Any], service: str) -> None:
    """The bounds of requests that anybody may send, narrower than those between servers."""
    most = CURSOR_FRAME_BYTES_MAX if service in CURSOR_SERVICES else REQUEST_FRAME_BYTES_MAX
    if len(frame) > most:
        raise Malformed(f"request larger than {most} bytes", service=service)
    crowded = len(data) > CLIENT_MAP_ITEMS_MAX
    for field, value in data.items():
        if type(value) is dict and len(value) > CLIENT_MAP_ITEMS_MAX and field not in _VECTOR_FIELDS:
            crowded = True
    if crowded:
        raise Malformed(f"a map of more than {CLIENT_MAP_ITEMS_MAX} items", service=service)


def encode(service: str, data: dict[str, Any]) -> bytes:
    """An envelope, request or reply."""
    return pack({"service": service, "data": data})


def decode_reply(frame: bytes) -> Reply:
    """A reply frame; its lists may be as long as the frame holds.  Raises `Malformed`."""
    raw = unpack(frame, array_items_max=len(frame))
    try:
        return msgspec.convert(raw, Reply)
    except msgspec.ValidationError as error:
        raise Malformed(str(error)) from None


def convert(value: Any, schema: type[T]) -> T:
    """Decoded data checked against a message's schema.  Raises `Malformed`."""
    try:
        return msgspec.convert(value, schema)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Malformed(str(error)) from None


def decode_publication(frame: bytes) -> dict[str, Any]:
    """The body frame of a publication: a flat map.  Raises `Malformed`."""
    raw = unpack(frame)
    if not isinstance(raw, dict):
        raise Malformed("a publication is a map")
    return raw


def decode_publications(frame: bytes) -> list[dict[str, Any]]:
    """The body frame of a publication, or of a run of them (`pack_run`).  Raises `Malformed`."""
    raw = unpack(frame)
    run = raw if isinstance(raw, list) else [raw]
    if len(run) > PUBLICATIONS_OF_RUN_MAX or not all(isinstance(body, dict) for body in run):
        raise Malformed(f"a publication is a map, or a list of at most {PUBLICATIONS_OF_RUN_MAX} maps")
    return run


def pack_run(bodies: Sequence[bytes]) -> bytes:
    """Packed publications of one topic as one frame, a list of maps."""
    return _pack_array_header(len(bodies)) + b"".join(bodies)
