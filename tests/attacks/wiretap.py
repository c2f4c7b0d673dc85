"""Every frame on the loopback interface, as root: what a listener on the network sees of a cluster."""

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

_ALL: Final = socket.htons(0x0003)  # ETH_P_ALL
_ETHERNET: Final = 14
_TCP: Final = 6
_BUFFER_BYTES: Final = 64 * 2**20
_SO_RCVBUFFORCE: Final = 33
_SOL_PACKET: Final = 263
_STATISTICS: Final = 6
LOOK_SECONDS: Final = 0.2


class Wiretap:
    """What went over TCP between some ports: whole frames, and each direction put together again."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = frozenset(ports)
        self._frames: list[bytes] = []
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Frames that the kernel had no room for: then a silence proves nothing."""
        return self._dropped

    @property
    def frames(self) -> list[bytes]:
        """All frames to or from the ports, from the IP header on."""
        return [frame for frame in self._frames if _flow(frame, self._ports)]

    def streams(self) -> list[bytes]:
        """The bytes of each direction of each connection in order, copies left out."""
        pieces: dict[tuple[int, int], dict[int, bytes]] = defaultdict(dict)
        for frame in self.frames:
            source, destination, number, payload = _tcp(frame)
            if len(payload) > len(pieces[source, destination].get(number, b"")):
                pieces[source, destination][number] = payload
        return [b"".join(parts[n] for n in sorted(parts)) for parts in pieces.values()]

    def hold(self, end: socket.socket, stop: threading.Event) -> None:
        """The thread: keep what comes until told."""
        while not stop.is_set():  # others may talk over the loopback without a pause
            try:
                frame, where = end.recvfrom(2**16 + 256)
            except TimeoutError:
                continue
            if where[2] != socket.PACKET_OUTGOING:  # each is seen twice at the loopback
                self._frames.append(frame[_ETHERNET:])
        _, self._dropped = struct.unpack("II", end.getsockopt(_SOL_PACKET, _STATISTICS, 8))


def _flow(frame: bytes, ports: frozenset[int]) -> bool:
    if len(frame) < 40 or frame[0] >> 4 != 4 or frame[9] != _TCP:
        return False
    source, destination, _, _ = _tcp(frame)
    return source in ports or destination in ports


def _tcp(frame: bytes) -> tuple[int, int, int, bytes]:
    """(source port, destination port, sequence number, payload) of an IPv4 packet."""
    begin = 4 * (frame[0] & 15)
    length = int.from_bytes(frame[2:4], "big")
    source, destination, number = struct.unpack_from(">HHI", frame, begin)
    return source, destination, number, frame[begin + 4 * (frame[begin + 12] >> 4) : length]


@contextmanager
def wiretap(ports: Collection[int]) -> Iterator[Wiretap]:
    """Listen while inside.  Raises `PermissionError` without the right to."""
    tap, stop = Wiretap(ports), threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL) as end:
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        end.bind(("lo", 0))
        end.settimeout(LOOK_SECONDS)
        listening = threading.Thread(target=tap.hold, args=(end, stop), daemon=True)
        listening.start()
        try:
            yield tap
        finally:
            stop.set()
            listening.join()
