"""The pinned wheels: downloaded once, checked by their hashes, unpacked as a Debian 12 host needs them."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
REQUIREMENTS: Final = HERE / "requirements.txt"
GLIBC_MINORS: Final = range(17, 37)  # Debian 12 has 2.36
# Wheels for CPython 3.11, whichever interpreter builds the package.
TARGET: Final = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"] + [
    f"--abi={abi}" for abi in ("cp311", "abi3", "none")
]
QUIET: Final = ["-qq", "--disable-pip-version-check", "--no-input"]


class Architecture(NamedTuple):
    """What Debian and Python call one kind of machine."""

    debian: str
    machine: str

    @property
    def options(self) -> list[str]:
        """What pip is told."""
        tags = [f"manylinux_2_{minor}" for minor in GLIBC_MINORS] + ["manylinux2014"]
        return [f"--platform={tag}_{self.machine}" for tag in tags]


ARCHITECTURES: Final = {
    name: Architecture(name, machine) for name, machine in (("amd64", "x86_64"), ("arm64", "aarch64"))
}


def _pip(*words: str, cwd: Path | None = None) -> None:
    # Nobody's settings decide what is in the package; where wheels come from remains the host's affair.
    env = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, cwd=cwd, env=env)


def wheelhouse(build: Path, architecture: Architecture) -> Path:
    """The directory of all pinned wheels, filled the first time.  Raises `CalledProcessError`."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    house = build / "wheels" / f"{architecture.debian}-{key}"
    if not house.is_dir():
        house.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="filling-", dir=house.parent))
        try:
            _pip(
                *("download", *QUIET, "--no-deps", "--require-hashes", *TARGET, *architecture.options),
                *("--dest", str(aside), "--requirement", str(REQUIREMENTS)),
            )
            aside.rename(house)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return house


def own_wheel(source: Path, house: Path, into: Path) -> Path:
    """Recado itself as a wheel, made from `source` without a network."""
    _pip(
        *("wheel", *QUIET, "--no-deps", "--no-index", "--find-links", str(house)),
        *("--wheel-dir", str(into), str(source)),
    )
    (wheel,) = into.glob("recado-*.whl")
    return wheel


def unpack(house: Path, own: Path, architecture: Architecture, *, into: Path) -> None:
    """All that a node runs, as one directory of modules; no scripts, nothing compiled."""
    runs = [str(wheel) for wheel in sorted(house.glob("*.whl")) if not wheel.name.startswith("setuptools-")]
    _pip(
        *("install", *QUIET, "--no-deps", "--no-index", "--no-compile", *TARGET, *architecture.options),
        *("--target", str(into), *runs, str(own)),
    )
