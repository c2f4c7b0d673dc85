"""Everything derived, made anew from the log (A18, A36).

What a program does not know (a kind that a newer one writes) it keeps and relays unread; what it shows
is a pure function of the entries.  So a program that knows more than the one before it brings an old
file up to date by reading the log once, and a file that came from somebody else is not believed but
read.  The file remembers, in `meta`, by which rules and for which kinds its derived rows were made.
"""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from recado.protocol.entry import GENESIS, hash16
from recado.protocol.messages import Entry, Kind
from storage.database import Damaged
from storage.derived import NOT_SHOWN_KIND, Copy, Derived, larger_copies
from storage.loading import read_meta
from storage.rows import ENTRY_COLUMNS, EntryRow, known_kinds, stored_body

DERIVED_KEY: Final = "derived"
RULES: Final = 2  # to be raised when other entries than before are shown, or others win
_ROWS_AT_A_TIME: Final = 5000
_ROWS: Final = (
    f"select ?, {ENTRY_COLUMNS}, shown from entry where number = ? and seq > ? order by seq limit ?"
)
_BODY_COLUMN: Final = EntryRow._fields.index("body")
_REPEATED: Final = "select id from entry where id is not null group by id having count(*) > 1"
_COPIES: Final = "select author, kind, target, body, lamport, number, seq from entry where id = ? and shown"
# As `storage.writer` writes them.
_USER: Final = "insert into user values(?,?,?,?,?,?,?)"
_CHANNEL: Final = "insert into channel values(?,?,?,?,?)"
_QUARANTINE: Final = "insert or ignore into quarantine values(?,?,?,'',null)"
_PRIVATE: Final = "insert into private_channel values(?)"
_BODY: Final = "update entry set body = ? where number = ? and seq = ?"
_HIDE: Final = "update entry set shown = ? where number = ? and seq = ?"


def is_up_to_date(connection: sqlite3.Connection) -> bool:
    """Whether the derived rows were made by the rules of this program, for the kinds that it knows."""
    return bool(read_meta(connection, DERIVED_KEY) == _rules())


def remember(connection: sqlite3.Connection) -> None:
    """Note that the derived rows are those of this program."""
    connection.execute("insert or replace into meta values(?,?)", (DERIVED_KEY, json.dumps(_rules())))


def _rules() -> dict[str, Any]:
    return {"rules": RULES, "kinds": sorted(known_kinds())}


def rebuild(connection: sqlite3.Connection, *, strict: bool = False) -> int:
    """Make users, channels, what is shown and what is quarantined anew; how many entries there are.

    Bodies are brought into the form in which this program stores them.

    `strict`: check every hash on the way and raise `Damaged` at the first entry that does not match
    or is missing; otherwise damaged rows are read as they are, for the scrub to repair.  The
    transaction is the caller's.
    """
    numbers = dict(connection.execute("select origin, number from origin"))
    derived = Derived(numbers=numbers, users={}, channels={}, private=set())
    connection.execute("delete from quarantine where from_node = ''")
    count = 0
    for origin, number in numbers.items():
        for entry, shown in _entries(connection, origin, number, strict=strict):
            count += 1
            problem = _examine(derived, entry)
            if problem not in (None, NOT_SHOWN_KIND):
                connection.execute(_QUARANTINE, (origin, entry.seq, problem))
            if (problem is None) != shown:
                connection.execute(_HIDE, (int(problem is None), number, entry.seq))
        derived.keep()
    _hide_copies(connection, derived)
    _write(connection, derived)
    remember(connection)
    return count


def _entries(
    connection: sqlite3.Connection, origin: str, number: int, *, strict: bool
) -> Iterator[tuple[Entry, bool]]:
    """The entries of an origin and whether each is shown at present.  Raises `Damaged` if `strict`."""
    before, seq = {GENESIS}, 0  # what the next row may follow from: see `storage.scrub`
    while rows := connection.execute(_ROWS, (origin, number, seq, _ROWS_AT_A_TIME)).fetchall():
        for *columns, shown in rows:
            row = EntryRow._make(columns)
            entry, gap = row.entry(), row.seq != seq + 1
            follows = {hash16(h, entry.header) for h in before} if entry is not None else set()
            sound = entry is not None and (gap or row.hash in follows)
            if strict and (gap or not sound):
                raise Damaged(origin, seq + 1)
            before, seq = {row.hash} if sound else {row.hash, *follows}, row.seq
            if not sound:  # it may name what never was; its repair says what it is
                connection.execute(_HIDE, (0, number, seq))
            elif entry is not None:
                body = stored_body(entry.kind, entry.body)
                if type(body) is not type(columns[_BODY_COLUMN]):
                    connection.execute(_BODY, (body, number, seq))
                yield entry, bool(shown)


def _examine(derived: Derived, entry: Entry) -> str | None:
    """Why the entry is not shown, or None; what it says of users and channels goes into `derived`."""
    try:
        if derived.moves_nothing(entry, stored_body(entry.kind, entry.body)):
            return None
        problem = derived.problem(entry)
        if problem is not None and problem is not NOT_SHOWN_KIND:
            return problem
        if entry.kind == Kind.LOGIN or entry.extra is not None:
            derived.user_of(entry)
            derived.receiver_of(entry)
        if entry.kind in (Kind.CHANNEL_MESSAGE, Kind.CHANNEL):
            derived.channel_of(entry)
        if entry.kind in (Kind.CHANNEL, Kind.CHANNEL_RULE):
            derived.now_private(entry)
    except Exception as error:  # noqa: BLE001 - A35: no content may stop replication
        return f"materialiser: {type(error).__name__}"
    return problem


def _hide_copies(connection: sqlite3.Connection, derived: Derived) -> None:
    """Of every message that is there several times only the smallest key stays shown (A8)."""
    for (id_,) in connection.execute(_REPEATED).fetchall():
        copies = [
            Copy((author, kind, target, body), (lamport, derived.origins[number], seq), None)
            for author, kind, target, body, lamport, number, seq in connection.execute(_COPIES, (id_,))
        ]
        for loser in larger_copies({id_: copies}):
            _, origin, seq = loser.key
            connection.execute(_HIDE, (0, derived.numbers[origin], seq))


def _write(connection: sqlite3.Connection, derived: Derived) -> None:
    connection.execute("delete from user")
    connection.execute("delete from channel")
    connection.execute("delete from private_channel")
    for uid, user in derived.users.items():
        place = (None, None, None)
        if user.key is not None:
            place = (user.key[0], derived.numbers[user.key[1]], user.key[2])  # type: ignore[assignment]
        connection.execute(_USER, (uid, user.name, user.shown_name, user.wall, *place))
    for name, channel in derived.channels.items():
        lamport, origin, seq = channel.key
        connection.execute(_CHANNEL, (name, channel.wall, lamport, derived.numbers[origin], seq))
    connection.executemany(_PRIVATE, [(name,) for name in derived.private])
