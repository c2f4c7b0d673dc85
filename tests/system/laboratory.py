"""The laboratory: several machines with a real systemd and a disk each, on a network that can be cut.

They are the hosts of a cluster with keys: `n1` has the reference and the broker too.  The power of a node can
be cut, its clock be set, its disk be filled; commands are typed at it as its operator would.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lab_disk
import lab_network
import machine
import packages
from lab_network import NETWORK, Network
from lab_node import METRICS, OPERATOR, Node
from machine import SHM, sweep
from packages import deb
from skewed_clocks import build_skew

NAMES: Final = ("n1", "n2", "n3")
INTERPRETER: Final = "/usr/bin/python3.11"  # which the package runs with
NEEDS: Final = tuple(
    dict.fromkeys(
        (*machine.NEEDS, *lab_network.NEEDS, *lab_disk.NEEDS, *packages.NEEDS, "dpkg", "cc", INTERPRETER)
    )
)
PROGRAMS: Final = ("reference", "broker")
# Beside what `recado init` writes: as docs/daemons.md has it for one fast network; metrics.
HERE: Final = """
[timings]
election_lease_seconds = 1.2
election_renew_seconds = 0.3
election_rpc_seconds = 0.25
election_hold_seconds = 1.0
[disk]
snapshot_entries = 300
"""
# The shipped 20 s would be a test's whole time; the clock is set through a library.
QUICK: Final = """
[Service]
WatchdogSec=2s
TimeoutAbortSec=5s
Environment=LD_PRELOAD=/usr/lib/recado-lab/skew.so SKEW_DIRECTORY=/etc/recado/skew
"""
# Services of the machine that runs the tests, which are no part of these: their lists are hidden.
HIDDEN: Final = (
    "etc/systemd/system/multi-user.target.wants",
    "etc/systemd/system/timers.target.wants",
    "etc/systemd/system/sysinit.target.wants",
    "etc/init.d",
    "etc/cron.d",
    "var/log/journal",
)
# And files that no host has: one by which an image's packages start nothing; one that asks for the index of
# all of this machine's many manuals, which takes longer than all else.
MISSING: Final = ("usr/sbin/policy-rc.d", "var/lib/man-db/auto-update")


class Laboratory:
    """The nodes, by name and in order; a context manager that leaves nothing behind."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        sweep()
        self.home = Path(tempfile.mkdtemp(prefix=f"recado-lab-{os.getpid()}-", dir=SHM))
        self.home.chmod(0o755)
        self.desk = self.home / "desk"  # somebody's own files, beyond the cuts
        self.desk.mkdir()
        self.network = Network({name: f"{NETWORK}.{number}" for number, name in enumerate(names, 11)})
        self.package = deb()
        self.layer = self.home / "layer"  # what all nodes have on their disks at first
        self.layer.mkdir()
        self.nodes: dict[str, Node] = {}
        self.journals: list[Iterable[dict[str, Any]]] = []  # of people who have talked here
        self._open = True

    def __enter__(self) -> "Laboratory":
        try:
            self._prepare()
            for name in self.network.addresses:
                self.nodes[name] = Node(name, network=self.network, layer=self.layer)
            self.all_at_once("boot")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def all_at_once(self, what: str, *arguments: Any) -> list[Any]:
        """Do something with all nodes at the same time."""
        with ThreadPoolExecutor(max(1, len(self.nodes))) as pool:
            doing = [pool.submit(getattr(node, what), *arguments) for node in self]
        return [one.result() for one in doing]

    def _prepare(self) -> None:
        """What is on all disks: no services of this machine; the package; a clock that can be set."""
        for path in HIDDEN:
            (self.layer / path).mkdir(parents=True, exist_ok=True)
            os.setxattr(self.layer / path, "trusted.overlay.opaque", b"y")
        for file in MISSING:
            (self.layer / file).parent.mkdir(parents=True, exist_ok=True)
            os.mknod(self.layer / file, stat.S_IFCHR, 0)
        for path in ("usr/lib/recado-lab", "etc/recado/conf.d"):
            (self.layer / path).mkdir(parents=True)
        build_skew(self.layer / "usr/lib/recado-lab")
        (self.layer / "etc/recado/conf.d/lab.toml").write_text(HERE)
        drop_in = self.layer / "etc/systemd/system/recado-.service.d/quick.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(QUICK)
        drop_in = self.layer / "etc/systemd/system/recado-server@.service.d/observed.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(f"[Service]\nEnvironment=RECADO_OBSERVE__LISTEN={METRICS}\n")

    # The cluster ---------------------------------------------------------------------------------

    def install(self) -> None:
        """The package on every host, as an operator installs it."""
        self.all_at_once("install", self.package)

    def make_cluster(self, *, start: bool = True) -> None:
        """From its first host, as an operator does it."""
        first, *others = self
        members = [f"{node.server}={node.address}" for node in self]
        cluster = ("--cluster", "casa", "--operator", OPERATOR, "--output", "/root")
        first.run("recado", "init", *(["--start"] if start else []), *cluster, *members)
        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(lambda node: node.join(first, start=start), others))
        for name in ("roster.toml", f"{OPERATOR}.key"):
            shutil.copy(first.root / "root/.config/recado" / name, self.desk)

    def leader(self, *, seconds: float = 20.0) -> str:
        """Wait until all servers of the laboratory answer and follow one; its name."""
        asking = next(iter(self))
        found: list[str] = []

        def agreed() -> bool:
            servers = asking.status()["servers"]
            said = {one["status"].get("coordinator") if one["answered"] else None for one in servers}
            found[:] = [str(name) for name in said]
            return len(said) == 1 and None not in said and len(servers) == len(self.nodes)

        asking.wait_for(agreed, "all follow one", seconds=seconds)
        return found[0]

    def whole(self) -> None:
        """Everything runs, everybody hears everybody, all follow one, and the doctor finds nothing."""
        self.network.heal()
        for node in self:
            units = [node.unit, *(f"recado-{program}.service" for program in PROGRAMS if node.server == "n1")]
            for unit in units:
                node.wait_for(lambda unit=unit, node=node: node.active(unit), f"{unit} runs")  # type: ignore[misc]
        self.leader()
        self.doctor_finds(set())

    def doctor_finds(self, wanted: set[tuple[str, str]], *, seconds: float = 30.0) -> None:
        """Wait until the first host's doctor names just these."""
        asking = next(iter(self))
        found: list[set[tuple[str, str]]] = []

        def named() -> bool:
            found.append(asking.doctor())
            return found[-1] == wanted

        try:
            asking.wait_for(named, "the doctor names it", seconds=seconds)
        except AssertionError:
            raise AssertionError(f"the doctor finds {found[-1:]}, wanted: {wanted}") from None

    def recado(self, *words: str, check: bool = True, stdin: str = "") -> str:
        """A command of the operator's at a desk of its own, beyond the cuts."""
        where = [*self.network.beside(), sys.executable, "-m", "clients.cli"]
        done = subprocess.run(
            [*where, *words],
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def environment(self) -> Mapping[str, str]:
        """Of commands at that desk."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECADO_")},
            "RECADO_LANG": "en",
            "RECADO_REFERENCE": f"tcp://{NETWORK}.11:5559",
            "RECADO_ROSTER": str(self.desk / "roster.toml"),
            "RECADO_KEY": str(self.desk / f"{OPERATOR}.key"),
            "RECADO_STATE": str(self.desk / "state"),
            "XDG_CONFIG_HOME": str(self.desk / "config"),
        }

    def close(self) -> None:
        """The end of all of it."""
        if not self._open:
            return
        self._open = False
        with ThreadPoolExecutor(len(self.nodes) or 1) as pool:
            list(pool.map(Node.remove, self.nodes.values()))
        self.network.close()
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """A started one."""
    with Laboratory() as lab:
        lab.install()
        lab.make_cluster()
        yield lab
