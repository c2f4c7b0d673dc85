"""What waits for the reader of a subscription, in the order in which it is shown."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from recado.protocol.limits import SUBSCRIPTION_BUFFER_MESSAGES
from recado.protocol.vector import Vector
from recado.values import Change, Message

if TYPE_CHECKING:
    from recado.follower import Follower


@dataclass(slots=True)
class Item:
    """What the reader takes: a message, a change of one, or neither; and how far it is read with it."""

    follower: "Follower"
    message: Message | None = None
    change: Change | None = None
    read: Vector | None = None  # the whole vector
    place: tuple[str, int] | None = None  # or one component of it
    ident: str | None = None  # the digest by which a copy of the message is recognised


class Queue:
    """What waits for the reader.  Followers stop fetching and receiving while it is `full`.

    It may exceed its limit by the one page or batch that was under way.
    """

    def __init__(self, messages_max: int = SUBSCRIPTION_BUFFER_MESSAGES) -> None:
        self.items: deque[Item] = deque()
        self.closed = False
        self._messages_max = messages_max
        self._changed = anyio.Event()

    @property
    def full(self) -> bool:
        return len(self.items) >= self._messages_max

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self.changed()

    def changed(self) -> None:
        """Wake whoever waits for room or for an item."""
        self._changed.set()
        self._changed = anyio.Event()

    async def room(self) -> None:
        while self.full:
            await self._changed.wait()

    async def item(self) -> Item | None:
        """The next item; None once closed and empty.  Cancelled, it has taken none."""
        await anyio.lowlevel.checkpoint()
        while not self.items:
            if self.closed:
                return None
            await self._changed.wait()
        item = self.items.popleft()
        self.changed()
        return item
