"""Watches over the connection: notices that nobody answers, and tells when somebody does again."""

from collections.abc import Awaitable, Callable

import anyio

from clients.chatting.faces import Face
from recado.client import Chat, Closed, NoAnswer, RefusedByServer
from recado.texts import Texts

LOOK_SECONDS = 3.0
ANSWER_SECONDS = 7.0  # two servers that don't answer within 3 s are passed over in it
NAMES_ROUNDS = 10  # names and channels are asked for every so many looks
SETTLE_SECONDS = 2.0  # after a reconnection: what was missed arrives within


class Vigil:
    """Whether somebody answers; what arrives while nobody did is counted as missed."""

    def __init__(self, face: Face, say: Texts) -> None:
        self.connected = True
        self._face = face
        self._say = say
        self._missed: int | None = None  # counted from the loss of the connection until all is fetched

    def arrived(self) -> None:
        """A message arrived."""
        if self._missed is not None:
            self._missed += 1

    async def keep(self, chat: Chat, *, refresh: Callable[[Chat], Awaitable[None]]) -> None:
        """Look again and again, until the connection is closed; `refresh` what is known at times."""
        rounds = 0
        while True:
            await anyio.sleep(LOOK_SECONDS)
            try:
                answered = await _answers(chat)
                if answered and rounds % NAMES_ROUNDS == 0:
                    await refresh(chat)
                rounds += answered
            except Closed:
                return
            except (NoAnswer, RefusedByServer):
                continue  # what was known before will do
            if self.connected and not answered:
                self.connected, self._missed = False, 0
                self._face.notice(self._say("chat.lost"))
            elif answered and not self.connected:
                await anyio.sleep(SETTLE_SECONDS)
                self.connected = True
                count, self._missed = self._missed or 0, None
                self._face.notice(self._say("chat.back", count=count))


async def _answers(chat: Chat) -> bool:
    """Whether somebody answers within a moment, be it with a refusal."""
    with anyio.move_on_after(ANSWER_SECONDS):
        try:
            await chat.status()
        except RefusedByServer:
            return True
        except NoAnswer:
            return False
        return True
    return False
