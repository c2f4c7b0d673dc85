"""The Debian package of the tree under test, built at most once for the same sources."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILDER: Final = ROOT / "packaging" / "deb" / "build.py"
NEEDS: Final = ("dpkg-deb",)


@cache
def deb(version: str | None = None) -> Path:
    """The package; `version`: with another version than that of the sources, to be upgraded to.

    The first call of a session builds it, in some 20 s, if these sources were never built before.
    Raises `AssertionError` with what the builder said.
    """
    other = [] if version is None else ["--version", version]
    done = subprocess.run(
        [sys.executable, str(BUILDER), "--cached", *other], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])
