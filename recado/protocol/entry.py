"""Log entries as bytes: the header, the hash chain, and what makes an entry valid.

A header is the MessagePack array, in shortest encodings,
``[1, origin, seq, lamport, wall_ms, kind, author, id, target, prev, blake2b16(body), extra]``
and an entry's hash is ``blake2b16(hash of the origin's previous entry ‖ header)``, so one hash
vouches for an origin's whole log.  Headers travel verbatim; what a later version adds goes into
`extra`, which is kept and relayed unread.

Validity (A15) depends on the entry and its predecessor only, never on a clock or on other origins:
all replicas agree about it.  What is valid for the log but makes no sense to people
(`shape_problem`, A35) is kept, relayed and not shown.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import msgspec

from recado.protocol import codec, names, rules
from recado.protocol.errors import InvalidEntry, Malformed, Refused
from recado.protocol.limits import (
    BODY_BYTES_MAX,
    EXTRA_BYTES_MAX,
    ID_BYTES_MAX,
    LAMPORT_LIMIT,
    NAME_BYTES_MAX,
    NODE_NAME_CHARACTERS_MAX,
)
from recado.protocol.messages import Entry, Kind, Run

HEADER_VERSION = 1
HASH_BYTES = 16
HEADER_BYTES_MAX = 8192
BODY_HASH_AT = 10  # where in a header
GENESIS = bytes(HASH_BYTES)  # the hash before an origin's first entry
SEQ_LIMIT = 2**53
KIND_MAX = 65_535
ORIGINS_REMEMBERED = 1024  # whose form need not be looked at again
WALL_MS_LIMIT = 2**48
_new_hash = hashlib.blake2b(digest_size=HASH_BYTES).copy  # its parameters are read once, not at each hash
_ORIGIN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NODE_NAME_CHARACTERS_MAX - 1}}}\.[0-9a-f]{{16}}")


class Head(msgspec.Struct, frozen=True, gc=False):
    """The last entry of an origin as far as somebody has it."""

    seq: int
    lamport: int
    hash: bytes


EMPTY = Head(0, 0, GENESIS)


# The twelve fields with their types, read in one call; what a target is, is looked at afterwards.
_Fields = tuple[
    Literal[1], str, int, int, int, int, bytes | None, bytes | None, Any, int, bytes, bytes | None
]
_read_header = msgspec.msgpack.Decoder(_Fields).decode
_write_header = msgspec.msgpack.Encoder().encode  # shortest encodings, as those of `codec.pack`


def hash16(*parts: bytes) -> bytes:
    """BLAKE2b of the concatenation, 16 bytes."""
    state = _new_hash()
    state.update(b"".join(parts))
    return state.digest()


def origin_name(node: str, randomness: bytes) -> str:
    """``name.`` and 16 hex digits: minted at the first append of a process start (A1), never reused."""
    return f"{node}.{randomness[:8].hex()}"


def origin_node(origin: str) -> str:
    """The node that an origin belongs to."""
    return origin.rpartition(".")[0]


@lru_cache(maxsize=ORIGINS_REMEMBERED)
def is_origin(value: str) -> bool:
    return _ORIGIN.fullmatch(value) is not None


def seal(
    previous: Head,
    *,
    origin: str,
    lamport: int,
    wall_ms: int,
    kind: int,
    author: bytes | None,
    id: bytes | None,
    target: str | bytes | None,
    prev: int,
    body: bytes,
    extra: bytes | None = None,
) -> Entry:
    """Make the entry that follows `previous` in its origin's log."""
    seq = previous.seq + 1
    digest = hash16(body)
    header = _write_header(
        (HEADER_VERSION, origin, seq, lamport, wall_ms, kind, author, id, target, prev, digest, extra)
    )
    chained = hash16(previous.hash, header)
    return Entry(origin, seq, lamport, wall_ms, kind, author, id, target, prev, body, extra, header, chained)


def encode_header(*fields: Any) -> bytes:
    """The canonical header of the eleven fields that follow the version."""
    return _write_header((HEADER_VERSION, *fields))


def parse(header: bytes, body: bytes, previous: Head) -> Entry:
    """The entry that follows `previous`, from its bytes.  Raises `InvalidEntry`."""
    return _parse_sound(header, body, previous) or parse_carefully(header, body, previous)


