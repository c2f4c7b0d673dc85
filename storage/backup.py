"""Backups: one file, made beside a running server, that any host can read.

A backup is a tar: `manifest.json`, then the files that it names with their sizes and SHA-256.  So it is
one thing to copy, and can be looked into with what every host has.  The replica in it is the state of one
moment: a copy page by page inside one read transaction, which never makes the server wait; its write-ahead
log can't begin anew for as long, which is why the copy is made at full speed.  Each copy is checked before
it becomes a backup: SQLite's structure, every hash of every log, the views, and the signatures if keys are
given.  A backup of damaged data would be found out on the day it is needed.

Nothing in it depends on the host: no paths, no owners, no addresses but those that the log holds.
"""

import errno
import io
import os
import platform
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import msgspec

from recado import __version__
from recado.protocol.limits import BACKUP_MANIFEST_BYTES_MAX, BACKUP_PARTS_MAX
from recado.protocol.vector import heads_digest
from recado.protocol.versions import WIRE_VERSION
from storage.backup_check import Signed, Verify, check_registry, check_replica, check_signatures
from storage.backup_copy import MODE, Progress, copy
from storage.backup_tar import (
    MANIFEST,
    BackupInvalid,
    Manifest,
    Part,
    Readable,
    hashed,
    parts_of,
    read_manifest,
    whole,
)
from storage.database import StorageError, StorageFull, classified, sync_directory, wal_path
from storage.inspection import open_for_inspection
from storage.loading import read_heads, read_meta
from storage.registry import FILE_NAME as REGISTRY_FILE
from storage.replica import FILE_NAME as REPLICA_FILE
from storage.snapshot import require_room

__all__ = ["BackupInvalid", "Checked", "Manifest", "Verify", "make", "read_manifest", "verify"]


class Checked(msgspec.Struct, frozen=True):
    """What `verify` found: `problems` is empty if the backup is sound.

    `signed`: what the signatures vouch for; None if no keys were given to check them with.
    """

    manifest: Manifest
    problems: list[str]
    signed: Signed | None = None


# Making one -------------------------------------------------------------------------------------------


