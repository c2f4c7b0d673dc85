"""What peers and the server itself read of the log: runs, signatures, rules, entries by their ids.

A signature, made by the origin's node over an entry's chain hash, vouches for all of the origin's
entries up to it.  So in secured mode a page ends at a signed entry, or it would prove nothing.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from recado.protocol.entry import GENESIS, Head, hash16
from recado.protocol.limits import COMMIT_ENTRIES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX
from recado.protocol.messages import Entry, Run
from storage.audit import rules_before
from storage.bulk import in_chunks, select_by_ids
from storage.database import Damaged, Guard
from storage.derived import Derived, Key
from storage.loading import largest_stamp, read_heads, read_meta
from storage.rows import ENTRY_COLUMNS, EntryRow, FoundEntry

SIGNED_ENTRIES_MAX: Final = COMMIT_ENTRIES_MAX  # between two signatures of an old log
# A page goes at least as far as the first signature, if that is within these bounds.
_STRETCH_BYTES_MAX: Final = 2 * PAGE_BYTES_MAX
_STRETCH_ENTRIES_MAX: Final = PAGE_ENTRIES_MAX
_RULES_AT_A_TIME: Final = 500

# A run is bytes again: made a text on the way, a body would be decoded and encoded for nothing.
_RUN_COLUMNS: Final = ENTRY_COLUMNS.replace("body", "cast(body as blob)")
_RUN: Final = f"select {_RUN_COLUMNS} from entry where number = ? and seq > ? order by seq limit ?"
_SIGNED: Final = "select seq from signature where number = ? and seq > ? order by seq limit 1"
_SIGNED_WITHIN: Final = "select seq from signature where number = ? and seq > ? and seq <= ?"
_LAST_SIGNED: Final = "select max(seq) from signature where number = ?"
_SIGNATURES: Final = "select seq, signature from signature where number = ? and seq > ? and seq <= ?"
_SIGNATURE: Final = "select signature from signature where number = ? and seq = ?"
_UNSIGNED: Final = """select o.origin from origin o
    where o.node = ? and exists(select 1 from entry where number = o.number)
        and not exists(select 1 from signature s where s.number = o.number
            and s.seq = (select max(seq) from entry where number = o.number))
    order by o.origin"""
# The terms before the unary plus are those of the index `entry_rule`.
_RULES: Final = f"""select o.origin, {", ".join("e." + name for name in ENTRY_COLUMNS.split(", "))}
    from entry e join origin o using(number)
    where e.kind <> 3 and e.kind <> 4 and +e.kind in (1, 2, 5, 6)
        and e.lamport >= ? and (e.lamport, o.origin, e.seq) > (?, ?, ?)
    order by e.lamport, o.origin, e.seq limit ?"""
_FOUND: Final = select_by_ids(
    "e.id, e.author, e.kind, e.target, e.body, o.origin, e.seq, e.lamport",
    also="cross join origin o on o.number = e.number",
)


class Point(NamedTuple):
    """An entry to be signed: the last of a stretch."""

    seq: int
    hash: bytes


class ReadsOfTheLog:
    """The other reading half of `storage.replica.Replica`.  Every method may raise `StorageFailed`."""

    _guard: Guard
    _reader: sqlite3.Connection
    _derived: Derived

    def heads(self) -> dict[str, Head]:
        """The last entry of every origin."""
        with self._guard():
            return read_heads(self._reader)

    def largest_stamp(self, most: int) -> int:
        """The largest stamp of the log up to `most`, 0 if there is none.  Reads the whole log."""
        with self._guard():
            return largest_stamp(self._reader, most)

    def states(self) -> dict[str, str]:
        """The origins that are not ``open``: forked or stopped."""
        with self._guard():
            return dict(self._reader.execute("select origin, state from origin where state <> 'open'"))

    def meta(self, key: str) -> Any:
        """A value that a batch's `meta` has put, or None."""
        with self._guard():
            return read_meta(self._reader, key)

    def number_of(self, origin: str) -> int | None:
        """What stands for the origin in this file; None if it has no entries here."""
        return self._derived.numbers.get(origin)

    # Runs --------------------------------------------------------------------------------------

    def run_after(
        self, origin: str, seq: int, *, entries_max: int, bytes_max: int, signed: bool = False
    ) -> Run | None:
        """The entries of `origin` after `seq`, byte for byte as they came; None if there are none.

        At least one, at most `entries_max` and, beyond the first, `bytes_max` of headers and bodies.
        Every chain hash is checked (A34): a run ends before an entry that does not match, and
        `Damaged` is raised if that is the first one.

        `signed`: the run ends at the last signed entry that fits and carries its signature.  It goes at
        least as far as the first one, though not beyond 2,000 entries or 2 MiB; None if there is none,
        and `Damaged` if what is damaged comes before it.
        """
        number = self._derived.numbers.get(origin, -1)
        with self._guard():
            ends = self._ends(number, seq, entries_max) if signed else None
            if ends is not None:
                entries_max = max(ends, default=seq) - seq
            previous = GENESIS if seq == 0 else self._hash_of(number, seq)
            found = self._reader.execute(_RUN, (number, seq, entries_max))
            rows = (EntryRow(origin, *row) for row in found)
            pairs = _pairs(_sound(rows, origin, seq, previous), seq, bytes_max=bytes_max, ends=ends)
            if not pairs:
                return None
            signature = self._signature(number, seq + len(pairs)) if signed else None
        return Run(origin, seq + 1, previous or b"", pairs, signature)

    def _ends(self, number: int, seq: int, entries_max: int) -> set[int]:
        """The signed entries at which a page after `seq` may end; the first one is always among them."""
        rows = self._reader.execute(_SIGNED_WITHIN, (number, seq, seq + entries_max))
        ends = {end for (end,) in rows}
        if not ends:
            first = self._reader.execute(_SIGNED, (number, seq)).fetchone()
            if first is not None and first[0] - seq <= _STRETCH_ENTRIES_MAX:
                ends.add(first[0])
        return ends

    def _signature(self, number: int, seq: int) -> bytes | None:
        row = self._reader.execute(_SIGNATURE, (number, seq)).fetchone()
        return None if row is None else row[0]

    def _hash_of(self, number: int, seq: int) -> bytes | None:
        row = self._reader.execute(
            "select hash from entry where number=? and seq=?", (number, seq)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def hash_at(self, origin: str, seq: int) -> bytes | None:
        """The chain hash of a durable entry; None if it is not here."""
        number = self._derived.numbers.get(origin)
        if number is None:
            return None
        with self._guard():
            return self._hash_of(number, seq)

    # Signatures --------------------------------------------------------------------------------

    def signatures(self, origin: str, *, after: int, upto: int) -> dict[int, bytes]:
        """What is kept of the origin's signatures over the entries (`after`, `upto`]: seq → signature."""
        number = self._derived.numbers.get(origin, -1)
        with self._guard():
            return dict(self._reader.execute(_SIGNATURES, (number, after, upto)))

    def unsigned_origins(self, node_name: str) -> list[str]:
        """The origins of a node whose last entry here is not signed."""
        with self._guard():
            return [origin for (origin,) in self._reader.execute(_UNSIGNED, (node_name,))]

    def signing_points(self, origin: str) -> Iterator[Point]:
        """What its node has to sign so that every page of the origin can end at a signature.

        Behind the last signed entry: one entry in 512, or in a page's bytes if that is less, and the
        head.  Every hash on the way is checked; raises `Damaged` at the first that is wrong.  Each step
        reads at most a page, and others may read in between.
        """
        number = self._derived.numbers.get(origin, -1)
        with self._guard():
            (seq,) = self._reader.execute(_LAST_SIGNED, (number,)).fetchone()
        at = seq or 0
        while run := self.run_after(origin, at, entries_max=SIGNED_ENTRIES_MAX, bytes_max=PAGE_BYTES_MAX):
            at += len(run.entries)
            with self._guard():
                chained = self._hash_of(number, at)
            yield Point(at, chained or b"")

    # Entries -----------------------------------------------------------------------------------

    def rules(self) -> Iterator[Entry]:
        """Logins, channels, rules about users and channels, in total order, copies and nonsense included.

        A few hundred are read at a time, and others may read in between: what is committed meanwhile
        comes too if its place is still ahead.
        """
        last: Key = (0, "", 0)
        while True:
            with self._guard():
                rows = self._reader.execute(_RULES, (last[0], *last, _RULES_AT_A_TIME)).fetchall()
            for row in map(EntryRow._make, rows):
                last = (row.lamport, row.origin, row.seq)
                if (entry := row.entry()) is not None:
                    yield entry
            if len(rows) < _RULES_AT_A_TIME:
                return

    def rules_before(
        self, before: Key | None, *, channel: str | None = None, about: bytes | None = None, limit: int
    ) -> list[Entry]:
        """A page of the rules about users and channels before a key, the oldest of it first.

        `channel`: of that channel only.  `about`: by or about that user id only.
        """
        with self._guard():
            return rules_before(self._reader, before, channel=channel, about=about, limit=limit)

    def find_ids(self, ids: Sequence[bytes]) -> dict[bytes, list[FoundEntry]]:
        """The durable entries with one of these client-made ids, by id."""
        found: dict[bytes, list[FoundEntry]] = {}
        with self._guard():
            for chunk in in_chunks(ids):
                for row in self._reader.execute(_FOUND[len(chunk)], chunk):
                    id_, author, kind, target, body, *place = row
                    raw = body.encode() if isinstance(body, str) else body
                    found.setdefault(id_, []).append(FoundEntry(author, kind, target, hash16(raw), *place))
        return found


def _sound(
    rows: Iterable[EntryRow], origin: str, seq: int, previous: bytes | None
) -> Iterator[tuple[bytes, bytes]]:
    """(header, body) of the rows that follow `seq`.  Raises `Damaged` at the first that does not."""
    chained = previous or b""
    for place, row in enumerate(rows, start=seq + 1):
        header, body = row.frames() or (b"", b"")
        chained = hash16(chained, header)
        if row.seq != place or previous is None or chained != row.hash:
            raise Damaged(origin, place)
        yield header, body


def _pairs(
    sound: Iterator[tuple[bytes, bytes]], seq: int, *, bytes_max: int, ends: set[int] | None
) -> list[tuple[bytes, bytes]]:
    """As many as fit, up to one of `ends`.  Raises `Damaged` if that comes before the first end."""
    pairs: list[tuple[bytes, bytes]] = []
    whole = size = 0  # up to the last end; of all
    try:
        for header, body in sound:
            size += len(header) + len(body)
            if size > (bytes_max if whole else _STRETCH_BYTES_MAX):
                break
            pairs.append((header, body))
            if ends is None or seq + len(pairs) in ends:
                whole = len(pairs)
    except Damaged:
        if not whole:
            raise
    return pairs[:whole]