def _parse_sound(header: bytes, body: bytes, previous: Head) -> Entry | None:
    """What `parse_carefully` gives if everything is as it should be, in half of its time; else None.

    Whatever the typed reader might take for something else packs to other bytes than it was read from.
    """
    if len(header) > HEADER_BYTES_MAX or len(body) > BODY_BYTES_MAX:
        return None
    try:
        fields = _read_header(header)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    _, origin, seq, lamport, wall_ms, kind, author, id_, target, prev, body_hash, extra = fields
    if (
        body_hash != hash16(body)
        or seq != previous.seq + 1
        or not previous.lamport < lamport < LAMPORT_LIMIT
        or not 0 <= prev < seq < SEQ_LIMIT
        or not (0 <= wall_ms < WALL_MS_LIMIT and 0 < kind <= KIND_MAX)
        or _bytes_problem(origin, author, id_, target, extra) is not None
        or _write_header(fields) != header
    ):
        return None
    chained = hash16(previous.hash, header)
    return Entry(origin, seq, lamport, wall_ms, kind, author, id_, target, prev, body, extra, header, chained)


def parse_carefully(header: bytes, body: bytes, previous: Head) -> Entry:
    """The same as `parse`, field by field, so that it can say what is wrong.  Raises `InvalidEntry`."""
    try:
        fields = codec.unpack(header, frame_bytes_max=HEADER_BYTES_MAX)
    except Malformed as error:
        raise InvalidEntry(f"header: {error.reason}") from None
    # `true` and 1.0 equal 1, but have other bytes, which no row would remember.
    if type(fields) is not list or len(fields) != 12 or (type(fields[0]), fields[0]) != (int, HEADER_VERSION):
        raise InvalidEntry("header is not an array of 12 beginning with 1")
    if codec.pack(fields) != header:
        raise InvalidEntry("header is not in canonical encoding")
    _, origin, seq, lamport, wall_ms, kind, author, id_, target, prev, body_hash, extra = fields
    problem = (
        _number_problem(seq, lamport, wall_ms, kind, prev)
        or _bytes_problem(origin, author, id_, target, extra)
        or _chain_problem(seq, lamport, prev, previous)
    )
    if problem:
        raise InvalidEntry(problem)
    if len(body) > BODY_BYTES_MAX:
        raise InvalidEntry(f"body over {BODY_BYTES_MAX} bytes")
    if body_hash != hash16(body):
        raise InvalidEntry("body does not match its hash")
    chained = hash16(previous.hash, header)
    return Entry(origin, seq, lamport, wall_ms, kind, author, id_, target, prev, body, extra, header, chained)


def _number_problem(seq: Any, lamport: Any, wall_ms: Any, kind: Any, prev: Any) -> str | None:
    bounds = (
        ("seq", seq, 1, SEQ_LIMIT),
        ("lamport", lamport, 1, LAMPORT_LIMIT),
        ("wall", wall_ms, 0, WALL_MS_LIMIT),
        ("kind", kind, 1, KIND_MAX + 1),
        ("prev", prev, 0, SEQ_LIMIT),
    )
    for name, value, low, high in bounds:
        if type(value) is not int or not low <= value < high:
            return f"{name} out of range"
    return None


def _bytes_problem(origin: Any, author: Any, id_: Any, target: Any, extra: Any) -> str | None:
    if type(origin) is not str or not is_origin(origin):
        return "origin is not name.hex16"
    if author is not None and (type(author) is not bytes or len(author) != names.UID_BYTES):
        return "author is not a user id"
    if id_ is not None and (type(id_) is not bytes or not 0 < len(id_) <= ID_BYTES_MAX):
        return "id is not 1 to 64 bytes"
    if isinstance(target, str):
        if not 0 < len(target.encode()) <= NAME_BYTES_MAX:
            return "target is not a name"
    elif target is not None and (type(target) is not bytes or len(target) != names.UID_BYTES):
        return "target is neither a name nor a user id"
    if extra is not None and (type(extra) is not bytes or len(extra) > EXTRA_BYTES_MAX):
        return "extra is not short bytes"
    return None


