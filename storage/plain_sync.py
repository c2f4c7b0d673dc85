"""Plain `sync`: what arrived here after a time, in the form that other projects' servers read.

Arrival is told by milestones: at times at most ten seconds apart a commit notes how far each origin's
log was durable here.  What is sent for `last_sync` T begins at the last milestone up to T, so entries
near T are sent again rather than missed (the receiver ignores duplicates).

`next_sync` is a cursor, opaque to others: the milestone time it starts from, and the origins (by this
file's numbers) that have been covered beyond it.  Another replica's cursor counts as its time.
"""

import re
import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from recado.protocol.limits import CURSOR_CHARACTERS_MAX, HISTORY_SCAN_ENTRIES_MAX, PLAIN_SYNC_ITEMS_MAX
from recado.protocol.messages import Kind
from storage.derived import Key

_CURSOR = re.compile(r"c:([0-9a-f]{16}):([0-9]{1,15}):((?:[0-9]{1,16}=[0-9]{1,16},)*)")
_SELECT: Final = """select e.seq, e.lamport, e.wall, e.kind, e.target, e.body, coalesce(u.shown_name, '?'),
        coalesce(d.shown_name, '?'), c.lamport = e.lamport and c.number = e.number and c.seq = e.seq, e.shown
    from entry e left join user u on u.uid = e.author left join user d on e.kind = 4 and d.uid = e.target
    left join channel c on e.kind = 3 and c.name = e.target
    where e.number = ? and e.seq > ? and e.seq <= ? order by e.seq"""
_ROW_BYTES = 64  # names of fields, timestamp and separators of one item


class Position(NamedTuple):
    """From where to send: the milestones of `time_ms`, moved by `beyond` (number → seq)."""

    time_ms: int
    beyond: dict[int, int]


def read_position(token: str, since: int | str | None) -> Position:
    """Where `since` (milliseconds, a cursor, None: the beginning) is; unreadable: the beginning."""
    if isinstance(since, int):
        return Position(max(0, since), {})
    found = None
    if since is not None and len(since) <= CURSOR_CHARACTERS_MAX:
        found = _CURSOR.fullmatch(since)
    if found is None:
        return Position(0, {})
    pairs = (pair.split("=") for pair in found[3].split(",") if pair)
    beyond = {int(number): int(seq) for number, seq in pairs} if found[1] == token else {}
    return Position(int(found[2]), beyond)


def write_cursor(token: str, position: Position) -> str:
    pairs = "".join(f"{number}={seq}," for number, seq in sorted(position.beyond.items()))
    return f"c:{token}:{position.time_ms}:{pairs}"


def sync_since(
    db: sqlite3.Connection,
    *,
    token: str,
    durable: Mapping[str, int],
    numbers: Mapping[str, int],
    since: int | str | None,
    bytes_max: int,
) -> dict[str, Any]:
    """The content of a `sync` reply: logins, channels, channel_messages, user_messages, more, next_sync."""
    position = read_position(token, since)
    page = _Content(bytes_max)
    beyond = dict(position.beyond)
    origins = sorted((numbers[origin], origin, seq) for origin, seq in durable.items())
    more = False
    for number, origin, last in origins:
        marked = _marked(db, number=number, time_ms=position.time_ms)
        first = max(marked, position.beyond.get(number, 0))
        if first >= last:
            continue
        reached = first if page.full else page.take(db, number=number, origin=origin, first=first, last=last)
        if reached > marked:
            beyond[number] = reached
        if reached < last:
            more = True
            break
    if not more:
        (latest,) = db.execute("select coalesce(max(time_ms), 0) from milestone").fetchone()
        beyond = {
            number: seq for number, _, seq in origins if seq > _marked(db, number=number, time_ms=latest)
        }
        position = Position(latest, beyond)
    next_sync = write_cursor(token, Position(position.time_ms, beyond))
    return {**page.content(), "more": more, "next_sync": next_sync}


def _marked(db: sqlite3.Connection, *, number: int, time_ms: int) -> int:
    """How much of an origin was durable here at a time, at least."""
    row = db.execute(
        "select seq from milestone where number=? and time_ms<=? order by time_ms desc limit 1",
        (number, time_ms),
    ).fetchone()
    return 0 if row is None else int(row[0])


class _Content:
    """The four lists, filled up to a size and a number of items; each sorted in total order at the end."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max
        self._entries_left = HISTORY_SCAN_ENTRIES_MAX
        self._items_left = PLAIN_SYNC_ITEMS_MAX
        self._empty = True
        self._items: dict[int, list[tuple[Key, Any]]] = {kind: [] for kind in Kind}

    @property
    def full(self) -> bool:
        return min(self._bytes_left, self._entries_left, self._items_left) <= 0

    def take(self, db: sqlite3.Connection, *, number: int, origin: str, first: int, last: int) -> int:
        """Take from an origin's entries (`first`, `last`]; the seq up to which all was taken."""
        end = min(last, first + self._entries_left)
        for seq, lamport, wall, kind, target, body, author, dst, makes_channel, shown in db.execute(
            _SELECT, (number, first, end)
        ):
            if not shown:
                continue
            item = _item(kind=kind, seconds=wall // 1000, target=target, body=body, author=author, dst=dst)
            size = _ROW_BYTES + sum(len(str(value).encode()) for value in item.values())
            count = 2 if makes_channel else 1
            if (size > self._bytes_left and not self._empty) or count > self._items_left:
                self._bytes_left = 0
                end = seq - 1
                break
            self._empty = False
            self._bytes_left -= size
            self._items_left -= count
            key = (lamport, origin, seq)
            self._items[kind].append((key, item))
            if makes_channel:
                self._items[Kind.CHANNEL].append((key, {"channel": target}))
        self._entries_left -= end - first
        return end

    def content(self) -> dict[str, Any]:
        for items in self._items.values():
            items.sort(key=lambda pair: pair[0])
        logins: dict[str, Any] = {}
        for _, item in self._items[Kind.LOGIN]:
            logins.setdefault(item["username"], item)
        return {
            "logins": list(logins.values()),
            "channels": list(dict.fromkeys(item["channel"] for _, item in self._items[Kind.CHANNEL])),
            "channel_messages": [item for _, item in self._items[Kind.CHANNEL_MESSAGE]],
            "user_messages": [item for _, item in self._items[Kind.USER_MESSAGE]],
        }


def _item(*, kind: int, seconds: int, target: Any, body: Any, author: str, dst: str) -> dict[str, Any]:
    match kind:
        case Kind.LOGIN:
            return {"username": target, "timestamp": seconds}
        case Kind.CHANNEL:
            return {"channel": target}
        case Kind.CHANNEL_MESSAGE:
            return {"user": author, "channel": target, "message": body, "timestamp": seconds}
        case _:
            return {"src": author, "dst": dst, "message": body, "timestamp": seconds}
