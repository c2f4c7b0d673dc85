"""Files of a node: where they are below a root, and writing several of them, all or none.

Nothing that exists and says something else is written over, unless it is asked for; then the old file stays
beside it as ``NAME.old``.  What is there already as it should be is left alone.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recado.keepsake import write_durably

PUBLIC: Final = 0o644
SECRET: Final = 0o600
_PLACES: Final = {"etc/recado": 0o755, "etc/recado/conf.d": 0o755, "etc/credstore": 0o700}


class Conflict(Exception):
    """Files that exist and say something else: `paths`."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        super().__init__(", ".join(map(str, self.paths)))


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a node's files are.  `root` is ``/``, or an image's."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        return self.root / "etc/recado/recado.toml"

    @property
    def here(self) -> Path:
        return self.root / "etc/recado/conf.d/here.toml"

    @property
    def members(self) -> Path:
        return self.root / "etc/recado/conf.d/members.toml"

    @property
    def roster(self) -> Path:
        return self.root / "etc/recado/roster.toml"

    def key(self, name: str) -> Path:
        """The key of a server, or of `broker`, `reference`, `cluster`."""
        return self.root / f"etc/credstore/recado.{name}.key"

    def inside(self, path: Path) -> str:
        """The path as programs under this root see it."""
        return "/" + str(path.relative_to(self.root))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One file as it is to be.  `replace`: whatever is there goes (it says nothing, or is ours to change)."""

    path: Path
    text: str
    mode: int = PUBLIC
    replace: bool = False


@dataclass(kw_only=True)
class Done:
    """What became of the files; `old`: kept beside what replaced them."""

    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    old: list[Path] = field(default_factory=list)


def as_wanted(file: Wanted) -> bool:
    """Whether it is there already, word for word."""
    try:
        return file.path.read_bytes() == file.text.encode()
    except FileNotFoundError:
        return False


def write_all(files: Iterable[Wanted], *, force: bool) -> Done:
    """Write what is not there yet.  Raises `Conflict` before anything was written, `OSError`."""
    wanted, done = list(files), Done()
    missing = [file for file in wanted if not as_wanted(file)]
    taken = [file.path for file in missing if not file.replace and os.path.lexists(file.path)]
    if taken and not force:
        raise Conflict(taken)
    for file in wanted:
        if file not in missing:
            done.kept.append(file.path)
            if file.mode == SECRET:
                file.path.chmod(SECRET)
            continue
        if os.path.lexists(file.path) and not file.replace:
            done.old.append(_aside(file.path))
        if file.mode == SECRET:
            _write_secret(file.path, file.text)
        else:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(file.path, file.text.encode())
            file.path.chmod(file.mode)
        done.written.append(file.path)
    return done


def _write_secret(path: Path, text: str) -> None:
    """A file that is its owner's alone from its first byte, and no other one, whoever else writes there."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, SECRET), "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _aside(path: Path) -> Path:
    """Keep what is there, under a name that is free."""
    number, old = 1, path.with_name(f"{path.name}.old")
    while os.path.lexists(old):
        number += 1
        old = path.with_name(f"{path.name}.old{number}")
    path.rename(old)
    return old


def make_directories(places: Places) -> None:
    """The directories of configuration and keys, modes as the package has them.  Raises `OSError`."""
    for name, mode in _PLACES.items():
        directory = places.root / name
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(mode)


def says_nothing(path: Path) -> bool:
    """Whether a configuration file sets nothing: all comments, as a package brings it."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return all(line.startswith(("#", "[")) or not line.strip() for line in lines)
