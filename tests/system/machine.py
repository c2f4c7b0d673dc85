"""A machine of its own with a real systemd: a container that systemd-nspawn boots, in about a second.

Its disk is this machine's root file system with a writable layer above it, its network a loopback of its
own; nothing that it does is seen outside.  Recado is installed in it as a package would: ``/opt/recado``,
units, users, directories.  The interpreter is the one that runs the tests, with what is installed beside it.
"""

import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from processes import until

ROOT: Final = Path(__file__).parents[2]
UNITS: Final = ROOT / "systemd"
UNIT_KINDS: Final = ("service", "socket", "target", "timer")
PACKAGES: Final = ("recado", "storage", "daemons", "clients")
PROGRAMS: Final = {
    "recado": "clients.cli",
    "recado-server": "daemons.server.__main__",
    "recado-broker": "daemons.broker.__main__",
    "recado-reference": "daemons.reference.__main__",
}
NEEDS: Final = ("root", "systemd-nspawn", "nsenter", "unshare", "mount")
BOOT_SECONDS: Final = 60.0
PATH: Final = "/opt/recado/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIBRARIES: Final = "LD_LIBRARY_PATH=/opt/recado/base/lib"
# One group of processes per machine in every hierarchy, else machines share one and end each other; the
# mounts in a namespace of their own, so that they go with the machine and no other one holds them.
BOOT: Final = """
for hierarchy in /sys/fs/cgroup/*/; do
  group=${hierarchy}recado-$NAME
  test -w ${hierarchy}cgroup.procs || continue
  mkdir -p $group
  case $hierarchy in */cpuset/)
    cat ${hierarchy}cpuset.cpus > $group/cpuset.cpus; cat ${hierarchy}cpuset.mems > $group/cpuset.mems;;
  esac
  echo $$ > $group/cgroup.procs
done
exec unshare -m --propagation private sh -euc '
  mount -t overlay overlay -o lowerdir=$LOWER,upperdir=$HOME_DIR/upper,workdir=$HOME_DIR/aside $HOME_DIR/root
  if [ -n "$DISK" ]; then mount -o loop,commit=600 $HOME_DIR/disk.img $HOME_DIR/disk; fi
  exec systemd-nspawn -q -D $HOME_DIR/root -b --register=no --keep-unit --machine=$NAME \
    --hostname=$HOST_NAME --console=pipe --resolv-conf=off --timezone=off --link-journal=no \
    $OPTIONS systemd.unit=$TARGET'
"""


SHM: Final = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
_OURS: Final = re.compile(r"recado-(?:machine|lab)-(\d+)-")
_GROUPS: Final = Path("/sys/fs/cgroup")


def sweep() -> None:
    """Remove what is left of machines whose test process was killed: files, and groups without processes."""
    for path in SHM.glob("recado-*"):
        if (made := _OURS.match(path.name)) and not Path("/proc", made[1]).exists():
            shutil.rmtree(path, ignore_errors=True)
    for group in _GROUPS.glob("*/recado-*"):
        if not Path("/proc", group.name.rpartition("-")[2]).exists():
            _remove_group(group)


def _remove_group(group: Path) -> None:
    for directory in sorted(group.rglob("*/"), reverse=True):
        _rmdir(directory)
    _rmdir(group)


