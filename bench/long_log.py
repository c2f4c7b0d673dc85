"""A long log in minutes: entries sealed one by one, and put into the file of a replica without its indexes.

Through a server ten million entries would take a quarter of an hour.  Each entry is made by the protocol's
own `seal`, so that a server starts on the file and peers take it; only the way into the file is another one:
no commit for each batch, indexes made at the end.  Crashes lose it, and nobody minds.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from bench.generator import CHANNELS, USERS
from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, origin_name, seal
from recado.protocol.messages import Entry, Kind
from storage.replica import FILE_NAME, Batch, Replica

RARE_CHANNEL: Final = "bench-rare"  # one message in RARE_EVERY
RARE_USER: Final = "bench-rare"  # sends, or is sent, one direct message in RARE_EVERY
RARE_EVERY: Final = 10_000
DIRECT_EVERY: Final = 50
NODES: Final = ("server-1", "elsewhere")  # whose logs make it up, block by block
BLOCK: Final = 50_000
FIRST_WALL_MS: Final = 1_700_000_000_000
WORDS: Final = 20_000
TEXTS: Final = 4_096
COLUMNS: Final = (
    *("number", "seq", "lamport", "wall", "kind", "author", "target"),
    *("id", "prev", "body", "extra", "hash", "shown"),
)


class Origin:
    """The end of one origin's log, as `recado.protocol.log.ReplicationLog` keeps it."""

    def __init__(self, node: str, number: int) -> None:
        self.name = origin_name(node, number.to_bytes(8, "big"))
        self.head: Head = EMPTY
        self._last: dict[tuple[int, str | bytes], int] = {}

    def append(self, **fields: Any) -> Entry:
        """The next entry; fields of `seal` besides what follows from what came before."""
        place = (fields["kind"], fields["target"])
        entry = seal(self.head, origin=self.name, prev=self._last.get(place, 0), **fields)
        self._last[place] = entry.seq
        self.head = Head(entry.seq, entry.lamport, entry.hash)
        return entry


class Size(msgspec.Struct, frozen=True):
    """What a log of so many entries takes on the disk, in MiB."""

    entries: int
    replica_mib: float


class LongLog:
    """A replica below `directory` that can be made longer while no server has it open."""

    def __init__(self, directory: Path, *, node: str = NODES[0]) -> None:
        self.file = directory / FILE_NAME
        self.entries = 0
        self._node = node
        self._origins = [Origin(name, place + 1) for place, name in enumerate(NODES)]
        self._users = [names.uid(f"bench-{n}") for n in range(USERS)]
        random = Random(1)
        self._texts = [_text(random) for _ in range(TEXTS)]
        self._furnish(directory)

    def heads(self) -> dict[str, int]:
        """Origin → the seq of its last entry."""
        return {origin.name: origin.head.seq for origin in self._origins}

    def grow(self, entries: int) -> Size:
        """Up to so many entries.  Raises `sqlite3.Error` for a file that somebody has open."""
        with sqlite3.connect(self.file, isolation_level=None) as db:
            db.execute("pragma journal_mode = off")
            db.execute("pragma synchronous = off")
            db.execute("pragma locking_mode = exclusive")
            # Page by page in the order of the primary key; an index is sorted once instead.
            indexes = list(db.execute(_INDEXES))
            few = entries - self.entries < self.entries // 4
            for name, _ in [] if few else indexes:
                db.execute(f"drop index {name}")
            numbers = dict(db.execute("select origin, number from origin"))
            db.execute("begin")
            while self.entries < entries:
                origin = self._origins[(self.entries // BLOCK) % len(self._origins)]
                count = min(BLOCK - self.entries % BLOCK, entries - self.entries)
                db.executemany(_INSERT, self._rows(origin, numbers[origin.name], count))
            db.execute("commit")
            for _, text in [] if few else indexes:
                db.execute(text)
            db.execute("pragma wal_checkpoint(truncate)")
            db.execute("pragma journal_mode = wal")
        db.close()
        return Size(self.entries, self.file.stat().st_size / 2**20)

    def _furnish(self, directory: Path) -> None:
        """Users and channels, by the store itself; the logs of both nodes are known from then on."""
        replica = Replica.open(directory, node=self._node)
        first, other = self._origins
        wanted = [(Kind.LOGIN, f"bench-{n}", names.uid(f"bench-{n}")) for n in range(USERS)]
        wanted += [(Kind.LOGIN, RARE_USER, names.uid(RARE_USER))]
        made_by = self._users[0]
        wanted += [(Kind.CHANNEL, f"bench-{n}", made_by) for n in range(CHANNELS)]
        wanted += [(Kind.CHANNEL, RARE_CHANNEL, made_by)]
        entries = [self._event(first, kind, target, author) for kind, target, author in wanted]
        entries.append(self._event(other, Kind.CHANNEL, "bench-0", made_by))
        replica.stage(Batch(entries=entries, now_ms=FIRST_WALL_MS))
        replica.commit()
        replica.close()

    def _event(self, origin: Origin, kind: Kind, target: str, author: bytes) -> Entry:
        self.entries += 1
        fields = {"author": author, "id": None, "target": target, "body": b""}
        return origin.append(lamport=self.entries, wall_ms=FIRST_WALL_MS, kind=int(kind), **fields)

    def _rows(self, origin: Origin, number: int, count: int) -> Iterator[tuple[Any, ...]]:
        for place in range(self.entries, self.entries + count):
            wall = FIRST_WALL_MS + place * 10
            kind, author, target = self._who(place)
            e = origin.append(
                lamport=place + 1,
                wall_ms=wall,
                kind=kind,
                author=author,
                id=wall.to_bytes(6, "big") + place.to_bytes(10, "big"),
                target=target,
                body=b"%b %d" % (self._texts[place % TEXTS], place // 10),
            )
            row = (number, e.seq, e.lamport, e.wall_ms, kind, author, target, e.id, e.prev, e.body.decode())
            yield (*row, None, e.hash, 1)
        self.entries += count

    def _who(self, place: int) -> tuple[int, bytes, str | bytes]:
        """(kind, author, target) of a message: nearly all go to busy channels."""
        author = self._users[place * 7 % USERS]
        rare = place % RARE_EVERY
        if rare == 1:
            return int(Kind.CHANNEL_MESSAGE), author, RARE_CHANNEL
        if rare == 2:
            return int(Kind.USER_MESSAGE), author, names.uid(RARE_USER)
        if rare == 3:
            return int(Kind.USER_MESSAGE), names.uid(RARE_USER), author
        if place % DIRECT_EVERY == 0:
            return int(Kind.USER_MESSAGE), author, self._users[place * 11 % USERS]
        return int(Kind.CHANNEL_MESSAGE), author, f"bench-{place % CHANNELS}"


def _text(random: Random) -> bytes:
    """About a hundred bytes of words, a few of them much more frequent than most, as in any language."""
    words = [f"w{int(WORDS ** random.random())}" for _ in range(18)]
    return " ".join(words).encode()


_INSERT: Final = f"insert into entry({', '.join(COLUMNS)}) values({', '.join('?' * len(COLUMNS))})"
_INDEXES: Final = (
    "select name, sql from sqlite_master where type = 'index' and tbl_name = 'entry' and sql is not null"
)
