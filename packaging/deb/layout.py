"""Where everything of the package lies: the tree that dpkg will unpack onto a host."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
PYTHON: Final = "/usr/bin/python3.11"
PREFIX: Final = "opt/recado"
MODULES: Final = f"{PREFIX}/lib/python3.11/site-packages"
PROGRAMS: Final = {
    "recado": "clients.cli",
    "recado-server": "daemons.server.__main__",
    "recado-broker": "daemons.broker.__main__",
    "recado-reference": "daemons.reference.__main__",
}
# Isolated: neither the caller's directory nor variables decide what is imported; and root compiles nothing.
SCRIPT: Final = f"""\
#!/{PREFIX}/bin/python -IB
from {{module}} import main

main()
"""
ENVIRONMENT: Final = """\
home = /usr/bin
include-system-site-packages = false
version = 3.11
"""
NOT_SHIPPED: Final = ("tests", "_tests")  # what libraries bring to test themselves
PACKED: Final = 9


class Release(NamedTuple):
    """What is packed: the version, and the moment (seconds since 1970) that all files bear."""

    version: str
    epoch: int


def lay(source: Path, tree: Path) -> None:
    """Everything but the modules, which must be there already: programs, units, documents."""
    _environment(tree)
    _units(source / "systemd", tree)
    _documents(source, tree)


def _environment(tree: Path) -> None:
    modules = tree / MODULES
    shutil.rmtree(modules / "bin")  # scripts for the interpreter that built this
    for name in NOT_SHIPPED:
        for directory in sorted(modules.rglob(name)):
            shutil.rmtree(directory, ignore_errors=True)
    for pip_only in ("RECORD", "REQUESTED", "direct_url.json"):  # dpkg knows which file is whose
        for note in modules.glob(f"*.dist-info/{pip_only}"):
            note.unlink()
    (tree / PREFIX / "pyvenv.cfg").write_text(ENVIRONMENT)
    programs, system, private = (tree / place for place in (f"{PREFIX}/bin", "usr/bin", "usr/sbin"))
    for directory in (programs, system, private):
        directory.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3", "python3.11"):
        (programs / name).symlink_to(PYTHON)
    for name, module in PROGRAMS.items():
        script = programs / name
        script.write_text(SCRIPT.format(module=module))
        script.chmod(0o755)
        place = system if name == "recado" else private
        (place / name).symlink_to(f"/{PREFIX}/bin/{name}")


def _units(units: Path, tree: Path) -> None:
    places = {
        "*.service": "usr/lib/systemd/system",
        "*.socket": "usr/lib/systemd/system",
        "*.target": "usr/lib/systemd/system",
        "*.timer": "usr/lib/systemd/system",
        "*.catalog": "usr/lib/systemd/catalog",
        "*.sysusers": "usr/lib/sysusers.d",
        "*.tmpfiles": "usr/lib/tmpfiles.d",
        "*.dashboard.json": "usr/share/recado",
        "*.rules.yml": "usr/share/recado",
        "*.example.toml": "usr/share/doc/recado/examples",
    }
    renamed = {".sysusers": ".conf", ".tmpfiles": ".conf"}
    for pattern, place in places.items():
        for file in sorted(units.glob(pattern)):
            name = file.stem + renamed[file.suffix] if file.suffix in renamed else file.name
            _put(tree / place / name, file.read_bytes())
    for file in sorted((units / "ssh").glob("*")):
        _put(tree / "usr/share/recado/ssh" / file.name, file.read_bytes())


def _documents(source: Path, tree: Path) -> None:
    documents = tree / "usr/share/doc/recado"
    _put(documents / "changelog.gz", packed((source / "CHANGELOG.md").read_bytes()))
    licence = "\n".join(
        f" {line}" if line else " ." for line in (source / "LICENSE").read_text().splitlines()
    )
    _put(
        documents / "copyright",
        (HERE / "debian/copyright").read_text().replace("@LICENSE@", licence).encode(),
    )
    found = sorted((tree / MODULES).glob("*.dist-info"), key=lambda path: path.name.lower())
    libraries = [path.name.removesuffix(".dist-info").replace("-", " ", 1) for path in found]
    _put(documents / "libraries.txt", "".join(f"{name}\n" for name in libraries).encode())
    for page in sorted((source / "docs").glob("*.md")):
        _put(documents / page.name, page.read_bytes())


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def packed(content: bytes) -> bytes:
    """As gzip, without a name or a time of its own."""
    return gzip.compress(content, PACKED, mtime=0)


def compiled(tree: Path) -> None:
    """Byte code beside every module, valid as it is: the files are the package's, nobody edits them."""
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(tree), "-p", "/", str(tree / MODULES)),
        ],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def settled(tree: Path, epoch: int) -> int:
    """Plain rights and one time for all of it; its size in KiB, as dpkg counts."""
    size = 0
    for path in (tree, *sorted(tree.rglob("*"))):
        if not path.is_symlink():
            executable = path.is_dir() or path.parent == tree / PREFIX / "bin"
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
        size += -(-path.lstat().st_size // 1024) if path.is_file() and not path.is_symlink() else 1
    return size


def control(tree: Path, release: Release, architecture: str, *, size: int) -> None:
    """The package's own description, its scripts, and the sums by which `dpkg --verify` checks."""
    debian = tree / "DEBIAN"
    debian.mkdir()
    text = (HERE / "debian/control").read_text()
    facts = {"VERSION": release.version, "ARCHITECTURE": architecture, "SIZE": str(size)}
    (debian / "control").write_text(re.sub("@([A-Z]+)@", lambda found: facts[found[1]], text))
    for name in ("postinst", "prerm", "postrm"):
        shutil.copyfile(HERE / "debian" / name, debian / name)
        (debian / name).chmod(0o755)
    for path in (debian, *debian.iterdir()):
        os.utime(path, (release.epoch, release.epoch))
