"""Every SQLite call of a commit fails once, in every way: all of the batch is there, or nothing of it."""

import sqlite3
from typing import Any

import pytest
from storage_entries import ORIGINS, Author, conversation, looked_into, put, said, shown

from recado.protocol.messages import Entry, Kind
from recado.protocol.views import materialise
from storage.replica import (
    Batch,
    DataLocked,
    PeerRow,
    Quarantined,
    Replica,
    StorageError,
    StorageFailed,
    StorageFull,
)

ERRORS = {
    "FULL": (sqlite3.SQLITE_FULL, StorageFull),
    "SHMSIZE": (sqlite3.SQLITE_IOERR_SHMSIZE, StorageFull),
    "BUSY": (sqlite3.SQLITE_BUSY, DataLocked),
    "IOERR": (sqlite3.SQLITE_IOERR_WRITE, StorageFailed),
    "IOERR_FSYNC": (sqlite3.SQLITE_IOERR_FSYNC, StorageFailed),
    "CORRUPT": (sqlite3.SQLITE_CORRUPT, StorageFailed),
}


class Failing:
    """A connection whose call number `nth` fails; the others are SQLite's own."""

    def __init__(self, connection: sqlite3.Connection, *, nth: int, code: int) -> None:
        self._connection = connection
        self._left = nth
        self._code = code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.execute(statement, *parameters)

    def executemany(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self._connection.executemany(statement, *parameters)

    def _count(self, statement: str) -> None:
        if statement == "rollback":
            return
        self._left -= 1
        if self._left == 0:
            error = (
                sqlite3.DatabaseError if self._code == sqlite3.SQLITE_CORRUPT else sqlite3.OperationalError
            )
            failed = error("made up")
            failed.sqlite_errorcode = self._code  # type: ignore[misc]
            raise failed

    @property
    def happened(self) -> bool:
        return self._left <= 0


def everything(first: list[Entry]) -> tuple[Author, Batch]:
    """A batch that touches every table: users, channels, copies, a new origin, repairs, facts, refusals."""
    author = Author()
    for entry in first:
        author.heads[entry.origin] = entry  # type: ignore[assignment]
    new = [
        author.login("dora", origin=ORIGINS[0]),
        author.add(origin=ORIGINS[1], target="novo", id=b"n"),
        author.add(origin=ORIGINS[2], id=first[5].id, body=first[5].body, author=first[5].author),
        author.direct("ana", "dora", "oi", origin="server-4.00000000000000dd"),
        author.add(kind=Kind.CHANNEL, origin=ORIGINS[1], target="mesa", body=said(private=True)),
        author.keyed("bia", b"k" * 32, origin=ORIGINS[2]),
    ]
    return author, Batch(
        signatures={(new[0].origin, new[0].seq): b"s" * 64, (first[0].origin, first[0].seq): None},
        entries=new,
        repairs=[first[4]],
        meta={"epoch": [1]},
        peers=[PeerRow(name="server-2")],
        quarantined=[Quarantined("server-9.0000000000000099", 1, "forked", b"x", "server-3")],
        states={ORIGINS[0]: "open"},
        now_ms=60_000,
    )


@pytest.mark.parametrize("what", ERRORS)
def test_all_or_nothing(what: str) -> None:
    """Whichever call fails, memory and file are as before; with a sound disk the same batch goes in."""
    code, kind = ERRORS[what]
    first = conversation(30)
    _, batch = everything(first)
    for nth in range(1, 100):
        replica = Replica.in_memory("server-1")
        put(replica, first, now_ms=1)
        before = (replica.counts(), replica.heads(), replica.names(), shown(looked_into(replica)))
        sound = replica._writer.connection
        failing = Failing(sound, nth=nth, code=code)
        replica._writer.connection = failing  # type: ignore[assignment]
        raised = None
        try:
            replica.stage(batch)
            replica.commit()
        except StorageError as error:
            raised = type(error)
        replica._writer.connection = sound
        assert raised is (kind if failing.happened else None), f"call {nth}"
        if not failing.happened:
            assert nth > 15, "the batch touches less than it should"
            break
        assert not sound.in_transaction
        assert (replica.counts(), replica.heads(), replica.names()) == before[:3], f"call {nth}"
        assert shown(looked_into(replica)) == before[3], f"call {nth}"
        replica.stage(batch)
        replica.commit()
        assert shown(looked_into(replica)) == materialise([*first, *batch.entries]), f"call {nth}"
    else:
        pytest.fail("the batch makes more calls than are tried")
