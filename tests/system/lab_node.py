"""One host of the laboratory: its disk, power, clock, processes, and what its operator types at it."""

import ctypes
import json
import os
import shutil
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import lab_disk
from lab_network import Network
from machine import Machine

DATA: Final = "/var/lib/recado"
DISK_BYTES: Final = 384 * 2**20
REBOOTS: Final = 133  # systemd-nspawn's exit code when its machine wants to be started again
OPERATOR: Final = "olga"
METRICS: Final = "127.0.0.1:9555"
LIBRARIES: Final = "opt/recado/lib/python3.11/site-packages"
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