def _chain_problem(seq: int, lamport: int, prev: int, previous: Head) -> str | None:
    if seq != previous.seq + 1:
        return f"seq {seq} does not follow {previous.seq}"
    if lamport <= previous.lamport:
        return f"lamport {lamport} does not exceed {previous.lamport}"
    if prev >= seq:
        return "prev is not earlier"
    return None


def run_of(entries: list[Entry], previous_hash: bytes) -> Run:
    """Consecutive entries of one origin as they go on the wire."""
    return Run(entries[0].origin, entries[0].seq, previous_hash, [(e.header, e.body) for e in entries])


def run_fields(run: Run) -> list[Any]:
    """A run as it is packed; without a signature the bytes are those of open mode."""
    fields: list[Any] = [run.origin, run.first, run.previous_hash, run.entries]
    return fields if run.signature is None else [*fields, run.signature]


def ident(entry: Entry) -> tuple[bytes | None, bytes, bytes] | None:
    """What makes two entries the same message (A8, A10): author, client-made id, content digest."""
    if entry.id is None:
        return None
    target = entry.target.encode() if isinstance(entry.target, str) else entry.target or b""
    return (entry.author, entry.id, hash16(entry.kind.to_bytes(2, "big"), target, b"\0", entry.body))


def shape_problem(entry: Entry) -> str | None:
    """Why a valid entry of a known kind can't be shown to people; None if it can, or is unknown."""
    match entry.kind:
        case Kind.LOGIN:
            return _name_problem(entry.target, names.kept_user_name) or _login_problem(entry)
        case Kind.CHANNEL:
            return _name_problem(entry.target, names.kept_channel_name) or _creation_problem(entry)
        case Kind.CHANNEL_MESSAGE:
            return _name_problem(entry.target, names.kept_channel_name) or _message_problem(entry)
        case Kind.USER_MESSAGE:
            return (None if type(entry.target) is bytes else "no destination") or _message_problem(entry)
        case Kind.USER_RULE:
            return (None if type(entry.target) is bytes else "rule about no user") or _rule_problem(
                entry, rules.user_deed_of
            )
        case Kind.CHANNEL_RULE:
            return _name_problem(entry.target, names.kept_channel_name) or _rule_problem(
                entry, rules.channel_deed_of
            )
    return None


def _login_problem(entry: Entry) -> str | None:
    if entry.author is None:
        return "login without author"
    said = rules.login_of(entry.body)
    if said is None:
        return "login is not readable"
    key = names.key_bytes(said.key) if said.key is not None else None
    if key is not None and names.key_uid(key, str(entry.target)) != entry.author:
        return "user id is not that of key and name"
    return None


def _creation_problem(entry: Entry) -> str | None:
    return None if rules.channel_of(entry.body) is not None else "creation is not readable"


def _rule_problem(entry: Entry, read: Callable[[bytes], object]) -> str | None:
    if entry.author is None:
        return "rule without author"
    return None if read(entry.body) is not None else "rule is not readable"


def _name_problem(target: str | bytes | None, check: Any) -> str | None:
    if not isinstance(target, str):
        return "no name"
    try:
        return None if check(target) == target else "name is not trimmed"
    except Refused as refused:
        return refused.code


def _message_problem(entry: Entry) -> str | None:
    if entry.author is None:
        return "message without author"
    try:
        names.text(entry.body.decode("utf-8"))
    except UnicodeDecodeError:
        return "text is not UTF-8"
    except Refused as refused:
        return refused.code
    return None


def told_names(entry: Entry) -> list[tuple[bytes, str]]:
    """The names that a message carries in `extra`, by user id: its author's, its receiver's.

    Its server adds those of users that may not be registered everywhere.  Each counts only if it is the
    name that the user id was made from, so nobody can rename another.
    """
    if entry.extra is None:
        return []
    try:
        extra = codec.unpack(entry.extra, frame_bytes_max=EXTRA_BYTES_MAX)
    except Malformed:
        return []
    if not isinstance(extra, dict):
        return []
    said = ((entry.author, extra.get("user")), (entry.target, extra.get("dst")))
    return [
        (uid, name)
        for uid, name in said
        if isinstance(uid, bytes) and isinstance(name, str) and names.uid(name) == uid
    ]


def names_extra(user: str, *, dst: str | None = None) -> bytes:
    """The `extra` that `told_names` reads."""
    return codec.pack({"user": user} if dst is None else {"user": user, "dst": dst})