def make(
    directory: Path,
    target: Path | BinaryIO,
    *,
    made: str,
    cluster: str = "",
    more: Mapping[str, Path] | None = None,
    verify_signature: Verify | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Checked:
    """Back a node's directory up into `target`; what it holds.

    `made`: the time, as people read it.  `more`: further files by their names in the backup (settings,
    keys).  A file gets mode 0600, is written under another name first, read again and synced; nothing is
    left of one that failed.  Raises `BackupInvalid` if the data are damaged, `StorageFull` without room for
    the copy, other storage errors, OSError.
    """
    source = _source(directory)
    beside = target.parent if isinstance(target, Path) else Path(tempfile.gettempdir())
    require_room(beside / source.name, 2 * _size(source))
    with tempfile.TemporaryDirectory(prefix=".recado-backup-", dir=beside) as scratch:
        copied = Path(scratch) / source.name
        copy(source, copied, progress=progress)
        checked = _described(copied, made=made, cluster=cluster, verify_signature=verify_signature)
        if checked.problems:
            raise BackupInvalid(f"{source} is damaged: {checked.problems[0]}")
        files = {source.name: copied, **(more or {})}
        manifest = msgspec.structs.replace(checked.manifest, files=_parts(files))
        if isinstance(target, Path):
            _write_file(target, manifest, files)
        else:
            _write(target, manifest, files)
    return msgspec.structs.replace(checked, manifest=manifest)


def _source(directory: Path) -> Path:
    """The database of a node's directory."""
    for name in (REPLICA_FILE, REGISTRY_FILE):
        if (directory / name).is_file():
            return directory / name
    raise StorageError(f"{directory}: neither {REPLICA_FILE} nor {REGISTRY_FILE} is there")


def _size(source: Path) -> int:
    wal = wal_path(source)
    return source.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _described(path: Path, *, made: str, cluster: str, verify_signature: Verify | None) -> Checked:
    """A manifest without its list of files, and what is wrong with the copy."""
    base = Manifest(
        made=made,
        role="reference" if path.name == REGISTRY_FILE else "server",
        node="reference" if path.name == REGISTRY_FILE else "",
        cluster=cluster,
        program=__version__,
        schema_version=0,
        wire_version=WIRE_VERSION,
        sqlite=sqlite3.sqlite_version,
        machine=platform.machine(),
    )
    if path.name == REGISTRY_FILE:
        version, problems = check_registry(path)
        return Checked(msgspec.structs.replace(base, schema_version=version), problems)
    if problems := check_replica(path):
        return Checked(base, problems)
    with closing(open_for_inspection(path)) as db, classified(path):
        heads = read_heads(db)
        signed = None if verify_signature is None else check_signatures(db, verify_signature)
        manifest = msgspec.structs.replace(
            base,
            node=str(read_meta(db, "node") or ""),
            schema_version=int(db.execute("pragma user_version").fetchone()[0]),
            entries=sum(head.seq for head in heads.values()),
            lamport=max((head.lamport for head in heads.values()), default=0),
            vector={origin: head.seq for origin, head in sorted(heads.items())},
            heads_digest=heads_digest({o: (h.seq, h.hash) for o, h in heads.items()}).hex(),
        )
    return Checked(manifest, [] if signed is None else signed.problems(), signed)


def _parts(files: Mapping[str, Path]) -> list[Part]:
    found = []
    for name, path in files.items():
        with path.open("rb") as file:
            found.append(Part(name, path.stat().st_size, hashed(file)))
    return found


def _write_file(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        with open(descriptor, "w+b") as out:
            _write(out, manifest, files)
            out.flush()
            os.fsync(out.fileno())
        if problems := _unequal(partial, manifest):
            raise BackupInvalid(f"{target} was not written as it was meant: {problems[0]}")
        os.replace(partial, target)
        sync_directory(target.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _full(error, target) from error
    except:
        partial.unlink(missing_ok=True)
        raise


def _full(error: OSError, target: Path) -> Exception:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StorageFull(f"{target}: no room on the disk") if full else error


def _write(out: BinaryIO, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """The tar, in order; may be a pipe.  The same bytes for the same content."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    if len(text) > BACKUP_MANIFEST_BYTES_MAX or len(files) > BACKUP_PARTS_MAX:
        raise BackupInvalid("more than a backup may hold")
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_header(MANIFEST, len(text)), io.BytesIO(text))
        for part in manifest.files:
            with files[part.name].open("rb") as file:
                tar.addfile(_header(part.name, part.size), file)


def _header(name: str, size: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, MODE
    return found


# Checking one -----------------------------------------------------------------------------------------


def verify(path: Path, *, scratch: Path | None = None, verify_signature: Verify | None = None) -> Checked:
    """Read a backup as a restore would, and check everything in it.

    Takes room for a copy of the replica in `scratch` (None: the directory for temporary files).  Raises
    `BackupInvalid` if it is no backup at all, storage errors, OSError.
    """
    manifest = read_manifest(path)
    problems = _unequal(path, manifest)
    if problems:
        return Checked(manifest, problems)
    require_room((scratch or Path(tempfile.gettempdir())) / "copy", sum(p.size for p in manifest.files))
    with tempfile.TemporaryDirectory(prefix=".recado-verify-", dir=scratch) as directory:
        (name,) = [part.name for part in manifest.files if part.name in (REPLICA_FILE, REGISTRY_FILE)]
        unpack(path, manifest, {name: Path(directory) / name})
        found = _described(
            Path(directory) / name,
            made=manifest.made,
            cluster=manifest.cluster,
            verify_signature=verify_signature,
        )
    problems = found.problems or list(_contradictions(manifest, found.manifest))
    return Checked(manifest, problems, found.signed)


def _contradictions(told: Manifest, found: Manifest) -> Iterator[str]:
    for field in ("role", "node", "schema_version", "entries", "lamport", "vector", "heads_digest"):
        if getattr(told, field) != getattr(found, field):
            yield f"the manifest says another {field} than the data"


def unpack(path: Path, manifest: Manifest, wanted: Mapping[str, Path]) -> None:
    """Write parts of a backup to new files, mode 0600, synced.  Raises `BackupInvalid`, OSError."""
    left = set(wanted)
    with whole(path):
        for part, content in parts_of(path, manifest):
            if part.name in wanted:
                left.discard(part.name)
                if _extract(content, wanted[part.name]) != part.sha256:
                    raise BackupInvalid(f"{path}: {part.name} does not match its hash")
    if left:
        raise BackupInvalid(f"{path}: {', '.join(sorted(left))} is not in it")


def _extract(content: Readable, target: Path) -> str:
    """Write it to a new file; the hash of what is in the file then."""
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    with open(descriptor, "w+b") as out:
        while piece := content.read(1 << 20):
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
        out.seek(0)
        return hashed(out)


def _unequal(path: Path, manifest: Manifest) -> list[str]:
    """What in the file does not match its manifest."""
    wrong = []
    try:
        with whole(path):
            for part, content in parts_of(path, manifest):
                if hashed(content) != part.sha256:
                    wrong.append(f"{part.name} does not match its hash")
    except BackupInvalid as error:
        wrong.append(str(error))
    return wrong
