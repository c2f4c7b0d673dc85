"""Small files that must survive a power cut: replaced as a whole, durable when the call returns.

They are written at most a few times in a client's life, so they are written in place of a worker
thread: a few milliseconds of one loop are cheaper than a seam.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

KEEPSAKE_BYTES_MAX = 64 * 1024 * 1024  # a cursor of many channels after years


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by `content`.  Raises `OSError`; then the old content is still there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    _fsync_directory(path.parent)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Keepsakes:
    """What a client remembers between runs, one JSON file a thing; without a directory, nothing.

    Unreadable files count as missing: what they held can be asked for again.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @property
    def directory(self) -> Path | None:
        """Where things last; None: nothing does."""
        return self._directory

    def recall(self, what: str, name: str) -> dict[str, Any] | None:
        """What was kept under `what` (a short word) for `name` (any text)."""
        path = self._path(what, name)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                kept = json.loads(file.read(KEEPSAKE_BYTES_MAX))
        except (OSError, ValueError):
            return None
        return kept if isinstance(kept, dict) and kept.get("name") == name else None

    def keep(self, what: str, name: str, fields: dict[str, Any]) -> None:
        """Keep `fields` (JSON) durably.  Raises `OSError`."""
        path = self._path(what, name)
        if path is not None:
            write_durably(path, json.dumps({"name": name, **fields}).encode())

    def forget(self, what: str, name: str) -> None:
        path = self._path(what, name)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, what: str, name: str) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / f"{what}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}.json"
