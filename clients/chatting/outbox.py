"""What one says oneself: written down, sent until it is confirmed, shown once, with a tick that rises.

``…``: written down here and not confirmed; ✓ one server keeps it, ✓✓ most of them, ✓✓✓ all.  A message
is shown with the tick that it has then.  Later ticks are told only where somebody may be waiting for
them: of messages that had ``…`` or ✓, or whose last copy came late; the toolbar and /status always show
the last message's.
"""

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from clients.chatting.faces import Face
from clients.chatting.outcome import Outcome
from clients.refusals import refusal_text
from clients.render import moment
from recado.client import Chat, Queued, Receipt, Sent
from recado.protocol.names import minted_id
from recado.protocol.printable import printable
from recado.texts import Texts

SHOWN_IDS_MAX = 1000
WATCHED_MAX = 50  # own messages whose further copies are looked for
SOON_SECONDS = 10.0  # a tick that rises within needs no line of its own
EXCERPT_CHARACTERS = 40
TICKS = {"local": "✓", "quorum": "✓✓", "all": "✓✓✓"}
PENDING = "…"


@dataclass
class Watched:
    """An own message that was confirmed: the level that was shown, and since when."""

    text: str
    receipt: Receipt
    level: str
    since: float
    awaited: bool  # it was shown with less than two copies


class Outbox:
    """Sends one message after the other.  `sending`: one is under way; `tick`: of the last one."""

    def __init__(self, face: Face, say: Texts, outcome: Outcome) -> None:
        self._outcome = outcome
        self.sending = False
        self.tick = ""
        self._face = face
        self._say = say
        self._shown: OrderedDict[bytes | str | None, str] = OrderedDict()
        self._watched: deque[Watched] = deque(maxlen=WATCHED_MAX)

    def has_shown(self, ident: bytes | str | None) -> bool:
        """Whether a message that arrives is one's own, which is shown when it is sent."""
        return ident in self._shown

    async def send(
        self, line: str, text: str, *, chat: Chat, write: Callable[[bytes], Awaitable[Receipt]]
    ) -> None:
        """Send with an id of its own and show `line` with its tick.  Raises `RefusedByServer`, `OSError`."""
        ident = minted_id(int(time.time() * 1000), secrets.token_bytes(10))
        self._shown[ident] = text
        while len(self._shown) > SHOWN_IDS_MAX:
            self._shown.popitem(last=False)
        self.sending = True
        try:
            receipt = await write(ident)
        except Queued:
            self._outcome.waiting.add(ident)
            self._show(line, PENDING)
            self._face.notice(self._say("chat.queued", count=len(chat.outbox.unsent)))
        else:
            self._show(line, TICKS[chat.level_of(receipt)])
            self._watch(text, receipt, level=chat.level_of(receipt))
        finally:
            self.sending = False

    def left(self, sent: Sent, chat: Chat) -> None:
        """A message that had to wait is waiting no longer."""
        excerpt = _excerpt(sent.message.text)
        self._outcome.waiting.discard(sent.message.id)
        self._outcome.refused |= sent.receipt is None
        if sent.receipt is not None:
            level = chat.level_of(sent.receipt)
            self.tick = TICKS[level]
            self._face.notice(f"{TICKS[level]} {excerpt}")
            self._watch(sent.message.text, sent.receipt, level=level)
        elif sent.refused is not None:
            why = refusal_text(sent.refused, self._say, channel=sent.message.channel)
            self._face.notice(self._say("chat.refused", text=excerpt, why=why))
        else:
            self._face.notice(self._say("chat.given_up", text=excerpt))

    def look(self, chat: Chat) -> None:
        """Tell of further copies, as beacons have told of them."""
        for watched in list(self._watched):
            level = chat.level_of(watched.receipt)
            if level == watched.level:
                continue
            waited = time.monotonic() - watched.since > SOON_SECONDS
            if watched.awaited or waited:
                self._face.notice(f"{TICKS[level]} {_excerpt(watched.text)}")
            watched.level, watched.awaited = level, False
            if watched is self._watched[-1]:
                self.tick = TICKS[level]
            if level == "all":
                self._watched.remove(watched)

    def text_of(self, ident: bytes | str) -> str:
        """The beginning of an own message, by its id; empty if it is not known."""
        return _excerpt(self._shown.get(ident, ""))

    def _show(self, line: str, tick: str) -> None:
        now = time.time()
        self.tick = tick
        self._face.message(f"{moment(int(now), now=now)}  {line} {tick}")

    def _watch(self, text: str, receipt: Receipt, *, level: str) -> None:
        if level != "all":
            awaited = level == "local" and (receipt.of or 1) > 1
            watched = Watched(text, receipt, level, time.monotonic(), awaited)
            self._watched.append(watched)


def _excerpt(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= EXCERPT_CHARACTERS else shown[: EXCERPT_CHARACTERS - 1] + "…"
