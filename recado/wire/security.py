"""What makes a network secured: whose keys, who lets whom in, and the socket options that follow.

Secured, every ``tcp://`` connection is CURVE both ways: a client dials with the key it expects of the
server, a server asks the ZAP handler (`recado.wire.zap`) about the client's.  At ``ipc://`` there is no
CURVE: the kernel tells the Unix user at the other end.

What the ZAP handler finds comes along with every message of the connection, as libzmq's ``User-Id``:
``role|serial|key|address|name``.  A client cannot set it: libzmq takes the handler's word before any
property that a client states, and routing ids, which clients choose, play no part.  The serial makes it
differ for each connection, so that what one connection may do can be counted.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, get_args

import zmq

from recado.protocol.limits import CONNECTIONS_REMEMBERED_MAX, HANDSHAKES_ASKED_MAX, USER_ID_BYTES_MAX
from recado.wire.frames import RawSocket
from recado.wire.ports import Principal

KEY_BYTES: Final = 32
LOCAL_DOMAIN: Final = "local"  # of everything at ipc://
Domain = Literal["requests", "reference", "xsub", "xpub", "local"]
DOMAINS: Final[frozenset[str]] = frozenset(get_args(Domain))
NOBODY: Final = Principal("key")  # who cannot be told: a stranger without a key
_ROLES: Final = frozenset({"server", "broker", "reference", "operator", "key", "local"})


class NotNow(Exception):
    """Raised by `authenticate` when it cannot tell at present; the peer tries again by itself."""


Authenticate = Callable[[bytes, str, str], Principal | Awaitable[Principal | None] | None]


@dataclass(frozen=True, kw_only=True)
class HandshakeLimits:
    """How often one address and one key may shake hands, and how many connections there may be.

    Beyond `connections_max` only keys get in that `authenticate` gives a role of the roster (all but
    "key" and "local").  Connections whose handshake is not done take nobody's place; they end after
    `WireOptions.handshake_timeout_seconds`.  `asked_max` wait for somebody's word at once, of one address
    half of them at most (`recado.wire.allowances.Places`).
    """

    address_per_second: float = 100.0
    address_burst: float = 2000.0
    key_per_second: float = 5.0
    key_burst: float = 100.0
    connections_max: int = 10_000
    asked_max: int = HANDSHAKES_ASKED_MAX
    subscriptions_per_second: float = 64.0
    subscriptions_burst: float = 4096.0


@dataclass
class Refusals:
    """What was refused since the start, for status and logs."""

    not_admitted: int = 0  # keys and Unix users that have no business there
    too_often: int = 0  # handshakes beyond the allowances
    too_many: int = 0  # handshakes beyond the connections
    malformed: int = 0  # ZAP requests that no libzmq of ours sends
    subscriptions: int = 0  # not granted
    subscriptions_too_many: int = 0  # beyond what one connection may have, or ask for in a while
    junk: int = 0  # frames at the XPUB that are no subscriptions, publications of a wrong shape
    rebuilds: int = 0  # of the XPUB, see `recado.wire.granting`


def nobody(uid: int) -> Principal | None:  # noqa: ARG001
    """No Unix user is known."""
    return None


def nothing_listed(key: bytes) -> bool:  # noqa: ARG001
    """No key is known beforehand."""
    return False


@dataclass(frozen=True, kw_only=True)
class Security:
    """A process's part in a secured network.

    `public`, `secret`: its CURVE keys, 32 raw bytes each.  `keys_of(address)`: the public keys, raw,
    that may answer there, the one to try first first; none means that nobody is to be dialled there
    yet.  `authenticate(key, domain, peer address)`: who that key is, None if it is not to be let in
    there; it may be async.  A process that listens nowhere needs none.  `is_listed(key)`: for such a key
    there is always a place to wait for its word.  `local(uid)`: as `authenticate`, for a Unix user at an
    ``ipc://`` address.  `domain`: of this process's listeners.
    """

    public: bytes
    secret: bytes = field(repr=False)
    keys_of: Callable[[str], Sequence[bytes]]
    authenticate: Authenticate | None = None
    is_listed: Callable[[bytes], bool] = nothing_listed
    local: Callable[[int], Principal | None] = nobody
    domain: Literal["requests", "reference"] = "requests"
    limits: HandshakeLimits = HandshakeLimits()
    refusals: Refusals = field(default_factory=Refusals)

    def __post_init__(self) -> None:
        if len(self.public) != KEY_BYTES or len(self.secret) != KEY_BYTES:
            raise ValueError("a CURVE key is 32 bytes")  # and never shown


def encode_user_id(principal: Principal, serial: int) -> bytes:
    """The principal as a User-Id.  Raises `ValueError` if it does not fit into one."""
    role, name, key, address = principal
    if role not in _ROLES or "|" in address or "\0" in name + address or len(key) not in (0, KEY_BYTES):
        raise ValueError("not a principal that a connection can have")
    encoded = f"{role}|{serial:x}|{key.hex()}|{address}|{name}".encode()
    if len(encoded) > USER_ID_BYTES_MAX:
        raise ValueError("a principal too long for a connection")
    return encoded


@lru_cache(maxsize=CONNECTIONS_REMEMBERED_MAX)
def decode_user_id(user_id: bytes) -> Principal:
    """The principal of a User-Id; `NOBODY` for anything else."""
    parts = user_id.decode().split("|", 4)
    if len(parts) != 5 or parts[0] not in _ROLES:
        return NOBODY
    role, _, key, address, name = parts
    return Principal(role, name, bytes.fromhex(key), address)


def prepare_to_listen(raw: RawSocket, security: Security, *, domain: Domain, address: str) -> None:
    """Set what the next `bind` takes: CURVE at tcp, nothing but the ZAP handler's question at ipc.

    Without ZAP_ENFORCE_DOMAIN libzmq lets everybody in while no handler is bound.
    """
    curve = not address.startswith("ipc://")
    raw.setsockopt(zmq.CURVE_SERVER, int(curve))
    if curve:
        raw.setsockopt(zmq.CURVE_SECRETKEY, security.secret)
    raw.setsockopt(zmq.ZAP_DOMAIN, (domain if curve else LOCAL_DOMAIN).encode())
    raw.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def prepare_to_dial(raw: RawSocket, security: Security, key: bytes) -> None:
    """Set what the next `connect` takes: our keys and the one expected there."""
    raw.setsockopt(zmq.CURVE_PUBLICKEY, security.public)
    raw.setsockopt(zmq.CURVE_SECRETKEY, security.secret)
    raw.setsockopt(zmq.CURVE_SERVERKEY, key)
