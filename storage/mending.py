"""What a damaged file can be helped to by itself: indexes and derived rows are made anew from the log.

A flipped bit in a row leaves the row's index entry as it was, and the other way round.  SQLite then finds
no fault in the structure, but fails with ``SQLITE_CORRUPT_INDEX`` as soon as the row is changed, which is
what its repair does: a server would end, start, find the file sound, and end again, for ever.  So a
file that has failed is checked with its indexes too, and they are made from the rows; whether the
rows are right the scrub says, from their hashes.
"""

import sqlite3

# `storage.rebuild` reads the log once more if the file names other rules than the program's.
_FORGET_DERIVED = "update meta set value = '0' where key = 'derived'"
_HAS_META = "select count(*) from sqlite_master where type = 'table' and name = 'meta'"
_HAS_LOG = "select count(*) from sqlite_master where type = 'table' and name = 'entry'"
_ENDS = """select o.number, e.seq from origin o
    cross join entry e on e.number = o.number
        and e.seq = (select max(seq) from entry where number = o.number)
    where e.seq > 1 and not exists (select 1 from entry where number = o.number and seq = e.seq - 1)"""
_COLUMNS = "select count(*) from pragma_table_info(?)"  # SQLite has to read a view's text for it
_PHANTOMS_MAX = 8  # of one log, one after the other


def mend(connection: sqlite3.Connection) -> bool:
    """Check the file and what leads to its rows; make that anew if it is wrong.  Whether all is sound then.

    May also raise SQLITE_CORRUPT.
    """
    if _is_sound(connection):
        return True
    connection.execute("begin immediate")
    try:
        connection.execute("reindex")
        if connection.execute(_HAS_META).fetchone() == (1,):
            connection.execute(_FORGET_DERIVED)
    except sqlite3.IntegrityError:  # two rows that may not be equal are
        connection.execute("rollback")
        return False
    except:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    return _is_sound(connection)


def drop_phantoms(connection: sqlite3.Connection) -> None:
    """Delete the last entry of a log if there is none before it: its number has a flipped bit.

    Else this node would believe that it has all entries up to there, and nobody could ever give them.
    Where it belongs the entry is missing now, and peers give it.
    """
    if connection.execute(_HAS_LOG).fetchone() != (1,):
        return
    for _ in range(_PHANTOMS_MAX):
        ends = connection.execute(_ENDS).fetchall()
        if not ends:
            return
        connection.execute("begin immediate")
        connection.executemany("delete from entry where number = ? and seq = ?", ends)
        connection.execute(_FORGET_DERIVED)
        connection.execute("commit")


def views_are_readable(connection: sqlite3.Connection) -> bool:
    """Whether every view can be asked: their texts are in the file, and no check of SQLite reads those."""
    views = connection.execute("select name from sqlite_master where type = 'view'").fetchall()
    try:
        for view in views:
            connection.execute(_COLUMNS, view).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            return False
        raise
    return True


def _is_sound(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("pragma integrity_check(1)").fetchone() == ("ok",))
