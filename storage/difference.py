"""What two replicas differ in: log by log, how far each has it, and the first entry where they part.

`verification` says whether replicas are sound and equal; this says what lies between two of them, such as
a backup and the living file, or the two sides of a partition.  Both are read in one transaction each.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import msgspec

from recado.protocol.messages import KIND_NAMES
from storage.backup_migration import PROGRAM_KEY
from storage.database import classified
from storage.inspection import open_for_inspection
from storage.loading import read_meta
from storage.rows import ENTRY_COLUMNS, EntryRow

_ROWS: Final = f"select ?, {ENTRY_COLUMNS} from entry where number = ? order by seq"
_COUNTS: Final = {
    view: f"select count(*) from {view}"
    for view in ("users", "channels", "channel_messages", "user_messages")
}
_KINDS: Final = {int(kind): name for name, kind in KIND_NAMES.items()}


class Side(msgspec.Struct, frozen=True):
    """One of the two: whose it is, what wrote it, how much is in it."""

    replica: str
    node: str
    program: str
    schema_version: int
    entries: int
    counts: dict[str, int]


class Place(msgspec.Struct, frozen=True):
    """An entry without its words: `hash` is its chain hash, `digest` of all its columns."""

    lamport: int
    timestamp: float
    kind: str
    hash: str
    digest: str


class Part(msgspec.Struct, frozen=True):
    """An origin whose logs are not equal in the two.

    `a_last`, `b_last`: the last entries; `common`: up to where they are equal; `first`: the first entry that
    they differ in, as it is in `a` and in `b` (None: it is not there).  `what`: ``behind`` (one has more),
    ``parted`` (unequal entries), ``hole``, that is, a missing entry with later ones behind it.
    """

    origin: str
    what: str
    a_last: int
    b_last: int
    common: int
    first: int
    a: Place | None
    b: Place | None


class Diff(msgspec.Struct, frozen=True):
    """What was found; `equal` of `origins` logs are the same in both."""

    a: Side
    b: Side
    origins: int
    equal: int
    parts: list[Part]


def differ(a: Path, b: Path) -> Diff:
    """Compare two replicas, in use or not; 6 us for each entry.  Raises storage errors."""
    with closing(open_for_inspection(a)) as one, closing(open_for_inspection(b)) as other:
        for path, db in ((a, one), (b, other)):
            with classified(path):
                db.execute("begin")
        with classified(f"{a}, {b}"):
            numbers = [dict(db.execute("select origin, number from origin")) for db in (one, other)]
            origins = sorted(numbers[0].keys() | numbers[1].keys())
            parts = [
                part
                for origin in origins
                if (
                    part := _compare(origin, _rows(one, origin, numbers[0]), _rows(other, origin, numbers[1]))
                )
            ]
            return Diff(side_of(a, one), side_of(b, other), len(origins), len(origins) - len(parts), parts)


def hash_at(db: sqlite3.Connection, origin: str, seq: int) -> bytes | None:
    """The chain hash of an entry; None if it is not there."""
    row = db.execute(
        "select e.hash from entry e join origin o using(number) where o.origin = ? and e.seq = ?",
        (origin, seq),
    ).fetchone()
    return None if row is None else bytes(row[0])


def side_of(path: Path, db: sqlite3.Connection) -> Side:
    """What a replica's file says of itself."""
    return Side(
        str(path),
        str(read_meta(db, "node") or ""),
        str(read_meta(db, PROGRAM_KEY) or ""),
        int(db.execute("pragma user_version").fetchone()[0]),
        int(db.execute("select count(*) from entry").fetchone()[0]),
        {view: int(db.execute(count).fetchone()[0]) for view, count in _COUNTS.items()},
    )


def _rows(db: sqlite3.Connection, origin: str, numbers: dict[str, int]) -> Iterator[EntryRow]:
    return map(EntryRow._make, db.execute(_ROWS, (origin, numbers.get(origin, -1))))


def _compare(origin: str, a: Iterator[EntryRow], b: Iterator[EntryRow]) -> Part | None:
    """The logs side by side as far as they are equal; the rest is only counted."""
    common, last = 0, [0, 0]
    first: tuple[EntryRow | None, EntryRow | None] | None = None
    for pair in zip_longest(a, b):
        for side, row in enumerate(pair):
            last[side] = row.seq if row is not None else last[side]
        if first is None:
            if pair[0] == pair[1] and pair[0] is not None:
                common = pair[0].seq
            else:
                first = pair
    if first is None:
        return None
    seq = min(row.seq for row in first if row is not None)
    here = [row if row is not None and row.seq == seq else None for row in first]
    missing = None in here
    hole = missing and (seq != common + 1 or last[here.index(None)] > seq)
    what = "hole" if hole else "behind" if missing else "parted"
    return Part(origin, what, last[0], last[1], common, seq, _place(here[0]), _place(here[1]))


def _place(row: EntryRow | None) -> Place | None:
    if row is None:
        return None
    values: list[Any] = [bytes(v) if isinstance(v, memoryview) else v for v in row]
    return Place(
        row.lamport,
        row.wall / 1000,
        _KINDS.get(row.kind, f"kind_{row.kind}"),
        row.hash.hex(),
        hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest(),
    )
