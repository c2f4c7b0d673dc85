"""Comparing replicas: entries, chains, heads and views, and precisely where they differ.

Each replica is read in one transaction.  Every entry's header is rebuilt from its columns and hashed
again, so a changed byte anywhere shows.  Logs are compared origin by origin, entry by entry.  What
some replicas do not have *yet* (the end of an origin's log) is in flight, and a difference only once
the cluster is said to be settled.  The views of small replicas are compared with their definition,
`recado.protocol.views.materialise`; those of large ones with each other, where vectors are equal.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from recado.protocol.entry import GENESIS, hash16
from recado.protocol.limits import VERIFY_MATERIALISE_ENTRIES_MAX
from recado.protocol.messages import Entry
from recado.protocol.vector import heads_digest
from recado.protocol.views import Views, materialise
from storage.database import StorageFailed, classified, open_memory, passes_check
from storage.inspection import hidden, open_for_inspection
from storage.loading import read_heads, read_meta
from storage.report import Difference, Findings, InFlight, Report, Summary, span
from storage.rows import ENTRY_COLUMNS, EntryRow

# The message views in the columns of `materialise`, then the total order.
_VIEW_COLUMNS: Final = {
    "users": "name",
    "channels": "name",
    "channel_messages": "user, channel, message",
    "user_messages": "src, dst, message",
}
_VIEW_ROWS: Final = {
    name: f"select {columns}, cast(round(timestamp * 1000) as int), lamport, origin, seq from {name}"
    for name, columns in _VIEW_COLUMNS.items()
}
_COUNTS: Final = {name: f"select count(*) from {name}" for name in (*_VIEW_COLUMNS, "entry", "quarantine")}
_MESSAGE_VIEWS: Final = frozenset({"channel_messages", "user_messages"})  # the third column is the text
_ORIGIN_ROWS: Final = f"select ?, {ENTRY_COLUMNS} from entry where number = ? order by seq"


class Snapshot:
    """One replica in one read transaction."""

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        connection.execute("begin")
        self.name = name
        self.db = connection
        self.heads = read_heads(connection)
        self.numbers: dict[str, int] = dict(connection.execute("select origin, number from origin"))
        self.vector = {origin: head.seq for origin, head in self.heads.items()}
        self.entries: list[Entry] = []  # sound ones, gathered if there are few

    def rows(self, origin: str) -> Iterator[EntryRow]:
        number = self.numbers.get(origin, -1)
        return map(EntryRow._make, self.db.execute(_ORIGIN_ROWS, (origin, number)))

    def view(self, name: str) -> Iterator[tuple[Any, ...]]:
        return iter(self.db.execute(_VIEW_ROWS[name]))

    def count(self, table: str) -> int:
        return int(self.db.execute(_COUNTS[table]).fetchone()[0])

    def summary(self) -> Summary:
        digest = hashlib.blake2b(digest_size=16)
        for name in _VIEW_COLUMNS:
            for row in self.view(name):
                digest.update(repr(row).encode())
            digest.update(b"\0")
        return Summary(
            replica=self.name,
            node=str(read_meta(self.db, "node") or ""),
            entries=self.count("entry"),
            origins=len(self.heads),
            **{name: self.count(name) for name in _VIEW_COLUMNS},
            quarantined=self.count("quarantine"),
            lamport=max((head.lamport for head in self.heads.values()), default=0),
            heads_digest=heads_digest({o: (h.seq, h.hash) for o, h in self.heads.items()}).hex(),
            views_digest=digest.hexdigest(),
        )


def verify(paths: Sequence[Path], *, settled: bool = False) -> Report:
    """Compare replica files.  `settled`: what is not everywhere counts as a difference.

    Raises `WrongFile` or `StorageError` if a file cannot be read at all.
    """
    found = Findings()
    with ExitStack() as stack:
        opened = {}
        for path in paths:
            try:
                opened[str(path)] = stack.enter_context(closing(open_for_inspection(path)))
            except StorageFailed:
                found.unreadable(str(path))
        return _verify(opened, found, settled=settled)


def verify_images(images: Mapping[str, bytes], *, settled: bool = False) -> Report:
    """The same for images of in-memory replicas, by name."""
    with ExitStack() as stack:
        opened = {name: stack.enter_context(closing(open_memory(i))) for name, i in images.items()}
        return _verify(opened, Findings(), settled=settled)


def _verify(connections: Mapping[str, sqlite3.Connection], found: Findings, *, settled: bool) -> Report:
    with classified(", ".join(connections)):
        snapshots = [Snapshot(name, db) for name, db in connections.items() if _readable(name, db, found)]
        gather = sum(s.count("entry") for s in snapshots) <= VERIFY_MATERIALISE_ENTRIES_MAX
        for origin in sorted({origin for s in snapshots for origin in s.numbers}):
            OriginComparison(origin, snapshots, found, gather=gather).run()
        if settled:
            for part in found.in_flight:
                found.behind(part)
        summaries = [s.summary() for s in snapshots]
        compared = _compare_views(snapshots, summaries, found, gather=gather)
    return Report(
        equal=not found.total,
        settled=settled,
        replicas=summaries,
        differences=found.differences,
        differences_total=found.total,
        in_flight=found.in_flight,
        views_compared_with=compared,
    )


def _readable(name: str, connection: sqlite3.Connection, found: Findings) -> bool:
    try:
        sound = passes_check(connection)
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        found.unreadable(name)
    return sound


class OriginComparison:
    """One origin's log in all replicas, walked side by side in order of seq."""

    def __init__(self, origin: str, snapshots: Sequence[Snapshot], found: Findings, *, gather: bool) -> None:
        self._origin = origin
        self._snapshots = {s.name: s for s in snapshots}
        self._found = found
        self._gather = gather
        self._hashes: dict[str, bytes | None] = dict.fromkeys(self._snapshots, GENESIS)
        self._holes: list[tuple[int, int, list[str], list[str]]] = []
        self._flight: list[tuple[int, int, list[str], list[str]]] = []
        self._fork: tuple[int, dict[str, str]] | None = None

    def run(self) -> None:
        rows = {name: s.rows(self._origin) for name, s in self._snapshots.items()}
        current = {name: next(it, None) for name, it in rows.items()}
        expected = 1
        while present := [row.seq for row in current.values() if row is not None]:
            seq = min(present)
            if seq > expected:  # nobody has it, though later entries are there
                _extend(self._holes, (expected, seq - 1, [], list(self._snapshots)))
                self._hashes = dict.fromkeys(self._snapshots, None)
            here = {name: row for name, row in current.items() if row is not None and row.seq == seq}
            self._place(seq, here)
            for name in here:
                current[name] = next(rows[name], None)
            expected = seq + 1
        last = expected - 1
        self._report(last)

    def _place(self, seq: int, here: dict[str, EntryRow]) -> None:
        """All replicas at one seq: who lacks it, whose bytes are wrong, whether the sound ones agree."""
        has = list(here)
        holes = [
            n for n, s in self._snapshots.items() if n not in here and s.vector.get(self._origin, 0) > seq
        ]
        later = [n for n in self._snapshots if n not in here and n not in holes]
        if holes:
            _extend(self._holes, (seq, seq, has, holes))
        if later:
            _extend(self._flight, (seq, seq, has, later))
        for name in holes:
            self._hashes[name] = None
        sound: dict[str, EntryRow] = {}
        changed: dict[str, EntryRow] = {}
        for name, row in here.items():
            previous = self._hashes[name]
            frames = row.frames()
            # After a hole there is no hash to chain from; the next entry is checked again.
            matches = frames is not None and (previous is None or hash16(previous, frames[0]) == row.hash)
            (sound if matches else changed)[name] = row
            self._hashes[name] = row.hash
            if self._gather and (entry := row.entry()) is not None:
                self._snapshots[name].entries.append(entry)
        for name, row in changed.items():
            self._changed(name, row, next(iter(sound.values()), None))
        if self._fork is None and len({row.hash for row in sound.values()}) > 1:
            self._fork = (seq, {name: row.hash.hex() for name, row in sound.items()})

    def _changed(self, name: str, row: EntryRow, sound: EntryRow | None) -> None:
        columns = [f for f in EntryRow._fields if sound is not None and getattr(row, f) != getattr(sound, f)]
        where = f" ({', '.join(columns)} differ from other replicas)" if columns else ""
        text = f"{self._origin}/{row.seq} in {name} does not match its hash{where}"
        has = {name: "does not match its hash"}
        self._found.add(Difference("changed", text, has, self._origin, row.seq, row.seq))

    def _report(self, last: int) -> None:
        for first, end, has, lacks in self._holes:
            text = f"{span(self._origin, first, end)} missing in {', '.join(lacks)}, later entries are there"
            what = dict.fromkeys(has, "has it") | dict.fromkeys(lacks, "missing")
            self._found.add(Difference("missing", text, what, self._origin, first, end))
        if self._fork is not None:
            seq, hashes = self._fork
            text = f"{span(self._origin, seq, last)}: unequal logs, each with a sound chain"
            self._found.add(Difference("forked", text, hashes, self._origin, seq, last))
        self._found.in_flight += [InFlight(self._origin, *part) for part in self._flight]


