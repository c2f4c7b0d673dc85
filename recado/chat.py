"""What a user can do on a cluster: writes, reads, subscriptions.  `recado.client` is the way in."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from recado import values
from recado.connection import Connection
from recado.failures import NameTaken, checked, checked_id
from recado.keepsake import Keepsakes
from recado.outbox import OutboxFile, Unsent
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import HISTORY_MESSAGES_DEFAULT
from recado.protocol.messages import Level
from recado.resuming import Cursor
from recado.searching import Searches
from recado.sending import Outbox
from recado.subscriptions import OnChange, OnDenied, Subscription, Watching
from recado.values import Key, Page, Receipt, Status, SyncPage


class Chat(Searches):
    """A user's hands on the cluster; made by `connect`.  Tasks may share it."""

    def __init__(
        self,
        user: str | None,
        connection: Connection,
        watching: Watching,
        keepsakes: Keepsakes,
        level: Level | None,
        *,
        bot: bool = False,
    ) -> None:
        super().__init__(user, connection, level)
        self._bot = bot
        self._watching = watching
        self._keepsakes = keepsakes
        self._login_id: bytes | None = None
        self._outbox: Outbox | None = None

    @property
    def clock(self) -> int:
        """The Lamport clock: the stamp of the latest send or receive here."""
        return self._connection.clock.value

    @property
    def members(self) -> int | None:
        """How many servers the cluster has, as they say themselves; None before the first that says so."""
        return self._connection.members

    @property
    def server(self) -> str | None:
        """The address that is asked first, the one that answered last."""
        return next(iter(self._connection.servers.addresses), None)

    # Writes ------------------------------------------------------------------------------------

    async def login(
        self, *, invite: str | None = None, bot: bool | None = None, deadline_seconds: float | None = None
    ) -> Receipt:
        """Register `user`, or come back as the one who registered it, with the id kept in `data`.

        In a cluster with keys the key proves whose the name is; `invite`: the token of an invitation, where
        registration needs one; `bot`: the user is a program (None: if the key is a bot's).
        Raises `NameTaken` if the name is somebody else's, `RegistrationRefused`.

            try:
                await chat.login()
            except NameTaken:
                print("choose another name")
        """
        ident, known = self._identity()
        if not known:
            self._keepsakes.keep("login", self.user, {"id": ident.hex()})
        fields: dict[str, Any] = {"user": self.user}
        if invite is not None:
            fields["invite"] = invite
        if self._bot if bot is None else bot:
            fields["bot"] = True
        try:
            receipt, told = await self._write_and_hear(
                "login", fields, id=ident, deadline_seconds=deadline_seconds
            )
        except NameTaken:
            if not known:
                self._login_id = None
                self._keepsakes.forget("login", self.user)
            raise
        self._watching.told(told)
        return receipt

    async def create_channel(
        self,
        name: str,
        *,
        private: bool = False,
        level: str | None = None,
        id: bytes | None = None,
        deadline_seconds: float | None = None,
    ) -> Receipt:
        """Create a channel, `private` for who is invited only.  Raises `ChannelExists`, `NameRefused`.

        with contextlib.suppress(ChannelExists):
            await chat.create_channel("geral")
        """
        fields: dict[str, Any] = {"channel": checked(names.channel_name, name)}
        if private:
            fields["private"] = True
        if self._user is not None:
            fields["user"] = self._user
        return await self._write("channel", fields, id=id, level=level, deadline_seconds=deadline_seconds)

    async def publish(
        self,
        channel: str,
        text: str,
        *,
        level: str | None = None,
        id: bytes | None = None,
        deadline_seconds: float | None = None,
        outbox: bool = False,
    ) -> Receipt:
        """Say something on a channel.  Raises `ChannelMissing`, `TextRefused`, `Indeterminate`.

        With `outbox` it is first written down in `data`; then `Queued` in the place of `Indeterminate`
        and `NoAnswer` says that it stays there, to be sent again: see `outbox`.  What several tasks publish
        at the same moment shares a request, and each has its own receipt or error.

        try:
            receipt = await chat.publish("geral", "oi", level="quorum")
        except Indeterminate as unsure:
            receipt = await chat.publish("geral", "oi", level="quorum", id=unsure.id)
        """
        unsent = self._unsent(text, channel=checked(names.channel_name, channel), id=id, level=level)
        return await (self.outbox.post if outbox else self._say)(unsent, deadline_seconds)

    async def message(
        self,
        dst: str,
        text: str,
        *,
        level: str | None = None,
        id: bytes | None = None,
        deadline_seconds: float | None = None,
        outbox: bool = False,
    ) -> Receipt:
        """Say something to one user.  Raises `UserMissing`, `TextRefused`, `Indeterminate`, `Queued`.

        await chat.message("bob", "psst")
        """
        unsent = self._unsent(text, dst=checked(names.user_name, dst), id=id, level=level)
        return await (self.outbox.post if outbox else self._say)(unsent, deadline_seconds)

    @property
    def outbox(self) -> Outbox:
        """Messages written down in `data` that no server has confirmed.  Raises `ValueError` without `data`.

        try:
            await chat.publish("geral", "oi", outbox=True)
        except Queued:
            print(len(chat.outbox.unsent), "waiting")
        """
        if self._outbox is None:
            directory = self._keepsakes.directory
            if directory is None:
                raise ValueError("the outbox needs the directory `data`")
            file = OutboxFile(directory, self.user, now_seconds=self._connection.now_seconds)
            self._outbox = Outbox(file, self._say)
        return self._outbox

    def level_of(self, receipt: Receipt) -> str:
        """The level that a write has reached by now: beacons tell of further copies while one is subscribed.

        if chat.level_of(receipt) == "all":
            print("kept everywhere")
        """
        return str(self._connection.copies.level(receipt))

    # Reads -------------------------------------------------------------------------------------

    async def users(self, *, deadline_seconds: float | None = None) -> list[str]:
        """All registered users."""
        return await self._names("users", deadline_seconds)

    async def channels(self, *, deadline_seconds: float | None = None) -> list[str]:
        """All channels."""
        return await self._names("channels", deadline_seconds)

    async def history(
        self,
        channel: str,
        *,
        limit: int = HISTORY_MESSAGES_DEFAULT,
        before: Key | None = None,
        since: Mapping[str, int] | None = None,
    ) -> Page:
        """The last `limit` messages of a channel, those before a key, or those since a vector.

        page = await chat.history("geral", limit=50)
        older = await chat.history("geral", limit=50, before=page.earlier)
        """
        return await self._watching.page(
            {"channel": checked(names.channel_name, channel)}, limit=limit, before=before, since=since
        )

    async def direct_messages(
        self,
        peer: str | None = None,
        *,
        limit: int = HISTORY_MESSAGES_DEFAULT,
        before: Key | None = None,
        since: Mapping[str, int] | None = None,
    ) -> Page:
        """This user's direct messages, sent and received, or only those exchanged with `peer`.

        for message in await chat.direct_messages("bob"):
            print(message.src, message.text)
        """
        whose = {"user": self.user}
        if peer is not None:
            whose["peer"] = checked(names.user_name, peer)
        return await self._watching.page(whose, limit=limit, before=before, since=since)

    async def status(self, *, deadline_seconds: float | None = None) -> Status:
        """How the server that answers sees itself and the cluster."""
        answer = await self._connection.read("status", {}, deadline_seconds=deadline_seconds)
        return values.status(answer.data, server=answer.address)

    async def sync(self, *, last_sync: int | float | str | None = None) -> SyncPage:
        """The contract's `sync` on demand: everything that arrived since `last_sync`.

        `last_sync`: UNIX seconds, or what an earlier page had as `next_sync`.

        page = await chat.sync()
        while page.more:
            page = await chat.sync(last_sync=page.next_sync)
        """
        answer = await self._connection.read("sync", {"last_sync": last_sync})
        return values.sync_page(answer.data, server=answer.address)

    def subscribe(
        self,
        *channels: str,
        direct: bool = False,
        backlog: int = 0,
        since: Cursor | None = None,
        resume: str | None = None,
        most: int | None = None,
        on_change: OnChange | None = None,
        on_denied: OnDenied | None = None,
    ) -> AbstractAsyncContextManager[Subscription]:
        """Messages of channels, and with `direct` this user's own, as an async iterator.

        `backlog`: how many earlier messages of each to begin with.  `since`: the `cursor` of an earlier
        subscription, to go on exactly there; it wins over `backlog`.  `resume`: a name under which that
        cursor is kept in `data`, by itself; the first time it begins with `backlog`.  `most`: of what was
        missed only so many of the last messages of each.  `on_change` is called when a message that was
        shown belongs elsewhere or was lost with a server's disk, `on_denied` when a right to read is lost (a
        kick); what forbids it from the beginning is raised (`NotMember`).  What was missed while a server or
        broker was away comes from the history: nothing is lost and nothing comes twice.  Entering the block
        raises `TooManyTargets` with more than 1,024.

            async with chat.subscribe("geral", direct=True, backlog=20) as incoming:
                async for message in incoming:
                    print(message.channel or "(direct)", message.user, message.text)
        """
        targets = tuple(dict.fromkeys(checked(names.channel_name, name) for name in channels))
        if direct:
            self.user  # noqa: B018 (raises without one)
        if resume is not None and not self._keepsakes.directory:
            raise ValueError("resume needs the directory `data`")
        return self._watching.subscribe(
            targets,
            direct=direct,
            backlog=backlog,
            since=since,
            resume=resume,
            most=most,
            on_change=on_change,
            on_denied=on_denied,
        )

    @property
    def behind(self) -> bool:
        """Whether the latest read may lack what was shown or written here before.

        It does if no server that answers has that yet.  Everything is there again once one does.
        """
        return bool(self._connection.lacking)

    # Within ------------------------------------------------------------------------------------

    def _unsent(
        self,
        text: str,
        *,
        channel: str | None = None,
        dst: str | None = None,
        id: bytes | None,
        level: str | None,
    ) -> Unsent:
        self.user  # noqa: B018 (raises without one)
        return Unsent(
            id=self._mint() if id is None else checked_id(id),
            channel=channel,
            dst=dst,
            text=checked(names.text, text),
            level=None if level is None else str(Level(level)),
            written=self._connection.now_seconds(),
        )

    async def _say(self, message: Unsent, deadline_seconds: float | None = None) -> Receipt:
        if message.channel is not None:
            service, fields = "publish", {"user": self.user, "channel": message.channel}
        else:
            service, fields = "message", {"src": self.user, "dst": message.dst or ""}
        fields["message"] = message.text
        return await self._write(
            service, fields, id=message.id, level=message.level, deadline_seconds=deadline_seconds
        )

    async def _names(self, service: str, deadline_seconds: float | None) -> list[str]:
        """All names, page by page while a server says that there are more; the deadline is each page's."""
        found: dict[str, None] = {}
        asked: dict[str, Any] = {}
        while True:
            data = (await self._connection.read(service, asked, deadline_seconds=deadline_seconds)).data
            self._connection.session.saw_vector(values.vector(data.get("vector")))
            page = values.texts(data.get(service, data.get("users")))
            before = len(found)
            found |= dict.fromkeys(page)
            if data.get("more") is not True or len(found) == before:
                return list(found)
            asked = {"after": page[-1]}

    def _identity(self) -> tuple[bytes, bool]:
        """The id of this user's login, and whether it was used before."""
        if self._login_id is not None:
            return self._login_id, True
        kept = self._keepsakes.recall("login", self.user) or {}
        try:
            self._login_id = names.identifier(bytes.fromhex(str(kept.get("id", ""))) or None)
        except (ValueError, Refused):
            self._login_id = None
        if self._login_id is not None:
            return self._login_id, True
        self._login_id = self._mint()
        return self._login_id, False
