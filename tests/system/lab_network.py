"""Where the laboratory's nodes are: namespaces of their own, with a network that can be cut.

One process keeps namespaces for process ids, mounts and the network; everything of the laboratory is started
below it, so that its end, however it comes, is the end of all of them, of their mounts and loop devices.
Each node has a network namespace; a bridge joins them, and nftables rules drop frames from one port to
another, so that a cut can be of one direction.  Who looks from outside sits on the bridge, beyond the cuts.
"""

import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from processes import until
from running_cluster import _die_with_the_test

NETWORK: Final = "10.77.0"
OUTSIDE: Final = f"{NETWORK}.1"
NEEDS: Final = ("root", "unshare", "nsenter", "ip", "nft", "mount")
Pair = tuple[str, str]
_OWN: Final = ("--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net")
_GROUND: Final = """
mkdir -p /run/netns /run/systemd
mount -t tmpfs netns /run/netns
# systemd-nspawn, when its machine reboots, removes nothing that is on a disk, as /run is here and there.
mount -t tmpfs nspawn /run/systemd
ip link set lo up
ip link add fabric type bridge forward_delay 0
ip addr add $OUTSIDE/24 dev fabric
ip link set fabric up
echo ready
exec sleep infinity
"""
_NODE: Final = """
ip netns add $NODE
ip link add v-$NODE type veth peer name eth0 netns $NODE
ip link set v-$NODE master fabric up
ip -n $NODE link set lo up
ip -n $NODE addr add $ADDRESS/24 dev eth0
ip -n $NODE link set eth0 up
"""
# Replaced as a whole, so that there is no moment without any.
_CUTS: Final = """
add table bridge lab
delete table bridge lab
table bridge lab {
    chain cuts {
        type filter hook forward priority 0; policy accept;
        RULES
    }
}
"""


class Network:
    """The ground under all nodes; `addresses` of them by name."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._keeper = subprocess.Popen(
            # Its own mounts are private; a tool that ends takes its namespaces' first process with it.
            ["unshare", *_OWN, "sh", "-euc", _GROUND],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OUTSIDE": OUTSIDE},
            start_new_session=True,
            preexec_fn=_die_with_the_test,  # noqa: PLW1509  # one call, looked up before the fork
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "ready\n"
        tool = self._keeper.pid
        self.pid = int(Path(f"/proc/{tool}/task/{tool}/children").read_text())
        for node, address in self.addresses.items():
            self.run("sh", "-euc", f"NODE={node} ADDRESS={address}\n{_NODE}")

    def inside(self) -> list[str]:
        """Words that lead a command into all of the namespaces."""
        return ["nsenter", "-t", str(self.pid), "-p", "-m", "-n"]

    def beside(self) -> list[str]:
        """Words that lead a command to the network alone, beyond the cuts; it stays the same process."""
        return ["nsenter", "-t", str(self.pid), "-n"]

    def run(self, *words: str, stdin: str = "") -> str:
        """A command inside, which must succeed."""
        done = subprocess.run(
            [*self.inside(), *words], input=stdin, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def namespace(self, node: str) -> str:
        """The network of a node, as a path inside."""
        return f"/run/netns/{node}"

    def plug(self, node: str, *, there: bool) -> None:
        """A host that is off answers nothing, not even that nobody listens."""
        self.run("ip", "link", "set", f"v-{node}", "up" if there else "down")

    def cut(self, pairs: Iterable[Pair]) -> None:
        """Drop all frames of these (from, to), and of no others."""
        rules = "\n".join(f'iifname "v-{a}" oifname "v-{b}" drop' for a, b in sorted(set(pairs)))
        self.run("nft", "-f", "-", stdin=_CUTS.replace("RULES", rules))

    def part(self, *sides: Iterable[str]) -> None:
        """Let each of these sides hear itself alone."""
        kept = [list(side) for side in sides]
        self.cut((a, b) for one in kept for other in kept if one is not other for a in one for b in other)

    def heal(self) -> None:
        """No cuts."""
        self.cut(())

    def close(self) -> None:
        """The end of everything that was started inside."""
        self._keeper.send_signal(signal.SIGTERM)
        try:
            self._keeper.wait(0.2)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait(10)
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()
        until(
            lambda: not Path(f"/proc/{self.pid}").exists(), seconds=10, what="the laboratory's ground is gone"
        )
