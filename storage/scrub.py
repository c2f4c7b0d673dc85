"""Looking for damage: entries whose bytes no longer give their hash, and places that are empty (A34).

A damaged row shows in one of two ways: its header does not lead from the hash before it to its own,
or the hash stored with it is wrong, and then the next row follows from the computed one.  So a row is
sound if it follows from either, and one changed byte accuses one row.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from recado.protocol.entry import GENESIS, Head, hash16, parse
from recado.protocol.errors import InvalidEntry
from recado.protocol.messages import Entry, Run
from storage.replica import Replica
from storage.rows import ENTRY_COLUMNS, EntryRow

_ROWS: Final = f"select ?, {ENTRY_COLUMNS} from entry where number = ? and seq >= ? and seq <= ? order by seq"


class Checked(NamedTuple):
    """`damaged`: the seqs that are wrong or missing, in order; everything up to `upto` was looked at."""

    upto: int
    damaged: list[int]


def check(replica: Replica, origin: str, after: int, *, upto: int) -> Checked:
    """Check the entries of `origin` after `after` up to `upto`, which must be durable here.

    Accusing a sound row is possible beside two damaged ones; its repair changes nothing.
    """
    with replica.reading() as connection:
        rows = _rows(replica, connection, origin, max(0, after - 1), upto)
    damaged: list[int] = []
    # The hashes that the next row may follow from; None: the row before is missing.
    before: set[bytes] | None = {GENESIS} if after <= 1 else None
    for seq in range(max(1, after - 1), upto + 1):
        row = rows.get(seq)
        if row is None:
            before = None
            if seq > after:
                damaged.append(seq)
            continue
        frames = row.frames()
        computed = set() if before is None or frames is None else {hash16(h, frames[0]) for h in before}
        sound = frames is not None and (before is None or row.hash in computed)
        before = {row.hash} if sound else {row.hash} | computed
        if not sound and seq > after:
            damaged.append(seq)
    return Checked(upto, damaged)


def _rows(
    replica: Replica, connection: sqlite3.Connection, origin: str, first: int, last: int
) -> dict[int, EntryRow]:
    number = replica.number_of(origin)
    rows = connection.execute(_ROWS, (origin, -1 if number is None else number, first, last))
    return {row.seq: row for row in map(EntryRow._make, rows)}


def stretches(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Consecutive seqs as (first, last), in order."""
    found: list[tuple[int, int]] = []
    for seq in sorted(set(seqs)):
        if found and found[-1][1] + 1 == seq:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


def replacement(
    replica: Replica, run: Run, *, last: int, head: Head, partial: bool = False
) -> list[Entry] | None:
    """A peer's entries from `run.first` to `last` if they fit into our log, else None.

    They must follow from the sound entry before them and lead to the one behind them; at the end of
    the log to `head`, what this node knew as the origin's last entry, unless that is what was damaged.
    `partial`: the entry behind is damaged too, so nothing can be said of that side.
    """
    first = run.first
    with replica.reading() as connection:
        around = _rows(replica, connection, run.origin, first - 1, last + 1)
    previous = Head(0, 0, GENESIS)
    if first > 1:
        if (row := around.get(first - 1)) is None:
            return None
        previous = Head(row.seq, row.lamport, row.hash)
    entries: list[Entry] = []
    for header, body in run.entries[: last - first + 1]:
        try:
            entry = parse(header, body, previous)
        except InvalidEntry:
            return None
        if entry.origin != run.origin:
            return None
        entries.append(entry)
        previous = Head(entry.seq, entry.lamport, entry.hash)
    if previous.seq != last:
        return None
    after = around.get(last + 1)
    if partial:
        return entries
    if after is not None:
        frames = after.frames()
        return entries if frames is not None and hash16(previous.hash, frames[0]) == after.hash else None
    # At the end of the log.  The head's hash was read from the very row that may be damaged: then the
    # hash before it is all there is to hold the peer's entries to, and the peers agree about them.
    stored = around.get(last)
    sound_head = previous == head or stored is None or stored.hash == head.hash
    return entries if sound_head else None
