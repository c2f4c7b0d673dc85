"""Messages as people read them: the last of a channel or of a user, and what came since a vector.

Read-only, from committed data.  Order is (lamport, origin, seq).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from recado.protocol.limits import HISTORY_SCAN_ENTRIES_MAX
from recado.protocol.messages import Kind
from recado.protocol.vector import Vector
from storage.derived import Key
from storage.rows import MessageRow

_SELECT: Final = """select e.kind, coalesce(u.shown_name, '?'),
    case e.kind when 3 then e.target else coalesce(d.shown_name, '?') end,
    e.body, e.wall, e.lamport, o.origin, e.seq, e.prev, e.id, e.author
    from entry e cross join origin o on o.number = e.number
    left join user u on u.uid = e.author left join user d on e.kind = 4 and d.uid = e.target"""
_BEFORE: Final = " and e.lamport <= ? and (e.lamport, o.origin, e.seq) < (?, ?, ?)"
_LAST: Final = " order by e.lamport desc, o.origin desc, e.seq desc limit ?"
# Unary plus: these terms filter a stretch of one origin's log and must not choose another index.
_STRETCH: Final = f"{_SELECT} where e.number = ? and e.seq > ? and e.seq <= ? and +e.shown"
_LATEST: Final = """select e.target, o.origin, e.seq, e.lamport
    from entry e cross join origin o on o.number = e.number
    where e.kind = ? and e.shown order by e.lamport desc limit ?"""
# By stamp and origin, which no two entries share; all stamps of one origin at once, in JSON.
_AT: Final = f"""{_SELECT.replace("from entry e", "from json_each(?) s cross join entry e")}
    where e.kind = ? and e.lamport = s.value and e.number = ? and e.shown"""
_TO_OR_FROM: Final = " and (+e.target = ? or +e.author = ?)"
_MESSAGE_BYTES = 160  # what the fields beside the text take in a page, at most about that


def last_messages(
    db: sqlite3.Connection,
    *,
    channel: str | None,
    user: bytes | None,
    peer: bytes | None,
    before: Key | None,
    limit: int,
) -> list[MessageRow]:
    """The last `limit` messages before `before`, in total order.

    Of `channel`, or the direct messages to and from the user id `user` (only those with `peer`).
    """
    if (channel is None) == (user is None):
        raise ValueError("either a channel or a user")
    queries: list[tuple[str, tuple[Any, ...]]]
    if channel is not None:
        queries = [("e.kind = 3 and e.target = ? and e.shown", (channel,))]
    elif peer is None:
        queries = [
            ("e.kind = 4 and e.target = ? and e.shown", (user,)),
            ("e.kind = 4 and e.author = ? and e.shown and +e.target <> ?", (user, user)),
        ]
    else:
        queries = [("e.kind = 4 and e.author = ? and e.shown and +e.target = ?", (user, peer))]
        if peer != user:
            queries.append(("e.kind = 4 and e.author = ? and e.shown and +e.target = ?", (peer, user)))
    bound = () if before is None else (before[0], *before)
    rows: list[MessageRow] = []
    for where, parameters in queries:
        text = f"{_SELECT} where {where}{'' if before is None else _BEFORE}{_LAST}"
        rows += map(MessageRow._make, db.execute(text, (*parameters, *bound, limit)))
    rows.sort(key=lambda row: row.key)
    return rows[-limit:]


def messages_since(
    db: sqlite3.Connection,
    *,
    numbers: Mapping[str, int],
    channel: str | None,
    user: bytes | None,
    peer: bytes | None,
    since: Mapping[str, int],
    up_to: Mapping[str, int],
    limit: int,
    bytes_max: int,
) -> tuple[list[MessageRow], Vector, bool]:
    """One page of what `up_to` has beyond `since`, origin by origin; (messages, upto, more).

    `upto` is `since` moved by exactly what was looked at (E4, A46), which may be more than what is
    shown.  The page ends at `limit` messages, about `bytes_max` bytes (at least one message), or
    `HISTORY_SCAN_ENTRIES_MAX` entries looked at.
    """
    if (channel is None) == (user is None):
        raise ValueError("either a channel or a user")
    parameters: tuple[Any, ...]
    if channel is not None:
        text, parameters = f"{_STRETCH} and +e.kind = 3 and +e.target = ?", (channel,)
    elif peer is None:
        text = f"{_STRETCH} and +e.kind = 4 and (+e.target = ? or +e.author = ?)"
        parameters = (user, user)
    else:
        text = f"{_STRETCH} and +e.kind = 4 and (+e.target, +e.author) in (values (?, ?), (?, ?))"
        parameters = (user, peer, peer, user)
    upto: Vector = dict(since)
    page = Page(limit, bytes_max)
    for origin in sorted(up_to):
        first, last = upto.get(origin, 0), up_to[origin]
        if last <= first:
            continue
        if page.full:
            return page.rows, upto, True
        end = min(last, first + page.entries_left)
        ordered = f"{text} order by e.seq"
        rows = db.execute(ordered, (numbers.get(origin, -1), first, end, *parameters))
        upto[origin] = page.take(map(MessageRow._make, rows), first=first, end=end)
        if upto[origin] < last:
            return page.rows, upto, True
    return page.rows, upto, False


class Page:
    """A page being filled, under its three bounds."""

    def __init__(self, limit: int, bytes_max: int) -> None:
        self.rows: list[MessageRow] = []
        self.entries_left = HISTORY_SCAN_ENTRIES_MAX
        self._limit = limit
        self._bytes_left = bytes_max

    @property
    def full(self) -> bool:
        return self.entries_left <= 0 or len(self.rows) >= self._limit or self._bytes_left <= 0

    def take(self, rows: Iterator[MessageRow], *, first: int, end: int) -> int:
        """Take from the stretch (`first`, `end`] of one origin; the seq up to which it was covered."""
        for row in rows:
            size = len(row.message.encode()) + len(row.user.encode()) + len(row.to.encode()) + _MESSAGE_BYTES
            if len(self.rows) >= self._limit or (self.rows and size > self._bytes_left):
                self._bytes_left = 0
                end = row.seq - 1
                break
            self.rows.append(row)
            self._bytes_left -= size
        self.entries_left -= end - first
        return end


def messages_at(
    db: sqlite3.Connection,
    *,
    numbers: Mapping[str, int],
    kind: int,
    spots: Iterable[tuple[int, str]],
    user: bytes | None,
    peer: bytes | None,
) -> list[MessageRow]:
    """The messages of that kind with these (stamp, origin), as far as they are shown; in no order.

    Of direct messages only those to or from the user id `user`, and the same of `peer` if it is given.
    """
    if kind == Kind.USER_MESSAGE and user is None:
        raise ValueError("whose direct messages?")
    ends = [uid for uid in (user, peer) if uid is not None]
    if user == peer:  # to oneself
        text, parameters = f"{_AT} and +e.target = ? and +e.author = ?", [user, user]
    else:
        text, parameters = _AT + _TO_OR_FROM * len(ends), [uid for uid in ends for _ in range(2)]
    if kind == Kind.CHANNEL_MESSAGE:
        text, parameters = _AT, []
    by_origin: dict[str, list[int]] = {}
    for lamport, origin in spots:
        by_origin.setdefault(origin, []).append(lamport)
    found: list[MessageRow] = []
    for origin, stamps in by_origin.items():
        rows = db.execute(text, (json.dumps(stamps), kind, numbers.get(origin, -1), *parameters))
        found += map(MessageRow._make, rows)
    return found


def last_heads(db: sqlite3.Connection, *, messages_max: int) -> list[tuple[str | bytes, str, int]]:
    """(target, origin, seq) of the last of each origin's messages to each target, the newest last.

    Looks at the last `messages_max` channel messages and as many direct ones.
    """
    heads: dict[tuple[str | bytes, str], tuple[int, int]] = {}
    for kind in (Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE):
        for target, origin, seq, lamport in db.execute(_LATEST, (int(kind), messages_max)):
            known = heads.get((target, origin))
            if known is None or known[0] < seq:
                heads[target, origin] = (seq, lamport)
    by_age = sorted(heads, key=lambda place: (heads[place][1], str(place)))
    return [(target, origin, heads[target, origin][0]) for target, origin in by_age]


def people_and_channels(db: sqlite3.Connection) -> tuple[dict[bytes, str], set[str]]:
    """Registered users (user id → shown name) and all channels."""
    users = dict(db.execute("select uid, shown_name from user where lamport is not null"))
    return users, {name for (name,) in db.execute("select name from channel")}


def unregistered(db: sqlite3.Connection) -> dict[bytes, str]:
    """Users known by name only: user id → name."""
    return dict(db.execute("select uid, shown_name from user where lamport is null"))
