"""One followed target, a channel or a user's direct messages: its machine, and the task that serves it.

The machine (`recado.protocol.subscription`) decides; this file asks servers for the history it wants
and lays what it shows into the reader's queue.  An item of the queue also says how far the reader has
come once it has taken that item, so that the cursor speaks of what was read and not of what waits.

In a secured cluster servers tell the topic with each page, and it is another one whenever somebody has lost
the right to it.  That it changed is told on the old topic; since that may be lost, what is private is asked
for once a minute besides.  Who may not read (any more) asks again now and then: a right may come back.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import anyio
import anyio.lowlevel

from recado import values
from recado.connection import Connection
from recado.failures import ChannelMissing, Forbidden, KeyUnknown, NoAnswer, NotYou, RefusedByServer
from recado.protocol.copies import ident_digest
from recado.protocol.limits import (
    CURSOR_IDENTS_MAX,
    HISTORY_MESSAGES_DEFAULT,
    HISTORY_MESSAGES_MAX,
)
from recado.protocol.publications import (
    beacon_heads,
    ident_of,
    is_private,
    private_key,
    seqs,
)
from recado.protocol.subscription import Audit, Effect, Fetch, Lost, Moved, Show, Subscription
from recado.protocol.vector import Vector
from recado.target import Resumed, Target
from recado.values import Change, Key, Unreadable
from recado.waiting import Item, Queue

_log = logging.getLogger("recado")
PRIVATE_LOOK_SECONDS = 60.0  # between two pages of what is private, at the longest
DENIED_SECONDS = 5.0  # before who was denied asks again
SETTLE_SECONDS = 0.5  # a new subscription takes to reach the broker: look once more then
MOVED_SECONDS = 0.5  # within which those who listened at an old topic ask for the new one


class Denied(Exception):
    """A server does not let us read this; `why` as the library refuses."""

    def __init__(self, why: RefusedByServer) -> None:
        super().__init__(str(why))
        self.why = why


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
        topic: bytes | None,
        moved: Callable[["Follower", bytes], None],
        refused: Callable[["Follower"], None],
    ) -> None:
        self.target = target
        self.topic = topic
        self.denied: RefusedByServer | None = None  # as of the latest page
        self._moved = moved
        self._refused = refused
        self._page_at = -math.inf  # the latest page
        self._again = anyio.Event()  # ask again, although it was denied
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
        if self.topic is not None and is_private(self.topic):
            self._look_at = min(self._look_at, self._page_at + PRIVATE_LOOK_SECONDS)

    def published(self, body: Mapping[str, Any]) -> None:
        if body.get("moved") is True:
            self._topic_moved()
            return
        if self.target.concerns(body):
            self._met(body)

    def _met(self, body: Mapping[str, Any]) -> None:
        self._connection.stamps.heard(body)
        if self.denied is not None:
            self._again.set()
        self._carry_out(self._machine.published(body, now=anyio.current_time()))

    def _topic_moved(self) -> None:
        """The next page tells the new topic; not all who listen ask for it at once."""
        if self.denied is None:
            soon = anyio.current_time() + self._connection.random_seconds(MOVED_SECONDS)
            self._look_at = min(self._look_at, soon)
            self._rouse()

    def beacon(self, body: Mapping[str, Any]) -> None:
        server, boot = body.get("server"), body.get("boot")
        effects = self._machine.beacon(
            beacon_heads(body, self._beacon_key),
            now=anyio.current_time(),
            server=server if isinstance(server, str) else "",
            boot=boot if isinstance(boot, str) else "",
            vector=seqs(body.get("vector")),
        )
        self._carry_out(effects)

    @property
    def _beacon_key(self) -> str:
        private = self.topic is not None and is_private(self.topic)
        return private_key(self.topic) if private and self.topic is not None else self.target.key

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
        except (NoAnswer, Unreadable, Denied) as error:
            _log.debug("history of %s: %s", self.target.key, error)
            self._answered(fetch)
            await self._stand_back()
            effects = self._machine.failed(fetch.request_no, now=anyio.current_time())
        else:
            self._answered(fetch)
            effects = self._machine.page(
                messages, upto=upto, more=more, request_no=fetch.request_no, now=anyio.current_time()
            )
        self._carry_out(effects, opening=fetch.since is None)
        self.tried.set()

    async def _stand_back(self) -> None:
        """After a denial wait, unless something is published here after all."""
        if self.denied is not None:
            self.tried.set()
            self._again = anyio.Event()
            with anyio.move_on_after(DENIED_SECONDS):
                await self._again.wait()

    def _answered(self, fetch: Fetch) -> None:
        if self._fetch is fetch:  # an audit may have put another in its place
            self._fetch = None

    async def _history(
        self, fields: Mapping[str, Any], *, elsewhere: int
    ) -> tuple[list[Mapping[str, Any]], dict[str, int], bool]:
        """(messages of this target, upto, more).  A server without history has nothing, and no more.

        Raises `Denied` for what is there and not for us.
        """
        self._page_at = anyio.current_time()
        try:
            answer = await self._connection.read("history", fields, elsewhere=elsewhere)
        except RefusedByServer as error:
            _log.debug("history of %s refused: %s", self.target.key, error)
            if self._is_denial(error):
                self._deny(error)
                raise Denied(error) from None
            self._without_history = True
            return [], {}, False
        self._without_history, self.denied = False, None
        told = answer.data.get("topic")
        if isinstance(told, bytes) and told != self.topic:
            self._moved(self, told)
            self._look_at = anyio.current_time() + SETTLE_SECONDS
        found = answer.data.get("messages")
        if not isinstance(found, list):
            raise Unreadable("no list of messages")
        messages: list[Mapping[str, Any]] = [m for m in found if isinstance(m, dict)]
        messages = [m for m in messages if self.target.contains(m)]
        upto = values.vector(answer.data.get("upto"))
        if self._polling:  # what beacons would tell
            self.beacon({**answer.data, "vector": upto})
        return messages, upto, answer.data.get("more") is True

    def _is_denial(self, error: RefusedByServer) -> bool:
        missing = isinstance(error, ChannelMissing) and self._connection.secured
        return missing or isinstance(error, Forbidden | KeyUnknown | NotYou)

    def _deny(self, error: RefusedByServer) -> None:
        before, self.denied = self.denied, error
        if before is None or before.code != error.code:
            self._refused(self)

    async def _look(self) -> None:
        """Nothing was heard for long: treat the history as if it were just being published."""
        self.heard()
        cursor = self._machine.cursor
        if cursor is None or self._without_history:
            return
        fields = {**self.target.whose, "since": cursor, "limit": HISTORY_MESSAGES_DEFAULT}
        try:
            messages, _, more = await self._history(fields, elsewhere=int(not self._polling))
        except (NoAnswer, Unreadable, Denied) as error:
            _log.debug("history of %s: %s", self.target.key, error)
            return
        for message in messages:
            self._met(message)
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
        self._rouse()
        self._queue.changed()

    def _rouse(self) -> None:
        self._wake.set()
        self._wake = anyio.Event()

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
