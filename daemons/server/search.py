"""The service `search`: messages with certain words, for who may read them.

The index is asked in a worker thread, one search at a time; what it finds are places in the log.  The event
loop reads them as it reads a page of history, leaves out what the reader may not see and what is a copy,
and goes on until the page is full or the time is over.
"""

from collections import deque
from typing import Final

import msgspec
import trio

from daemons.server.calls import Call
from daemons.server.drafts import Missing
from daemons.server.indexing import Indexing
from daemons.server.node import Node
from daemons.server.rationing import BYTES_PER_TOKEN
from daemons.server.reads import BEHIND_TEXT, MESSAGE_FIELDS_BYTES, Behind, publication_of
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import (
    SEARCH_HIDDEN_CHANNELS_MAX,
    SEARCH_MESSAGES_DEFAULT,
    SEARCH_MESSAGES_MAX,
    SEARCH_SECONDS,
    SEARCH_WAIT_SECONDS,
    SEARCH_WAITING_MAX,
    SEARCH_WAITING_PER_CLIENT_MAX,
)
from recado.protocol.messages import Kind
from recado.protocol.policy import Role
from recado.protocol.searching import Search as Asked
from recado.protocol.searching import terms
from recado.protocol.vector import covers
from recado.texts import wire_text
from storage.replica import StorageError
from storage.rows import MessageRow
from storage.search import Index, Interrupted, SearchFailed, Spot, number_after, stamp_of
from storage.search_query import Query

SPARE_ROWS: Final = 8  # looked up at first besides a page: copies that are not shown; then twice as many,
ROWS_MAX: Final = 512  # and no more at once: a page of history takes as long
INTERRUPT_SECONDS: Final = 0.02  # between two interrupts of a search that is to end
SECONDS_PER_TOKEN: Final = 0.002  # of searching; a page's bytes are paid for besides


class Looking(msgspec.Struct, frozen=True):
    """A search that waits for its turn.  `reader`: the user id of who asks, if that is somebody."""

    call: Call
    asked: Asked
    query: Query
    reader: bytes | None
    since: float


class Found(msgspec.Struct):
    """What a search has found: `rows`, the last first; `below` which row of the index to go on."""

    rows: list[MessageRow] = []
    below: int | None = None
    partial: bool = False


