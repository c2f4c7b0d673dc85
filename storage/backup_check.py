"""What must hold of a file before it is called a backup, and before one is restored.

A file is a program: a view or a trigger in it would act inside a server.  So its definitions must be ours
to the letter, as those of a peer's snapshot must (`storage.snapshot`).
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from storage.database import StorageError, classified, connect_read_only, passes_check
from storage.inspection import open_for_inspection
from storage.registry import STEPS as REGISTRY_STEPS
from storage.schema import STEPS, definitions
from storage.snapshot import definitions_of_version
from storage.verification import verify

Verify = Callable[[str, int, bytes, bytes], bool]  # origin, seq, hash, signature: whether its node signed it

_SIGNATURES: Final = """select o.origin, s.seq, e.hash, s.signature from signature s
    join origin o using(number) left join entry e on e.number = s.number and e.seq = s.seq
    order by o.origin, s.seq"""
_HEADS: Final = """select o.origin, max(e.seq) from origin o join entry e using(number)
    group by o.origin order by o.origin"""


class Signed(msgspec.Struct, frozen=True):
    """What the signatures of a replica say: `unsigned` counts entries behind an origin's last good one."""

    good: int
    bad: list[str]
    unsigned: int

    def problems(self) -> list[str]:
        """Wrong signatures; entries without one may be a log from before the keys, and are none."""
        return [f"the signature of {place} is not of its node" for place in self.bad]


def check_replica(path: Path) -> list[str]:
    """What is wrong with a replica of any known version; nothing, if it is sound.  Raises storage errors."""
    try:
        with closing(open_for_inspection(path)) as db, classified(path):
            (version,) = db.execute("pragma user_version").fetchone()
            if not 0 < version <= len(STEPS):
                return [f"version {version} of the schema"]
            if definitions(db) != definitions_of_version(version):
                return ["its tables, views or triggers are not those of a replica"]
    except StorageError as error:
        return [str(error)]
    report = verify([path])
    texts = [difference.text for difference in report.differences]
    return [text.replace(str(path), path.name) for text in texts]


def check_registry(path: Path) -> tuple[int, list[str]]:
    """The version of a reference's file, and what is wrong with it."""
    with classified(path), closing(connect_read_only(path, immutable=True)) as db:
        (version,) = db.execute("pragma user_version").fetchone()
        if not 0 < version <= len(REGISTRY_STEPS):
            return version, [f"version {version} of the schema"]
        try:
            sound = passes_check(db)
        except sqlite3.DatabaseError:
            sound = False
        return version, [] if sound else ["SQLite finds the file damaged"]


def check_signatures(db: sqlite3.Connection, verify_signature: Verify) -> Signed:
    """Check every signature in an open replica; 114 us each."""
    (version,) = db.execute("pragma user_version").fetchone()
    heads = dict(db.execute(_HEADS))
    last: dict[str, int] = {}
    good = 0
    bad: list[str] = []
    for origin, seq, chained, signature in db.execute(_SIGNATURES) if version > 1 else ():
        whole = isinstance(chained, bytes) and isinstance(signature, bytes)
        if whole and verify_signature(origin, seq, chained, signature):
            good += 1
            last[origin] = seq
        else:
            bad.append(f"{origin}/{seq}")
    return Signed(good, bad, sum(seq - last.get(origin, 0) for origin, seq in heads.items()))
