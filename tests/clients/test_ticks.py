"""Ticks of one's own messages: which are shown, and when a further copy is worth a line."""

from dataclasses import replace
from typing import cast

import pytest

from clients.chatting import outbox as room_outbox
from clients.chatting.outbox import Outbox
from clients.chatting.outcome import Outcome
from clients.words import WORDS
from recado.client import Chat, Key, Queued, Receipt, Sent, Unsent
from recado.failures import Closed
from recado.texts import Texts

RECEIPT = Receipt(
    id=b"1", key=Key(1, "server-1.1", 1), acks=1, of=3, level="local", server="server-1", clock=2
)
WAITING = Unsent(id=b"1", channel="geral", dst=None, text="oi", level=None, written=0)


class Lines:
    """A face that remembers what it showed."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.notices: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text.split("  ", 1)[1])

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Levels:
    """What `Outbox` needs of a connection: the level known of the message, as the test sets it."""

    def __init__(self, level: str) -> None:
        self.level = level
        self.unsent = (WAITING,)
        self.outbox = self

    def level_of(self, _receipt: Receipt) -> str:
        return self.level


async def said(level: str, *, text: str = "oi") -> tuple[Outbox, Lines, Levels, Chat]:
    """After one message that was confirmed at this level."""
    lines, levels = Lines(), Levels(level)
    box = Outbox(lines, Texts("en", WORDS), Outcome())
    chat = cast(Chat, levels)

    async def write(ident: bytes) -> Receipt:
        return replace(RECEIPT, id=ident)

    await box.send(f"#geral <ana> {text}", text, chat=chat, write=write)
    return box, lines, levels, chat


async def test_a_tick_that_rises_soon_takes_no_line() -> None:
    """From two ticks to three within moments: the toolbar shows it, the screen stays as it is."""
    box, lines, levels, chat = await said("quorum")
    assert (lines.messages, box.tick) == (["#geral <ana> oi ✓✓"], "✓✓")
    levels.level = "all"
    box.look(chat)
    assert (lines.notices, box.tick) == ([], "✓✓✓")


async def test_a_message_with_one_copy_is_told_of_the_next() -> None:
    """Whoever saw one tick is told of the second, in a line that names the message; once."""
    box, lines, levels, chat = await said("local", text="x" * 100)
    levels.level = "quorum"
    box.look(chat)
    box.look(chat)
    assert lines.notices == [f"✓✓ {'x' * 39}…"]
    levels.level = "all"
    box.look(chat)
    assert len(lines.notices) == 1


async def test_a_copy_that_came_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third tick after a long absence of a server is worth a line."""
    box, lines, levels, chat = await said("quorum")
    monkeypatch.setattr(room_outbox, "SOON_SECONDS", -1.0)
    levels.level = "all"
    box.look(chat)
    assert lines.notices == ["✓✓✓ oi"]


async def test_what_waits_is_shown_and_told_when_it_leaves() -> None:
    """Three dots and how many wait; then its tick, or that it was given up."""
    lines, levels = Lines(), Levels("quorum")
    box, chat = Outbox(lines, Texts("en", WORDS), Outcome()), cast(Chat, levels)

    async def write(ident: bytes) -> Receipt:
        raise Queued(ident, why=Closed("nobody"))

    await box.send("#geral <ana> oi", "oi", chat=chat, write=write)
    assert (lines.messages, box.tick) == (["#geral <ana> oi …"], "…")
    assert lines.notices == ["not confirmed; it is kept here and sent again (1 waiting)"]
    box.left(Sent(message=WAITING, receipt=RECEIPT), chat)
    box.left(Sent(message=WAITING), chat)
    assert lines.notices[1:] == ["✓✓ oi", "! given up after 7 days — oi"]