class Search:
    """The handler `search`, and the task `run`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._indexing = Indexing(node)
        self._waiting: dict[object, deque[Looking]] = {}  # by who asks: each has a turn
        self._asked = trio.Event()

    def search(self, call: Call, asked: Asked) -> None:
        """Check, and queue it for `run`."""
        node = self._node
        if not node.config.search.enabled:
            raise Refused("search_off", wire_text("search_off"))
        if asked.session and not covers(node.entries.durable, asked.session):
            raise Behind("behind", BEHIND_TEXT)
        query, reader = self._query(call, asked)
        who = _who(call)
        all_of_them = sum(map(len, self._waiting.values()))
        crowded = all_of_them >= SEARCH_WAITING_MAX
        if self._indexing.index is None or crowded or len(self._waiting.get(who, ())) >= _most(call):
            raise Refused("busy", wire_text("busy"))
        self._waiting.setdefault(who, deque()).append(
            Looking(call, asked, query, reader, trio.current_time())
        )
        self._asked.set()

    # What is asked for --------------------------------------------------------------------------

    def _query(self, call: Call, asked: Asked) -> tuple[Query, bytes | None]:
        """What to look for, and the user id of who reads.  Raises `Refused` for who may not."""
        node, actor = self._node, call.actor
        looked = terms(asked.text)
        author = None if asked.author is None else self._user(asked.author)
        reader = actor.user and actor.user.uid
        if asked.user and (asked.direct or actor.role in (Role.OPEN, Role.GATEWAY)):
            reader = node.accounts.speaker(actor, asked.user).uid
        if asked.direct:
            if asked.channel is not None or not asked.user:
                raise Refused("history_invalid", wire_text("history_invalid"))
            peer = None if asked.peer is None else self._user(asked.peer)
            return Query(terms=looked, user=reader, peer=peer, author=author), reader
        operator = actor.role is Role.OPERATOR
        if asked.channel is not None:
            channel = names.channel_name(asked.channel)
            node.channels.readable(channel, reader, operator=operator)
            return Query(terms=looked, channel=channel, author=author), reader
        hidden = tuple(node.channels.hidden_from(reader, operator=operator))
        hidden = hidden if len(hidden) <= SEARCH_HIDDEN_CHANNELS_MAX else ()
        return Query(terms=looked, hidden=hidden, author=author), reader

    def _user(self, name: str) -> bytes:
        uid = self._node.accounts.find(names.user_name(name))
        if uid is None:
            raise Missing("user_missing", wire_text("user_missing"))
        return uid

    # Looking --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The task: let the index follow, and beside that serve one search after the other."""
        async with trio.open_nursery() as beside:
            beside.start_soon(self._indexing.run)
            await self._serve_all()

    async def _serve_all(self) -> None:
        while True:
            while self._waiting:
                who = next(iter(self._waiting))
                theirs = self._waiting.pop(who)
                one = theirs.popleft()
                if theirs:
                    self._waiting[who] = theirs  # at the end
                await self._serve(one)
            self._asked = trio.Event()
            await self._asked.wait()

    async def _serve(self, one: Looking) -> None:
        node = self._node
        start = trio.current_time()
        try:
            if start - one.since > SEARCH_WAIT_SECONDS:
                raise Refused("busy", wire_text("busy"))
            found = await self._look(one, deadline=start + SEARCH_SECONDS)
        except Refused as refused:
            node.refresh()
            one.call.refuse(refused, {"retry_after": 1} if refused.code == "busy" else None)
        except StorageError:
            raise
        except Exception as error:  # the boundary of a request: a fault in one search ends nothing else
            node.log.error("fault while serving", service="search", exc_info=error)
            one.call.refuse(Refused("internal", wire_text("internal")))
        else:
            node.refresh()
            self._reply(one, found, seconds=trio.current_time() - start)
        node.replies.flush()

    def _reply(self, one: Looking, found: Found, *, seconds: float) -> None:
        node = self._node
        limit = _limit(one.asked)
        rows = sorted(found.rows, key=lambda row: row.key)[-limit:]
        told = {
            "messages": [publication_of(row) for row in rows],
            "more": found.below is not None or found.partial or len(found.rows) > limit,
            "partial": found.partial,
            "lag": self._indexing.lag,
        }
        one.call.reply({"status": "OK", **told, "server": node.name, "boot": node.boot})
        size = sum(len(row.message) + MESSAGE_FIELDS_BYTES for row in rows)
        size += int(seconds / SECONDS_PER_TOKEN) * BYTES_PER_TOKEN
        node.rationing.told(one.call.principal, size)

    async def _look(self, one: Looking, *, deadline: float) -> Found:
        """Go through what the index has, the last first, until a page and one more are found."""
        before, limit, most = one.asked.before, _limit(one.asked), _limit(one.asked) + SPARE_ROWS
        found = Found(below=None if before is None else number_after(before[0]))
        allowed: dict[str, bool] = {}
        while True:
            try:
                spots = await self._spots(one.query, found, most=most, deadline=deadline)
            except Interrupted:
                found.partial = True
                return found
            whose = {"user": one.query.user, "peer": one.query.peer}
            rows = self._node.store.messages_at(one.query.kind, spots, **whose)
            found.rows += [
                row
                for row in rows
                if (before is None or row.key < before) and self._may_read(one, row, allowed)
            ]
            if found.below is None or _is_full(found, limit):
                return found
            if trio.current_time() >= deadline:
                found.partial = True
                return found
            most = min(2 * most, ROWS_MAX)

    async def _spots(self, query: Query, found: Found, *, most: int, deadline: float) -> list[Spot]:
        """The next places, in a worker thread; `found.below` moves.  Raises `Interrupted`, `Refused`."""
        ends: list[tuple[list[Spot], int | None] | Interrupted | SearchFailed] = []
        async with self._indexing.reading:
            index = self._indexing.index
            if index is None:
                raise Refused("busy", wire_text("busy"))

            back: list[None] = []

            def work() -> None:
                try:
                    ends.append(index.find(query, below=found.below, most=most))
                except (Interrupted, SearchFailed) as error:
                    ends.append(error)
                finally:
                    back.append(None)

            async with trio.open_nursery() as beside:
                beside.start_soon(_interrupt, index, deadline, back)
                with trio.CancelScope(shield=True):
                    await self._node.surroundings.aside(work)
                beside.cancel_scope.cancel()
        end = ends[0]
        if isinstance(end, SearchFailed):
            self._indexing.failed(end)
            raise Refused("busy", wire_text("busy"))
        if isinstance(end, Interrupted):
            raise end
        spots, found.below = end
        return spots

    def _may_read(self, one: Looking, row: MessageRow, allowed: dict[str, bool]) -> bool:
        """Whether it is looked for, and the reader's to read, as the log says now, not the index."""
        query = one.query
        if query.author is not None and row.author != query.author:
            return False
        if row.kind == Kind.USER_MESSAGE:
            return True  # was read as one of the reader's
        if query.channel is not None and row.to != query.channel:
            return False
        if row.to not in allowed:
            operator = one.call.actor.role is Role.OPERATOR
            try:
                self._node.channels.readable(row.to, one.reader, operator=operator)
                allowed[row.to] = True
            except Refused:
                allowed[row.to] = False
        return allowed[row.to]


def _who(call: Call) -> object:
    """Whose searches take turns: by key, address, or where neither is known by connection."""
    who = call.principal
    return who.key or who.address or call.envelope[:1]


def _most(call: Call) -> int:
    """How many may wait; a broker asks for many."""
    return SEARCH_WAITING_MAX if call.principal.role == "broker" else SEARCH_WAITING_PER_CLIENT_MAX


async def _interrupt(index: Index, deadline: float, back: list[None]) -> None:
    """End what a thread looks for at the deadline, or when the server stops, until the thread is back.

    More than once: an interrupt that comes before the statement has begun ends nothing.
    """
    try:
        await trio.sleep_until(deadline)
    finally:
        with trio.CancelScope(shield=True):
            while not back:
                index.interrupt()
                await trio.sleep(INTERRUPT_SECONDS)


def _limit(asked: Asked) -> int:
    limit = SEARCH_MESSAGES_DEFAULT if asked.limit is None else asked.limit
    return max(1, min(limit, SEARCH_MESSAGES_MAX))


def _is_full(found: Found, limit: int) -> bool:
    """Whether the last `limit` are certain: rows of one stamp come in no order of their own."""
    if len(found.rows) <= limit or found.below is None:
        return False
    last = sorted((row.lamport for row in found.rows), reverse=True)[limit - 1]
    return stamp_of(found.below) < last