def _extend(
    parts: list[tuple[int, int, list[str], list[str]]], part: tuple[int, int, list[str], list[str]]
) -> None:
    """Add a stretch, or lengthen the last one if it goes on with the same replicas."""
    if parts and parts[-1][1] + 1 == part[0] and parts[-1][2:] == part[2:]:
        part = (parts[-1][0], *part[1:])
        parts.pop()
    parts.append(part)


# Views -----------------------------------------------------------------------------------------------


def _compare_views(
    snapshots: Sequence[Snapshot], summaries: Sequence[Summary], found: Findings, *, gather: bool
) -> str:
    if gather:
        for s in snapshots:
            defined: Views = materialise(s.entries)
            for view in _VIEW_COLUMNS:
                rows: Iterable[tuple[Any, ...]] = getattr(defined, view)
                _compare_rows(view, ("the log", rows), (s.name, s.view(view)), found)
        return "definition"
    compared = "nothing"
    if not snapshots:
        return compared
    first, first_summary = snapshots[0], summaries[0]
    for s, summary in zip(snapshots[1:], summaries[1:], strict=True):
        if s.vector == first.vector:
            compared = "each other"
            if summary.views_digest != first_summary.views_digest:
                for view in _VIEW_COLUMNS:
                    _compare_rows(view, (first.name, first.view(view)), (s.name, s.view(view)), found)
    return compared


