"""Frames that no good client sends, and what a server may do with them."""

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

MIB = 2**20
GREETING = b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + b"\0" * 31


def pack(service: Any, **data: Any) -> bytes:
    packed: bytes = msgpack.packb({"service": service, "data": data})
    return packed


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# What is not even a request: the reply's service is "error".
JUNK: dict[str, bytes] = {
    "an empty frame": b"",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "the byte that stands for nothing": b"\xc1",
    "a map that ends too early": b"\x82\xa7service",
    "bytes after the request": pack("users") + b"\0",
    "a number": b"\x07",
    "an array": msgpack.packb(["users"]),
    "a map with keys that are no text": msgpack.packb({1: 2}),
    "a map that claims four thousand million items": b"\xdf\xff\xff\xff\xff",
    "an array that claims as many": b"\xdd\xff\xff\xff\xff",
    "a text that claims as many": b"\xdb\xff\xff\xff\xff",
    "an extension type": b"\xd6\xff\x68\xe7\x78\x00",
    "text that is not UTF-8": b"\x82\xa7service\xa2\xff\xfe\xa4data\x80",
    "ten thousand arrays in each other": b"\x91" * 10_000 + b"\x90",
    "a service that is a number": pack(5),
    "a service without a name": pack(""),
    "a service with a long name": pack("x" * 65),
    "no service": msgpack.packb({"data": {}}),
    "all 256 bytes": bytes(range(256)),
    "deep nesting in a field": pack("users", x=nested(9)),
}

# Requests with a service that can be told: it is echoed, with `erro`.
WRONG: dict[str, tuple[str, bytes]] = {
    "data that is no map": ("login", msgpack.packb({"service": "login", "data": [1]})),
    "no user": ("login", pack("login")),
    "a user that is a number": ("login", pack("login", user=5)),
    "a user that is nil": ("login", pack("login", user=None)),
    "a user of bytes": ("login", pack("login", user=b"ana")),
    "a long user": ("login", pack("login", user="a" * 65)),
    "a user with control characters": ("login", pack("login", user="a\0b")),
    "a reserved user": ("login", pack("login", user="servers")),
    "a reserved channel": ("channel", pack("channel", channel=" servers ")),
    "a channel that is a list": ("channel", pack("channel", channel=["geral"])),
    "no message": ("publish", pack("publish", user="ana", channel="geral")),
    "a long message": ("publish", pack("publish", user="ana", channel="geral", message="x" * 16_385)),
    "an unknown level": ("publish", pack("publish", user="a", channel="geral", message="x", level="never")),
    "a long id": ("publish", pack("publish", user="a", channel="geral", message="x", id=b"i" * 65)),
    "an id that is a map": ("publish", pack("publish", user="a", channel="geral", message="x", id={})),
    "a clock below zero": ("users", pack("users", clock=-1)),
    "a clock that is huge": ("users", pack("users", clock=2**63)),
    "a clock that is infinite": ("users", pack("users", clock=float("inf"))),
    "a clock that is not a number": ("users", pack("users", clock=float("nan"))),
    "a clock that is a text": ("users", pack("users", clock="5")),
    "a clock that is true": ("users", pack("users", clock=True)),
    "a broken clock": ("users", pack("users", clock=1.5)),
    "a thousand and more fields": ("users", pack("users", **{f"f{n}": n for n in range(1100)})),
    "an unknown service": ("teleporte", pack("teleporte")),
    "a request of 300 KiB": ("users", pack("users", x=[b"x" * 30_000] * 10)),
    "an adjustment that is not a number": ("adjust", pack("adjust", adjustment=float("nan"))),
    "an adjustment of ten thousand years": ("adjust", pack("adjust", adjustment=3e11)),
    "replicate without content": ("replicate", pack("replicate", type="login")),
    "replicate of an unknown type": ("replicate", pack("replicate", type="senha", content={})),
    "replicate of a reserved name": ("replicate", pack("replicate", type="channel", content="servers")),
    "a member of another cluster": ("sync", pack("sync", v=2, cluster="outro", vector={})),
    "an election by nobody": ("election", pack("election", epoch=[9, 9, "x", "y"])),
    "a coordinator that is no member": (
        "coordinator",
        msgpack.packb(
            {
                "service": "coordinator",
                "data": {
                    "v": 2,
                    "cluster": "recado",
                    "from": "server-9",
                    "epoch": [2**40, 9, "server-9", "b"],
                },
            }
        ),
    ),
    "history of nothing": ("history", pack("history")),
    "history with a cursor of junk": ("history", pack("history", channel="geral", since={"x": "y"})),
    "a vector that is a list": ("users", pack("users", session=[1, 2])),
}


def decoded(raw: bytes) -> dict[str, Any]:
    """A reply's envelope."""
    envelope: dict[str, Any] = msgpack.unpackb(raw)
    return envelope


def handshake(address: str, *, kind: bytes = b"REQ") -> socket.socket:
    """A TCP connection that has spoken ZMTP as far as READY."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    end = socket.create_connection((host, int(port)), timeout=10)
    end.sendall(GREETING)
    _read(end, 64)
    ready = b"\x05READY" + _property(b"Socket-Type", kind) + _property(b"Identity", b"")
    end.sendall(bytes([4, len(ready)]) + ready)
    return end


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def _read(end: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = end.recv(count - len(got))
        if not piece:
            raise EOFError
        got += piece
    return got


def frame_head(length: int, *, more: bool = False) -> bytes:
    """The head of a long ZMTP frame."""
    return bytes([3 if more else 2]) + struct.pack(">Q", length)


def is_closed(end: socket.socket) -> bool:
    """Whether the other side ended the connection; reads what it still sent."""
    end.settimeout(10)
    try:
        while end.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def raw_attacks(address: str) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Below ZeroMQ's messages: (what, do it; whether the server closed the connection)."""

    def connected() -> socket.socket:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def other_protocol() -> bool:
        with connected() as end:
            end.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        return True  # taken for the first version of ZMTP, which has no greeting: we leave

    def mechanism() -> bool:
        with connected() as end:
            end.sendall(GREETING.replace(b"NULL", b"JUNK"))
            return is_closed(end)

    def command() -> bool:
        with connected() as end:
            end.sendall(GREETING + b"\x04\xff" + b"\xff" * 255)
            return is_closed(end)

    def oversize() -> bool:
        with handshake(address) as end:
            end.sendall(b"\x01\x00" + frame_head(5 * MIB) + b"\0" * 65_536)
            return is_closed(end)

    def endless() -> bool:
        with handshake(address) as end:
            end.sendall(b"\x01\x00" + frame_head(2**62))
            return is_closed(end)

    def half() -> bool:
        with handshake(address) as end:
            end.sendall(b"\x01\x00" + frame_head(1000) + b"\0" * 10)
        return True  # we are the one who leaves

    yield "another protocol", other_protocol
    yield "an unknown mechanism", mechanism
    yield "junk instead of a handshake", command
    yield "a frame larger than any may be", oversize
    yield "a frame that claims exabytes", endless
    yield "a client that dies in the middle of a frame", half
