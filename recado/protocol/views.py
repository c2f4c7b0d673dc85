"""What people read, as a pure function of the *set* of entries (A18, R9): the reference for storage.

Order is (lamport, origin, seq).  Users and channels are the smallest keys that speak of them; of
several copies of one message (same ident) the smallest key is shown.  Nothing depends on the
order of arrival, on foreign keys, or on a clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from recado.protocol.entry import ident, shape_problem, told_names
from recado.protocol.messages import Entry, Kind
from recado.protocol.names import UNKNOWN_NAME


class Named(NamedTuple):
    """A row of the views `users` and `channels`."""

    name: str
    wall_ms: int
    lamport: int
    origin: str
    seq: int


class Shown(NamedTuple):
    """A row of `channel_messages` (to = channel) and `user_messages` (to = destination)."""

    author: str
    to: str
    message: str
    wall_ms: int
    lamport: int
    origin: str
    seq: int


class Views(NamedTuple):
    users: list[Named]
    channels: list[Named]
    channel_messages: list[Shown]
    user_messages: list[Shown]


def materialise(entries: Iterable[Entry]) -> Views:
    """All four views of a set of entries, each in total order."""
    ordered = sorted((e for e in entries if shape_problem(e) is None), key=lambda e: e.key)
    shown_names: dict[bytes, str] = {}
    users: dict[bytes, Named] = {}
    channels: dict[str, Named] = {}
    for entry in ordered:
        if entry.kind == Kind.LOGIN and entry.author is not None:
            users.setdefault(entry.author, _named(entry))
        if entry.kind in (Kind.CHANNEL, Kind.CHANNEL_MESSAGE):
            channels.setdefault(str(entry.target), _named(entry))
        shown_names.update(told_names(entry))
    shown_names.update((uid, row.name) for uid, row in users.items())
    seen: set[object] = set()
    messages: dict[int, list[Shown]] = {Kind.CHANNEL_MESSAGE: [], Kind.USER_MESSAGE: []}
    for entry in ordered:
        rows = messages.get(entry.kind)
        copy = ident(entry)
        if rows is None or entry.author is None or copy in seen:
            continue
        if copy is not None:
            seen.add(copy)
        rows.append(_shown(entry, shown_names))
    return Views(
        list(users.values()),
        list(channels.values()),
        messages[Kind.CHANNEL_MESSAGE],
        messages[Kind.USER_MESSAGE],
    )


def _named(entry: Entry) -> Named:
    return Named(str(entry.target), entry.wall_ms, *entry.key)


def _shown(entry: Entry, shown_names: dict[bytes, str]) -> Shown:
    to = entry.target if isinstance(entry.target, str) else _name(entry.target, shown_names)
    return Shown(_name(entry.author, shown_names), to, entry.body.decode(), entry.wall_ms, *entry.key)


def _name(uid: bytes | None, shown_names: dict[bytes, str]) -> str:
    return shown_names.get(uid or b"", UNKNOWN_NAME)
