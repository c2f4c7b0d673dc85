"""Many connections at once, cheaply: raw TCP from many loopback addresses, with or without a handshake."""

import resource
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import nacl.bindings as sodium
import nacl.utils

from recado.keys import Identity, make_identity

_CURVE: Final = b"CURVE".ljust(20, b"\0")
GREETING: Final = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + _CURVE + b"\0" + bytes(31)
_SOURCES: Final = 200  # loopback addresses that the connections come from, 127.0.1.1 and so on


def room_for(descriptors: int) -> bool:
    """Whether this process may have so many open files; asks for them if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= descriptors


def connected(address: str, number: int) -> socket.socket:
    """A TCP connection, from an address that depends on the number."""
    parts = urlsplit(address)
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports are chosen per destination
    source = number % _SOURCES
    end.bind((f"127.0.{1 + source // 100}.{1 + source % 100}", 0))
    end.settimeout(10)
    end.connect((parts.hostname, parts.port))
    return end


@contextmanager
def crowd(address: str, count: int, *, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that have said so much and are silent now; those that were refused are left out."""
    ends: list[socket.socket] = []
    try:
        for number in range(count):
            with suppress(OSError):
                end = connected(address, number)
                ends.append(end)
                end.sendall(says)
        yield ends
    finally:
        for end in ends:
            end.close()


def alive(ends: Sequence[socket.socket]) -> int:
    """How many the other side has not closed; reads what it said."""
    found = 0
    for end in ends:
        end.setblocking(False)
        try:
            while end.recv(4096):
                pass
        except BlockingIOError:
            found += 1
        except OSError:
            continue
    return found


class CurvePeer:
    """CURVE by hand (ZeroMQ RFC 26), on one blocking socket: 10,000 of them are cheaper than libzmq's."""

    def __init__(self, end: socket.socket, server: bytes, identity: Identity | None = None) -> None:
        self.end = end
        self._server = server
        self._who = identity or make_identity("user", "alguém")
        self._number = 1
        self._session = b""

    def shake_hands(self, *, kind: bytes) -> bool:
        """Whether the server let us in; `kind` is the socket type that we say to be."""
        try:
            self._hello()
            self._initiate(kind)
            name, _ = self._command()
        except (OSError, EOFError, ValueError):
            return False
        return name == b"READY"

    def _hello(self) -> None:
        self.end.sendall(GREETING)
        self._read(64)
        self._short_public, self._short = sodium.crypto_box_keypair()
        number = (1).to_bytes(8, "big")
        box = sodium.crypto_box(bytes(64), b"CurveZMQHELLO---" + number, self._server, self._short)
        self._tell(b"HELLO", b"\x01\x00" + bytes(72) + self._short_public + number + box)
        name, body = self._command()
        if name != b"WELCOME":
            raise ValueError("no WELCOME")
        opened = sodium.crypto_box_open(body[16:], b"WELCOME-" + body[:16], self._server, self._short)
        self._theirs, self._cookie = opened[:32], opened[32:]

    def _initiate(self, kind: bytes) -> None:
        nonce = nacl.utils.random(16)
        vouch = sodium.crypto_box(
            self._short_public + self._server, b"VOUCH---" + nonce, self._theirs, self._who.secret
        )
        stated = _property(b"Socket-Type", kind) + _property(b"Identity", b"")
        number = (2).to_bytes(8, "big")
        self._session = sodium.crypto_box_beforenm(self._theirs, self._short)
        box = sodium.crypto_box_afternm(
            self._who.public + nonce + vouch + stated, b"CurveZMQINITIATE" + number, self._session
        )
        self._number = 3
        self._tell(b"INITIATE", self._cookie + number + box)

    def send(self, body: bytes, *, more: bool = False) -> None:
        """One frame, encrypted."""
        number = self._number.to_bytes(8, "big")
        self._number += 1
        box = sodium.crypto_box_afternm(bytes([more]) + body, b"CurveZMQMESSAGEC" + number, self._session)
        message = b"\x07MESSAGE" + number + box
        head = (
            bytes([2]) + struct.pack(">Q", len(message)) if len(message) > 255 else bytes([0, len(message)])
        )
        self.end.sendall(head + message)

    def _tell(self, name: bytes, body: bytes) -> None:
        command = bytes([len(name)]) + name + body
        long = len(command) > 255
        head = bytes([6]) + struct.pack(">Q", len(command)) if long else bytes([4, len(command)])
        self.end.sendall(head + command)

    def _command(self) -> tuple[bytes, bytes]:
        flags = self._read(1)[0]
        size = struct.unpack(">Q", self._read(8))[0] if flags & 2 else self._read(1)[0]
        command = self._read(size)
        return command[1 : 1 + command[0]], command[1 + command[0] :]

    def _read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = self.end.recv(count - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor since its start, all its threads that live."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mib(pid: int) -> float:
    """How much memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
