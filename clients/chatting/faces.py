"""How the chat looks: on a terminal with prompt_toolkit, or as plain lines in and out."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import anyio

from clients.chatting.interpreter import ABOUT_USERS, ALIASES, COMMANDS, in_quotes
from clients.output import put_page, words
from recado.protocol.printable import acts, printable

if TYPE_CHECKING:
    from prompt_toolkit.document import Document

LINE_BYTES_MAX = 64 * 1024


class Face(Protocol):
    """What the room needs to show."""

    def message(self, text: str) -> None:
        """A message, or data that was asked for."""

    def notice(self, text: str) -> None:
        """Something for people only."""


class PlainFace:
    """Lines: messages and data on standard output, notices on standard error."""

    def message(self, text: str) -> None:
        put_page(text)

    def notice(self, text: str) -> None:
        words(text)


async def plain_lines() -> AsyncIterator[str]:
    """Standard input line by line until its end.  Over-long lines are cut."""
    descriptor = sys.stdin.fileno()
    rest = b""
    while True:
        with suppress(PermissionError):  # epoll refuses a regular file, which is always readable
            await anyio.wait_readable(descriptor)
        piece = os.read(descriptor, LINE_BYTES_MAX)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if not piece:
            if rest:
                yield rest.decode("utf-8", "replace")
            return
        rest = rest[:LINE_BYTES_MAX]


class TerminalFace:
    """Above the typed line; nothing of it is disturbed (`patch_stdout` redraws it)."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def message(self, text: str) -> None:
        put_page(text)

    def notice(self, text: str) -> None:
        from prompt_toolkit import print_formatted_text
        from prompt_toolkit.formatted_text import FormattedText

        if self._colour:
            print_formatted_text(FormattedText([("ansibrightblack", printable(text, keep="\n"))]))
        else:
            put_page(text)


class Words:
    """What the Tab key completes: commands, and the names known at present."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.channels: list[str] = []

    def completions(self, before_cursor: str) -> tuple[list[str], int]:
        """Candidates for the word before the cursor, and how long that word is."""
        command, space, rest = before_cursor.partition(" ")
        if not command.startswith("/"):
            return [], 0
        if not space:
            return [f"{word} " for word in _beginning(COMMANDS, command)], len(command)
        command = ALIASES.get(command, command)
        if command in {"/msg", *ABOUT_USERS} and " " not in rest.strip('"'):
            return _beginning(map(in_quotes, self.users), rest), len(rest)
        if command in {"/join", "/leave", "/info", "/resign"}:
            return _beginning(self.channels, rest.removeprefix("#")), len(rest)
        return [], 0


def _beginning(candidates: Iterable[str], start: str) -> list[str]:
    """Those that begin so; what would act on the terminal is not put into the typed line."""
    return sorted(word for word in candidates if word.startswith(start) and not acts(word))


@asynccontextmanager
async def terminal_lines(
    *, prompt: Callable[[], str], toolbar: Callable[[], str], words: Words
) -> AsyncIterator[AsyncIterator[str]]:
    """Lines typed on a terminal, with editing, history and completion; ends with Ctrl-D or twice Ctrl-C."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.patch_stdout import patch_stdout

    class Names(Completer):
        def get_completions(self, document: "Document", complete_event: object) -> Iterable[Completion]:  # noqa: ARG002
            found, length = words.completions(document.text_before_cursor)
            return [Completion(word, start_position=-length) for word in found]

    session: PromptSession[str] = PromptSession(
        message=prompt,
        completer=Names(),
        complete_while_typing=False,
        history=InMemoryHistory(),  # what people type is private: it isn't kept on disk
        bottom_toolbar=toolbar,
        erase_when_done=True,  # the line comes back as a message with its tick
        mouse_support=False,
        refresh_interval=1.0,  # ticks rise by themselves
    )

    async def lines() -> AsyncIterator[str]:
        interrupted = False
        while True:
            try:
                line = await session.prompt_async()
            except EOFError:
                return
            except KeyboardInterrupt:
                if interrupted:
                    return
                interrupted = True
                continue
            interrupted = False
            yield line

    with patch_stdout(raw=False):
        yield lines()


def on_terminal() -> bool:
    """Whether there is somebody to type: both ends are a terminal that can move its cursor."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


Lines = AbstractAsyncContextManager[AsyncIterator[str]]
