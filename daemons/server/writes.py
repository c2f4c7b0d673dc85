"""Writes of clients: login, channel, publish, message (and the plain form of replicate).

Each is checked, given its place in the log, and answered after the commit at the level asked.  A
retry is recognised by its ident (A8-A12) and waits for the same level again; the same id with other
content is refused.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from daemons.server.calls import Call
from daemons.server.commit import After
from daemons.server.node import Node
from recado.protocol import names
from recado.protocol.entry import hash16, names_extra
from recado.protocol.errors import Refused
from recado.protocol.messages import CreateChannel, Entry, Kind, Level, Login, Message, Publish, Write
from storage.replica import FoundEntry, StorageFull

Content = tuple[int, str | bytes | None, bytes]  # kind, target, hash of the body
LEVELS = {level.value: level for level in Level}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry before it has a place in the log, and the success data of its answer."""

    kind: Kind
    author: bytes | None
    target: str | bytes
    body: bytes = b""
    extra: bytes | None = None
    status: str = "OK"
    wall_ms: int | None = None

    @property
    def content(self) -> Content:
        return (int(self.kind), self.target, hash16(self.body))


class Missing(Refused):
    """What is named does not exist here; a peer may have it on the way."""


class Writes:
    """Checks and appends.  All methods are synchronous; answers come from the commit task."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pending: dict[bytes, list[Entry]] = {}  # by id: appended, not yet durable
        self._found: dict[bytes, list[FoundEntry]] = {}  # by id: durable, looked up for this batch
        self._default_level = LEVELS[node.config.server.default_level]
        node.commits.appliers.append(self._committed)
        node.commits.voided.append(self._pending.clear)

    # One lookup for a whole batch of requests -------------------------------------------------

    def prefetch(self, calls: Iterable[Call]) -> None:
        """Derive the ids of the writes among `calls` and look all of them up at once."""
        ids = []
        for call in calls:
            if isinstance(call.asked.data, Write):
                try:
                    call.id = request_id(call)
                except Refused:
                    continue  # the handler meets the same refusal and answers it
                if call.id is not None:
                    ids.append(call.id)
        self._found = self._node.store.find_ids(ids) if ids else {}

    # Services -----------------------------------------------------------------------------------

    def login(self, call: Call, asked: Login) -> None:
        name = names.user_name(asked.user)
        draft = Draft(kind=Kind.LOGIN, author=names.uid(name), target=name, status="sucesso")
        if self._known(call, draft, asked):
            return
        uid = names.uid(name)
        if self._node.directory.has_user(uid):
            self._refuse_taken(call, uid, Refused("user_taken", "Usuário já existe"))
            return
        self._append(call, draft, asked)
        self._node.log.info("registering user", user=name)

    def create_channel(self, call: Call, asked: CreateChannel) -> None:
        name = names.channel_name(asked.channel)
        author = names.uid(names.user_name(asked.user)) if asked.user else None
        draft = Draft(kind=Kind.CHANNEL, author=author, target=name, status="sucesso")
        if self._known(call, draft, asked):
            return
        if self._node.directory.has_channel(name):
            self._refuse_taken(call, name, Refused("channel_taken", "Canal já existe"))
            return
        self._append(call, draft, asked)
        self._node.log.info("creating channel", channel=name)

    def publish(self, call: Call, asked: Publish) -> None:
        user = names.user_name(asked.user)
        channel = names.channel_name(asked.channel)
        text = names.text(asked.message)
        if not self._node.directory.has_channel(channel):
            raise Missing("channel_missing", "Canal não existe")
        self._say(call, asked, user=user, kind=Kind.CHANNEL_MESSAGE, target=channel, text=text)

    def message(self, call: Call, asked: Message) -> None:
        src = names.user_name(asked.src)
        dst = names.uid(names.user_name(asked.dst))
        text = names.text(asked.message)
        if not self._node.directory.has_user(dst):
            raise Missing("user_missing", "Usuário de destino não existe")
        self._say(call, asked, user=src, kind=Kind.USER_MESSAGE, target=dst, text=text)

    def _say(
        self, call: Call, asked: Write, *, user: str, kind: Kind, target: str | bytes, text: str
    ) -> None:
        uid = names.uid(user)
        known = self._node.directory.has_user(uid)
        if not known and not self._node.config.server.open:
            raise Missing("sender_missing", "Usuário de origem não existe")
        extra = None if known else names_extra(user)
        draft = Draft(kind=kind, author=uid, target=target, body=text.encode(), extra=extra)
        if not self._known(call, draft, asked):
            self._append(call, draft, asked)

    def replicate_plain(self, call: Call, kind: str, content: Any) -> None:
        """`replicate` of another project's server: stored once, whoever else got it too."""
        draft = plain_draft(kind, content)
        call.id = plain_id(kind, content)
        self._found = self._node.store.find_ids([call.id])
        if not self._known(call, draft, Write(level=Level.LOCAL)):
            self._append(call, draft, Write(level=Level.LOCAL))

    # Ids, levels, appending ---------------------------------------------------------------------

    def _known(self, call: Call, draft: Draft, asked: Write) -> bool:
        """Whether this write is in the log already; then it waits for its level like a new one (A9)."""
        if call.id is None:
            names.identifier(asked.id)  # refused here if it could not be read
            return False
        if call.id not in self._pending and call.id not in self._found:
            return False
        level = self._level(asked)
        for entry in self._pending.get(call.id, ()):
            if entry.author == draft.author:
                if (refusal := self._node.commits.refusal) is not None:
                    raise refusal
                self._same((entry.kind, entry.target, hash16(entry.body)), draft)
                self._node.commits.after(self._answer(call, draft, asked, level, entry))
                return True
        for found in self._found.get(call.id, ()):
            if found.author == draft.author:
                self._same((found.kind, found.target, found.body_hash16), draft)
                self._settle(call, draft, asked, level, found)
                return True
        return False

    def _same(self, content: Content, draft: Draft) -> None:
        if content != draft.content:
            raise Refused("id_reused", "Este id já foi usado com outro conteúdo")

    def _append(self, call: Call, draft: Draft, asked: Write) -> None:
        node = self._node
        level = self._level(asked)
        if node.draining:
            raise Refused("draining", "Servidor encerrando; use outro servidor")
        if (refusal := node.commits.refusal) is not None:
            raise refusal
        if node.fresh and not call.checked:
            raise Missing("busy", "Servidor ocupado; tente de novo")
        if level is not Level.LOCAL and node.acks.full:
            raise Refused("busy", "Servidor ocupado; tente de novo")
        now_ms = node.batch_ms
        entry = node.entries.append(
            lamport=node.clock.value,
            wall_ms=now_ms if draft.wall_ms is None else draft.wall_ms,
            kind=draft.kind,
            author=draft.author,
            id=call.id or names.minted_id(now_ms, node.surroundings.entropy(10)),
            target=draft.target,
            body=draft.body,
            extra=draft.extra,
        )
        node.directory.appended(entry)
        self._pending.setdefault(entry.id or b"", []).append(entry)
        node.commits.keep(entry, self._answer(call, draft, asked, level, entry))

    def _answer(self, call: Call, draft: Draft, asked: Write, level: Level, entry: Entry) -> After:
        def answer(full: StorageFull | None) -> None:
            if full is not None:
                call.refuse(_disk_full())
            else:
                self._settle(call, draft, asked, level, entry)

        return answer

    def _settle(
        self, call: Call, draft: Draft, asked: Write, level: Level, entry: Entry | FoundEntry
    ) -> None:
        origin, seq = entry.origin, entry.seq
        data: dict[str, object] = {
            "status": draft.status,
            "level": level,
            "key": (entry.lamport, origin, seq),
            "server": self._node.name,
        }
        if asked.id is not None:
            data["id"] = asked.id
        self._node.settle(call, data, origin=origin, seq=seq, level=level)

    def _level(self, asked: Write) -> Level:
        if not asked.level:
            return self._default_level
        level = LEVELS.get(asked.level)
        if level is None:
            raise Refused("level_invalid", "level: local, quorum ou all")
        return level

    def _refuse_taken(self, call: Call, what: str | bytes, refused: Refused) -> None:
        """Refuse because it exists; if only in what is not durable yet, say so after the commit."""
        if self._node.directory.is_pending(what):
            self._node.commits.after(lambda full: call.refuse(refused if full is None else _disk_full()))
        else:
            call.refuse(refused)

    def _committed(self, entries: Iterable[Entry]) -> None:
        pending = self._pending
        for entry in entries:
            ident = entry.id or b""
            waiting = pending.get(ident)
            if waiting is not None and entry in waiting:
                waiting.remove(entry)
                if not waiting:
                    del pending[ident]


