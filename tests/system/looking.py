"""Looking at replicas from outside: with sqlite3, as people do, and with `verify`."""

import sqlite3
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from processes import recado


def sqlite3_shell(replica: Path, query: str) -> list[str]:
    """The rows that the command-line shell prints.  Needs sqlite3."""
    ran = subprocess.run(
        ["sqlite3", "-readonly", str(replica), query], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


def select(replica: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query on a replica that may be in use."""
    with closing(sqlite3.connect(f"file:{replica}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query, values).fetchall()


def until_equal(replicas: Sequence[Path], *, seconds: float) -> None:
    """Let `recado verify` wait until the replicas are equal and nothing is on its way; else fail."""
    wait = ["--settled", "--wait", f"{max(seconds, 0):g}"]
    ran = recado("verify", *map(str, replicas), *wait, seconds=seconds + 30)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def copies(replica: Path, idents: Iterable[str]) -> dict[str, int]:
    """How many shown messages of a replica have each of these ids (hexadecimal)."""
    shown = select(replica, "select id, count(*) from replication_log where shown group by id")
    counts = dict(shown)
    return {ident: counts.get(ident, 0) for ident in idents}
