"""Sockets that the service manager bound and listens at for us (sd_listen_fds(3)).

It holds the port while a program restarts: who connects meanwhile waits in the kernel's queue and is
served by the next process.  What was handed over must be where the configuration says that we listen: a
program that serves another address than it believes would tell everybody the wrong one.
"""

import ipaddress
import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

from recado.wire.addresses import ANY_PORT, to_listen
from recado.wire.ports import WireError

FIRST_DESCRIPTOR: Final = 3
DESCRIPTORS_MAX: Final = 16
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_sockets(
    address: str, *, env: MutableMapping[str, str] = os.environ, first: int = FIRST_DESCRIPTOR
) -> dict[str, int]:
    """``{address: descriptor}`` if a listening socket was handed over to this process, else nothing.

    Takes the variables out of `env`, so that no child believes it is meant.  Raises `WireError` if what was
    handed over is not one listening TCP socket at `address`.
    """
    pid, count, _ = (env.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        return {}
    if int(count) != 1:
        raise WireError(f"{count} sockets were handed over, and this program knows what to do with one")
    os.set_inheritable(first, False)
    with socket.socket(fileno=os.dup(first)) as passed:
        if passed.type != socket.SOCK_STREAM or not _listens(passed):
            raise WireError("what was handed over is no listening TCP socket")
        found = passed.getsockname()
    if not isinstance(found, tuple) or not _is_at(address, host=found[0], port=found[1]):
        where = f"tcp://{found[0]}:{found[1]}" if isinstance(found, tuple) else f"ipc://{found}"
        raise WireError(
            f"the socket that was handed over listens at {where}, but server.listen is {address}; "
            "make ListenStream= of the .socket unit the same"
        )
    return {address: first}


def _listens(passed: socket.socket) -> bool:
    return bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _is_at(address: str, *, host: str, port: int) -> bool:
    """Whether that is what binding `address` would have given.

    A host name is believed, but no name is every address, and `localhost` is nothing but loopback: whether
    keys are needed was judged by the name.
    """
    parts = to_listen(address)
    if parts.transport != "tcp" or (parts.port not in ANY_PORT and int(parts.port) != port):
        return False
    bound = ipaddress.ip_address(host.partition("%")[0])
    if parts.host == "*":
        return bound.is_unspecified
    try:
        return ipaddress.ip_address(parts.host.strip("[]").partition("%")[0]) == bound
    except ValueError:
        return bound.is_loopback if parts.host == "localhost" else not bound.is_unspecified


def descriptor_for(address: str, passed: Mapping[str, int]) -> int | None:
    """A descriptor of our own for what was handed over for that address: whoever binds with it closes it."""
    return os.dup(passed[address]) if address in passed else None
