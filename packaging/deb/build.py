"""``python packaging/deb/build.py`` builds the Debian package: build/recado_VERSION_ARCH.deb.

Same sources, same bytes: what goes in is copied aside and named by its hash, wheels are pinned by theirs,
times are those of the last commit (`SOURCE_DATE_EPOCH`), owners are root.  A package that was built from
the same sources before is taken from build/deb/.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import layout
import wheels

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = 6  # packages in build/deb, the newest
FIRST_EPOCH: Final = 315_532_800  # 1980: what wheels, being zip files, can tell
INPUTS: Final = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "systemd", "docs", "packaging/deb")
LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.pyc", "decisions", "internals")


def collect(source: Path, aside: Path) -> str:
    """Copy what the package is made of; its version."""
    project = tomllib.loads((source / "pyproject.toml").read_text())
    packages = {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    for name in (*INPUTS, *sorted(packages)):
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, aside / name, ignore=LEFT_OUT)
        else:
            shutil.copyfile(source / name, aside / name)
    text = (aside / "recado/__init__.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(version)


def digest(tree: Path, *more: str) -> str:
    """A name for exactly these files."""
    total = hashlib.sha256("\0".join(more).encode())
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(tree)}\0{path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def moment(source: Path) -> int:
    """The time that all files bear: `SOURCE_DATE_EPOCH`, else that of the last commit."""
    if said := os.environ.get("SOURCE_DATE_EPOCH"):
        return max(int(said), FIRST_EPOCH)
    done = subprocess.run(
        ["git", "-C", str(source), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return max(int(done.stdout.strip() or 0), FIRST_EPOCH) if done.returncode == 0 else FIRST_EPOCH


def pack(
    source: Path, release: layout.Release, architecture: wheels.Architecture, *, build: Path, to: Path
) -> None:
    """Build the package from collected sources."""
    os.environ["SOURCE_DATE_EPOCH"] = str(release.epoch)
    house = wheels.wheelhouse(build, architecture)
    tree = to.parent / "tree"
    own = wheels.own_wheel(source, house, to.parent / "own")
    wheels.unpack(house, own, architecture, into=tree / layout.MODULES)
    layout.lay(source, tree)
    described(source, tree, release, native=architecture.machine == os.uname().machine)
    layout.compiled(tree)
    size = layout.settled(tree, release.epoch)
    layout.control(tree, release, architecture.debian, size=size)
    sums(tree, release.epoch)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zzstd", "-z9", "--build", str(tree), str(to)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def described(source: Path, tree: Path, release: layout.Release, *, native: bool) -> None:
    """Manual pages and completion, told by the programs that are in the tree.

    Those of another architecture can't run here: then it is our own modules with this machine's libraries.
    """
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree / layout.MODULES if native else source),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(release.epoch),
    }
    for script in ("manual.py", "completion.py"):
        told = [sys.executable, str(source / "packaging/deb" / script), str(tree)]
        subprocess.run(told, check=True, env=env)


def sums(tree: Path, epoch: int) -> None:
    """DEBIAN/md5sums, by which `dpkg --verify` finds files that were changed."""
    lines = []
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts:
            checked = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            lines.append(f"{checked}  {path.relative_to(tree)}\n")
    (tree / "DEBIAN/md5sums").write_text("".join(lines))
    os.utime(tree / "DEBIAN/md5sums", (epoch, epoch))


@contextmanager
def alone(build: Path) -> Iterator[None]:
    """One build at a time: the others find what the first one made."""
    build.mkdir(exist_ok=True)
    with (build / "deb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def package(source: Path, *, architecture: str) -> Path:
    """The package of these sources, built unless it is there already.  Raises `CalledProcessError`."""
    build = source / "build"
    with alone(build), tempfile.TemporaryDirectory(prefix="recado-deb-") as scratch:
        collected = Path(scratch) / "source"
        collected.mkdir()
        release = layout.Release(collect(source, collected), moment(source))
        kept = build / "deb" / digest(collected, architecture)
        made = kept / f"recado_{release.version}_{architecture}.deb"
        if not made.exists():
            fresh = Path(scratch) / made.name
            pack(collected, release, wheels.ARCHITECTURES[architecture], build=build, to=fresh)
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh, kept / "fresh")
            (kept / "fresh").rename(made)
        os.utime(kept)
        for old in sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)
    return made


def main() -> None:
    """Build, and say where it is."""
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    here = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    parser.add_argument("--architecture", choices=sorted(wheels.ARCHITECTURES), default=here.stdout.strip())
    parser.add_argument("--cached", action="store_true", help="Only in build/deb/, and print that path.")
    given = parser.parse_args()
    made = package(ROOT, architecture=given.architecture)
    if not given.cached:
        made = Path(shutil.copy(made, ROOT / "build" / made.name))
    print(made)


if __name__ == "__main__":
    main()
