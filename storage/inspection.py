"""Looking into replicas: finding them, opening them without disturbing anybody, dumping their views.

No running server is needed and none is disturbed; files of other users can be read as long as their
bytes can.  Comparing replicas is `storage.verification`.

What was said between few is shown to nobody who merely looks: direct messages, and what was written in a
channel that was private at any time, come out as their size unless they are asked for.  That is tact and
no protection: who can read the file can read them.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

from storage.database import StorageError, WrongFile, classified, connect_read_only, wal_path
from storage.replica import FILE_NAME
from storage.schema import STEPS

_VIEWS_OF_VERSION_1: Final = (
    "users",
    "channels",
    "channel_messages",
    "user_messages",
    "replication_log",
    "peers",
)
VIEW_NAMES: Final = (*_VIEWS_OF_VERSION_1, "user_keys", "channel_rules", "audit")
# The columns that hold people's words, where a row is marked private.
_WORDS: Final = {
    "channel_messages": ("message",),
    "user_messages": ("message",),
    "channel_rules": ("text", "reason"),
    "audit": ("detail", "reason"),
}

_NAMES_IN: Final = {
    "users": "select name from users where substr(name, 1, ?) = ? order by name limit ?",
    "channels": """select name from channels where substr(name, 1, ?) = ?
        and name not in (select name from private_channel) order by name limit ?""",
    "channels of version 1": "select name from channels where substr(name, 1, ?) = ? order by name limit ?",
}


def find_replicas(data: Path) -> list[Path]:
    """The replicas below a data directory (``DIR/*/replica.db``), in order of name."""
    return sorted(data.glob(f"*/{FILE_NAME}"))


def open_for_inspection(path: Path) -> sqlite3.Connection:
    """A read-only connection to a replica, beside its server or without one.

    A server that runs, or was killed, has left a WAL: it is read too.  Without one the file is whole
    and is opened ``immutable``, which needs no right to write beside it and leaves nothing behind.
    Raises `WrongFile` if it is no replica of a known version, `StorageError` if it cannot be read.
    """
    if not path.is_file():
        raise StorageError(f"{path}: no such file")
    wal = wal_path(path)
    immutable = not wal.exists() or wal.stat().st_size == 0
    try:
        connection = connect_read_only(path, immutable=immutable)
    except sqlite3.OperationalError as error:
        advice = "read it as the user that the server runs as, or copy it together with its -wal"
        raise StorageError(f"{path}: {error}; {advice}") from error
    try:
        with classified(path):
            (version,) = connection.execute("pragma user_version").fetchone()
            found = {name for (name,) in connection.execute("select name from sqlite_master")}
        if not found.issuperset(_views(version)):
            raise WrongFile(f"{path} is not a replica")
        if version > len(STEPS):
            raise WrongFile(f"{path} was written by a newer version")
    except:
        connection.close()
        raise
    return connection


def _views(version: int) -> tuple[str, ...]:
    """The views of a file, which an older version may have written."""
    return _VIEWS_OF_VERSION_1 if version < 2 else VIEW_NAMES


def hidden(view: str, text: str) -> str:
    """What stands for a text that is not to be shown."""
    what = "direct message" if view == "user_messages" else "private channel"
    return f"({what}, {len(text.encode())} bytes)"


def discreet(view: str, row: dict[str, Any]) -> dict[str, Any]:
    """A view's row without the words in it that were said between few."""
    private = view == "user_messages" or row.get("private")
    if not private or view not in _WORDS:
        return row
    said = {column: row[column] for column in _WORDS[view] if row[column] is not None}
    return row | {column: hidden(view, str(text)) for column, text in said.items()}


def quarantined(path: Path, *, direct: bool = False) -> Iterator[dict[str, Any]]:
    """What a replica keeps aside, ready for JSON, and the origins of which it takes nothing more.

    ``{"origin", "seq", "reason", "from_node", "raw"}``: `from_node` is empty for an entry that is in the
    log and can't be shown, else who sent what was refused; `raw` (hexadecimal) is as much of its bytes
    as was kept, which may be anybody's words: without `direct` only their number is given.  For an origin
    that was stopped: ``{"origin", "state"}``.
    """
    with closing(open_for_inspection(path)) as connection, classified(path):
        connection.execute("begin")
        rows = connection.execute("select origin, state from origin where state <> 'open' order by origin")
        for origin, state in rows:
            yield {"origin": origin, "state": state}
        for origin, seq, reason, from_node, raw in connection.execute(
            "select origin, seq, reason, from_node, raw from quarantine order by origin, seq"
        ):
            shown = None if raw is None else raw.hex() if direct else f"({len(raw)} bytes)"
            yield {"origin": origin, "seq": seq, "reason": reason, "from_node": from_node, "raw": shown}


def names_in(path: Path, view: Literal["channels", "users"], *, begin: str, most: int) -> list[str]:
    """Names that begin so, sorted, at most so many; none of channels that were ever private."""
    with closing(open_for_inspection(path)) as connection, classified(path):
        (version,) = connection.execute("pragma user_version").fetchone()
        asked = _NAMES_IN["channels of version 1" if view == "channels" and version < 2 else view]
        return [name for (name,) in connection.execute(asked, (len(begin), begin, most))]


def dump(path: Path, *, views: Sequence[str] = VIEW_NAMES, direct: bool = False) -> Iterator[dict[str, Any]]:
    """Every row of the views, one consistent state, ready for JSON: ``{"view": name, column: value, …}``.

    Views that an older file lacks are left out.  `direct`: the texts of direct messages and of private
    channels too; otherwise their sizes stand for them.
    """
    from sqlite_utils.db import Database

    unknown = set(views) - set(VIEW_NAMES)
    if unknown:
        raise ValueError(f"no such view: {', '.join(sorted(unknown))}")
    with closing(open_for_inspection(path)) as connection, classified(path):
        connection.execute("begin")
        database = Database(connection, execute_plugins=False, recursive_triggers=False)
        (version,) = connection.execute("pragma user_version").fetchone()
        for name in views:
            if name in _views(version):
                for row in database.view(name).rows:
                    yield {"view": name, **(row if direct else discreet(name, row))}
