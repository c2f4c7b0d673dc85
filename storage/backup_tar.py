"""The form of a backup: its manifest, and reading a tar that anybody may have made.

Only what the manifest names is read, in its order, and nothing is written where the tar says: names are
of one known form, so a backup can't reach out of the directory that it is restored to.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from recado.protocol.limits import BACKUP_MANIFEST_BYTES_MAX, BACKUP_PARTS_MAX
from storage.database import StorageError
from storage.registry import FILE_NAME as REGISTRY_FILE
from storage.replica import FILE_NAME as REPLICA_FILE

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SETTINGS, KEYS = "settings/", "keys/"
_NAME: Final = re.compile(r"(settings/(conf\.d/)?|keys/)[A-Za-z0-9_-][A-Za-z0-9._-]{0,80}")
_READ_BYTES: Final = 1 << 20


class BackupInvalid(StorageError):
    """No backup, or one that does not hold what it says."""

    exit_code: Final = 65


class Part(msgspec.Struct, frozen=True):
    """One file in a backup: size in bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself.

    `made` is a time for people, in UTC.  `vector` tells how many entries of each log are in it,
    `heads_digest` stands for the logs' contents: equal digests, equal logs.
    """

    format: int = FORMAT
    made: str
    role: str
    node: str
    cluster: str
    program: str
    schema_version: int
    wire_version: int
    sqlite: str
    machine: str
    entries: int = 0
    lamport: int = 0
    vector: dict[str, int] = {}
    heads_digest: str = ""
    files: list[Part] = []

    @property
    def keys(self) -> bool:
        """Whether secret keys are inside."""
        return any(part.name.startswith(KEYS) for part in self.files)


class Readable(Protocol):
    """What has bytes."""

    def read(self, size: int, /) -> bytes: ...


def hashed(content: Readable) -> str:
    """SHA-256 of all that is left to read, in hexadecimal."""
    digest = hashlib.sha256()
    while piece := content.read(_READ_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest of a backup.  Raises `BackupInvalid` if it is none that this program knows, OSError."""
    try:
        with tarfile.open(path, mode="r|*") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg():
                raise BackupInvalid(f"{path} is no backup")
            content = tar.extractfile(first)
            if content is None or first.size > BACKUP_MANIFEST_BYTES_MAX:
                raise BackupInvalid(f"{path} is no backup")
            manifest = msgspec.json.decode(content.read(), type=Manifest)
    except (tarfile.TarError, EOFError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupInvalid(f"{path} is no backup: {error}") from error
    if manifest.format != FORMAT:
        raise BackupInvalid(f"{path} is of a newer form of backups ({manifest.format}); use a newer program")
    databases = [part.name for part in manifest.files if part.name in (REPLICA_FILE, REGISTRY_FILE)]
    others = [part.name for part in manifest.files if part.name not in (REPLICA_FILE, REGISTRY_FILE)]
    sound = len(databases) == 1 and all(map(_NAME.fullmatch, others))
    if not sound or len(set(others)) != len(others) or len(others) > BACKUP_PARTS_MAX:
        raise BackupInvalid(f"{path} is no backup: its manifest names other files than a backup has")
    return manifest


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Around whatever reads the parts of a backup: what `tarfile` raises comes out as `BackupInvalid`."""
    try:
        yield
    except (tarfile.TarError, EOFError) as error:
        raise BackupInvalid(f"{path} is cut off or damaged: {error}") from error


def parts_of(path: Path, manifest: Manifest) -> Iterator[tuple[Part, Readable]]:
    """The files of a backup in order, each to be read before the next; to be used ``with whole(path)``.

    Raises `BackupInvalid`, OSError.
    """
    waiting = list(manifest.files)
    with tarfile.open(path, mode="r|*") as tar:
        members = iter(tar)
        next(members, None)  # the manifest
        for member in members:
            if not waiting:
                raise BackupInvalid(f"{path}: {member.name!r} is in it, and not in its manifest")
            part = waiting.pop(0)
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or (member.name, member.size) != (part.name, part.size):
                raise BackupInvalid(f"{path}: {part.name} is missing or of another size")
            yield part, content
    if waiting:
        raise BackupInvalid(f"{path}: {waiting[0].name} is missing")
