"""`recado chat`: talk, on a terminal or through a pipe.

On a terminal the typed line stays while messages arrive (prompt_toolkit, which needs asyncio); the
screen is never taken over and the mouse never captured, so that it works over SSH at 80 x 24.  Without
a terminal it reads and writes plain lines.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from functools import partial

import anyio
import click
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from clients.chatting.faces import (
    Face,
    Lines,
    PlainFace,
    TerminalFace,
    on_terminal,
    plain_lines,
    terminal_lines,
)
from clients.chatting.interpreter import Channels, Intent, Join, Login, Menu, Quit, interpret
from clients.chatting.menu import Ask, MenuState, NotMine
from clients.chatting.room import Room
from clients.options import Where, level_option, user_option, where_options
from clients.session import run, with_brokers
from clients.words import speaker
from recado.client import ChatError
from recado.texts import Texts

INTENTS_WAITING_MAX = 100
QUIT_SECONDS = 3.0
CHANNELS_AT_FIRST = 20


@click.command(
    "chat",
    epilog="\b\nExamples:\n  recado chat --user ana geral\n  ssh host recado chat\n"
    "  printf '/join geral\\noi\\n' | recado chat --user ana\n\n"
    "Exit codes: 0 done; through a pipe 1 if a line was refused or not sent, 75 if that is not known\n"
    "or a message waits in the outbox, 69 if nobody answers.",
)
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
@user_option
@level_option
@where_options
def chat(*, channels: tuple[str, ...], user: str | None, level: str | None, where: Where) -> None:
    """Talk: log in, join channels, write, and read what arrives.  /menu shows what one can do."""
    terminal = on_terminal()
    code = run(
        partial(_live, where, user=user, channels=channels, level=level, terminal=terminal),
        where=where,
    )
    if not terminal:  # nobody has read the words
        sys.exit(code)


async def _live(
    where: Where, *, user: str | None, channels: tuple[str, ...], level: str | None, terminal: bool
) -> int:
    """The exit code: what became of all that was typed."""
    say = speaker()
    face: Face = TerminalFace(colour="NO_COLOR" not in os.environ) if terminal else PlainFace()
    room = Room(await _brokers(where, user), face=face, say=say, level=level, first=user)
    first: list[Intent] = [Login(user)] if user else []
    first += [Join(name.removeprefix("#")) for name in channels]
    if terminal and not channels:
        first.append(Channels(most=CHANNELS_AT_FIRST))
    lines: Lines = (
        terminal_lines(prompt=room.prompt, toolbar=room.toolbar, words=room.words)
        if terminal
        else nullcontext(plain_lines())
    )
    give, take = anyio.create_memory_object_stream[Intent](INTENTS_WAITING_MAX)
    done = anyio.Event()
    async with anyio.create_task_group() as duties, lines as typed:
        duties.start_soon(_leave_on_signal, duties.cancel_scope)
        duties.start_soon(partial(_work, room, take, first=first, done=done))
        if terminal:
            face.notice(say("chat.welcome") if user else say("chat.welcome_stranger"))
        await _converse(typed, give, face=face, say=say)
        give.close()
        # What came through a pipe is carried out to its end; a person who quits waits only briefly.
        with anyio.move_on_after(QUIT_SECONDS if terminal else None):
            await done.wait()
        duties.cancel_scope.cancel()
    return room.outcome.exit_code


async def _work(
    room: Room, intents: MemoryObjectReceiveStream[Intent], *, first: Sequence[Intent], done: anyio.Event
) -> None:
    """Carry out what was typed, one after the other, while the next line is being typed."""
    async with anyio.create_task_group() as duties, intents:
        try:
            await room.open(None, duties)
            for intent in first:
                await room.do(intent, duties)
            async for intent in intents:
                await room.do(intent, duties)
        finally:
            await room.close()
    done.set()


async def _brokers(where: Where, user: str | None) -> Where:
    try:
        return await with_brokers(where, user)
    except ChatError:
        return where  # nobody answers at the moment: the room will try again and say so


async def _converse(
    typed: AsyncIterator[str], give: MemoryObjectSendStream[Intent], *, face: Face, say: Texts
) -> None:
    menu = MenuState()
    async for line in typed:
        intent: Intent | Ask | NotMine = menu.feed(line) if menu.open else NotMine()
        if isinstance(intent, NotMine):
            intent = interpret(line)
        if isinstance(intent, Ask):
            face.notice(say(intent.key))
            continue
        if isinstance(intent, Quit):
            return
        if isinstance(intent, Menu):
            menu.show()
        await give.send(intent)


async def _leave_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
