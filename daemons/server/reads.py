"""Reads of clients: users, channels, history, audit, status.  All from what is durable here."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from daemons.server.calls import Call
from daemons.server.drafts import Missing
from daemons.server.node import Node
from daemons.server.status import describe
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import (
    AUDIT_HASHES_MAX,
    AUDIT_ORIGINS_MAX,
    HISTORY_MESSAGES_DEFAULT,
    HISTORY_MESSAGES_MAX,
    HISTORY_PAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    NAMES_REPLY_BYTES_MAX,
)
from recado.protocol.messages import Audit, Entry, History, Kind, Names, Read, Request
from recado.protocol.policy import Role
from recado.protocol.vector import Vector, covers
from recado.texts import wire_text
from storage.replica import MessageRow

NAMES_ORIGINS_MAX = 16  # told with lists of names; all servers have long had what older ones hold
ORIGIN_FIELDS_BYTES = 64  # of one log in an answer, about
BEHIND_TEXT = "Este servidor ainda não tem o que você já viu"
NAME_BYTES = 16  # of a name in a list, about
MESSAGE_FIELDS_BYTES = 128  # of a message in a page, about, besides its text
_NAME_PREFIX_BYTES = 2  # a short text's type and length in MessagePack
_NAME_BYTES_PACKED_MAX = NAME_BYTES_MAX + _NAME_PREFIX_BYTES


class Behind(Missing):
    """The reader has seen entries that have not arrived here; they may be on their way."""


class Reads:
    """Handlers of the services that only read."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lists: tuple[tuple[int, int], list[str], list[str]] = ((-1, -1), [], [])
        self._latest_names: Vector = {}  # origin → its last login or channel, of those that came last
        node.commits.appliers.append(self._committed)

    def users(self, call: Call, asked: Names) -> None:
        self._check_session(asked)
        users, told = names_page(self._names()[0], asked, bytes_max=NAMES_REPLY_BYTES_MAX)
        call.reply({"users": users, **told, **self._named_by(asked)})
        self._node.rationing.told(call.principal, len(users) * NAME_BYTES)

    def channels(self, call: Call, asked: Names) -> None:
        self._check_session(asked)
        here = self._names()[1]
        user = call.actor.user
        operator = call.actor.role is Role.OPERATOR
        hidden = self._node.channels.hidden_from(user and user.uid, operator=operator)
        if hidden:
            here = [name for name in here if name not in hidden]
        channels, told = names_page(here, asked, bytes_max=NAMES_REPLY_BYTES_MAX // 2)
        # The course text names the second key.
        call.reply({"channels": channels, "users": channels, **told, **self._named_by(asked)})
        self._node.rationing.told(call.principal, 2 * len(channels) * NAME_BYTES)

    def _committed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind <= Kind.CHANNEL:
                self._latest_names.pop(entry.origin, None)
                self._latest_names[entry.origin] = entry.seq
                if len(self._latest_names) > NAMES_ORIGINS_MAX:
                    del self._latest_names[next(iter(self._latest_names))]

    def _named_by(self, asked: Read) -> dict[str, Any]:
        """For clients with a session: the entries that no later list may lack."""
        return {} if asked.session is None else {"vector": dict(self._latest_names)}

    def _names(self) -> tuple[list[str], list[str]]:
        node = self._node
        version = (node.directory.version, node.channels.version)
        if self._lists[0] != version:
            channels = node.store.channels()
            if node.accounts.secured:  # of which only messages speak may be private
                channels = [name for name in channels if node.channels.exists(name)]
            self._lists = (version, node.store.users(), channels)
        return self._lists[1:]

    def history(self, call: Call, asked: History) -> None:
        self._check_session(asked)
        channel, user, peer = self._whose(call, asked)
        limit = HISTORY_MESSAGES_DEFAULT if asked.limit is None else asked.limit
        limit = max(1, min(limit, HISTORY_MESSAGES_MAX))
        durable = dict(self._node.entries.durable)
        if asked.since is None:
            rows = self._node.store.last_messages(
                channel=channel, user=user, peer=peer, before=asked.before, limit=limit
            )
            upto, more = durable, len(rows) == limit
        else:
            rows, upto, more = self._node.store.messages_since(
                channel=channel,
                user=user,
                peer=peer,
                since=asked.since,
                up_to=durable,
                limit=limit,
                bytes_max=HISTORY_PAGE_BYTES_MAX,
            )
        reply: dict[str, Any] = {
            "messages": [publication_of(row) for row in rows],
            "upto": upto,
            "more": more,
            **self._topic(channel, user),
        }
        call.reply({"status": "OK", **reply, "server": self._node.name, "boot": self._node.boot})
        size = sum(len(row.message) + MESSAGE_FIELDS_BYTES for row in rows)
        self._node.rationing.told(call.principal, size)

    def _whose(self, call: Call, asked: History) -> tuple[str | None, bytes | None, bytes | None]:
        """(channel, user id, peer's user id) of a history, for who may read it."""
        node = self._node
        channel, name, peer = whose(call.asked.service, asked)
        actor = call.actor
        if channel is not None:
            reader = actor.user and actor.user.uid
            if asked.user and actor.role in (Role.OPEN, Role.GATEWAY):  # who are whom they say they are
                reader = node.accounts.speaker(actor, asked.user).uid
            node.channels.readable(channel, reader, operator=actor.role is Role.OPERATOR)
            return channel, None, None
        user = node.accounts.speaker(actor, name).uid
        with_whom = None if peer is None else node.accounts.find(peer)
        if peer is not None and with_whom is None:
            raise Missing("user_missing", wire_text("user_missing"))
        return None, user, with_whom

    def _topic(self, channel: str | None, user: bytes | None) -> dict[str, bytes]:
        """Where news of this history is published: told to who may read it, in secured mode."""
        if not self._node.accounts.secured:
            return {}
        topics = self._node.topics
        topic = topics.channel(channel) if channel is not None else topics.of_user(user or b"")
        return {} if topic is None else {"topic": topic}

    def audit(self, call: Call, asked: Audit) -> None:
        """E8: what is durable here of the origins named."""
        have = {origin: self._node.entries.durable.get(origin, 0) for origin in asked.have}
        node = self._node
        told: dict[str, Any] = {"have": have, "server": node.name, "boot": node.boot, "of": node.acks.of}
        told |= self._logs(asked)
        call.reply({"status": "OK", **told, "addresses": [member.address for member in node.members]})
        count = len(have) + len(told.get("origins", ())) + len(told.get("hashes", ()))
        self._node.rationing.told(call.principal, ORIGIN_FIELDS_BYTES * count)

    def _logs(self, asked: Audit) -> dict[str, Any]:
        """All logs by their origins, and hashes of entries, as far as a reply has room."""
        told: dict[str, Any] = {}
        if asked.origins:
            told["origins"] = dict(islice(self._node.entries.durable.items(), AUDIT_ORIGINS_MAX))
        if asked.hashes:
            places = islice(asked.hashes.items(), AUDIT_HASHES_MAX)
            found = ((origin, self._node.store.hash_at(origin, seq)) for origin, seq in places)
            told["hashes"] = {origin: chained for origin, chained in found if chained is not None}
        return told

    def status(self, call: Call, _asked: Request) -> None:
        call.reply({"status": "OK", **describe(self._node)})

    def who_coordinator(self, call: Call, _asked: Request) -> None:
        call.reply({"status": "OK", "coordinator": self._node.coordinator or ""})

    def _check_session(self, asked: Read) -> None:
        if asked.session and not covers(self._node.entries.durable, asked.session):
            raise Behind("behind", BEHIND_TEXT)


def names_page(
    names_here: Sequence[str], asked: Names, *, bytes_max: int
) -> tuple[Sequence[str], dict[str, bool]]:
    """The names asked for as far as a reply has room; ``more`` if it was not all, or pages were asked for.

    Raises `Behind` if `after` is no name here: it was told by a server that knows more.
    """
    first, end = 0, len(names_here)
    if asked.after is not None:
        try:
            first = names_here.index(asked.after) + 1
        except ValueError:
            raise Behind("behind", BEHIND_TEXT) from None
    if asked.limit is not None:
        end = min(end, first + asked.limit)
    if (end - first) * _NAME_BYTES_PACKED_MAX > bytes_max:
        end = first + _fitting(names_here[first:end], bytes_max)
    more = end < len(names_here)
    told = {"more": more} if more or asked.after is not None or asked.limit is not None else {}
    return (names_here if end - first == len(names_here) else names_here[first:end]), told


def _fitting(names_here: Sequence[str], bytes_max: int) -> int:
    """How many of the names, packed, take at most `bytes_max`."""
    for count, name in enumerate(names_here):
        bytes_max -= len(name.encode()) + _NAME_PREFIX_BYTES
        if bytes_max < 0:
            return count
    return len(names_here)


def whose(service: str, asked: History) -> tuple[str | None, str, str | None]:
    """(channel, user, peer) of a history request, under any of its names; user is "" for a channel's."""
    if asked.channel is not None and service not in ("get_messages", "history_messages"):
        return names.channel_name(asked.channel), "", None
    user = asked.user or asked.username
    if user is None:
        raise Refused("history_invalid", "Diga o canal ou o usuário")
    return None, names.user_name(user), names.user_name(asked.peer) if asked.peer else None


def publication_of(row: MessageRow) -> dict[str, Any]:
    """A message of the history in the form of a publication."""
    if row.kind == Kind.CHANNEL_MESSAGE:
        whom = {"channel": row.to, "user": row.user}
    else:
        whom = {"from": row.user, "src": row.user, "dst": row.to}
    return {
        **whom,
        "message": row.message,
        "timestamp": row.wall_ms // 1000,
        "clock": row.lamport,
        "origin": row.origin,
        "seq": row.seq,
        "prev": row.prev,
        "id": row.id,
    }
