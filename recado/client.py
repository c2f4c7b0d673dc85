"""The library: ``from recado.client import connect``.  The same code under trio and asyncio.

    async with connect("ana", servers=["tcp://127.0.0.1:5555"], brokers=["tcp://127.0.0.1:5558"]) as chat:
        await chat.login()
        await chat.create_channel("geral")
        async with chat.subscribe("geral", direct=True) as incoming:
            await chat.publish("geral", "oi")
            async for message in incoming:
                print(message.user, message.text)

A request never hangs: a server that does not answer within 3 s is followed by the next one, with the
same id, so that nothing appears twice; after 15 s a read raises `NoAnswer` and a write `Indeterminate`.
What a server refuses raises a kind of `RefusedByServer`.  For tests without a network there is
`recado.wire.memory.MemoryNetwork`: ``connect(…, network=MemoryNetwork().host("me"))``.

A cluster with keys is reached with its roster and one's own key, and proves itself by the roster in turn:

    async with connect("ana", reference="tcp://10.0.0.9:5559", roster="roster.toml", key="ana.key") as chat:
        await chat.login()
"""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from os import PathLike
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from recado.background import Background
from recado.chat import Chat
from recado.connection import Connection
from recado.course import Patience
from recado.failures import (
    BadReply,
    Banned,
    Busy,
    ChannelExists,
    ChannelMissing,
    ChatError,
    Closed,
    Forbidden,
    Indeterminate,
    KeyUnknown,
    Muted,
    NameRefused,
    NameTaken,
    NoAnswer,
    NotMember,
    NotYou,
    Queued,
    RateLimited,
    RefusedByServer,
    RegistrationRefused,
    TextRefused,
    TooManyTargets,
    UserMissing,
    checked,
)
from recado.keepsake import Keepsakes
from recado.outbox import Unsent
from recado.protocol import names
from recado.protocol.messages import Level
from recado.resuming import Cursor
from recado.searching import Found
from recado.sending import Outbox, Sent
from recado.servers import Servers
from recado.standing import ChannelInfo, Deed, DeedPage, UserInfo, UserKey
from recado.subscriptions import Subscription, Watching
from recado.values import Change, Key, Message, Page, Receipt, Status, SyncPage
from recado.whereabouts import Whereabouts
from recado.wire.ports import Network

if TYPE_CHECKING:  # what reads keys is loaded for those who have some
    from recado.keys import Identity
    from recado.roster import Roster
    from recado.secured import ClientSecurity

__all__ = [
    "BadReply",
    "Banned",
    "Busy",
    "Change",
    "ChannelExists",
    "ChannelInfo",
    "ChannelMissing",
    "Chat",
    "ChatError",
    "Closed",
    "Cursor",
    "Deed",
    "DeedPage",
    "Forbidden",
    "Found",
    "Indeterminate",
    "Key",
    "KeyUnknown",
    "Message",
    "Muted",
    "NameRefused",
    "NameTaken",
    "NoAnswer",
    "NotMember",
    "NotYou",
    "Outbox",
    "Page",
    "Patience",
    "Queued",
    "RateLimited",
    "Receipt",
    "RefusedByServer",
    "RegistrationRefused",
    "Sent",
    "Status",
    "Subscription",
    "SyncPage",
    "TextRefused",
    "TooManyTargets",
    "Unsent",
    "UserInfo",
    "UserKey",
    "UserMissing",
    "connect",
]


@asynccontextmanager
async def connect(
    user: str | None,
    *,
    servers: Iterable[str] = (),
    brokers: Iterable[str] = (),
    reference: str | None = None,
    network: Network | None = None,
    level: str | None = None,
    data: str | PathLike[str] | None = None,
    roster: "str | PathLike[str] | Roster | None" = None,
    key: "str | PathLike[str] | Identity | None" = None,
    security: "ClientSecurity | None" = None,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
    random: Random | None = None,
) -> AsyncIterator[Chat]:
    """A connection to a Recado cluster, as an async context manager.

    `user`: who speaks; None to read only.  `servers`: their addresses, in the order in which to ask;
    without any, those that the `reference` lists.  `brokers`: the XPUB addresses to subscribe at;
    without any, those that the servers name, and if they name none subscriptions poll the history.
    `level`: how many durable copies a write waits for, ``"local"``, ``"quorum"`` or ``"all"``; None
    means quorum with three members or more, else local.  `data`: a directory where the id of the login
    is kept, so that this user can log in again later; without it only within this connection.
    `roster`, `key`: of a cluster with keys, who belongs to it and who speaks, as files or as read; or both at
    once as `security` (`recado.secured.client_security`).
    `network`: what carries the bytes, if not a ZeroMQ network of its own.  `random`: of the pauses and
    of the order of listed servers, for tests that must repeat.

    Nothing is sent before the first request.  Raises `NameRefused` if `user` can't be a name,
    `ValueError` if `level` is none, `RosterError` or `KeyFileError` for files that can't be used.
    """
    if isinstance(servers, str) or isinstance(brokers, str):
        raise TypeError("servers and brokers are lists of addresses")
    name = None if user is None else checked(names.user_name, user)
    security = security or _credentials(roster, key)
    async with AsyncExitStack() as stack:
        if network is None:
            network = await stack.enter_async_context(_network(security))
        source = random or SystemRandom()
        whereabouts = Whereabouts(security)
        pool = Servers(
            network,
            await stack.enter_async_context(Background()),
            given=whereabouts.servers(servers),
            reference=whereabouts.reference(reference),
            random=source,
            learn=whereabouts.listed,
        )
        connection = Connection(
            pool, patience=patience, random=source, wall_clock=time.time, secured=security is not None
        )
        stack.callback(connection.close)
        keepsakes = Keepsakes(None if data is None else Path(data))
        known = tuple(dict.fromkeys(brokers))
        watching = Watching(
            connection, network, brokers=known, user=name, keepsakes=keepsakes, know_broker=whereabouts.broker
        )
        usual = None if level is None else Level(level)
        bot = security is not None and security.identity.kind == "bot"
        yield Chat(name, connection, watching, keepsakes, usual, bot=bot)


def _credentials(
    roster: "str | PathLike[str] | Roster | None", key: "str | PathLike[str] | Identity | None"
) -> "ClientSecurity | None":
    if roster is None and key is None:
        return None
    from recado.credentials import credentials

    return credentials(roster, key)


def _network(security: "ClientSecurity | None") -> AbstractAsyncContextManager[Network]:
    """A ZeroMQ network of one's own; there is nothing to linger for: who asked has an answer, or the news
    that there is none.
    """
    from recado.wire.zeromq import WireOptions, ZeroMQNetwork

    options = WireOptions(linger_seconds=0.0)
    if security is None:
        return ZeroMQNetwork(options)
    from recado.credentials import wire_security

    return ZeroMQNetwork(options, wire_security(security))
