"""`recado users|channels|history|tail|sync`: the commands that read."""

import heapq
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import anyio
import click

from clients.ending import FAILURE, Ended
from clients.keyring import who_speaks
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put, words
from clients.render import key_of, message_json, message_line
from clients.session import open_chat, run, with_brokers
from clients.words import speaker
from recado.client import Chat, ChatError, Cursor, Key, Message, Page, Subscription, TooManyTargets
from recado.protocol.limits import HISTORY_MESSAGES_MAX, SUBSCRIPTIONS_PER_CLIENT_MAX
from recado.protocol.names import uid
from recado.protocol.printable import printable
from recado.protocol.publications import target_key
from recado.texts import error_text, wire_text

CODES = "Exit codes: 0 done, 1 refused, 69 nobody answers."
NEW_CHANNELS_SECONDS = 5.0


def _names(found: Sequence[str], *, what: str, as_json: bool) -> None:
    if as_json:
        document(**{what: list(found)})
        return
    for name in found:
        put(printable(name))


@click.command("users", epilog=f"\b\nExample:\n  recado users --json | jq -r '.users[]'\n\n{CODES}")
@user_option
@where_options
@json_option
def users(*, user: str | None, where: Where, as_json: bool) -> None:
    """List all registered users, in the order of their registration."""

    async def do() -> list[str]:
        async with open_chat(where, None, key_of=user) as chat:
            return await chat.users()

    _names(run(do, where=where), what="users", as_json=as_json)


@click.command("channels", epilog=f"\b\nExample:\n  recado channels\n\n{CODES}")
@user_option
@where_options
@json_option
def channels(*, user: str | None, where: Where, as_json: bool) -> None:
    """List all channels, in the order of their creation."""

    async def do() -> list[str]:
        async with open_chat(where, None, key_of=user) as chat:
            return await chat.channels()

    _names(run(do, where=where), what="channels", as_json=as_json)


