"""``registry.db``: the reference's ranks, one row a server that ever asked.

The table is private; what people read is the view ``servers(name, rank, address, last_seen)``, lowest
rank first, `last_seen` in whole seconds since 1970.  Each call is one durable commit, made inline: a
rank is given once in a server's life, and `seen` gathers the heartbeats of some seconds.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from recado.protocol.limits import MIB
from recado.protocol.registry import Registered
from storage.database import (
    DirectoryLock,
    classified,
    lock_directory,
    open_database,
    open_memory,
)
from storage.migrations import Step, bring_up_to_date

FILE_NAME: Final = "registry.db"
STEPS: Final = (
    Step(
        "0001_servers",
        (
            """create table server(
                name text primary key, rank integer not null unique, address text,
                last_seen integer not null, active integer not null)""",
            """create view servers as
                select name, rank, address, last_seen from server order by rank""",
        ),
    ),
)


def _migrate(connection: sqlite3.Connection) -> None:
    bring_up_to_date(connection, schema="registry", steps=STEPS)


class RegistryStore:
    """The registry on disk.  All methods raise `StorageError`s: after `StorageFull` nothing was kept."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        path: Path | None = None,
        lock: DirectoryLock | None = None,
        damaged: Path | None = None,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self.path = path
        self.damaged = damaged  # where a damaged file was moved when this one was opened

    @classmethod
    def open(cls, directory: Path) -> "RegistryStore":
        """Own the directory and open or create its registry.

        Raises `DataLocked` if another process has it, `WrongFile` if a newer version wrote it.
        """
        lock = lock_directory(directory)
        path = directory / FILE_NAME
        try:
            connection, damaged = open_database(path, migrate=_migrate, cache_bytes=1 * MIB)
        except:
            lock.release()
            raise
        return cls(connection, path=path, lock=lock, damaged=damaged)

    @classmethod
    def in_memory(cls) -> "RegistryStore":
        """One that lives as long as the object."""
        return cls(open_memory(migrate=_migrate))

    def known(self) -> list[Registered]:
        """All that was kept, in order of rank."""
        with classified(self._what):
            rows = self._connection.execute("select name, rank, address, active from server order by rank")
            return [Registered(name=n, rank=r, address=a, active=bool(on)) for n, r, a, on in rows]

    def keep(self, record: Registered, *, now_seconds: float) -> None:
        """Insert or replace one record, durably.  A new one counts as seen now."""
        with classified(self._what):
            self._connection.execute(
                """insert into server(name, rank, address, last_seen, active) values (?, ?, ?, ?, ?)
                   on conflict(name) do update set address = excluded.address, active = excluded.active""",
                (record.name, record.rank, record.address, int(now_seconds), record.active),
            )

    def seen(self, when: Mapping[str, float]) -> None:
        """Set `last_seen`, in seconds since 1970, of the servers named; in one commit."""
        if not when:
            return
        with classified(self._what):
            self._connection.execute("begin immediate")
            try:
                self._connection.executemany(
                    "update server set last_seen = ? where name = ?",
                    [(int(seconds), name) for name, seconds in when.items()],
                )
                self._connection.execute("commit")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def close(self) -> None:
        """Close the file, then give the directory up."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def _what(self) -> str:
        return str(self.path or "registry")
