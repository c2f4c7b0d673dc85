"""Listening in a secured network: the right options for each address, and connections counted."""

from typing import NamedTuple

from recado.wire.frames import RawSocket
from recado.wire.security import Domain, Security, prepare_to_listen
from recado.wire.sockets import bind
from recado.wire.zap import Authenticator


class Guard(NamedTuple):
    """What one listening socket is guarded by."""

    security: Security
    authenticator: Authenticator
    domain: Domain

    def watch(self, raw: RawSocket) -> None:
        self.authenticator.watch(raw)

    def forget(self, raw: RawSocket) -> None:
        self.authenticator.forget(raw)


def guarded_bind(raw: RawSocket, address: str, *, guard: Guard | None, passed: int | None = None) -> str:
    """`sockets.bind`, asking who connects if there is a guard."""
    if guard is not None:
        prepare_to_listen(raw, guard.security, domain=guard.domain, address=address)
    return bind(raw, address, passed=passed)
