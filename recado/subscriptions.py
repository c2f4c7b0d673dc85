"""Subscriptions: what the broker publishes, made gap-free by the history, as an async iterator.

One SUB end for all targets of a subscription, one `Follower` for each.  While the reader lags by
`SUBSCRIPTION_BUFFER_MESSAGES`, nothing more is received or fetched; what the broker then drops is found
missing and fetched when there is room again.  So a slow reader costs bounded memory and loses nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio

from recado import values
from recado.auditor import Auditor
from recado.background import Background
from recado.connection import Connection
from recado.failures import BadReply, Closed, NoAnswer, RefusedByServer, TooManyTargets, refused_here
from recado.follower import Follower, Queue, Target
from recado.keepsake import Keepsakes
from recado.protocol import codec, names
from recado.protocol.errors import Malformed, Refused
from recado.protocol.limits import SUBSCRIPTIONS_PER_CLIENT_MAX
from recado.protocol.publications import BEACON_TOPIC
from recado.resuming import Cursor, Saved, cursor_of, resumed
from recado.values import Change, Key, Message, Page, Unreadable
from recado.wire.ports import Network, Subscriber, WireError

_log = logging.getLogger("recado")
OnChange = Callable[[Change], None]


class Subscription:
    """An async iterator of `Message`, from one task.  Made by `Chat.subscribe`.

    Of each origin messages come in order; one whose server was cut off may come `late`.  The iterator
    ends when the connection is closed.
    """

    def __init__(
        self,
        connection: Connection,
        subscriber: Subscriber,
        background: Background,
        *,
        quiet_seconds: float,
        polling: bool,
        on_change: OnChange | None,
        saved: Saved | None,
        most: int | None,
    ) -> None:
        self._connection = connection
        self._subscriber = subscriber
        self._background = background
        self._quiet_seconds = quiet_seconds
        self._polling = polling
        self._on_change = on_change
        self._saved = saved
        self._most = most
        self._auditor = Auditor(connection)
        self._queue = Queue()
        self._followers: dict[Target, Follower] = {}
        subscriber.subscribe(BEACON_TOPIC)
        background.start(self._until_closed, self._receive)
        background.start(self._until_closed, self._auditor.run)
        if saved is not None:
            background.start(self._save_often, saved)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while True:
            item = await self._queue.item()
            if item is None:
                raise StopAsyncIteration
            item.follower.read(item)
            if item.change is not None and item.follower.following and self._on_change is not None:
                self._on_change(item.change)
            if item.message is not None and item.follower.following:
                self._connection.session.saw_messages((item.message,))
                return item.message

    @property
    def cursor(self) -> Cursor:
        """How far was read: keep it (it is JSON-ready) and give it as `since` to go on exactly there."""
        found: dict[str, Mapping[str, int]] = {}
        for follower in self._followers.values():
            found |= cursor_of(follower)
        return found

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels followed now."""
        return tuple(target.channel for target in self._followers if target.channel is not None)

    async def join(self, channel: str, *, backlog: int = 0, since: Cursor | None = None) -> None:
        """Follow one more channel; one that is followed already is left as it is.

        Returns when its history was looked at, at the latest after the time for one attempt.
        Raises `NameRefused`, `TooManyTargets`.
        """
        try:
            name = names.channel_name(channel)
        except Refused as refused:
            raise refused_here(refused) from None
        await self.follow([Target(name, None)], backlog=backlog, since=since)

    def leave(self, channel: str) -> None:
        """Follow a channel no longer; what of it is waiting to be read is dropped."""
        target = Target(channel.strip(), None)
        follower = self._followers.pop(target, None)
        if follower is not None:
            follower.stop()
            if target.topic not in {other.topic for other in self._followers}:
                self._subscriber.unsubscribe(target.topic)

    async def follow(self, targets: list[Target], *, backlog: int, since: Cursor | None) -> None:
        """Follow what is not followed yet, and wait for the first look at it.  Raises `TooManyTargets`."""
        fresh = [target for target in targets if target not in self._followers]
        if len(self._followers) + len(fresh) > SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise TooManyTargets(most=SUBSCRIPTIONS_PER_CLIENT_MAX)
        for target in fresh:
            self._subscriber.subscribe(target.topic)
            follower = self._followers[target] = self._follower(target, backlog=backlog, since=since)
            self._background.start(self._until_closed, follower.run)
        with anyio.move_on_after(self._connection.patience.attempt_seconds):
            for target in fresh:
                if target in self._followers:
                    await self._followers[target].tried.wait()

    def _follower(self, target: Target, *, backlog: int, since: Cursor | None) -> Follower:
        if since is None and self._saved is not None:
            since = self._saved.cursor
        return Follower(
            target,
            self._connection,
            self._queue,
            resumed=resumed(target, since),
            backlog=max(0, backlog),
            most=self._most,
            quiet_seconds=self._quiet_seconds,
            polling=self._polling,
            audit=self._auditor.ask,
        )

    def save(self) -> None:
        """Write how far was read, if the subscription has a file (`resume`).  Raises `OSError`.

        This happens by itself every second and at the end.
        """
        if self._saved is not None:
            self._saved.save(self.cursor)

    async def _save_often(self, saved: Saved) -> None:
        while True:
            await anyio.sleep(saved.pause_seconds)
            self._try_to_save()

    def _try_to_save(self) -> None:
        try:
            self.save()
        except OSError as error:  # reading goes on; after a crash a little more is shown again
            _log.warning("cursor not saved: %s", error)

    async def _receive(self) -> None:
        while True:
            await self._queue.room()
            batch = await self._subscriber.receive_batch()
            followers = list(self._followers.values())
            for follower in followers:
                follower.heard()
            for topic, frame in batch:
                try:
                    body = codec.decode_publication(frame)
                except Malformed:
                    continue  # anybody can publish in open mode
                if topic == BEACON_TOPIC:
                    self._connection.copies.heard(body)
                for follower in followers:
                    if topic == BEACON_TOPIC:
                        follower.beacon(body)
                    elif topic == follower.target.topic:
                        follower.published(body)

    async def _until_closed(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await task()
        except (Closed, WireError):
            self._queue.close()


class Watching:
    """History pages and subscriptions of one connection."""

    def __init__(
        self,
        connection: Connection,
        network: Network,
        *,
        brokers: tuple[str, ...],
        user: str | None,
        keepsakes: Keepsakes,
    ) -> None:
        self._connection = connection
        self._network = network
        self._brokers = brokers
        self._user = user
        self._keepsakes = keepsakes

    async def page(
        self,
        whose: Mapping[str, str],
        *,
        limit: int,
        before: Key | None,
        since: Mapping[str, int] | None,
    ) -> Page:
        """One page of history.  Raises what reads raise."""
        fields: dict[str, Any] = {**whose, "limit": limit}
        if before is not None:
            fields["before"] = list(before)
        if since is not None:
            fields["since"] = dict(since)
        answer = await self._connection.read("history", fields)
        try:
            page = values.page(answer.data, server=answer.address, behind=bool(answer.lacking))
            self._connection.session.saw_messages(page.messages)
            return page
        except Unreadable as error:
            tried = ((answer.address, f"unreadable reply: {error}"),)
            raise BadReply("history", seconds=0.0, tried=tried) from None

    @asynccontextmanager
    async def subscribe(
        self,
        channels: tuple[str, ...],
        *,
        direct: bool,
        backlog: int,
        since: Cursor | None,
        resume: str | None,
        most: int | None,
        on_change: OnChange | None,
    ) -> AsyncIterator[Subscription]:
        """A subscription to all of these, each begun when the block is entered.  Raises `TooManyTargets`."""
        patience = self._connection.patience
        brokers = self._brokers or await self._brokers_told()
        polling = not brokers
        quiet_seconds = patience.poll_seconds if polling else patience.silence_seconds
        targets = [Target(name, None) for name in channels]
        if direct:
            targets.append(Target(None, self._user))
        async with self._network.subscriber(brokers) as subscriber, Background() as background:
            subscription = Subscription(
                self._connection,
                subscriber,
                background,
                quiet_seconds=quiet_seconds,
                polling=polling,
                on_change=on_change,
                saved=None if resume is None else Saved(self._keepsakes, resume),
                most=most,
            )
            await subscription.follow(targets, backlog=backlog, since=since)
            try:
                yield subscription
            finally:
                subscription._try_to_save()

    async def _brokers_told(self) -> tuple[str, ...]:
        """The brokers that a server names; none if no server does."""
        patience = self._connection.patience
        try:
            answer = await self._connection.read("status", {}, deadline_seconds=patience.attempt_seconds)
        except (NoAnswer, RefusedByServer):
            return ()
        return values.status(answer.data, server=answer.address).brokers
