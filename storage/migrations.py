"""Schemas and their versions.

A schema is a list of `Step`s; what has been applied is kept by sqlite-utils' migrations (table
``_sqlite_migrations``: name and time of each), and the number of steps in ``PRAGMA user_version``, so
that opening an up-to-date file costs one pragma and sqlite-utils, slow to import, stays out of it.
Each step and the record of it are one transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from storage.database import WrongFile

if TYPE_CHECKING:
    from sqlite_utils.db import Database
    from sqlite_utils.migrations import Migrations


class Step(NamedTuple):
    """One version of a schema: a name for ever, and its SQL statements in order."""

    name: str
    statements: Sequence[str]


def bring_up_to_date(connection: sqlite3.Connection, *, schema: str, steps: Sequence[Step]) -> None:
    """Apply the steps of `schema` that the file lacks.

    Raises `WrongFile` if the file has more steps than we know (a newer version wrote it); it is left
    as it is.
    """
    (version,) = connection.execute("pragma user_version").fetchone()
    if version == len(steps):
        return
    if version > len(steps):
        text = f"the file has version {version} of the {schema} schema, this program knows {len(steps)}"
        raise WrongFile(f"{text}: install the newer version")
    from sqlite_utils.db import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(schema)
    for number, step in enumerate(steps, start=1):
        _register(migrations, step, number=number)
    migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False))


def _register(migrations: "Migrations", step: Step, *, number: int) -> None:
    # Not `executescript`: it commits the transaction that holds the step and its record.
    def run(db: "Database") -> None:
        for statement in step.statements:
            db.execute(statement)
        db.execute(f"pragma user_version={number}")

    migrations(name=step.name)(run)
