"""The rules about users and channels, newest first, for those who look after a community."""

import sqlite3
from typing import Final

from recado.protocol.messages import Entry
from storage.derived import Key
from storage.rows import ENTRY_COLUMNS, EntryRow

# The terms before the unary plus are those of the index `entry_rule`.
_AUDIT: Final = f"""select o.origin, {", ".join("e." + name for name in ENTRY_COLUMNS.split(", "))}
    from entry e join origin o using(number)
    where e.kind <> 3 and e.kind <> 4 and +e.kind in (5, 6) and e.shown
        and e.lamport <= :lamport and (e.lamport, o.origin, e.seq) < (:lamport, :origin, :seq)
        and (:channel is null or (+e.kind = 6 and +e.target = :channel))
        and (:about is null or +e.author = :about or (+e.kind = 5 and +e.target = :about)
            or (case when typeof(e.body) = 'text' and json_valid(e.body)
                then json_extract(e.body, '$.who') end) = :hex)
    order by e.lamport desc, o.origin desc, e.seq desc limit :limit"""
_END: Final[Key] = (2**62, "", 0)


def rules_before(
    db: sqlite3.Connection, before: Key | None, *, channel: str | None, about: bytes | None, limit: int
) -> list[Entry]:
    """The last `limit` rules before a key in total order, the oldest first.

    `channel`: of that channel only.  `about`: by or about that user id only.
    """
    lamport, origin, seq = before or _END
    given = {
        "lamport": lamport,
        "origin": origin,
        "seq": seq,
        "channel": channel,
        "about": about,
        "hex": None if about is None else about.hex(),
        "limit": limit,
    }
    rows = db.execute(_AUDIT, given).fetchall()
    entries = [EntryRow._make(row).entry() for row in reversed(rows)]
    return [entry for entry in entries if entry is not None]
