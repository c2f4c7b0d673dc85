"""The package's scripts by themselves, on an image, with the system's programs as stand-ins."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "packaging/deb/debian"


def run(script: str, *arguments: str, image: Path, tmpfiles: int = 0) -> subprocess.CompletedProcess[str]:
    """`tmpfiles`: the exit code of systemd-tmpfiles."""
    programs = image / "stand-ins"
    programs.mkdir(exist_ok=True)
    for name, code in (("systemd-sysusers", 0), ("journalctl", 1), ("systemd-tmpfiles", tmpfiles)):
        (programs / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "DPKG_ROOT": str(image), "LC_ALL": "C"}
    command = ["sh", str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (65, 0), (73, 0), (1, 1)])
def test_what_tmpfiles_can_t_do_at_the_moment(tmp_path: Path, code: int, expected: int) -> None:
    """A line that is not understood, or a place that can't be made, stops no installation; a failure does."""
    assert run("postinst", "configure", "", image=tmp_path, tmpfiles=code).returncode == expected


def test_a_purge_names_backups(tmp_path: Path) -> None:
    """Backups stay and are named with what else is kept; an empty directory goes."""
    backups = tmp_path / "var/backups/recado"
    backups.mkdir(parents=True)
    (backups / "one").touch()
    done = run("postrm", "purge", image=tmp_path)
    assert (done.returncode, str(backups) in done.stdout) == (0, True)
    (backups / "one").unlink()
    assert run("postrm", "purge", image=tmp_path).stdout == ""
    assert not backups.exists()
