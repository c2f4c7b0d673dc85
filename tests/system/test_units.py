"""The units as systemd reads them: no word of complaint, and how far each daemon is shut in."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from machine import UNITS

pytestmark = pytest.mark.needs("systemd-analyze")

DAEMONS = ("recado-reference.service", "recado-broker.service", "recado-server@.service")
SERVICES = (*DAEMONS, "recado-backup@.service")
EXPOSURE_MAX = 13  # tenths, as --threshold wants it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with our units, those of the system, and what our units call."""
    system = tmp_path / "usr" / "lib" / "systemd" / "system"
    shutil.copytree("/usr/lib/systemd/system", system, symlinks=True)
    for unit in UNITS.glob("recado*.[st][eoai]*"):
        shutil.copy(unit, system)
    programs = [f"opt/recado/bin/recado{which}" for which in ("", "-server", "-broker", "-reference")]
    for program in (*programs, "usr/bin/kill"):
        file = tmp_path / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)
    return tmp_path


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def _instance(unit: str) -> str:
    return unit.replace("@", "@server-1")


def test_systemd_has_nothing_to_say(root: Path) -> None:
    """`systemd-analyze verify`, which ends with 0 whatever it finds, prints nothing about any unit."""
    more = ("recado-server@.socket", "recado-backup@.timer")
    units = [_instance(unit) for unit in (*SERVICES, *more)]
    done = _analyze("verify", "--man=no", f"--root={root}", *units, "recado.target")
    assert (done.stdout + done.stderr).strip() == ""


def test_verify_would_complain(root: Path) -> None:
    """A misspelt directive in one of the units is noticed: the silence above means something."""
    unit = root / "usr/lib/systemd/system/recado-broker.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))
    done = _analyze("verify", "--man=no", f"--root={root}", unit.name)
    assert "ProtectHomes" in done.stdout + done.stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_small(root: Path, unit: str) -> None:
    """`systemd-analyze security` gives each service at most 1.3, and what its comment says."""
    found = _analyze(
        "security", "--offline=yes", f"--root={root}", f"--threshold={EXPOSURE_MAX}", _instance(unit)
    )
    assert found.returncode == 0, found.stdout
    level = re.search(r"Overall exposure level for \S+: (\S+)", found.stdout)
    assert level is not None
    assert f"systemd-analyze security says {level[1]}." in (UNITS / unit).read_text()


def test_services_are_shut_in_alike() -> None:
    """The services differ in nothing of their hardening but private users and the backup's network."""
    sections = [
        (UNITS / unit).read_text().partition("# Hardening")[2].partition("\n[Install]")[0].rstrip()
        for unit in SERVICES
    ]
    blocks = [
        [
            line
            for line in text.splitlines()[1:]
            if not line.startswith(("#", "PrivateUsers", "PrivateNetwork", "IPAddressDeny"))
        ]
        for text in sections
    ]
    assert all(block == blocks[0] for block in blocks)
    assert len(blocks[0]) > 30


def test_no_failure_is_final() -> None:
    """No daemon has a limit of starts, or an exit code after which it stays down."""
    for unit in DAEMONS:
        text = (UNITS / unit).read_text()
        assert "StartLimitIntervalSec=0" in text
        assert "Restart=always" in text
        assert "RestartPreventExitStatus" not in text
