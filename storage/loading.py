"""What a starting node reads of its file: heads, derived rows, small facts."""

import json
import sqlite3
from typing import Any, Final

from recado.protocol.entry import Head
from recado.protocol.limits import MILESTONE_COARSE_MS, MILESTONE_FINE_MS
from storage.derived import ChannelRow, Derived, UserRow

# CROSS JOIN: origins first, then one search each; the other way round reads the whole log.
HEADS: Final = """select o.origin, e.seq, e.lamport, e.hash from origin o
    cross join entry e on e.number = o.number
        and e.seq = (select max(seq) from entry where number = o.number)"""


def read_meta(connection: sqlite3.Connection, key: str) -> Any:
    """A value of `meta`, None if missing."""
    row = connection.execute("select value from meta where key=?", (key,)).fetchone()
    if row is None:
        return None
    return row[0] if isinstance(row[0], bytes) else json.loads(row[0])


def read_heads(connection: sqlite3.Connection) -> dict[str, Head]:
    """The last entry of every origin."""
    rows = connection.execute(HEADS)
    return {origin: Head(seq, lamport, chained) for origin, seq, lamport, chained in rows}


def largest_stamp(connection: sqlite3.Connection, most: int) -> int:
    """The largest stamp of the log up to `most`, 0 if there is none.  Reads the whole log."""
    (largest,) = connection.execute(
        "select coalesce(max(lamport), 0) from entry where lamport <= ?", (most,)
    ).fetchone()
    return int(largest)


def load_derived(connection: sqlite3.Connection) -> Derived:
    """The derived rows as the file has them."""
    numbers = dict(connection.execute("select origin, number from origin"))
    origins = {number: origin for origin, number in numbers.items()}
    users = {}
    for uid, name, shown, wall, lamport, number, seq in connection.execute("select * from user"):
        key = None if lamport is None else (lamport, origins[number], seq)
        users[uid] = UserRow(name, wall, key, None if shown == name else shown)
    channels = {
        name: ChannelRow(wall, (lamport, origins[number], seq))
        for name, wall, lamport, number, seq in connection.execute("select * from channel")
    }
    private = {name for (name,) in connection.execute("select name from private_channel")}
    return Derived(numbers=numbers, users=users, channels=channels, private=private)


def thin_milestones(connection: sqlite3.Connection) -> None:
    """Of milestones older than a week keep an origin's last of each hour: a sync then repeats more."""
    (latest,) = connection.execute("select coalesce(max(time_ms), 0) from milestone").fetchone()
    connection.execute(
        """delete from milestone where time_ms < :old and (number, time_ms) not in (
            select number, max(time_ms) from milestone where time_ms < :old
            group by number, time_ms / :hour)""",
        {"old": latest - MILESTONE_FINE_MS, "hour": MILESTONE_COARSE_MS},
    )
