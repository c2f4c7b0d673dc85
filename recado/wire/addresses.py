"""Addresses: ``tcp://host:port`` and ``ipc://path``, the same for every carrier."""

from typing import NamedTuple

from recado.wire.ports import WireError

PORT_MAX = 65_535
ANY_PORT = frozenset({"*", "0"})


class Address(NamedTuple):
    """The parts of an address; of ``ipc`` the path is the host and there is no port."""

    transport: str
    host: str
    port: str


def to_listen(address: str) -> Address:
    """The parts of an address to listen at; the port may be ``*`` or 0.  Raises `WireError`."""
    parts = _parts(address)
    if parts is None:
        raise WireError(f"cannot listen at {address!r}: an address is like tcp://host:port or ipc://path")
    return parts


def to_connect(address: str) -> Address:
    """The parts of an address to connect to.  Raises `WireError`."""
    parts = _parts(address)
    if parts is None or parts.port in ANY_PORT or parts.host == "*":
        raise WireError(f"cannot connect to {address!r}: an address is like tcp://host:port or ipc://path")
    return parts


def _parts(address: str) -> Address | None:
    transport, _, rest = address.partition("://")
    if transport == "ipc" and rest:
        return Address(transport, rest, "")
    host, _, port = rest.rpartition(":")
    # libzmq takes a port modulo 65536, so it is looked at here.
    numeric = port.isascii() and port.isdecimal() and int(port) <= PORT_MAX
    if transport == "tcp" and host and (port == "*" or numeric):
        return Address(transport, host, port)
    return None
