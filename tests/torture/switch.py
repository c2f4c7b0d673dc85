"""An Ethernet switch in user space, for the weather that this kernel cannot make: there may be no netem.

``python -m tests.torture.switch CONTROL SEED NODE=NETNS:ADDRESS …`` makes a TAP device `tap0` in every
namespace and passes the frames between them.  Its whole state comes as one JSON datagram:
``{"cuts": [[from, to], …], "weather": {"delay": s, "jitter": s, "loss": p, "dup": p, "reorder": p}}``;
delays are for one direction, in seconds; p are probabilities; a reordered frame waits 20 ms more.
"""

import ctypes
import fcntl
import heapq
import json
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from tests.torture.processes import run

TAP = "tap0"
REORDER_SECONDS = 0.02
FRAME_BYTES_MAX = 2048
WAITING_FRAMES_MAX = 20_000  # then the switch drops, as any does
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x2, 0x1000
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class Switch:
    """Ports by file descriptor; frames that wait, by the time at which they leave."""

    def __init__(self, seed: str) -> None:
        self.ports: dict[int, str] = {}
        self._by_address: dict[bytes, int] = {}
        self._random = Random(seed)
        self._cuts: set[tuple[str, str]] = set()
        self._weather: dict[str, float] = {}
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def add(self, name: str, namespace: str, address: str) -> None:
        """Make the TAP device of one node, inside its namespace."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        _enter(os.open(f"/run/netns/{namespace}", os.O_RDONLY))
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", TAP.encode(), _IFF_TAP | _IFF_NO_PI))
        hardware = bytes([2, 0, *(int(part) for part in address.split("."))])
        run("ip", "link", "set", TAP, "address", hardware.hex(":"), "up")
        _enter(home)
        self.attach(name, hardware, descriptor)

    def attach(self, name: str, hardware: bytes, descriptor: int) -> None:
        """A port: what is written to the descriptor reaches the node with this hardware address."""
        self.ports[descriptor] = name
        self._by_address[hardware] = descriptor

    def told(self, state: dict[str, Any]) -> None:
        """A new state, in whole."""
        self._cuts = {(a, b) for a, b in state["cuts"]}
        self._weather = state["weather"]

    def arrived(self, port: int, frame: bytes) -> None:
        """A frame from a node."""
        destination = self._by_address.get(frame[:6])
        if destination is not None:
            self._forward(port, destination, frame)
        elif frame[0] & 1:
            for other in self.ports:
                if other != port:
                    self._forward(port, other, frame)

    def _forward(self, source: int, destination: int, frame: bytes) -> None:
        if (self.ports[source], self.ports[destination]) in self._cuts:
            return
        weather, chance = self._weather, self._random.random
        if not weather:
            _write(destination, frame)
            return
        if chance() < weather["loss"]:
            return
        for _ in range(2 if chance() < weather["dup"] else 1):
            delay = weather["delay"] + weather["jitter"] * chance()
            delay += REORDER_SECONDS * (chance() < weather["reorder"])
            if len(self._waiting) < WAITING_FRAMES_MAX:
                self._count += 1
                heapq.heappush(self._waiting, (monotonic() + delay, self._count, destination, frame))

    def deliver(self) -> float | None:
        """Send what is due; seconds until more is, None if nothing waits."""
        now = monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, destination, frame = heapq.heappop(self._waiting)
            _write(destination, frame)
        return max(0.0, self._waiting[0][0] - now) if self._waiting else None


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)


def _write(port: int, frame: bytes) -> None:
    # A device that is full or down loses frames, as a cable does.
    with suppress(OSError):
        os.write(port, frame)


def _read_all(switch: Switch, port: int) -> None:
    for _ in range(64):  # then the other ports have their turn
        try:
            frame = os.read(port, FRAME_BYTES_MAX)
        except OSError:
            return
        switch.arrived(port, frame)


def main(control: str, seed: str, *nodes: str) -> None:
    """Until killed.  Says `ready` once all devices are there."""
    switch = Switch(seed)
    for node in nodes:
        name, _, rest = node.partition("=")
        namespace, _, address = rest.partition(":")
        switch.add(name, namespace, address)
    Path(control).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders, select.epoll() as poll:
        orders.bind(control)
        for descriptor in (orders.fileno(), *switch.ports):
            poll.register(descriptor, select.EPOLLIN)
        print("ready", flush=True)
        while True:
            wait = switch.deliver()
            for descriptor, _ in poll.poll(wait):
                if descriptor == orders.fileno():
                    switch.told(json.loads(orders.recv(65_536)))
                else:
                    _read_all(switch, descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