def place(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Key | None:
    """A key as `--before` takes it."""
    if value is None:
        return None
    try:
        return key_of(value)
    except ValueError:
        raise click.BadParameter("expected LAMPORT:ORIGIN:SEQ, as `history --json` shows keys") from None


@click.command(
    "history",
    epilog="\b\nExamples:\n  recado history geral -n 20\n  recado history --direct --user ana bob\n"
    f"  recado history geral --json --before 120:server-1.3fa2:17\n\n{CODES}",
)
@click.argument("name", required=False, metavar="[CHANNEL|PEER]")
@click.option("--direct", is_flag=True, help="The user's direct messages, or only those with PEER.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, HISTORY_MESSAGES_MAX),
    default=50,
    show_default=True,
    help="How many.",
)
@click.option(
    "--before", callback=place, metavar="KEY", help="Only those before this key (`earlier` of a page)."
)
@user_option
@where_options
@json_option
def history(
    *,
    name: str | None,
    direct: bool,
    count: int,
    before: Key | None,
    user: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Show the last messages of a channel, or of one's direct conversations, oldest first."""
    if not direct and name is None:
        raise click.UsageError("name a channel, or give --direct")
    who = who_speaks(where, user) if direct else user

    async def do() -> Page:
        async with open_chat(where, who, key_of=user) as chat:
            if direct:
                return await chat.direct_messages(name, limit=count, before=before)
            page = await chat.history(name or "", limit=count, before=before)
            if not page.messages and await _missing(chat, [name or ""]):
                text = error_text("channel_missing", speaker().language, given=wire_text("channel_missing"))
                raise Ended(text, FAILURE, code="channel_missing")
            return page

    page = run(do, where=where, channel=None if direct else name)
    if as_json:
        earlier = None if page.earlier is None or not page.more else ":".join(map(str, page.earlier))
        document(messages=[message_json(m) for m in page], earlier=earlier, server=page.server)
        return
    for message in page:
        put(message_line(message, channel=False))


@click.command(
    "tail",
    epilog="\b\nExamples:\n  recado tail geral                   the last ten messages\n"
    "  recado tail -f                      all channels, as messages arrive\n"
    "  recado tail -f --direct --user ana  her direct messages\n"
    f"  recado tail -f --json | jq -r .text\n\n{CODES} 130 after Ctrl-C.",
)
@click.argument("names", nargs=-1, metavar="[CHANNEL]...")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what arrives; nothing is missed or shown twice."
)
@click.option(
    "-n", "count", type=click.IntRange(0, 1000), default=10, show_default=True, help="Earlier ones first."
)
@click.option("--direct", is_flag=True, help="The user's direct messages; with channels named, both.")
@click.option(
    "--resume",
    metavar="NAME",
    help="With -f: go on where the last run under this name stopped; the first begins with -n.",
)
@user_option
@where_options
@json_option
def tail(
    *,
    names: tuple[str, ...],
    follow: bool,
    count: int,
    direct: bool,
    resume: str | None,
    user: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Show the last messages, and with -f those that arrive.

    Without CHANNEL and without --direct: of all channels.
    """
    who = who_speaks(where, user) if direct else user
    if resume is not None and not follow:
        raise click.UsageError("--resume goes with --follow")

    def show(message: Message) -> None:
        if as_json:
            document(**message_json(message))
        else:
            put(message_line(message, channel=len(names) != 1))

    async def do() -> None:
        there = await with_brokers(where, user) if follow else where
        async with open_chat(there, who, key_of=user) as chat:
            every = not names and not direct
            followed = await chat.channels() if every else names
            left_out = set(followed[:-SUBSCRIPTIONS_PER_CLIENT_MAX]) if every and follow else set()
            followed = [name for name in followed if name not in left_out]
            _tell_left_out(len(left_out))
            for name in await _missing(chat, names):
                words(speaker()("tail.no_channel", channel=printable(name)))
            if resume is not None:
                incoming = chat.subscribe(*followed, direct=direct, backlog=count, resume=resume)
                await _follow(chat, incoming, left_out=left_out if every else None, show=show)
                return
            last, cursor = await _last(chat, followed, count=count, direct=direct)
            for message in last:
                show(message)
            if follow:
                incoming = chat.subscribe(*followed, direct=direct, since=cursor)
                await _follow(chat, incoming, left_out=left_out if every else None, show=show)

    run(do, where=where)


async def _missing(chat: Chat, names: Sequence[str]) -> list[str]:
    """Those of the names that no channel has."""
    there = set(await chat.channels()) if names else set()
    return [name for name in names if name.strip() not in there]


async def _last(
    chat: Chat, names: Sequence[str], *, count: int, direct: bool
) -> tuple[list[Message], Cursor]:
    """The last `count` of all of them together in their order, and the cursor that goes on after them."""
    found: list[Message] = []
    cursor: dict[str, Mapping[str, int]] = {}
    for name in names:
        page = await chat.history(name, limit=max(1, count))
        found += page
        cursor[target_key(name)] = page.upto
    if direct:
        page = await chat.direct_messages(limit=max(1, count))
        found += page
        cursor[target_key(uid(chat.user))] = page.upto
    latest = heapq.nlargest(count, found, key=lambda m: m.key or Key(m.clock, "", 0))
    return latest[::-1], cursor


async def _follow(
    chat: Chat,
    subscription: AbstractAsyncContextManager[Subscription],
    *,
    left_out: set[str] | None,
    show: Callable[[Message], None],
) -> None:
    """Show what arrives, until a signal; unless `left_out` is None also on channels created meanwhile."""
    async with anyio.create_task_group() as duties:
        duties.start_soon(_leave_on_signal, duties.cancel_scope)
        async with subscription as incoming:
            if left_out is not None:
                duties.start_soon(join_new, chat, incoming, left_out)
            async for message in incoming:
                show(message)
        duties.cancel_scope.cancel()


async def _leave_on_signal(scope: anyio.CancelScope) -> None:
    """A cursor is kept on the way out."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


def _tell_left_out(count: int) -> None:
    if count:
        words(speaker()("tail.left_out", count=count, most=SUBSCRIPTIONS_PER_CLIENT_MAX))


async def join_new(chat: Chat, incoming: Subscription, left_out: set[str]) -> None:
    """Follow channels created meanwhile, as long as there is room.

    `left_out`: those that there is no room for; each time it grows that is said.
    """
    while True:
        await anyio.sleep(NEW_CHANNELS_SECONDS)
        before = len(left_out)
        with suppress(ChatError):  # the subscription goes on by itself; ask again later
            followed = set(incoming.channels)
            for name in await chat.channels():
                if name in followed or name in left_out:
                    continue
                try:
                    await incoming.join(name, since={target_key(name): {}})
                except TooManyTargets:
                    left_out.add(name)
        if len(left_out) > before:
            _tell_left_out(len(left_out))


@click.command(
    "sync",
    epilog="\b\nExamples:\n  recado sync\n  recado sync --since 1760000000 --json > changes.jsonl\n\n"
    f"With --json: one line per page of at most 1 MiB.\n\n{CODES}",
)
@click.option("--since", type=float, metavar="SECONDS", help="Only what arrived after this UNIX time.")
@user_option
@where_options
@json_option
def sync(*, since: float | None, user: str | None, where: Where, as_json: bool) -> None:
    """Ask a server for everything it has, as the contract's `sync` does, and count it."""
    counts = {"logins": 0, "channels": 0, "channel_messages": 0, "user_messages": 0}

    async def do() -> str:
        async with open_chat(where, None, key_of=user) as chat:
            last: float | str | None = since
            while True:
                page = await chat.sync(last_sync=last)
                found = {what: list(getattr(page, what)) for what in counts}
                for what, items in found.items():
                    counts[what] += len(items)
                if as_json:
                    document(server=page.server, **found, more=page.more, next_sync=page.next_sync)
                if not page.more or page.next_sync is None or page.next_sync == last:
                    return page.server
                last = page.next_sync

    server = run(do, where=where)
    if not as_json:
        for what, number in counts.items():
            put(f"{what} {number}")
        words(speaker()("look.sync", server=printable(server)))
