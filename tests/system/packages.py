"""The Debian package of the tree under test, built at most once for the same sources."""

import hashlib
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from recado import __version__

ROOT: Final = Path(__file__).parents[2]
BUILDER: Final = ROOT / "packaging" / "deb" / "build.py"
NEEDS: Final = ("dpkg-deb",)
MODULE: Final = "opt/recado/lib/python3.11/site-packages/recado/__init__.py"
COMPILED: Final = "opt/recado/lib/python3.11/site-packages/recado/__pycache__/__init__.cpython-311.pyc"


@cache
def deb(version: str = __version__) -> Path:
    """The package; with another `version` the same with that number, for trying upgrades.

    The first call of a session builds it, in 10 to 20 s, if these sources were never built before; another
    version takes 2 s more.  Raises `AssertionError` with what the builder said.
    """
    if version != __version__:
        return _renumbered(deb(), version)
    done = subprocess.run(
        [sys.executable, str(BUILDER), "--cached"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])


def _renumbered(package: Path, version: str) -> Path:
    made = package.parent / package.name.replace(f"_{__version__}_", f"_{version}_")
    if made.exists():
        return made
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        _replace(tree / "DEBIAN/control", f"Version: {__version__}\n", f"Version: {version}\n")
        _replace(tree / MODULE, f'"{__version__}"', f'"{version}"')
        (tree / COMPILED).unlink()  # valid whatever its source says: it would still tell the old number
        checked = hashlib.md5((tree / MODULE).read_bytes(), usedforsecurity=False).hexdigest()
        sums = tree / "DEBIAN/md5sums"
        kept = [line for line in sums.read_text().splitlines() if not line.endswith((MODULE, COMPILED))]
        sums.write_text("\n".join([*kept, f"{checked}  {MODULE}", ""]))
        fresh = made.with_suffix(".fresh")
        packing = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, fresh]
        subprocess.run(packing, check=True, stdout=subprocess.DEVNULL)
        fresh.rename(made)
    return made


def _replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text, f"{file}: no {before!r}"
    file.write_text(text.replace(before, after))
