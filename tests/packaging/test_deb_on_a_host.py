"""The Debian package on a host with a systemd of its own: installed, upgraded, removed, purged."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import machine
import packages
import pytest
from machine import Machine
from packages import deb

from recado import __version__

PYTHON = "/usr/bin/python3.11"
NEEDS = (*machine.NEEDS, *packages.NEEDS, "dpkg", PYTHON, "bash", "man", "systemd-analyze")
pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]

NEXT = f"{__version__}+next"
DAEMONS = ("recado-reference.service", "recado-broker.service")
SERVERS = ("recado-server@server-1.service", "recado-server@server-2.service")
UNITS = (*DAEMONS, *SERVERS)
CONFIG = """
[cluster]
id = "host"
[[cluster.members]]
name = "server-1"
rank = 1
address = "tcp://127.0.0.1:5555"
[[cluster.members]]
name = "server-2"
rank = 2
address = "tcp://127.0.0.1:5556"
[disk]
reserve_bytes = 0
"""
# Two servers share this host: the second one has a port of its own.
OTHER = """
[Service]
Environment=RECADO_SERVER__LISTEN=tcp://127.0.0.1:5556
"""
IMPORTS = """
import importlib, pkgutil
for room in ("recado", "storage", "daemons", "clients"):
    for found in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."):
        importlib.import_module(found.name)
        print(found.name)
