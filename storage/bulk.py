"""Many rows by one statement: what SQLite and its Python module charge for each call is shared by them.

Measured for rows of messages, microseconds of processor time each: `executemany` 4.5, 32 rows in one
``insert`` 3.6, the same without a statement journal 3.1, and with blobs given as `bytearray` 2.6.  Looking
an id up costs 0.5 in an ``IN`` list, for which SQLite builds a table, and 0.2 beside a list of ``VALUES``.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

ENTRY_VALUES: Final = 13  # the columns of `entry`, in the table's order
SHOWN: Final = 12  # the last of them
BODY: Final = 9
_IDS_PER_SELECT: Final = 512
_NO_ID: Final = bytearray()  # ids are at least one byte long
_MARKS: Final = f"({','.join('?' * ENTRY_VALUES)})"
# For 1, 2, 4, … 32 rows.  After an error nothing of a batch is kept, so no statement has to be able to
# take its own rows back (OR FAIL): SQLite then needs no journal of what they change.
_INSERTS: Final = {
    1 << n: f"insert or fail into entry values{','.join([_MARKS] * (1 << n))}" for n in range(6)
}
_ROWS_PER_INSERT: Final = max(_INSERTS)


def insert_entries(connection: sqlite3.Connection, values: list[Any]) -> None:
    """Rows of `entry`, one behind the other in `values`.  After an error some of them may be there.

    Blobs are best given as `bytearray`: `sqlite3` looks for adapters of `bytes`, each time anew.
    """
    at = 0
    while left := (len(values) - at) // ENTRY_VALUES:
        rows = min(_ROWS_PER_INSERT, 1 << (left.bit_length() - 1))
        end = at + rows * ENTRY_VALUES
        connection.execute(_INSERTS[rows], values[at:end])
        at = end


def select_by_ids(columns: str, *, also: str = "") -> Mapping[int, str]:
    """Statements that read `columns` of the entries `e` with one of 1, 2, 4, … 512 different ids.

    Few texts, so that SQLite's statement cache holds them all.  `also`: further joins and conditions.
    """
    return {
        1 << n: f"select {columns} from (values{','.join(['(?)'] * (1 << n))}) wanted "
        f"cross join entry e on e.id = wanted.column1 {also}"
        for n in range(_IDS_PER_SELECT.bit_length())
    }


def in_chunks(ids: Iterable[bytes]) -> Iterator[list[bytearray]]:
    """The ids, each once, in chunks for `select_by_ids`, filled up with what is nobody's id."""
    blobs = [bytearray(id_) for id_ in dict.fromkeys(ids)]
    for start in range(0, len(blobs), _IDS_PER_SELECT):
        chunk = blobs[start : start + _IDS_PER_SELECT]
        size = 1 << (len(chunk) - 1).bit_length()
        yield chunk + [_NO_ID] * (size - len(chunk))
