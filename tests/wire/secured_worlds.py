"""Secured networks over real sockets, with keys made for the test, and raw clients that misbehave."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import zmq
from wire_worlds import QUICK
from zmq.utils import z85

from recado.wire.ports import Asker, Incoming, Listener, Outgoing, Principal
from recado.wire.security import Authenticate, HandshakeLimits, Security
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

PATIENT = WireOptions(linger_seconds=0.1, reconnect_seconds_min=0.01, reconnect_seconds_max=0.05)
HASTY = WireOptions(
    linger_seconds=0.1,
    reconnect_seconds_min=0.01,
    reconnect_seconds_max=0.05,
    handshake_timeout_seconds=0.3,
)
ANY = "tcp://127.0.0.1:*"
SILENCE_SECONDS = 0.4  # what has not happened by then is taken not to happen


@dataclass(frozen=True)
class Keys:
    """One CURVE key pair, raw."""

    public: bytes
    secret: bytes = field(repr=False)


def make_keys() -> Keys:
    """A fresh pair."""
    public, secret = zmq.curve_keypair()
    return Keys(z85.decode(public), z85.decode(secret))


SERVER, CLIENT, ANA, BRUNO = make_keys(), make_keys(), make_keys(), make_keys()
NAMES = {ANA.public: "ana", BRUNO.public: "bruno"}


def admit(key: bytes, domain: str, address: str) -> Principal | None:
    """The servers' key is a server's; others are keys, known by name or not, and kept from the XSUB."""
    if key == SERVER.public:
        return Principal("server", "server-1")
    return None if domain == "xsub" else Principal("key", NAMES.get(key, ""))


def securely(
    keys: Keys,
    *,
    expects: Sequence[bytes] = (SERVER.public,),
    authenticate: Authenticate | None = None,
    limits: HandshakeLimits | None = None,
    local: Callable[[int], Principal | None] | None = None,
) -> Security:
    """The security of a process that has `keys` and expects one of `expects` everywhere."""
    return Security(
        public=keys.public,
        secret=keys.secret,
        keys_of=lambda address: expects,
        authenticate=authenticate,
        limits=limits or HandshakeLimits(),
        local=local or (lambda uid: None),
    )


@asynccontextmanager
async def serving(
    security: Security | None = None, options: WireOptions = QUICK
) -> AsyncIterator[ZeroMQNetwork]:
    """A secured network whose handler runs."""
    security = security or securely(SERVER, authenticate=admit)
    async with ZeroMQNetwork(options, security) as network, anyio.create_task_group() as tasks:
        tasks.start_soon(network.authenticator)
        yield network
        tasks.cancel_scope.cancel()


def dialling(
    keys: Keys, *, expects: Sequence[bytes] = (SERVER.public,), options: WireOptions = QUICK
) -> ZeroMQNetwork:
    """The network of a process that only dials."""
    return ZeroMQNetwork(options, securely(keys, expects=expects))


async def tell(listener: Listener) -> None:
    """Answer every request with who sent it."""
    while True:
        batch = await listener.receive_batch()
        listener.send(Outgoing(r.envelope, _told(r)) for r in batch)


def _told(request: Incoming) -> bytes:
    role, name, key, address = request.principal
    return f"{role} {name} {key.hex()} {address}".encode()


@asynccontextmanager
async def telling(
    security: Security | None = None, options: WireOptions = QUICK, at: str = ANY
) -> AsyncIterator[tuple[ZeroMQNetwork, str]]:
    """A secured listener that tells everybody who they are; gives its network and address."""
    async with (
        serving(security, options) as network,
        network.listener(at) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tell, listener)
        yield network, listener.address
        tasks.cancel_scope.cancel()


async def silent(asker: Asker) -> bool:
    """Whether no reply comes."""
    with anyio.move_on_after(SILENCE_SECONDS):
        await asker.ask(b"anybody?")
        return False
    return True
