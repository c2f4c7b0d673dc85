"""The room: carries out intents with the library and shows what comes of them and what arrives.

One connection and one subscription per login.  Intents are carried out one after the other; what
arrives is shown meanwhile.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import anyio
import anyio.abc

from clients.chatting.channels import KnownChannels
from clients.chatting.faces import Face, Words
from clients.chatting.interpreter import (
    Channels,
    Create,
    Direct,
    Help,
    History,
    Info,
    Intent,
    Join,
    Leave,
    Login,
    Menu,
    Rule,
    Say,
    Search,
    Status,
    Topic,
    Users,
    Wrong,
    in_quotes,
)
from clients.chatting.menu import menu_numbers
from clients.chatting.outbox import Outbox
from clients.chatting.outcome import Outcome
from clients.chatting.telling import notes, status_line
from clients.chatting.vigil import Vigil
from clients.ending import Ended
from clients.options import Where
from clients.refusals import refusal_text
from clients.render import message_line
from clients.session import open_chat
from recado.client import (
    Busy,
    Change,
    ChannelExists,
    Chat,
    ChatError,
    Closed,
    Indeterminate,
    Message,
    NoAnswer,
    Receipt,
    RefusedByServer,
    Subscription,
)
from recado.protocol.printable import printable
from recado.texts import Texts

BACKLOG = 10
FOUND_MAX = 20
MISSED_MAX = 50  # of what was said since the last time; the rest is in /history
SEND_SECONDS = 7.0  # then a message waits in the outbox; while nobody answers at all, at once
TICKS_SECONDS = 1.0


class Room:
    """A person's connection to the cluster, and what they see of it."""

    def __init__(
        self, where: Where, *, face: Face, say: Texts, level: str | None, first: str | None = None
    ) -> None:
        """`first`: who will log in; until then, in a cluster with keys, it is read with that key."""
        self.user: str | None = None
        self.channel: str | None = None
        self.words = Words()
        self.outcome = Outcome()
        self.outbox = Outbox(face, say, self.outcome)
        self._channels = KnownChannels(face, say)
        self._vigil = Vigil(face, say)
        self._where = where
        self._first = first
        self._face = face
        self._say = say
        self._level = level
        self._stack = AsyncExitStack()
        self._chat: Chat | None = None
        self._incoming: Subscription | None = None
        self._reader: anyio.CancelScope | None = None

    # What the face asks ----------------------------------------------------------------------

    def prompt(self) -> str:
        return f"[{self._channels.label(self.channel, self.user)}] "

    def toolbar(self) -> str:
        state = "sending" if self.outbox.sending else "connected" if self._vigil.connected else "reconnecting"
        tick = f"  {self.outbox.tick}" if self.outbox.tick else ""
        return f" {printable(self.user or '-')}  {self._say('chat.' + state)}{tick}  /menu  /help"

    # Life ---------------------------------------------------------------------------------------

    async def open(self, user: str | None, duties: anyio.abc.TaskGroup) -> None:
        """Connect as `user` (None: read only).  Raises `NameRefused`."""
        await self.close()
        connection = open_chat(self._where, user, level=self._level, key_of=user or self._first)
        self._chat = await self._stack.enter_async_context(connection)
        incoming = self._chat.subscribe(
            direct=user is not None,
            resume=None if user is None else f"chat {user}",
            most=MISSED_MAX,
            on_change=self._changed,
            on_denied=self._denied,
        )
        self._incoming = await self._stack.enter_async_context(incoming)
        self.user = user
        self._reader = anyio.CancelScope()
        duties.start_soon(self._attend, self._incoming, self._chat, self._reader)

    async def close(self) -> None:
        """Leave the connection, if there is one."""
        if self._reader is not None:
            self._reader.cancel()
        stack, self._stack = self._stack, AsyncExitStack()
        self._chat = self._incoming = self._reader = None
        self.user = self.channel = None
        await stack.aclose()

    async def _attend(self, incoming: Subscription, chat: Chat, scope: anyio.CancelScope) -> None:
        """Show what arrives, and watch over the connection, until closed."""
        with scope:
            async with anyio.create_task_group() as duties:
                duties.start_soon(partial(self._vigil.keep, chat, refresh=self._refresh))
                duties.start_soon(self._look_at_ticks, chat)
                if self.user is not None:
                    duties.start_soon(self._keep_sending, chat)
                async for message in incoming:
                    self._arrived(message)

    def _arrived(self, message: Message) -> None:
        if self.outbox.has_shown(message.id):
            return
        self._vigil.arrived()
        late = f"  {self._say('chat.late')}" if message.late else ""
        self._show(message, after=late)

    def _show(self, message: Message, *, after: str = "") -> None:
        mark = self._channels.mark(message.channel, message.user)
        self._face.message(message_line(message, channel=True, now=time.time(), mark=mark) + after)

    def _denied(self, channel: str | None, error: RefusedByServer) -> None:
        """A channel that was followed may be read no longer."""
        self._face.notice(f"! {refusal_text(error, self._say, channel=channel)}")
        if channel == self.channel:
            self.channel = None

    def _changed(self, change: Change) -> None:
        if change.lost:
            text = self.outbox.text_of(change.id) or self._say("chat.of_somebody")
            self._face.notice(self._say("chat.gone", text=text))

    async def _look_at_ticks(self, chat: Chat) -> None:
        while True:
            await anyio.sleep(TICKS_SECONDS)
            self.outbox.look(chat)

    async def _keep_sending(self, chat: Chat) -> None:
        try:
            await chat.outbox.keep_sending(lambda sent: self.outbox.left(sent, chat))
        except OSError as error:
            self._face.notice(self._say("chat.not_written", why=printable(str(error))))

    async def _refresh(self, chat: Chat) -> None:
        """The names for the Tab key, and what is so in the channels."""
        self.words.users, self.words.channels = await chat.users(), await chat.channels()
        await self._channels.look(chat, self._followed)

    # Intents ------------------------------------------------------------------------------------

    async def do(self, intent: Intent, duties: anyio.abc.TaskGroup) -> None:
        """Carry out one intent; what goes wrong is shown."""
        try:
            await self._do(intent, duties)
        except Busy:
            self.outcome.unsure = True
            self._face.notice(self._say("chat.busy"))
        except RefusedByServer as error:
            about = getattr(intent, "channel", None) or self.channel
            self._refuse(refusal_text(error, self._say, channel=about))
        except NoAnswer:
            self.outcome.unanswered = True
            self._face.notice("! " + self._say("chat.no_answer"))
        except Indeterminate:
            self.outcome.unsure = True
            self._face.notice("! " + self._say("chat.unsure"))
        except (ChatError, Ended) as error:
            self._refuse(printable(str(error)))

    def _refuse(self, why: str) -> None:
        """What was typed is not carried out."""
        self.outcome.refused = True
        self._face.notice(f"! {why}")

    async def _do(self, intent: Intent, duties: anyio.abc.TaskGroup) -> None:
        if isinstance(intent, Login):
            await self._login(intent.user, duties)
        elif isinstance(intent, Say):
            await self._say_here(intent.text)
        elif isinstance(intent, Direct):
            await self._direct(intent)
        elif isinstance(intent, Join):
            await self.join(intent.channel)
        elif isinstance(intent, Create):
            await self._create(intent.channel, private=intent.private)
        elif isinstance(intent, Leave):
            self._leave(intent.channel)
        elif isinstance(intent, Rule):
            await self._rule(intent)
        elif isinstance(intent, Wrong):
            self._refuse(self._say(intent.key, about=printable(intent.about)))
        elif isinstance(intent, Help):
            self._face.notice(self._say("chat.help"))
        elif isinstance(intent, Menu):
            self._menu()
        else:
            await self._read(intent)

    async def _read(self, intent: Intent) -> None:
        chat = self._open()
        if isinstance(intent, Users):
            self.words.users = await chat.users()
            self._face.message("  ".join(map(printable, self.words.users)) or self._say("chat.none"))
        elif isinstance(intent, Channels):
            self.words.channels = await chat.channels()
            shown = [f"#{printable(name)}" for name in self.words.channels[: intent.most]]
            more = len(self.words.channels) - len(shown)
            if more:
                shown.append(self._say("chat.more_channels", count=more))
            self._face.message("  ".join(shown) or self._say("chat.none"))
        elif isinstance(intent, History):
            await self._history(intent.count)
        elif isinstance(intent, Search):
            await self._search(intent)
        elif isinstance(intent, Info | Topic):
            await self._tell_of_channel(intent)
        elif isinstance(intent, Status):
            told = await chat.status()
            self._face.message(status_line(told, self._say, clock=chat.clock))
            if self.user is not None:
                count = len(chat.outbox.unsent)
                tick = self.outbox.tick or "-"
                self._face.message(self._say("chat.status_mine", tick=tick, count=count))

    async def _login(self, user: str, duties: anyio.abc.TaskGroup) -> None:
        joined = () if self._incoming is None else self._incoming.channels
        before = self.channel
        await self.open(user, duties)
        try:
            await self._open().login()
        except RefusedByServer:
            await self.open(None, duties)
            raise
        finally:
            for name in joined:
                await self._follow(name, backlog=0)
            self.channel = before
        self._face.notice(self._say("chat.logged_in", user=printable(user)))

    async def join(self, name: str) -> None:
        """Follow a channel and make it the current one.  Its last messages are shown.

        If that fails there is no current one: what is typed next was meant for the other.
        """
        chat, self.channel = self._open(), None
        self.words.channels = await chat.channels()
        if name not in self.words.channels:
            self._refuse(self._say("chat.no_channel", channel=in_quotes(printable(name))))
            return
        await self._follow(name, backlog=BACKLOG)
        self.channel = name
        self._face.notice(self._say("chat.joined", channel=printable(name)))
        await self._channels.look(chat, self._followed)
        self._channels.show_topic(name, if_none=False)

    async def _follow(self, name: str, *, backlog: int) -> None:
        if self._incoming is not None and name not in self._incoming.channels:
            await self._incoming.join(name, backlog=backlog)

    async def _create(self, name: str, *, private: bool) -> None:
        self.channel = None  # as in `join`
        try:
            await self._open().create_channel(name, private=private)
            self._face.notice(self._say("chat.created", channel=printable(name)))
        except ChannelExists:
            self._face.notice(self._say("chat.exists", channel=printable(name)))
        await self.join(name)

    def _leave(self, name: str | None) -> None:
        left = name or self.channel
        if self._incoming is None or left is None or left not in self._incoming.channels:
            self._refuse(self._say("chat.not_joined"))
            return
        self._incoming.leave(left)
        if left == self.channel:
            self.channel = next(iter(self._incoming.channels), None)
        self._face.notice(self._say("chat.left", channel=printable(left)))
        if self._channels.is_private(left):
            self._face.notice(self._say("chat.still_member", channel=left))

    async def _rule(self, rule: Rule) -> None:
        channel = rule.channel or self.channel
        if channel is None:
            self._refuse(self._say("chat.not_joined"))
        elif self._known():
            await self._channels.rule(self._open(), channel, rule)
            if rule.do == "leave" and channel in self._followed:
                self._leave(channel)

    async def _tell_of_channel(self, intent: Info | Topic) -> None:
        channel = (intent.channel if isinstance(intent, Info) else None) or self.channel
        if channel is None:
            self._refuse(self._say("chat.not_joined"))
        elif isinstance(intent, Info):
            await self._channels.show(self._open(), channel)
        else:
            await self._channels.look(self._open(), {*self._followed, channel})
            self._channels.show_topic(channel)

    async def _history(self, count: int) -> None:
        if self.channel is None:
            self._refuse(self._say("chat.not_joined"))
            return
        for message in await self._open().history(self.channel, limit=count):
            self._show(message)

    async def _search(self, intent: Search) -> None:
        found = await self._open().search(intent.text, direct=intent.direct, limit=FOUND_MAX)
        for message in found:
            self._show(message)
        for note in notes(found, self._say):
            self._face.notice(note)

    async def _say_here(self, text: str) -> None:
        channel, chat = self.channel, self._open()
        if not self._known():
            return
        if channel is None:
            self._refuse(self._say("chat.not_joined"))
            return
        mark = self._channels.mark(channel, self.user)
        await self._send(
            f"#{printable(channel)} {mark}<{printable(chat.user)}> {printable(text)}",
            text,
            lambda ident, **how: chat.publish(channel, text, id=ident, **how),
        )

    async def _direct(self, intent: Direct) -> None:
        chat = self._open()
        if self._known():
            await self._send(
                f"{printable(chat.user)} -> {printable(intent.user)}: {printable(intent.text)}",
                intent.text,
                lambda ident, **how: chat.message(intent.user, intent.text, id=ident, **how),
            )

    async def _send(self, line: str, text: str, write: Callable[..., Awaitable[Receipt]]) -> None:
        chat = self._open()
        deadline = SEND_SECONDS if self._vigil.connected else 1.0

        async def written_down(ident: bytes) -> Receipt:
            try:
                return await write(ident, outbox=True, deadline_seconds=deadline)
            except OSError as error:
                self._face.notice(self._say("chat.not_written", why=printable(str(error))))
                return await write(ident)

        await self.outbox.send(line, text, chat=chat, write=written_down)

    @property
    def _followed(self) -> tuple[str, ...]:
        return () if self._incoming is None else tuple(self._incoming.channels)

    def _known(self) -> bool:
        if self.user is None:
            self._refuse(self._say("chat.who"))
        return self.user is not None

    def _menu(self) -> None:
        self._face.notice("\n".join(f"{number:>3}  {self._say(key)}" for number, key in menu_numbers()))

    def _open(self) -> Chat:
        if self._chat is None:
            raise Closed("not connected")
        return self._chat
