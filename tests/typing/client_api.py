"""The public face of the library as callers see it: type-checked by a test, never run.

`assert_type` says what callers get; an unused ``type: ignore`` fails the check, so each of them says
what callers are kept from.
"""

from collections.abc import Mapping
from typing import assert_type

from recado.client import (
    Busy,
    Change,
    Chat,
    ChatError,
    Indeterminate,
    Key,
    Message,
    Page,
    Patience,
    Receipt,
    RefusedByServer,
    Sent,
    Status,
    Subscription,
    SyncPage,
    Unsent,
    connect,
)
from recado.wire.memory import MemoryNetwork
from recado.wire.zeromq import ZeroMQNetwork


async def writes(chat: Chat) -> None:
    receipt = await chat.login()
    assert_type(receipt, Receipt)
    assert_type(receipt.key, Key | None)
    assert_type(receipt.id, bytes)
    assert_type(await chat.publish("geral", "oi", level="quorum", id=receipt.id), Receipt)
    assert_type(await chat.message("bob", "psst", deadline_seconds=3), Receipt)
    assert_type(await chat.create_channel("geral"), Receipt)
    assert_type(await chat.publish("geral", "oi", outbox=True), Receipt)
    assert_type(chat.outbox.unsent, tuple[Unsent, ...])
    assert_type(await chat.outbox.send(), list[Sent])
    assert_type(chat.level_of(receipt), str)
    await chat.publish("geral", "oi", "quorum")  # type: ignore[call-arg]
    await chat.publish("geral", b"oi")  # type: ignore[arg-type]
    receipt.acks = 3  # type: ignore[misc]


async def reads(chat: Chat) -> None:
    assert_type(await chat.users(), list[str])
    assert_type(await chat.channels(), list[str])
    page = await chat.history("geral", limit=10, before=None)
    assert_type(page, Page)
    assert_type([message for message in page], list[Message])  # noqa: C416
    assert_type(await chat.direct_messages("bob", before=page.earlier), Page)
    assert_type(await chat.history("geral", since=page.upto), Page)
    assert_type(await chat.status(), Status)
    assert_type(await chat.sync(last_sync=0), SyncPage)
    assert_type(chat.clock, int)
    assert_type(chat.members, int | None)
    chat.clock = 3  # type: ignore[misc]


async def subscriptions(chat: Chat) -> None:
    async with chat.subscribe("geral", "festa", direct=True, backlog=10) as incoming:
        assert_type(incoming, Subscription)
        await incoming.join("outro", backlog=3)
        incoming.leave("outro")
        async for message in incoming:
            assert_type(message, Message)
            assert_type(message.channel, str | None)
            assert_type(message.key, Key | None)
            break
        cursor = incoming.cursor
        assert_type(cursor, Mapping[str, Mapping[str, int]])
    chat.subscribe("geral", since=cursor)

    def changed(change: Change) -> None:
        assert_type(change.now, Key | None)

    chat.subscribe("geral", resume="ana", most=50, on_change=changed)
    _ = chat.subscribe("geral").cursor  # type: ignore[attr-defined]


async def connecting() -> None:
    async with connect(
        "ana", network=MemoryNetwork().host("me"), patience=Patience(attempt_seconds=1)
    ) as chat:
        assert_type(chat, Chat)
    async with (
        ZeroMQNetwork() as network,
        connect(None, reference="tcp://127.0.0.1:5559", network=network, data="state") as chat,
    ):
        assert_type(chat, Chat)
    connect("ana", ["tcp://127.0.0.1:5555"])  # type: ignore[call-arg]


def errors(error: ChatError) -> None:
    match error:
        case Indeterminate(id=ident, acks=acks):
            assert_type(ident, bytes)
            assert_type(acks, int)
        case Busy(retry_after=retry_after):
            assert_type(retry_after, float)
        case RefusedByServer(code=code, text=text, certain=certain):
            assert_type((code, text, certain), tuple[str, str, bool])
