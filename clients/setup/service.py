"""What `recado init` asks of systemd: which units come up at each boot, and that they start now."""

import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from clients.setup.checks import manager_runs, said, units_there
from clients.setup.files import Places, Wanted
from clients.setup.plan import Place, Plan, broker_on, local_socket, units

TARGET: Final = "recado.target"
UNIT_SUFFIXES: Final = (".service", ".socket", ".target", ".timer")


class NotDone(Exception):
    """A call to the service manager that failed: `command` as one types it, `why`."""

    def __init__(self, command: str, why: str) -> None:
        self.command, self.why = command, why
        super().__init__(f"{command}: {why}")


def socket_unit(node: str) -> str:
    return f"recado-server@{node}.socket"


def socket_files(plan: Plan, node: str, places: Places) -> list[Wanted]:
    """The drop-ins by which systemd holds the ports of this host's servers (``--socket``)."""
    return [_socket_file(place, places) for place in plan.together(node)]


def _socket_file(place: Place, places: Places) -> Wanted:
    port = place.listen.removeprefix("tcp://").removeprefix("*:")
    directory = places.root / f"etc/systemd/system/{socket_unit(place.name)}.d"
    # FreeBind: at boot the port is bound before the network has the address.
    text = (
        "# Written by `recado init --socket`: server.listen of this server.\n"
        f"[Socket]\nListenStream=\nListenStream={port}\nFreeBind=yes\n"
    )
    return Wanted(path=directory / "listen.conf", text=text)


def server_files(plan: Plan, lead: str, places: Places) -> list[Wanted]:
    """The drop-ins of a host's servers besides the lead, whose addresses here.toml has."""
    return [server_file(place, places, open_lab=plan.open_lab) for place in plan.together(lead)[1:]]


def server_file(place: Place, places: Places, *, open_lab: bool) -> Wanted:
    """The drop-in of a server that shares its host and its configuration: where it listens."""
    directory = places.root / f"etc/systemd/system/recado-server@{place.name}.service.d"
    local = "" if open_lab else f"Environment=RECADO_SECURITY__LOCAL_LISTEN={local_socket(place.name)}\n"
    text = (
        "# Written by `recado init`: what of the configuration this host's first server has for itself.\n"
        f"[Service]\nEnvironment=RECADO_SERVER__LISTEN={place.listen}\n{local}"
    )
    return Wanted(path=directory / "listen.conf", text=text)


def broker_files(plan: Plan, node: str, places: Places) -> list[Wanted]:
    """The drop-in that names a broker which is not the only one; the others' name is their program's."""
    broker = broker_on(plan, node)
    if broker is None or broker.name == "broker":
        return []
    path = places.root / "etc/systemd/system/recado-broker.service.d/name.conf"
    text = f"# Written by `recado init`.\n[Service]\nEnvironment=RECADO_NODE__NAME={broker.name}\n"
    return [Wanted(path=path, text=text)]


def enable(plan: Plan, node: str, places: Places, *, start: bool, with_socket: bool) -> list[str]:
    """Have the node's units come up at each boot, and with `start` now; their names.

    [] where there are no units or no systemctl to do it.  Raises `NotDone`.
    """
    if shutil.which("systemctl") is None or not units_there(places.root):
        return []
    sockets = [socket_unit(place.name) for place in plan.together(node)] if with_socket else []
    names = [*sockets, *units(plan, node), TARGET]
    if _enabled_for_later(names, places):
        return names
    _call("systemctl", "daemon-reload")
    for socket in sockets if start else ():
        _call("systemctl", "--quiet", "enable", socket)
        if not _active(socket):
            _call("systemctl", "stop", socket.removesuffix("socket") + "service")  # it holds the port itself
            _call("systemctl", "start", socket)
    _call("systemctl", "--quiet", "enable", *(["--now"] if start else []), *names)
    return names


def _enabled_for_later(names: list[str], places: Places) -> bool:
    """Whether no manager runs here that could start anything: then they come up at the next boot."""
    if places.root != Path("/"):
        _call("systemctl", f"--root={places.root}", "--quiet", "enable", *names)
        return True
    if not manager_runs():
        _call("systemctl", "--quiet", "enable", *names)
        return True
    return False


def enable_further(name: str, places: Places, *, start: bool, with_socket: bool) -> list[str]:
    """The same for one more server of a host that is a node; with `start` the others restart first."""
    if shutil.which("systemctl") is None or not units_there(places.root):
        return []
    names = [*([socket_unit(name)] if with_socket else []), f"recado-server@{name}.service"]
    if _enabled_for_later(names, places):
        return names
    _call("systemctl", "daemon-reload")
    if start:
        restart_what_runs()
    _call("systemctl", "--quiet", "enable", *(["--now"] if start else []), *names)
    return names


def restart_what_runs() -> None:
    """Restart this host's daemons that run.  Raises `NotDone`."""
    _call("systemctl", "try-restart", "recado-reference", "recado-broker", "recado-server@*")


def _active(unit: str) -> bool:
    return said("systemctl", "is-active", unit).strip() == "active"


def active_units() -> list[str]:
    """This host's units that run."""
    if not manager_runs():
        return []
    shown = said("systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating", "recado*")
    return [line.split()[0] for line in shown.splitlines() if line.split()]


def disable_all(root: Path, units: Iterable[Path]) -> None:
    """Take these units out of what comes up at a boot, of templates all instances.  Raises `NotDone`."""
    names = [
        path.name for path in units if path.suffix in UNIT_SUFFIXES and "\n[Install]\n" in path.read_text()
    ]
    if not names or shutil.which("systemctl") is None:
        return
    where = [f"--root={root}"] if root != Path("/") else []
    _call("systemctl", *where, "--quiet", "disable", *names)


def read_units(*, removing: bool) -> None:
    """Have the system take up what was written: user, directories, catalog, units.  Raises `NotDone`."""
    if not removing:
        _call("systemd-sysusers", "recado.conf")
        _call("systemd-tmpfiles", "--create", "recado.conf")
    _call("journalctl", "--update-catalog")
    if manager_runs():
        _call("systemctl", "daemon-reload")


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotDone(shlex.join(command), error.strerror or str(error)) from None
    if done.returncode:
        raise NotDone(shlex.join(command), done.stderr.strip() or f"exit code {done.returncode}")
