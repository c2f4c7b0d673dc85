"""One followed target, a channel or a user's direct messages: its machine, and the task that serves it.

The machine (`recado.protocol.subscription`) decides; this file asks servers for the history it wants
and lays what it shows into the reader's queue.  An item of the queue also says how far the reader has
come once it has taken that item, so that the cursor speaks of what was read and not of what waits.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from recado import values
from recado.connection import Connection
from recado.failures import NoAnswer, RefusedByServer
from recado.protocol import names
from recado.protocol.copies import ident_digest
from recado.protocol.limits import (
    CURSOR_IDENTS_MAX,
    HISTORY_MESSAGES_DEFAULT,
    HISTORY_MESSAGES_MAX,
    SUBSCRIPTION_BUFFER_MESSAGES,
)
from recado.protocol.publications import beacon_heads, ident_of, seqs, target_key, topic
from recado.protocol.subscription import Audit, Effect, Fetch, Lost, Moved, Show, Subscription
from recado.protocol.vector import Vector
from recado.values import Change, Key, Message, Unreadable

_log = logging.getLogger("recado")


class Target(NamedTuple):
    """What is followed: a channel, or the direct messages that come to `user`."""

    channel: str | None
    user: str | None

    @property
    def key(self) -> str:
        """As beacons and cursors call it."""
        return target_key(self.channel if self.channel is not None else names.uid(self.user or ""))

    @property
    def topic(self) -> bytes:
        return topic(self.channel if self.channel is not None else self.user or "")

    @property
    def whose(self) -> dict[str, str]:
        """The fields of a history request."""
        return {"channel": self.channel} if self.channel is not None else {"user": self.user or ""}

    def concerns(self, body: Mapping[str, Any]) -> bool:
        """A subscription matches prefixes, and users share topics with channels: look at the body."""
        if self.channel is not None:
            return "dst" not in body and body.get("channel", self.channel) == self.channel
        return body.get("dst") == self.user and "channel" not in body


class Resumed(NamedTuple):
    """Where an earlier subscription to a target ended, and the idents it showed last (digest → stamp)."""

    cursor: Mapping[str, int]
    idents: Mapping[str, int]


@dataclass(slots=True)
class Item:
    """What the reader takes: a message, a change of one, or neither; and how far it is read with it."""

    follower: "Follower"
    message: Message | None = None
    change: Change | None = None
    read: Vector | None = None  # the whole vector
    place: tuple[str, int] | None = None  # or one component of it
    ident: str | None = None  # the digest by which a copy of the message is recognised


class Queue:
    """What waits for the reader.  Followers stop fetching and receiving while it is `full`.

    It may exceed its limit by the one page or batch that was under way.
    """

    def __init__(self, messages_max: int = SUBSCRIPTION_BUFFER_MESSAGES) -> None:
        self.items: deque[Item] = deque()
        self.closed = False
        self._messages_max = messages_max
        self._changed = anyio.Event()

    @property
    def full(self) -> bool:
        return len(self.items) >= self._messages_max

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self.changed()

    def changed(self) -> None:
        """Wake whoever waits for room or for an item."""
        self._changed.set()
        self._changed = anyio.Event()

    async def room(self) -> None:
        while self.full:
            await self._changed.wait()

    async def item(self) -> Item | None:
        """The next item; None once closed and empty.  Cancelled, it has taken none."""
        await anyio.lowlevel.checkpoint()
        while not self.items:
            if self.closed:
                return None
            await self._changed.wait()
        item = self.items.popleft()
        self.changed()
        return item


class Follower:
    """Follows one target until its task `run` is cancelled.  `cursor` is how far it was read."""

    def __init__(
        self,
        target: Target,
        connection: Connection,
        queue: Queue,
        *,
        resumed: Resumed | None,
        backlog: int,
        most: int | None,
        quiet_seconds: float,
        polling: bool,
        audit: Callable[["Follower", Audit], None],
    ) -> None:
        self.target = target
        self.tried = anyio.Event()  # the first page has come, or could not be had
        self.cursor: Vector | None = None if resumed is None else dict(resumed.cursor)
        self.idents: dict[str, int] = {} if resumed is None else dict(resumed.idents)
        self.following = True
        self._scope = anyio.CancelScope()
        self._connection = connection
        self._queue = queue
        self._audit = audit
        self._quiet_seconds = quiet_seconds
        self._polling = polling
        if resumed is None or most is not None:
            seen = None if resumed is None else resumed.cursor
            count = backlog if seen is None or most is None else most
            self._machine = Subscription(backlog=count, seen=seen, known=self.idents)
        else:
            self._machine = Subscription(resumed.cursor, known=self.idents)
        self._laid: Vector | None = None  # the vector that the last item laid into the queue carries
        self._fetch: Fetch | None = None
        self._wake = anyio.Event()
        self._look_at = math.inf
        self._without_history = False

    def stop(self) -> None:
        """End `run`; items of this follower that wait are to be dropped."""
        self.following = False
        self._scope.cancel()

    # From the broker -----------------------------------------------------------------------------

    def heard(self) -> None:
        """The broker is alive: nothing was missed without a later beacon telling so."""
        self._look_at = anyio.current_time() + self._quiet_seconds

    def published(self, body: Mapping[str, Any]) -> None:
        if not self.target.concerns(body):
            return
        self._connection.clock.receive(values.clock_of(body))
        self._carry_out(self._machine.published(body, now=anyio.current_time()))

    def beacon(self, body: Mapping[str, Any]) -> None:
        server, boot = body.get("server"), body.get("boot")
        effects = self._machine.beacon(
            beacon_heads(body, self.target.key),
            now=anyio.current_time(),
            server=server if isinstance(server, str) else "",
            boot=boot if isinstance(boot, str) else "",
            vector=seqs(body.get("vector")),
        )
        self._carry_out(effects)

    def audited(self, most: Mapping[str, int] | None) -> None:
        """What all members together have of the origins asked about; None: not all have answered."""
        self._carry_out(self._machine.audited(most, now=anyio.current_time()))

    # The task ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the machine: fetch what it asks for, tick when it is due, look when it is quiet."""
        with self._scope:
            self.heard()
            while True:
                await self._queue.room()
                now = anyio.current_time()
                if self._fetch is not None:
                    await self._answer(self._fetch)
                elif self._due() <= now:
                    self._carry_out(self._machine.tick(now))
                elif self._look_at <= now:
                    await self._look()
                else:
                    with anyio.move_on_after(max(0.0, min(self._due(), self._look_at) - now)):
                        await self._wake.wait()

    def _due(self) -> float:
        deadline = self._machine.deadline
        return math.inf if deadline is None else deadline

    async def _answer(self, fetch: Fetch) -> None:
        fields: dict[str, Any] = {**self.target.whose, "limit": fetch.limit or HISTORY_MESSAGES_MAX}
        if fetch.since is not None:
            fields["since"] = fetch.since
        try:
            messages, upto, more = await self._history(fields, elsewhere=fetch.elsewhere)
        except (NoAnswer, Unreadable) as error:
            _log.debug("history of %s: %s", self.target.key, error)
            self._answered(fetch)
            effects = self._machine.failed(fetch.request_no, now=anyio.current_time())
        else:
            self._answered(fetch)
            effects = self._machine.page(
                messages, upto=upto, more=more, request_no=fetch.request_no, now=anyio.current_time()
            )
        self._carry_out(effects, opening=fetch.since is None)
        self.tried.set()

    def _answered(self, fetch: Fetch) -> None:
        if self._fetch is fetch:  # an audit may have put another in its place
            self._fetch = None

    async def _history(
        self, fields: Mapping[str, Any], *, elsewhere: bool
    ) -> tuple[list[Mapping[str, Any]], dict[str, int], bool]:
        """(messages of this target, upto, more).  A server without history has nothing, and no more."""
        try:
            answer = await self._connection.read("history", fields, elsewhere=elsewhere)
        except RefusedByServer as error:
            _log.debug("history of %s refused: %s", self.target.key, error)
            self._without_history = True
            return [], {}, False
        self._without_history = False
        found = answer.data.get("messages")
        if not isinstance(found, list):
            raise Unreadable("no list of messages")
        messages: list[Mapping[str, Any]] = [m for m in found if isinstance(m, dict)]
        messages = [m for m in messages if self.target.concerns(m)]
        upto = values.vector(answer.data.get("upto"))
        if self._polling:  # what beacons would tell
            self.beacon({**answer.data, "vector": upto})
        return messages, upto, answer.data.get("more") is True

    async def _look(self) -> None:
        """Nothing was heard for long: treat the history as if it were just being published."""
        self.heard()
        cursor = self._machine.cursor
        if cursor is None or self._without_history:
            return
        fields = {**self.target.whose, "since": cursor, "limit": HISTORY_MESSAGES_DEFAULT}
        try:
            messages, _, more = await self._history(fields, elsewhere=not self._polling)
        except (NoAnswer, Unreadable) as error:
            _log.debug("history of %s: %s", self.target.key, error)
            return
        for message in messages:
            self.published(message)
        if more and self._machine.cursor != cursor:
            self._look_at = anyio.current_time()

    # To the reader -------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect], *, opening: bool = False) -> None:
        items = self._queue.items
        shown = 0
        for effect in effects:
            if isinstance(effect, Fetch):
                self._fetch = effect
            elif isinstance(effect, Show):
                shown += self._show(effect, placed=not opening)
            elif isinstance(effect, Audit):
                self._audit(self, effect)
            elif isinstance(effect, Moved):
                items.append(Item(self, change=Change(effect.id, Key(*effect.was), Key(*effect.now))))
            elif isinstance(effect, Lost):
                items.append(Item(self, change=Change(effect.id, Key(*effect.was), None)))
        cursor = self._machine.cursor
        if cursor is not None and cursor != self._laid:
            if not shown:
                items.append(Item(self))
            self._laid = items[-1].read = cursor
        self._wake.set()
        self._wake = anyio.Event()
        self._queue.changed()

    def _show(self, effect: Show, *, placed: bool) -> bool:
        try:
            message = values.message(effect.message, late=effect.late)
        except Unreadable as error:
            _log.debug("unreadable message in %s: %s", self.target.key, error)
            return False
        place = None if message.key is None or not placed else (message.key.origin, message.key.seq)
        ident = ident_of(effect.message)
        digest = None if ident is None else ident_digest(ident)
        self._queue.items.append(Item(self, message, place=place, ident=digest))
        return True

    def read(self, item: Item) -> None:
        """The reader took an item."""
        if item.ident is not None and item.message is not None:
            self.idents[item.ident] = item.message.clock
            if len(self.idents) > CURSOR_IDENTS_MAX:
                del self.idents[next(iter(self.idents))]
        if item.read is not None:
            self.cursor = dict(item.read)
        elif item.place is not None and self.cursor is not None:
            origin, seq = item.place
            self.cursor[origin] = max(seq, self.cursor.get(origin, 0))
