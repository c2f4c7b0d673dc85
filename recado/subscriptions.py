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
from recado.failures import (
    BadReply,
    ChannelMissing,
    Closed,
    NoAnswer,
    RefusedByServer,
    TooManyTargets,
    refused_here,
)
from recado.follower import Follower
from recado.forms import Forms
from recado.keepsake import Keepsakes
from recado.protocol import codec, names
from recado.protocol.errors import Malformed, Refused
from recado.protocol.limits import SUBSCRIPTIONS_PER_CLIENT_MAX
from recado.protocol.publications import BEACON_TOPIC, out_of_run, single_topic
from recado.resuming import Cursor, Saved, cursor_of, resumed
from recado.target import Target
from recado.values import Change, Key, Message, Page, Unreadable
from recado.waiting import Queue
from recado.wire.ports import Network, Subscriber, WireError

_log = logging.getLogger("recado")
OnChange = Callable[[Change], None]
OnDenied = Callable[[str | None, RefusedByServer], None]


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
        on_denied: OnDenied | None,
        saved: Saved | None,
        most: int | None,
    ) -> None:
        self._connection = connection
        self._subscriber = subscriber
        self._background = background
        self._quiet_seconds = quiet_seconds
        self._polling = polling
        self._on_change = on_change
        self._on_denied = on_denied
        self._saved = saved
        self._most = most
        self._auditor = Auditor(connection)
        self._queue = Queue()
        self._followers: dict[Target, Follower] = {}
        self._forms = Forms(subscriber)
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
    def denied(self) -> Mapping[str | None, RefusedByServer]:
        """What the servers do not let us read at present, by channel (None: direct messages), and why."""
        return {t.channel: f.denied for t, f in self._followers.items() if f.denied is not None}

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels followed now."""
        return tuple(target.channel for target in self._followers if target.channel is not None)

    async def join(self, channel: str, *, backlog: int = 0, since: Cursor | None = None) -> None:
        """Follow one more channel; one that is followed already is left as it is.

        Returns when its history was looked at, at the latest after the time for one attempt.
        Raises `NameRefused`, `TooManyTargets`; in a secured cluster what forbids it, `NotMember` and others.
        """
        try:
            name = names.channel_name(channel)
        except Refused as refused:
            raise refused_here(refused) from None
        await self.follow([Target(name, None)], backlog=backlog, since=since)

    def leave(self, channel: str) -> None:
        """Follow a channel no longer; what of it is waiting to be read is dropped."""
        self._drop(Target(channel.strip(), None))

    def _drop(self, target: Target) -> None:
        follower = self._followers.pop(target, None)
        if follower is not None:
            follower.stop()
            self._unsubscribe(follower.topic)

    def _unsubscribe(self, topic: bytes | None) -> None:
        if topic is not None and topic not in {other.topic for other in self._followers.values()}:
            self._forms.leave(topic)

    def _moved(self, follower: Follower, topic: bytes) -> None:
        """A server has told where a target is published."""
        before, follower.topic = follower.topic, topic
        if follower.following:
            self._forms.follow(topic)
            self._unsubscribe(before)

    def _refused(self, follower: Follower) -> None:
        """A server does not let us read a target (any more)."""
        if follower.tried.is_set() and follower.denied is not None and self._on_denied is not None:
            self._on_denied(follower.target.channel, follower.denied)

    async def follow(self, targets: list[Target], *, backlog: int, since: Cursor | None) -> None:
        """Follow what is not followed yet, and wait for the first look at it.

        Raises `TooManyTargets`, and what a server answered that does not let us read it; a channel that
        does not exist is waited for.
        """
        fresh = [target for target in targets if target not in self._followers]
        if len(self._followers) + len(fresh) > SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise TooManyTargets(most=SUBSCRIPTIONS_PER_CLIENT_MAX)
        for target in fresh:
            follower = self._followers[target] = self._follower(target, backlog=backlog, since=since)
            if follower.topic is not None:
                self._forms.follow(follower.topic)
            self._background.start(self._until_closed, follower.run)
        with anyio.move_on_after(self._connection.patience.attempt_seconds):
            for target in fresh:
                if target in self._followers:
                    await self._followers[target].tried.wait()
        for target in fresh:
            denied = self._followers[target].denied if target in self._followers else None
            if denied is not None and not isinstance(denied, ChannelMissing):
                self._drop(target)
                raise denied

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
            topic=target.first_topic(self._connection.direct_topic, secured=self._connection.secured),
            moved=self._moved,
            refused=self._refused,
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
            for follower in self._followers.values():
                follower.heard()
            for topic, frame in batch:
                await self._queue.room()  # a frame may hold a run of many
                try:
                    bodies = codec.decode_publications(frame)
                except Malformed:
                    continue  # anybody can publish in open mode
                followers, single = tuple(self._followers.values()), single_topic(topic)
                for body in bodies if single is None else out_of_run(bodies):
                    self._heard(topic if single is None else single, body, followers)

    def _heard(self, topic: bytes, body: dict[str, Any], followers: tuple[Follower, ...]) -> None:
        if topic == BEACON_TOPIC:
            self._connection.stamps.heard(body)
            self._connection.copies.heard(body)
            if not self._connection.secured:
                self._forms.beacon(runs=body.get("runs") is True, now=anyio.current_time())
        for follower in followers:
            if topic == BEACON_TOPIC:
                follower.beacon(body)
            elif topic == follower.topic:
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
        know_broker: Callable[[str], None] = lambda _address: None,
    ) -> None:
        self._know_broker = know_broker
        self._connection = connection
        self._network = network
        self._brokers = brokers
        self.user = user  # as others see the name, once a server has told
        self._keepsakes = keepsakes

    def told(self, login: Mapping[str, Any]) -> None:
        """What the reply to a login says in a secured cluster: the name that is shown, the direct topic."""
        self.user = values.optional(login, "user", str) or self.user
        self._connection.direct_topic = values.optional(login, "topic", bytes)

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
        on_denied: OnDenied | None,
    ) -> AsyncIterator[Subscription]:
        """A subscription to all of these, each begun when the block is entered.  Raises `TooManyTargets`."""
        patience = self._connection.patience
        brokers = self._known(self._brokers or await self._brokers_told())
        polling = not brokers
        quiet_seconds = patience.poll_seconds if polling else patience.silence_seconds
        targets = [Target(name, None) for name in channels]
        if direct:
            targets.append(Target(None, self.user))
        async with self._network.subscriber(brokers) as subscriber, Background() as background:
            subscription = Subscription(
                self._connection,
                subscriber,
                background,
                quiet_seconds=quiet_seconds,
                polling=polling,
                on_change=on_change,
                on_denied=on_denied,
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
        security = answer.data.get("security")
        if isinstance(security, dict) and security.get("mode") == "secured" and not self._connection.secured:
            return ()  # at a Unix socket without a key: brokers would not let us in
        return values.status(answer.data, server=answer.address).brokers

    def _known(self, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for address in brokers:
            self._know_broker(address)
        return brokers
