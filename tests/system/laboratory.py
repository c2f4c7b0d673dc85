"""The laboratory: several machines with a real systemd and a disk each, on a network that can be cut.

They are the hosts of a cluster with keys: `n1` has the reference and the broker too.  The power of a node can
be cut, its clock be set, its disk be filled; commands are typed at it as its operator would.
"""

import ctypes
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import lab_disk
import lab_network
import machine
import packages
from lab_network import NETWORK, Network
from machine import SHM, Machine, sweep
from packages import deb
from skewed_clocks import build_skew

NAMES: Final = ("n1", "n2", "n3")
NEEDS: Final = tuple(
    dict.fromkeys((*machine.NEEDS, *lab_network.NEEDS, *lab_disk.NEEDS, *packages.NEEDS, "dpkg", "cc"))
)
DATA: Final = "/var/lib/recado"
DISK_BYTES: Final = 384 * 2**20
REBOOTS: Final = 133  # systemd-nspawn's exit code when its machine wants to be started again
OPERATOR: Final = "olga"
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
METRICS: Final = "127.0.0.1:9555"
LIBRARIES: Final = "opt/recado/lib/python3.11/site-packages"
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


_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def _call(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Node(Machine):
    """One host; `server` is its server's name and unit."""

    def __init__(self, name: str, *, network: Network, layer: Path) -> None:
        super().__init__(f"{name}-{network.pid}")
        self.server = name
        self.network = network
        self.hostname = name
        self.unit = f"recado-server@{name}.service"
        self.address = network.addresses[name]
        self.where = network.inside()
        self.lower = f"{layer}:/"
        self.environment = ["RECADO_LANG=en"]
        self.target = "multi-user.target"
        self.disk = True
        self.options = [f"--network-namespace-path={network.namespace(name)}"]
        self.options.append(f"--bind={self.home}/disk:{DATA}")
        (self.home / "disk").mkdir()
        self.image = self.home / "disk.img"
        self.new_disk()
        self.begin()

    def begin(self) -> None:
        """What alone a new host has: a name, and a clock that is right.

        The clock is a file that its daemons have mapped: it must not be copied up from a lower layer later.
        """
        self.name_it()
        self.write("/etc/recado/skew/recado", "\0" * 8)

    def install(self, package: Path) -> None:
        """A package, as an operator does it; its daemons can then be told to misbehave."""
        (self.root / "root" / package.name).write_bytes(package.read_bytes())
        self.run("dpkg", "-i", f"/root/{package.name}")
        libraries = self.root / LIBRARIES
        shutil.copy(Path(__file__).with_name("service_faults.py"), libraries)
        (libraries / "faults.pth").write_text("import service_faults\n")

    def join(self, first: "Node", *, start: bool = True) -> None:
        """Become what the first host has made a file for."""
        bundle = first.run("cat", f"/root/{self.server}.recado")
        self.run("recado", "init", *(["--start"] if start else []), "--from", "-", stdin=bundle)
        # The operator works at any of them.
        key = first.run("cat", f"/root/.config/recado/{OPERATOR}.key")
        self.run(
            "install", "-m", "600", "-D", "/dev/stdin", f"/root/.config/recado/{OPERATOR}.key", stdin=key
        )
        self.run("ln", "-s", "/etc/recado/roster.toml", "/root/.config/recado/roster.toml")

    def new_disk(self) -> None:
        """Give it an empty one, while it is off."""
        lab_disk.make(self.image, size_bytes=DISK_BYTES)

    @property
    def root(self) -> Path:
        """Its files, seen from here, as it sees them; as long as it runs."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def replica(self) -> Path:
        """As it is called on the node."""
        return Path(DATA) / self.server / "replica.db"

    def look(self, what: Callable[[Path], T]) -> T:
        """The result of a look into the replica, by its own path: SQLite follows ``/proc/PID/root``.

        A thread of its own goes to the node's file systems for that; imports must be done before.
        """

        def there() -> T:
            _call(_LIBC.unshare(_CLONE_FS))
            with open(f"/proc/{self.pid}/ns/mnt") as mounts:
                _call(_LIBC.setns(mounts.fileno(), _CLONE_NEWNS))
            return what(self.replica)

        with ThreadPoolExecutor(1) as visitor:
            return visitor.submit(there).result()

    def boot(self) -> None:
        self.network.plug(self.server, there=True)
        super().boot()

    def cut_power(self) -> None:
        """All processes at once, and all that was not synced."""
        self.network.plug(self.server, there=False)
        lab_disk.freeze(f"recado-{self.name}", still=True)
        lab_disk.cut_power(self.root / DATA.lstrip("/"))
        os.kill(self.pid, 9)
        lab_disk.freeze(f"recado-{self.name}", still=False)
        self.wait_until_off()
        lab_disk.gone(self.image)

    def power_off(self) -> None:
        """In order."""
        self.run("systemctl", "poweroff", check=False)
        self.wait_until_off(30)
        self.network.plug(self.server, there=False)
        lab_disk.gone(self.image)

    def reboot(self) -> None:
        """In order, and up again."""
        self.run("systemctl", "reboot", check=False)
        assert self.wait_until_off(30) == REBOOTS
        lab_disk.gone(self.image)
        self.boot()

    def set_clock(self, offset_seconds: float) -> None:
        """Let the wall clock of its daemons be off by so much from now on."""
        with (self.root / "etc/recado/skew/recado").open("r+b") as file:
            file.write(struct.pack("d", offset_seconds))

    def active(self, unit: str = "") -> bool:
        return self.show(unit or self.unit, "ActiveState") == "active"

    def main_pid(self, unit: str = "") -> str:
        return self.show(unit or self.unit, "MainPID")

    def serves(self, *, seconds: float = 30.0, before: str = "") -> None:
        """Wait until its server does, in another process than `before`."""

        def is_back() -> bool:
            return self.active() and self.main_pid() not in ("0", before)

        self.wait_for(is_back, f"{self.server} serves", seconds=seconds)

    def events(self, event: str = "", **fields: str) -> list[dict[str, Any]]:
        """What its server told the journal, of all boots."""
        matches = [f"RECADO_{name.upper()}={value}" for name, value in fields.items()]
        matches += [f"RECADO_EVENT={event}"] if event else []
        said = self.run("journalctl", "-u", self.unit, "-o", "json", "--no-pager", *matches)
        return [json.loads(line) for line in said.splitlines()]

    def status(self, *options: str) -> dict[str, Any]:
        """What `recado status --json` says here of all servers."""
        told: dict[str, Any] = json.loads(self.run("recado", "status", "--json", *options))
        return told

    def doctor(self) -> set[tuple[str, str]]:
        """(case, subject) of what `recado doctor` finds from this host."""
        told = json.loads(self.run("recado", "doctor", "--json", check=False))
        return {(found["case"], found["subject"]) for found in told["findings"]}

    def metric(self, name: str) -> float:
        """The value of a metric of its server, with its labels as they are written there."""
        script = f"import urllib.request as u; print(u.urlopen('http://{METRICS}/metrics').read().decode())"
        for line in self.run("/usr/bin/python3.11", "-c", script).splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def wipe(self) -> None:
        """A new host in the place of one that is off: nothing of it is left."""
        for part in ("upper", "aside"):
            shutil.rmtree(self.home / part)
            (self.home / part).mkdir()
        self.new_disk()
        self.begin()


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