"""
COMPLETES = """
. /usr/share/bash-completion/completions/@PROGRAM@
complete -p @PROGRAM@ | grep -q -- '-F @FUNCTION@ @PROGRAM@'
COMP_WORDS=(@WORDS@); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
@FUNCTION@ @PROGRAM@ 2> /dev/null  # `compopt` has a word to say outside of a Tab
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Host(Machine):
    """A machine on which nothing of Recado is: only two packages lie in /root."""

    def install(self) -> None:
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/machine-id", os.urandom(16).hex() + "\n")
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", mode=0o755)  # images in use forbid all
        (self.home / "upper" / "root").mkdir(mode=0o700)
        shutil.copy(deb(), self.home / "upper/root/recado.deb")
        shutil.copy(deb(NEXT), self.home / "upper/root/next.deb")

    def states(self) -> set[str]:
        """What the daemons are."""
        return {self.show(unit, "ActiveState") for unit in UNITS}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One host for all tests of this file, which tell its life in order."""
    with Host("deb") as booted:
        booted.said = booted.run("sh", "-c", "dpkg -i /root/recado.deb 2>&1")  # type: ignore[attr-defined]
        yield booted


def test_an_installation_starts_nothing(host: Host) -> None:
    """Users and directories are there, nothing runs or is enabled, and two lines say what to do next."""
    said: str = host.said  # type: ignore[attr-defined]
    told = [line for line in said.splitlines() if line.startswith("recado:")]
    assert len(told) == 2
    assert "recado init" in told[1]
    assert host.states() == {"inactive"}
    assert host.show("recado-server@server-1.service", "UnitFileState") == "disabled"
    assert host.run("stat", "-c", "%U:%G %a", "/var/lib/recado").strip() == "recado:recado 750"
    assert host.run("find", "/etc/recado", "-type", "f") == ""
    assert host.run("dpkg", "--verify", "recado") == ""
    assert "Recado: " in host.run("journalctl", "--dump-catalog", "--no-pager")


def test_every_module_is_imported_by_debians_interpreter(host: Host) -> None:
    """All that a module needs is in the package: each can be imported by the interpreter of the host."""
    said = host.run("/opt/recado/bin/python", "-IB", "-c", IMPORTS).splitlines()
    assert len(said) > 200
    where = host.run(
        "/opt/recado/bin/python", "-I", "-c", "import sys; print(sys.prefix, sys._base_executable)"
    )
    assert where.split() == ["/opt/recado", PYTHON]


def test_programs_know_their_version_and_manual(host: Host) -> None:
    """Each program is in the path of its callers, says its version, and has a manual page."""
    for program in ("recado", "recado-server", "recado-broker", "recado-reference"):
        said = host.run("env", "-i", "PATH=/usr/sbin:/usr/bin", program, "--version")
        assert said == f"{program}, version {__version__}\n"
        assert host.run("man", "-w", program).strip().endswith(".gz")
    assert "SYNOPSIS" in host.run("sh", "-c", "MANPAGER=cat man recado publish")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("recado pub", {"publish"}),
        ("recado channel un", {"unban", "uninvite", "unmoderated", "unmute"}),
        ("recado publish --level ''", {"local", "quorum", "all"}),
        ("recado doctor --j", {"--json"}),
        ("recado-server --ch", {"--check"}),
    ],
)
def test_bash_completes(host: Host, words: str, expected: set[str]) -> None:
    """A real bash completes commands, options and choices, of `recado` and of the daemons."""
    program = words.split(maxsplit=1)[0]
    function = f"_{program.replace('-', '_')}_completion"
    script = COMPLETES.replace("@PROGRAM@", program).replace("@FUNCTION@", function)
    said = host.run("bash", "-euc", script.replace("@WORDS@", words))
    assert set(said.split()) == expected


def test_units_that_were_laid_are_sound(host: Host) -> None:
    """systemd has nothing to say about the units, their programs and their manual pages."""
    units = [*UNITS, "recado-server@server-1.socket", "recado.target"]
    said = host.run("sh", "-c", f"systemd-analyze verify {' '.join(units)} 2>&1", check=False)
    assert [line for line in said.splitlines() if "recado" in line] == []


def test_the_daemons_run(host: Host) -> None:
    """With a configuration all daemons start, shut in as they are, and talk to each other."""
    host.write_now("/etc/recado/recado.toml", CONFIG)
    host.write_now("/etc/systemd/system/recado-server@server-2.service.d/port.conf", OTHER)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "--now", *UNITS, "recado.target")
    assert host.states() == {"active"}
    host.run("recado", "login", "ana")
    host.run("recado", "channel", "create", "geral", "--level", "all")
    host.run("recado", "publish", "--user", "ana", "--level", "all", "geral", "bom dia")
    assert _said(host) == "bom dia"


def _said(host: Host) -> str:
    return host.run("recado", "history", "geral", "--json").partition('"text": "')[2].partition('"')[0]


def test_an_upgrade_restarts_one_after_another(host: Host) -> None:
    """What ran runs in the new version, never two daemons were down at once, what was stopped stays so."""
    _reference, broker, *_ = UNITS
    host.run("systemctl", "stop", broker)
    running = [unit for unit in UNITS if unit != broker]
    before = {unit: host.show(unit, "MainPID") for unit in running}
    host.run("dpkg", "-i", "/root/next.deb")
    assert host.show(broker, "ActiveState") == "inactive"
    for unit in running:
        assert host.show(unit, "ActiveState") == "active"
        assert host.show(unit, "MainPID") != before[unit]
    assert host.run("recado", "--version").strip().endswith(NEXT)
    assert host.run("dpkg", "--verify", "recado") == ""
    begun = sorted(int(host.show(unit, "InactiveExitTimestampMonotonic")) for unit in running)
    ready = sorted(int(host.show(unit, "ActiveEnterTimestampMonotonic")) for unit in running)
    assert all(served <= later for served, later in zip(ready, begun[1:], strict=False))
    assert _said(host) == "bom dia"
    host.run("systemctl", "start", broker)


def test_a_removal_stops_and_keeps(host: Host) -> None:
    """Removed, the daemons have stopped in order; configuration and data are there for the next time."""
    host.run("dpkg", "-r", "recado")
    assert "RECADO_DRAINED" in host.run("journalctl", "-u", SERVERS[0], "-o", "export", "--no-pager")
    assert host.run("sh", "-c", "pgrep -u recado || true") == ""
    host.run("test", "-e", "/etc/recado/recado.toml")
    host.run("test", "-e", "/var/lib/recado/server-1/replica.db")
    host.run("sh", "-c", "! test -e /opt/recado")
    host.run("dpkg", "-i", "/root/recado.deb")
    host.run("systemctl", "start", *UNITS)
    assert _said(host) == "bom dia"


def test_a_purge_destroys_no_message(host: Host) -> None:
    """Purged, the configuration is gone; keys and data stay, and each place is named."""
    drop_in = "/etc/systemd/system/recado-broker.service.d/name.conf"
    host.write_now("/etc/credstore/recado.server-1.key", "a key\n")
    host.write_now(drop_in, "# Written by `recado init`.\n[Service]\nEnvironment=RECADO_NODE__NAME=broker\n")
    said = host.run("sh", "-c", "dpkg -P recado 2>&1")
    kept = re.findall(r"^recado:   (.*)$", said, re.MULTILINE)
    assert kept == ["/var/lib/recado /etc/credstore/recado.server-1.key"]
    host.run("test", "-s", "/var/lib/recado/server-1/replica.db")
    host.run("sh", "-c", "! test -e /etc/recado")
    assert host.run("find", "/etc/systemd/system", "-name", "recado*", "-type", "l") == ""
    left = host.run("find", "/etc/systemd/system", "-path", "*/recado*", "-type", "f").split()
    assert left == ["/etc/systemd/system/recado-server@server-2.service.d/port.conf"]  # its operator's own


def test_it_is_installed_where_no_systemd_runs(tmp_path: Path) -> None:
    """While an image is made (`dpkg --root`) the scripts touch that image alone, and start nothing."""
    root = tmp_path / "image"
    for directory in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"):
        (root / directory).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    done = subprocess.run(
        ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "-i", str(deb())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recado:" in (root / "etc/passwd").read_text()
    assert (root / "etc/recado/conf.d").is_dir()
    assert (root / "var/lib/recado").stat().st_mode & 0o777 == 0o750
