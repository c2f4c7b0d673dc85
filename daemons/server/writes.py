"""Writes of clients: login, channel, publish, message (and the plain form of replicate).

Each is checked, given its place in the log, and answered after the commit at the level asked.  A
retry is recognised by its ident (A8-A12) and waits for the same level again; the same id with other
content is refused.
"""

from collections.abc import Iterable
from typing import Any

from daemons.server.accounts import Speaker
from daemons.server.bundle import Bundle
from daemons.server.calls import Call
from daemons.server.commit import After
from daemons.server.drafts import (
    LEVELS,
    Content,
    Draft,
    Missing,
    disk_full,
    plain_draft,
    plain_id,
    request_id,
)
from daemons.server.node import Node
from daemons.server.registration import Registration
from recado.protocol import names
from recado.protocol.entry import hash16, names_extra
from recado.protocol.errors import Refused
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.messages import CreateChannel, Entry, Kind, Level, Login, Message, Publish, Write
from recado.protocol.rules import ChannelBody, body_of
from storage.replica import FoundEntry, StorageFull


class Writes:
    """Checks and appends.  All methods are synchronous; answers come from the commit task."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.registration = Registration(node, self)
        self.pending: dict[bytes, list[Entry]] = {}  # by id: appended, not yet durable
        self.found: dict[bytes, list[FoundEntry]] = {}  # by id: durable, looked up for this batch
        self._default_level = LEVELS[node.config.server.default_level]
        node.commits.appliers.append(self._committed)
        node.commits.voided.append(self.pending.clear)

    # One lookup for a whole batch of requests -------------------------------------------------

    def prefetch(self, calls: Iterable[Call]) -> None:
        """Derive the ids of the writes among `calls` and look all of them up at once."""
        ids = []
        for call in calls:
            if isinstance(call, Bundle):
                ids += [ident for ident in call.ids if ident]
            elif isinstance(call.asked.data, Write):
                try:
                    call.id = request_id(call)
                except Refused:
                    continue  # the handler meets the same refusal and answers it
                if call.id is not None:
                    ids.append(call.id)
        self.found = self._node.store.find_ids(ids) if ids else {}

    # Services -----------------------------------------------------------------------------------

    def login(self, call: Call, asked: Login) -> None:
        if self._node.accounts.secured:
            self.registration.login(call, asked)
            return
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
        node = self._node
        name = names.channel_name(asked.channel)
        author = self._founder(call, asked)
        body = body_of(ChannelBody(private=bool(asked.private)))
        draft = Draft(
            kind=Kind.CHANNEL, author=author and author.uid, target=name, body=body, status="sucesso"
        )
        if self._known(call, draft, asked):
            return
        secured = node.accounts.secured  # then a channel of which only messages speak can be created
        if node.channels.exists(name) if secured else node.directory.has_channel(name):
            self._refuse_taken(call, name, Refused("channel_taken", "Canal já existe"))
            return
        if secured:
            node.channels.check_name(names.new_name(name))
        if author is not None:
            node.rationing.message(author.uid, node.batch_now, bot=author.bot)
        self._append(call, draft, asked)
        node.log.info("creating channel", channel=name)

    def _founder(self, call: Call, asked: CreateChannel) -> Speaker | None:
        """Whose channel it becomes: in open mode it may be nobody's."""
        if asked.user:
            return self._node.accounts.speaker(call.actor, asked.user)
        if self._node.accounts.secured:
            return self._node.accounts.speaker(call.actor, call.actor.name)
        return None

    def publish(self, call: Call, asked: Publish) -> None:
        author = self._node.accounts.speaker(call.actor, asked.user)
        channel = names.channel_name(asked.channel)
        text = names.text(asked.message)
        if not self._node.directory.has_channel(channel):
            raise Missing("channel_missing", "Canal não existe")
        self._say(call, asked, author=author, kind=Kind.CHANNEL_MESSAGE, target=channel, text=text)

    def message(self, call: Call, asked: Message) -> None:
        author = self._node.accounts.speaker(call.actor, asked.src)
        dst = self._node.accounts.find(names.user_name(asked.dst))
        text = names.text(asked.message)
        if dst is None or not self._node.directory.has_user(dst):
            raise Missing("user_missing", "Usuário de destino não existe")
        self._say(call, asked, author=author, kind=Kind.USER_MESSAGE, target=dst, text=text)

    def _say(
        self, call: Call, asked: Write, *, author: Speaker, kind: Kind, target: str | bytes, text: str
    ) -> None:
        node = self._node
        known = node.directory.has_user(author.uid)
        if not known and not node.config.server.open:
            raise Missing("sender_missing", "Usuário de origem não existe")
        extra = None if known else names_extra(author.name)
        draft = Draft(kind=kind, author=author.uid, target=target, body=text.encode(), extra=extra)
        if self._known(call, draft, asked):
            return
        channel = target if isinstance(target, str) else None
        if channel is not None:
            node.channels.check_say(author.uid, channel, operator=author.operator)
        node.rationing.message(author.uid, node.batch_now, bot=author.bot, channel=channel)
        self._append(call, draft, asked)

    def replicate_plain(self, call: Call, kind: str, content: Any) -> None:
        """`replicate` of another project's server: stored once, whoever else got it too."""
        draft = plain_draft(kind, content)
        call.id = plain_id(kind, content)
        self.found = {**self.found, **self._node.store.find_ids([call.id])}
        if not self._known(call, draft, Write(level=Level.LOCAL)):
            self._append(call, draft, Write(level=Level.LOCAL))

    # Ids, levels, appending ---------------------------------------------------------------------

    def known(self, call: Call, draft: Draft, asked: Write) -> bool:
        """Whether this write is in the log already; then it is answered as a new one would be."""
        return self._known(call, draft, asked)

    def append(self, call: Call, draft: Draft, asked: Write) -> None:
        """Give it a place in the log, and answer when it is durable as far as asked.  Raises `Refused`."""
        self._append(call, draft, asked)

    def settle_at(self, call: Call, asked: Write, data: dict[str, object], *, origin: str, seq: int) -> None:
        """Answer for an entry that is durable here, at the level asked."""
        level = self._level(asked)
        self._node.settle(call, {**data, "level": level}, origin=origin, seq=seq, level=level)

    def _known(self, call: Call, draft: Draft, asked: Write) -> bool:
        """Whether this write is in the log already; then it waits for its level like a new one (A9)."""
        if call.id is None:
            names.identifier(asked.id)  # refused here if it could not be read
            return False
        if call.id not in self.pending and call.id not in self.found:
            return False
        level = self._level(asked)
        for entry in self.pending.get(call.id, ()):
            if entry.author == draft.author:
                if (refusal := self._node.commits.refusal) is not None:
                    raise refusal
                self._same((entry.kind, entry.target, hash16(entry.body)), draft)
                self._node.commits.after(self._answer(call, draft, asked, level, entry))
                return True
        for found in self.found.get(call.id, ()):
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
        if node.clock.value >= LAMPORT_LIMIT:
            raise Refused("clock_exhausted", "Relógio lógico do servidor esgotado; use outro servidor")
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
        node.channels.appended(entry)
        self.pending.setdefault(entry.id or b"", []).append(entry)
        node.commits.keep(entry, self._answer(call, draft, asked, level, entry))

    def _answer(self, call: Call, draft: Draft, asked: Write, level: Level, entry: Entry) -> After:
        def answer(full: StorageFull | None) -> None:
            if full is not None:
                call.refuse(disk_full())
            else:
                self._settle(call, draft, asked, level, entry)

        return answer

    def _settle(
        self, call: Call, draft: Draft, asked: Write, level: Level, entry: Entry | FoundEntry
    ) -> None:
        origin, seq = entry.origin, entry.seq
        data: dict[str, object] = {
            **draft.told,
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
            self._node.commits.after(lambda full: call.refuse(refused if full is None else disk_full()))
        else:
            call.refuse(refused)

    def _committed(self, entries: Iterable[Entry]) -> None:
        pending = self.pending
        for entry in entries:
            ident = entry.id or b""
            waiting = pending.get(ident)
            if waiting is not None and entry in waiting:
                waiting.remove(entry)
                if not waiting:
                    del pending[ident]
