"""Backups that follow each other: which go when a new one is there, and when the last one was made."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "last-backup"  # in the node's directory: its name is the last backup's, its time that one's


def rotate(made: Path, *, node: str, keep: int) -> list[Path]:
    """Delete the oldest backups of `node` beside `made` until `keep` are left; which ones went.

    Only files that have exactly the name of one count, and order is their names', which tell the time;
    `made` itself stays whatever its name says, for a clock may have gone back.  Raises `OSError`.
    """
    name = re.compile(rf"recado-{re.escape(node)}-\d{{8}}T\d{{6}}Z\.tar")
    others = sorted(path for path in made.parent.iterdir() if path != made and name.fullmatch(path.name))
    gone = others[: max(0, len(others) - (keep - 1))]
    for path in gone:
        path.unlink()
    return gone


def note(directory: Path, made: Path) -> None:
    """Leave word in the node's directory, for its metrics; who may only read there leaves none."""
    with suppress(OSError):
        fresh = directory / f".{MARK}"
        fresh.write_text(f"{made.name}\n")
        fresh.replace(directory / MARK)


def noted(directory: Path) -> float | None:
    """When the last backup was made, in seconds since 1970; None: none was."""
    try:
        return os.stat(directory / MARK).st_mtime
    except OSError:
        return None
