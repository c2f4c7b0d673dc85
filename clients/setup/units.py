"""The units for an installation by pip: what it is made of, whether a hardened unit can see it, the texts.

The units of ``systemd/`` are the only ones there are: the wheel brings them as `clients/units`.  They are
written for ``/opt/recado``; for another place the programs' paths and what may be executed change, and
nothing else.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

MARK: Final = "# Written by `recado systemd install`; `recado systemd remove` takes it away.\n"
PROGRAMS: Final = ("recado", "recado-server", "recado-broker", "recado-reference")
# What the units hide by ProtectHome=, PrivateTmp= and PrivateDevices=.
HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
TARGETS: Final = {
    ".service": "etc/systemd/system",
    ".socket": "etc/systemd/system",
    ".target": "etc/systemd/system",
    ".timer": "etc/systemd/system",
    ".sysusers": "etc/sysusers.d",
    ".tmpfiles": "etc/tmpfiles.d",
    ".catalog": "usr/lib/systemd/catalog",
}
_ROOM: Final = Path(__file__).parents[1]
_SYSTEM: Final = ("/usr/lib", "-/usr/lib64", "-/usr/bin/kill")  # what the units may always execute
_ASKED: Final = """
import clients, json, os, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "python": os.path.realpath(sys.executable), "prefix": sys.prefix, "base": sys.base_prefix,
    "scripts": paths["scripts"], "modules": [path for path in sys.path if os.path.isdir(path)],
    "own": os.path.dirname(os.path.dirname(os.path.realpath(clients.__file__))),
    "stdlib": paths["stdlib"], "version": list(sys.version_info[:2]),
}))
"""


class CannotInstall(Exception):
    """The units can't be for this installation: `key` of the text, and its values."""

    def __init__(self, key: str, **values: object) -> None:
        self.key, self.values = key, values
        super().__init__(f"{key} {values}")


class Installation(NamedTuple):
    """Where Python and Recado are: `scripts` has the programs, `modules` what is imported, `own` Recado's
    packages, `base` the interpreter's own prefix."""

    python: Path
    prefix: Path
    base: Path
    scripts: Path
    modules: tuple[Path, ...]
    own: Path
    stdlib: Path

    @property
    def read(self) -> tuple[Path, ...]:
        """Everything that the daemons read or execute."""
        programs = (self.scripts / program for program in PROGRAMS)
        return (*programs, self.python, *self.modules, self.own, self.stdlib)


def installation_of(python: Path) -> Installation:
    """What an interpreter says of itself and of the Recado in it.  Raises `CannotInstall`."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _ASKED], capture_output=True, text=True, check=True, timeout=30
        )
        told = json.loads(done.stdout)
        paths = {name: Path(told[name]) for name in ("python", "prefix", "base", "scripts", "own", "stdlib")}
        modules = tuple(Path(path) for path in told["modules"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        raise CannotInstall("systemd.no_recado", python=python) from None
    return Installation(**paths, modules=modules)


def unit_files() -> dict[str, str]:
    """The shipped files by name: of the wheel, or of the sources that are run in place."""
    for directory in (_ROOM / "units", _ROOM.parent / "systemd"):
        if (directory / "recado.target").exists():
            files = sorted(path for path in directory.iterdir() if path.suffix in TARGETS)
            return {path.name: path.read_text("utf-8") for path in files}
    raise CannotInstall("systemd.no_units", path=_ROOM / "units")


def problems(found: Installation) -> Iterator[CannotInstall]:
    """Why hardened units could not run this installation."""
    for path in found.read:
        if re.search(r"[\s%\"'\\$;]", str(path)):
            yield CannotInstall("systemd.odd_path", path=path)
            return
        for place in {path, Path(os.path.realpath(path))}:
            if any(place.is_relative_to(hidden) for hidden in HIDDEN):
                yield CannotInstall("systemd.hidden", path=place)
                return
    for path in found.read:
        if not path.exists():
            yield CannotInstall("systemd.missing", path=path)
            return
        if (closed := _closed(path)) is not None:
            yield CannotInstall("systemd.closed", path=closed)
            return


def _closed(path: Path) -> Path | None:
    """The first directory on the way that others may not enter, or the file that they may not read."""
    whole = Path(os.path.realpath(path))
    for directory in reversed(whole.parents):
        if not directory.stat().st_mode & 0o001:
            return directory
    return None if whole.stat().st_mode & 0o004 else whole


def executable(found: Installation) -> list[str]:
    """What the units' ExecPaths= must name: programs, interpreter, and whatever has shared libraries."""
    usr = Path("/usr")
    wanted = [found.prefix] if found.prefix not in (usr, Path("/")) else []
    wanted += [found.scripts / program for program in PROGRAMS]
    wanted += [found.python, *found.modules, found.own, found.stdlib]
    if found.base not in (usr, Path("/")):
        wanted.append(found.base / "lib")
    kept = [path for path in dict.fromkeys(wanted) if not _within(path, wanted)]
    return [*map(str, kept), *_SYSTEM]


def _within(path: Path, others: Iterable[Path]) -> bool:
    above = (*others, Path("/usr/lib"))
    return any(path != other and path.is_relative_to(other) for other in above) or path == Path("/usr/lib")


def texts(files: Mapping[str, str], found: Installation) -> dict[str, str]:
    """What is written, by path below the root."""
    written = {}
    for name, text in files.items():
        stem, suffix = os.path.splitext(name)
        target = f"{stem}.conf" if suffix in (".sysusers", ".tmpfiles") else name
        placed = _moved(text, found) if suffix == ".service" else text
        written[f"{TARGETS[suffix]}/{target}"] = MARK + placed
    return written


def _moved(text: str, found: Installation) -> str:
    """A service for programs that are elsewhere."""
    text = re.sub(r"^ExecStart=/opt/recado/bin/", f"ExecStart={found.scripts}/", text, flags=re.M)
    return re.sub(r"^ExecPaths=.*$", f"ExecPaths={' '.join(executable(found))}", text, flags=re.M)
