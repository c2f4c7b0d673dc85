"""The network between the nodes: a bridge that can be cut, and a switch that makes weather.

Every node sits in a namespace of its own with two ways to the others: `eth0`, a veth on a bridge whose
nftables rules drop frames from one port to another (so a cut can be of one direction), and `tap0` on
the switch of `tests.torture.switch`.  The node's address is on `lo`; the route decides which way its
frames take, so weather begins and ends without a connection noticing.  Whoever injects the faults sits on
the bridge itself, beyond the cuts.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tests.torture.plan import HERE, NETWORK
from tests.torture.processes import run
from tests.torture.switch import TAP

NAMESPACES = Path("/run/netns")
Pair = tuple[str, str]
# Replaced as a whole, so that there is no moment without any.
_TABLE = """
add table bridge torture
delete table bridge torture
table bridge torture {
    chain cuts {
        type filter hook forward priority 0; policy accept;
        RULES
    }
}
"""


class Network(Protocol):
    """What faults and starters need of the network."""

    def namespace(self, node: str) -> Path | None:
        """Where a node's processes belong; None: where we are."""

    def cut(self, owner: str, pairs: Iterable[Pair]) -> None:
        """Drop all frames of these (from, to) until the same owner cuts others, or none."""

    def weather(self, conditions: dict[str, float]) -> None:
        """Let frames be delayed, lost, doubled and reordered; empty: fair."""

    def close(self) -> None:
        """Tear it down."""


class Loopback:
    """No namespaces, and so no faults: asked for some, it does nothing."""

    def namespace(self, node: str) -> Path | None:
        return None

    def cut(self, owner: str, pairs: Iterable[Pair]) -> None:
        return

    def weather(self, conditions: dict[str, float]) -> None:
        return

    def close(self) -> None:
        return


class Bridged:
    """A namespace for every node.  Needs root, and namespaces of our own around all this."""

    def __init__(self, hosts: dict[str, str], directory: Path, *, seed: str) -> None:
        """`hosts`: the address of each node."""
        self._hosts = hosts
        self._cuts: dict[str, frozenset[Pair]] = {}
        self._weather: dict[str, float] = {}
        self._control = str(directory / "switch.sock")
        NAMESPACES.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(NAMESPACES):
            run("mount", "-t", "tmpfs", "netns", str(NAMESPACES))
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "fabric", "type", "bridge")
        run("ip", "addr", "add", f"{HERE}/24", "dev", "fabric")
        run("ip", "link", "set", "fabric", "up")
        for node, host in hosts.items():
            self._add(node, host)
        ports = [f"{node}={node}:{host}" for node, host in hosts.items()]
        self._switch = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.switch", self._control, seed, *ports],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us: what is cut must still be healed
        )
        assert self._switch.stdout is not None
        if self._switch.stdout.readline() != "ready\n":
            raise RuntimeError("the switch did not start")

    def _add(self, node: str, host: str) -> None:
        run("ip", "netns", "add", node)
        run("ip", "link", "add", f"v-{node}", "type", "veth", "peer", "name", "eth0", "netns", node)
        run("ip", "link", "set", f"v-{node}", "master", "fabric", "up")
        run("ip", "-n", node, "link", "set", "lo", "up")
        run("ip", "-n", node, "addr", "add", f"{host}/32", "dev", "lo")
        run("ip", "-n", node, "link", "set", "eth0", "up")
        run("ip", "-n", node, "route", "add", f"{HERE}/32", "dev", "eth0", "src", host)
        self._route(node, "eth0")

    def _route(self, node: str, device: str) -> None:
        host = self._hosts[node]
        run("ip", "-n", node, "route", "replace", f"{NETWORK}.0/24", "dev", device, "src", host)

    def namespace(self, node: str) -> Path | None:
        return NAMESPACES / node

    def cut(self, owner: str, pairs: Iterable[Pair]) -> None:
        self._cuts[owner] = frozenset(pairs)
        rules = "\n".join(f'iifname "v-{a}" oifname "v-{b}" drop' for a, b in self._dropped())
        run("nft", "-f", "-", text=_TABLE.replace("RULES", rules))
        self._tell_switch()

    def _dropped(self) -> list[Pair]:
        return sorted(frozenset[Pair]().union(*self._cuts.values()))

    def weather(self, conditions: dict[str, float]) -> None:
        self._weather = conditions
        self._tell_switch()
        for node in self._hosts:
            self._route(node, TAP if conditions else "eth0")

    def _tell_switch(self) -> None:
        state = {"cuts": self._dropped(), "weather": self._weather}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders:
            orders.sendto(json.dumps(state).encode(), self._control)

    def close(self) -> None:
        self._switch.send_signal(signal.SIGKILL)
        self._switch.wait()
        if self._switch.stdout is not None:
            self._switch.stdout.close()
        for node in self._hosts:
            run("ip", "netns", "delete", node)
        run("ip", "link", "delete", "fabric")
