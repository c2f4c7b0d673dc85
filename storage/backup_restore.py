"""Restoring a backup: the file is put where a node will open it, and the node knows what happened.

It is safe because a server never continues an old log: at each start it begins a new origin, so a file
of last week can't give the same number to two messages (A2).  What the file lacks, the node's own later
entries among it, comes from its peers.  One thing more is remembered in the file (`RESTORED_KEY`): like
one with an empty disk the node asks its peers before it takes its first write, else new messages would be
stamped lower than those it had written since the backup (A3).

Users, channels and what is shown are made anew from the log at that start, not believed.

What was in the place is moved aside, never overwritten.  A file for another node loses everything that
was about the old one: its promises, its peers, the entries it had refused.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from storage.backup import unpack
from storage.backup_check import check_registry, check_replica
from storage.backup_tar import BackupInvalid, Manifest, read_manifest
from storage.database import LOCK_NAME, StorageError, classified, lock_directory, sync_directory
from storage.rebuild import DERIVED_KEY
from storage.registry import FILE_NAME as REGISTRY_FILE
from storage.replica import FILE_NAME as REPLICA_FILE
from storage.replica import RESTORED_KEY
from storage.snapshot import require_room

_INCOMING: Final = "restore-in.db"
# As a snapshot forgets who made it.
_FORGET: Final = (
    "delete from meta",
    "delete from peer",
    "delete from quarantine where from_node <> ''",
    "delete from milestone",
    "update origin set state = 'open'",
)


class Occupied(StorageError):
    """Something is where the backup would go."""

    exit_code: Final = 73


def restore(
    path: Path,
    directory: Path,
    *,
    now: str,
    node: str = "",
    replace: bool = False,
    settings: Mapping[str, Path] | None = None,
) -> tuple[Manifest, Path | None]:
    """Put a backup's database into a node's directory; its manifest, and where a present file was moved.

    `node`: whose it will be ("": the one of the backup).  `replace`: a file that is there is moved aside.
    `settings`: where other parts of the backup go; they are never written over anything.  Everything is
    checked before anything is changed.  Raises `DataLocked` if a process owns the directory, `Occupied`,
    `BackupInvalid`, `StorageFull`, other storage errors, OSError.
    """
    manifest = read_manifest(path)
    (part,) = [part for part in manifest.files if part.name in (REPLICA_FILE, REGISTRY_FILE)]
    for target in (settings or {}).values():
        if target.exists():
            raise Occupied(f"{target} exists; move it away first")
    lock = lock_directory(directory)
    try:
        target, incoming = directory / part.name, directory / _INCOMING
        if target.exists() and not replace:
            raise Occupied(f"{target} exists; with --replace it is moved aside")
        require_room(incoming, part.size)
        incoming.unlink(missing_ok=True)
        try:
            unpack(path, manifest, {part.name: incoming, **(settings or {})})
            _prepare(incoming, manifest, node=node, now=now)
            _give_to_owner(directory, incoming, directory / LOCK_NAME)
            aside = _set_aside(target)
            os.replace(incoming, target)
            sync_directory(directory)
        finally:
            incoming.unlink(missing_ok=True)
    finally:
        lock.release()
    return manifest, aside


def _prepare(incoming: Path, manifest: Manifest, *, node: str, now: str) -> None:
    """Check the file and write into it what the node has to know."""
    if manifest.role == "reference":
        _, problems = check_registry(incoming)
    else:
        problems = check_replica(incoming)
    if problems:
        raise BackupInvalid(f"the backup is damaged: {problems[0]}")
    if manifest.role == "reference":
        return
    restored = {"at": now, "made": manifest.made, "from": manifest.node}
    with classified(incoming), closing(sqlite3.connect(incoming, isolation_level=None)) as db:
        db.execute("pragma synchronous=full")
        db.execute("begin immediate")
        if node and node != manifest.node:
            for statement in _FORGET:
                db.execute(statement)
        put = "insert or replace into meta values(?,?)"
        db.executemany(put, [(RESTORED_KEY, json.dumps(restored)), (DERIVED_KEY, "0")])
        db.execute("commit")
    os.chmod(incoming, 0o640)


def _give_to_owner(directory: Path, *paths: Path) -> None:
    """Files that root has made in a server's directory become the server's."""
    if os.geteuid() == 0:
        owner = directory.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def _set_aside(target: Path) -> Path | None:
    """Rename what is there, with its write-ahead log, to the first free ``NAME.replaced-N.db``."""
    if not target.exists():
        for suffix in ("-wal", "-shm"):  # without its file a log is nothing, beside another one it is harm
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        return None
    number = 1
    while (aside := target.with_name(f"{target.stem}.replaced-{number}{target.suffix}")).exists():
        number += 1
    for suffix in ("-shm", "-wal", "-suspect", ""):
        part = target.with_name(target.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