class Machine:
    """One machine; as a context manager it boots, and is gone afterwards with all that it wrote."""

    def __init__(self, name: str = "node") -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"recado-machine-{os.getpid()}-", dir=SHM))
        self.home.chmod(0o755)
        self.name = f"{name}-{os.getpid()}"
        self.hostname = self.name
        self.pid = 0
        self.lower = "/"  # what its disk shows below what it writes
        self.target = "basic.target"  # of multi-user.target would be what this machine runs
        self.options = ["--private-network"]
        self.disk = False  # a file system of its own, which `options` put somewhere
        self.environment = [LIBRARIES]  # of commands on it
        self.where: list[str] = []  # words that lead a command to where it is to be started
        self._nspawn: subprocess.Popen[bytes] | None = None
        for part in ("upper", "aside", "root"):
            (self.home / part).mkdir()

    def __enter__(self) -> "Machine":
        try:
            self.install()
            self.boot()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """A file on the machine's disk, before it boots."""
        file = self.home / "upper" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def install(self) -> None:
        """Put on the disk what a package would."""
        opt = self.home / "upper" / "opt" / "recado"
        libraries = opt / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        for directory in (libraries, opt / "bin", opt / "wheels", opt / "base", opt / "app"):
            directory.mkdir(parents=True, exist_ok=True)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, opt / "app" / package)
        (libraries / "recado.pth").write_text("/opt/recado/app\n/opt/recado/wheels\n")
        base = Path(sys.base_prefix)
        (opt / "pyvenv.cfg").write_text("home = /opt/recado/base/bin\ninclude-system-site-packages = false\n")
        (opt / "bin" / "python").symlink_to(f"/opt/recado/base/bin/python3.{sys.version_info.minor}")
        for program, module in PROGRAMS.items():
            text = f"#!/opt/recado/bin/python -IB\nfrom {module} import main\nmain()\n"
            self.write(f"/opt/recado/bin/{program}", text, mode=0o755)
        self.options.append(f"--bind-ro={base}:/opt/recado/base")
        self.options.append(f"--bind-ro={site.getsitepackages()[0]}:/opt/recado/wheels")
        for unit in (unit for kind in UNIT_KINDS for unit in UNITS.glob(f"*.{kind}")):
            self.write(f"/usr/lib/systemd/system/{unit.name}", unit.read_text())
        self.write("/usr/lib/sysusers.d/recado.conf", (UNITS / "recado.sysusers").read_text())
        self.write("/usr/lib/tmpfiles.d/recado.conf", (UNITS / "recado.tmpfiles").read_text())
        self.write("/usr/lib/systemd/catalog/recado.catalog", (UNITS / "recado.catalog").read_text())
        # Its libraries, which a path burnt into it may show where no unit can look.
        self.write(
            "/etc/systemd/system/recado-.service.d/interpreter.conf",
            f"[Service]\nEnvironment={LIBRARIES}\n",
        )
        self.name_it()

    def name_it(self) -> None:
        """Make it a machine of its own."""
        self.write("/etc/hostname", f"{self.hostname}\n")
        self.write("/etc/machine-id", os.urandom(16).hex() + "\n")

    def boot(self) -> None:
        """Start it and wait until its service manager is up.  Raises `AssertionError` with the console."""
        self.start()
        self.wait_for(self.is_up, "the machine is up", seconds=BOOT_SECONDS)

    def start(self) -> None:
        """Begin to boot."""
        self.pid = 0
        env = {
            **os.environ,
            "NAME": self.name,
            "HOST_NAME": self.hostname,
            "HOME_DIR": str(self.home),
            "LOWER": self.lower,
            "TARGET": self.target,
            "DISK": "yes" if self.disk else "",
            "OPTIONS": " ".join(self.options),
        }
        with (self.home / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*self.where, "sh", "-euc", BOOT],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=env,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self.home / "console").read_text()
        if not self.pid:
            self.pid = _first_process(self._nspawn.pid)
        if not self.pid:
            return False
        state = self.run("systemctl", "is-system-running", check=False).strip()
        return state in ("running", "degraded")

    def words(self, *words: str) -> list[str]:
        """A command line here for a command, as root, on the machine."""
        where = ["nsenter", "-t", str(self.pid), "-a", "env", "-i", f"PATH={PATH}", "HOME=/root"]
        return [*where, "LANG=C.UTF-8", *self.environment, *words]

    def run(self, *words: str, check: bool = True, stdin: str = "") -> str:
        """What a command, as root on the machine, says; with `check` it must succeed."""
        done = subprocess.run(
            self.words(*words),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write_now(self, path: str, text: str) -> None:
        """A file on the machine's disk, while it runs."""
        self.run("mkdir", "-p", os.path.dirname(path))
        self.run("tee", path, stdin=text)

    def limit(self) -> None:
        """Make limits of memory, tasks and time real: a container has those controllers read-only."""
        for controller in ("memory", "pids", "cpu", "cpuacct"):
            self.run("mount", "-o", "remount,bind,rw", f"/sys/fs/cgroup/{controller}")
        self.run("systemctl", "daemon-reexec")

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def journal(self, *matches: str) -> str:
        """The journal, newest boot, as short text."""
        return self.run("journalctl", "-b", "-o", "cat", "--no-pager", *matches)

    def wait_for(self, condition: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
        """Until it holds.  Raises `AssertionError`."""
        until(condition, seconds=seconds, what=what)

    def kill(self) -> None:
        """End all of its processes at once."""
        if self._nspawn is None:
            return
        if self.pid:
            _kill(self.pid)
        elif self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)
        self.wait_until_off()

    def wait_until_off(self, seconds: float = 10.0) -> int:
        """The exit code of its container, once that has ended; after so many seconds it is killed."""
        assert self._nspawn is not None
        try:
            return self._nspawn.wait(seconds)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            return self._nspawn.wait(10)

    def remove(self) -> None:
        """End it like a power cut, and delete its disk."""
        self.kill()
        for group in _GROUPS.glob(f"*/recado-{self.name}"):
            _remove_group(group)
        shutil.rmtree(self.home, ignore_errors=True)


def _first_process(nspawn: int) -> int:
    """The container's first process, seen from here, somewhere below that one; 0: there is none yet."""
    try:
        children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            ids = next(line for line in status.splitlines() if line.startswith("NSpid")).split()[1:]
            if len(ids) > 1 and ids[-1] == "1":
                return int(child)
            if found := _first_process(int(child)):
                return found
    except (OSError, StopIteration):
        return 0
    return 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _rmdir(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return
