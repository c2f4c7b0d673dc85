"""Stopped replicas read without holding them all: one in full, of each other one a digest first.

An entry's hash covers all entries of its log before it, so two logs whose chains were followed and whose
last hashes are equal are equal.  What is left, the views, is hashed row by row.  Only a replica that
differs is read in full as well, for the judges to say in what.
"""

import gc
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec

from recado.protocol.entry import EMPTY, Head, parse
from storage.database import StorageError
from storage.replica import Replica
from tests.torture.neighbours import FinalState, final_state

_PAGE = 2000
_VIEWS = ("users", "channels", "channel_messages", "user_messages")


class Digest(NamedTuple):
    """What two equal replicas have in common, in a few bytes a log."""

    heads: dict[str, tuple[int, bytes]]
    views: bytes
    quarantined: tuple[tuple[str, int, str], ...]


def states(replicas: Iterable[tuple[str, Path]], complaints: list[str]) -> Iterator[FinalState]:
    """The state of each stopped server's file; equal ones share their rows.

    What can't be read, also since an entry does not lead from the one before it, is left out and told.
    """
    first: FinalState | None = None
    known: Digest | None = None
    for name, path in replicas:
        try:
            image = _image(path)
            found = digest(name, image)
        except (StorageError, sqlite3.Error) as error:
            complaints.append(f"{name}: {error}")
            continue
        if first is None or found != known:
            state = final_state.read(name, image)
            first, known = (state, found) if first is None else (first, known)
            yield state
        else:
            yield msgspec.structs.replace(first, server=name)
        del image
        gc.collect()


def digest(name: str, image: bytes) -> Digest:
    """Follow every chain of a disk, a page at a time, and hash its views."""
    replica = Replica.in_memory(name, image)
    try:
        heads = {origin: _followed(replica, origin) for origin in sorted(replica.heads())}
    finally:
        replica.close()
    views = blake2b(digest_size=16)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image)
        for view in _VIEWS:
            for row in connection.execute(f"select * from {view}"):
                views.update(repr(row).encode())
        quarantined = tuple(connection.execute("select origin, seq, reason from quarantine"))
    return Digest(heads, views.digest(), quarantined)


def _followed(replica: Replica, origin: str) -> tuple[int, bytes]:
    head = EMPTY
    while (run := replica.run_after(origin, head.seq, entries_max=_PAGE, bytes_max=2**30)) is not None:
        for header, body in run.entries:
            entry = parse(header, body, head)
            head = Head(entry.seq, entry.lamport, entry.hash)
    return head.seq, head.hash


def _image(replica: Path) -> bytes:
    uri = f"file:{replica}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(":memory:")) as memory:
        source.backup(memory)
        image = bytearray(memory.serialize())
    image[18:20] = b"\1\1"  # a database in memory has no WAL
    return bytes(image)