def _disk_full() -> Refused:
    return Refused("storage_full", "Disco cheio; nada foi guardado")


def request_id(call: Call) -> bytes | None:
    """A write's id: the client's own, or derived if a byte-identical resend can be told (A12)."""
    asked = call.asked.data
    assert isinstance(asked, Write)
    given = names.identifier(asked.id)
    if given is not None or asked.clock is None or asked.timestamp is None:
        return given
    parts: tuple[str, ...] = ()
    match asked:
        case Login(user=user):
            parts = ("login", user.strip())
        case CreateChannel(channel=channel):
            parts = ("channel", channel.strip())
        case Publish(user=user, channel=channel, message=text):
            parts = ("publish", user.strip(), channel.strip(), text)
        case Message(src=src, dst=dst, message=text):
            parts = ("message", src.strip(), dst.strip(), text)
    return names.derived_id(parts, timestamp=asked.timestamp, clock=call.asked.clock)


def plain_draft(kind: str, content: Any) -> Draft:
    """What a plain `replicate` asks to keep, validated like a client's request.

    It is shown with the time it was said, if `content` tells one.
    """
    wall_ms = names.wall_ms(content.get("timestamp")) if isinstance(content, dict) else None
    match kind, content:
        case "login", {"username": str(user)}:
            name = names.user_name(user)
            return Draft(kind=Kind.LOGIN, author=names.uid(name), target=name, wall_ms=wall_ms)
        case "channel", str(channel) | {"channel": str(channel)} | {"name": str(channel)}:
            return Draft(kind=Kind.CHANNEL, author=None, target=names.channel_name(channel))
        case "channel_message", {"user": str(user), "channel": str(channel), "message": str(text)}:
            author = names.user_name(user)
            return Draft(
                kind=Kind.CHANNEL_MESSAGE,
                author=names.uid(author),
                target=names.channel_name(channel),
                body=names.text(text).encode(),
                extra=names_extra(author),
                wall_ms=wall_ms,
            )
        case "user_message", {"src": str(src), "dst": str(dst), "message": str(text)}:
            author, receiver = names.user_name(src), names.user_name(dst)
            return Draft(
                kind=Kind.USER_MESSAGE,
                author=names.uid(author),
                target=names.uid(receiver),
                body=names.text(text).encode(),
                extra=names_extra(author, dst=receiver),
                wall_ms=wall_ms,
            )
    raise Refused("replicate_invalid", "replicate: type ou content inválido")


def plain_id(kind: str, content: Any) -> bytes:
    """From type and content alone: every server that gets it derives the same id."""
    fields = sorted(content.items(), key=repr) if isinstance(content, dict) else [("name", content)]
    timestamp = content.get("timestamp") if isinstance(content, dict) else None
    parts = (kind, *(f"{key}={value!r}" for key, value in fields))
    return names.derived_id(parts, timestamp=timestamp, clock=None)
