"""What one says oneself: sent until it is confirmed, shown once, with a tick."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from clients.chatting.faces import Face
from clients.render import moment
from recado.client import Indeterminate, Receipt
from recado.protocol.names import minted_id
from recado.texts import Texts

SHOWN_IDS_MAX = 1000


class Outbox:
    """Sends one message after the other.  `sending`: one is under way."""

    def __init__(self, face: Face, say: Texts) -> None:
        self.sending = False
        self._face = face
        self._say = say
        self._shown: OrderedDict[bytes | str | None, None] = OrderedDict()

    def has_shown(self, ident: bytes | str | None) -> bool:
        """Whether a message that arrives is one's own, which is shown when it is confirmed."""
        return ident in self._shown

    async def send(self, line: str, write: Callable[[bytes], Awaitable[Receipt]]) -> None:
        """Send with one id until it is confirmed, then show `line` with its tick.

        ✓: one durable copy; ✓✓: more.  Raises `RefusedByServer`.
        """
        ident = minted_id(int(time.time() * 1000), secrets.token_bytes(10))
        self._shown[ident] = None
        while len(self._shown) > SHOWN_IDS_MAX:
            self._shown.popitem(last=False)
        self.sending = True
        try:
            receipt = await self._until_confirmed(write, ident)
        finally:
            self.sending = False
        now = time.time()
        self._face.message(f"{moment(int(now), now=now)}  {line} {'✓✓' if receipt.acks > 1 else '✓'}")

    async def _until_confirmed(self, write: Callable[[bytes], Awaitable[Receipt]], ident: bytes) -> Receipt:
        told = False
        while True:
            try:
                return await write(ident)
            except Indeterminate:
                if not told:
                    self._face.notice(self._say("chat.still"))
                    told = True
