"""Recado as pip gets it: a wheel of the tree under test, beside those of its libraries."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from packages import ROOT, deb

SOURCES: Final = ("recado", "storage", "daemons", "clients", "systemd")
FILES: Final = ("pyproject.toml", "README.md", "LICENSE")
QUIET: Final = ("-qq", "--disable-pip-version-check", "--no-input")


def collect_wheels(into: Path) -> Path:
    """Put all that `pip install` needs into a directory; Recado's own wheel there."""
    deb()  # its first build brings the libraries
    house = max((ROOT / "build" / "wheels").glob("*-*"), key=lambda path: path.stat().st_mtime)
    source = into / "source"
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    words = ["wheel", *QUIET, "--no-deps", "--no-index", f"--find-links={house}", f"--wheel-dir={into}"]
    subprocess.run([sys.executable, "-m", "pip", *words, str(source)], check=True)
    shutil.rmtree(source)
    for wheel in house.glob("*.whl"):
        shutil.copy(wheel, into)
    (own,) = into.glob("recado-*.whl")
    return own
