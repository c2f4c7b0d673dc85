"""A daemon's network as its keys make it, and what SIGHUP reads again.  In open mode a plain network.

A key that the roster does not name is let in at the servers and the reference, as one that proved itself
and is nobody yet: they answer it clearly, whereas a refused handshake tells a client nothing.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Literal

import trio

from daemons.shared.descriptors import take_descriptors
from daemons.shared.logging import Logger
from daemons.shared.process import Life
from recado.config import ConfigError
from recado.secured import Current, SecurityProblems, caps_of, local_account
from recado.wire.ports import Principal
from recado.wire.security import Authenticate, HandshakeLimits, Security
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

RELOADED = "keys, limits and registration were read again"
NOT_RELOADED = "what was read again can't be used, everything stays as it was"


Listed = Callable[[Principal], Principal]  # as the roster says now, whatever it said at the handshake


def as_proved(principal: Principal) -> Principal:
    """What the transport says, where no roster can change."""
    return principal


def as_listed(current: Current) -> Listed:
    """What the roster says at this moment of who was let in some time ago; in open mode nothing."""

    def listed(principal: Principal) -> Principal:
        if current.security is None:
            return principal
        found = current.security.roster.role_of(principal.key)
        role, name = ("key", "") if found is None else (found.role, found.name)
        return principal._replace(role=role, name=name)

    return listed


def everybody(current: Current) -> Authenticate:
    """Whoever proves to have a key gets in: as what the roster says, or as "key"."""

    def authenticate(key: bytes, _domain: str, _address: str) -> Principal:
        assert current.security is not None
        return current.security.roster.role_of(key) or Principal("key")

    return authenticate


def wire_security(
    current: Current, *, domain: Literal["requests", "reference"], authenticate: Authenticate
) -> Security | None:
    """What the network needs to know of the keys; None in open mode."""
    if current.security is None:
        return None

    def is_listed(key: bytes) -> bool:
        return current.security is not None and current.security.roster.role_of(key) is not None

    def local(uid: int) -> Principal | None:
        name = local_account(current.config, uid)
        return None if name is None else Principal("local", name)

    return Security(
        public=current.security.identity.public,
        secret=current.security.identity.secret,
        keys_of=current.security.book.keys_of,
        authenticate=authenticate,
        is_listed=is_listed,
        local=local,
        domain=domain,
        limits=HandshakeLimits(**caps_of(current.config)._asdict()),
    )


@asynccontextmanager
async def network_of(
    current: Current, options: WireOptions | None = None, *, security: Security | None
) -> AsyncIterator[ZeroMQNetwork]:
    """The network, in secured mode with the task that decides who gets in, for as long as it is open."""
    take_descriptors()
    async with ZeroMQNetwork(options, security) as network, trio.open_nursery() as nursery:
        if security is not None:
            nursery.start_soon(network.authenticator)
            current.on_change.append(
                lambda: network.set_handshake_limits(HandshakeLimits(**caps_of(current.config)._asdict()))
            )
        yield network
        nursery.cancel_scope.cancel()


def doors_of(network: ZeroMQNetwork, security: Security | None) -> dict[str, Any]:
    """What a status tells of connections, and of who was not let in since the start, in secured mode."""
    if security is None:
        return {}
    return {"connections": network.connections, "refused": asdict(security.refusals)}


def reload_on_hangup(life: Life, current: Current, log: Callable[[], Logger]) -> None:
    """On SIGHUP read the settings, the roster and the limits again; what is wrong changes nothing."""

    def again() -> None:
        try:
            current.reload(life.read_again())
        except (ConfigError, SecurityProblems) as problems:
            log().error(NOT_RELOADED, problem=str(problems))
        else:
            log().info(RELOADED)

    life.on_reload.append(again)
