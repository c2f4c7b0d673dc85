"""Whose SSH key it is, asked of a replica without its server: for OpenSSH, at each login."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from recado.protocol.messages import Entry
from storage.database import classified
from storage.inspection import open_for_inspection
from storage.rows import ENTRY_COLUMNS, EntryRow

# The terms before the unary plus are those of the index `entry_rule`.
_RULES: Final = "e.kind <> 3 and e.kind <> 4"
_ADDED: Final = f"""select distinct e.target from entry e
    where {_RULES} and +e.kind = 5 and typeof(e.target) = 'blob' and instr(e.body, ?) > 0"""
_ABOUT: Final = f"""select o.origin, {", ".join("e." + name for name in ENTRY_COLUMNS.split(", "))}
    from entry e join origin o using(number)
    where {_RULES} and ((+e.kind = 1 and +e.author = :uid) or (+e.kind = 5 and +e.target = :uid))"""


def entries_about_key(path: Path, ssh_key: str) -> list[Entry]:
    """Registrations of, and rules about, all users to whom this SSH key (its text) was ever added.

    Enough for `Identities` to say whose it is, though not by which name that one is shown.  Raises
    `StorageError`.
    """
    with closing(open_for_inspection(path)) as connection, classified(path):
        return _entries(connection, ssh_key)


def _entries(connection: sqlite3.Connection, ssh_key: str) -> list[Entry]:
    found: list[Entry] = []
    for (uid,) in connection.execute(_ADDED, (ssh_key,)).fetchall():
        rows = map(EntryRow._make, connection.execute(_ABOUT, {"uid": uid}))
        found += [entry for row in rows if (entry := row.entry()) is not None]
    return found