def _compare_rows(
    view: str,
    one: tuple[str, Iterable[tuple[Any, ...]]],
    other: tuple[str, Iterable[tuple[Any, ...]]],
    found: Findings,
) -> None:
    """Walk two forms of a view side by side in total order (the last three columns)."""
    (name, rows), (other_name, other_rows) = one, other
    left, right = iter(rows), iter(other_rows)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[-3:] < b[-3:]):
            assert a is not None
            _view_difference(view, a, {name: "has the row", other_name: "row missing"}, found)
            a = next(left, None)
        elif a is None or b[-3:] < a[-3:]:
            _view_difference(view, b, {name: "row missing", other_name: "has the row"}, found)
            b = next(right, None)
        else:
            if tuple(a) != tuple(b):
                what = {name: _described(view, a), other_name: _described(view, b)}
                if len(set(what.values())) == 1:
                    what = {n: f"{text}, not the same" for n, text in what.items()}
                _view_difference(view, a, what, found)
            a, b = next(left, None), next(right, None)


def _described(view: str, row: tuple[Any, ...]) -> str:
    """A row without its place, and without what people said to each other: a report is no place for it."""
    said = [*row[:-3]]
    if view in _MESSAGE_VIEWS:
        said[2] = hidden(view, str(said[2])) if view == "user_messages" else _size(str(said[2]))
    return repr(tuple(said))[:200]


def _size(text: str) -> str:
    return f"({len(text.encode())} bytes)"


def _view_difference(view: str, row: tuple[Any, ...], what: dict[str, str], found: Findings) -> None:
    _, origin, seq = row[-3:]
    pairs = "; ".join(f"{name}: {has}" for name, has in what.items())
    text = f"view {view}, row of {origin}/{seq}: {pairs}"
    found.add(Difference("view", text, what, origin, seq, seq, view))
