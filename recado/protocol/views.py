"""What people read, as a pure function of the *set* of entries (A18, R9): the reference for storage.

Order is (lamport, origin, seq).  Users and channels are the smallest keys that speak of them; of
several copies of one message (same ident) the smallest key is shown.  Nothing depends on the
order of arrival, on foreign keys, or on a clock.

A name belongs to the user id that registered it with the smallest key.  Who else goes by it
(concurrent registrations with different keys: without keys the name makes the id) is shown by
`other_name`, which depends on the set of entries only, like everything here.
"""

from base64 import b32encode
from collections.abc import Iterable, Mapping
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


def other_name(name: str, uid: bytes) -> str:
    """How a user is shown whose name is somebody else's: ``~`` and four letters of the user id."""
    return f"{name}~{b32encode(uid)[:4].decode().lower()}"


def holder_of(registrations: Mapping[bytes, tuple[int, str, int]]) -> bytes | None:
    """Of the user ids that registered a name, by key of the registration: the one that it belongs to."""
    return min(registrations, key=lambda uid: (registrations[uid], uid), default=None)


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
    shown_names = _told_apart(shown_names, users)
    users = {uid: row._replace(name=shown_names[uid]) for uid, row in users.items()}
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


def _told_apart(names: Mapping[bytes, str], users: Mapping[bytes, Named]) -> dict[bytes, str]:
    registered: dict[str, dict[bytes, tuple[int, str, int]]] = {}
    for uid, row in users.items():
        registered.setdefault(row.name, {})[uid] = (row.lamport, row.origin, row.seq)
    holders = {name: holder_of(claims) for name, claims in registered.items()}
    return {
        uid: name if holders.get(name) in (None, uid) else other_name(name, uid)
        for uid, name in names.items()
    }


def _named(entry: Entry) -> Named:
    return Named(str(entry.target), entry.wall_ms, *entry.key)


def _shown(entry: Entry, shown_names: dict[bytes, str]) -> Shown:
    to = entry.target if isinstance(entry.target, str) else _name(entry.target, shown_names)
    return Shown(_name(entry.author, shown_names), to, entry.body.decode(), entry.wall_ms, *entry.key)


def _name(uid: bytes | None, shown_names: dict[bytes, str]) -> str:
    return shown_names.get(uid or b"", UNKNOWN_NAME)
