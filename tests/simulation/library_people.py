"""People who use the library: one who writes, and one who listens and keeps what is shown."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import secured_world
import trio
from workload import PATIENCE_SECONDS, History, Operation

from recado.client import Chat, Indeterminate, NoAnswer, Receipt, RefusedByServer, connect
from recado.protocol.messages import Level
from recado.values import Change, Key

if TYPE_CHECKING:
    from world import World

BROKERS = ("tcp://broker:5558",)
VOICES_MAX = 5


class LibraryClient:
    """`workload.Client` by the library, which repeats and changes servers by itself."""

    def __init__(self, user: str, history: History, *, random: Random) -> None:
        self.user = user
        self.history = history
        self._random = random
        self._chat: Chat

    async def open(self, world: "World", stack: AsyncExitStack) -> None:
        """Connect; the stack closes."""
        network = world.network.host(f"host-of-{self.user}")
        servers = self._random.sample(world.addresses, len(world.addresses))
        self._chat = await stack.enter_async_context(
            connect(
                self.user,
                servers=servers,
                brokers=BROKERS,
                network=network,
                security=secured_world.of_client(world.roster, self.user),
                random=self._random,
            )
        )

    async def write(
        self, service: str, *, target: str = "", text: str = "", level: Level = Level.LOCAL
    ) -> Operation:
        """One operation; after an open end again with the same id, until patience ends."""
        operation = self.history.begin(
            service=service,
            user=self.user,
            target=target,
            text=text,
            id=self._random.randbytes(16),
            level=level,
        )
        with trio.move_on_after(PATIENCE_SECONDS):
            while operation.outcome == "open":
                operation.tries += 1
                await self._try(operation)
        return operation

    async def _try(self, operation: Operation) -> None:
        try:
            receipt = await self._said(operation)
        except (Indeterminate, NoAnswer):
            return
        except RefusedByServer as refused:
            if refused.certain:
                self.history.refuse(operation, refused.code)
            else:
                await trio.sleep(self._random.random())
            return
        operation.id = receipt.id
        assert receipt.key is not None
        self.history.acknowledge(operation, key=receipt.key)

    async def _said(self, op: Operation) -> Receipt:
        chat = self._chat
        if op.service == "login":
            op.level = Level.QUORUM  # the library's own choice with three members
            return await chat.login()
        if op.service == "channel":
            return await chat.create_channel(op.target, level=op.level, id=op.id)
        if op.service == "publish":
            return await chat.publish(op.target, op.text, level=op.level, id=op.id)
        return await chat.message(op.target, op.text, level=op.level, id=op.id)


class Chorus(LibraryClient):
    """Says most things along with others at the same moment, each by a task of its own.

    So they go in one request, the way of bots and bridges, and through storms with it.
    """

    async def write(
        self, service: str, *, target: str = "", text: str = "", level: Level = Level.LOCAL
    ) -> Operation:
        """One operation; if it is a publish, with up to `VOICES_MAX` more beside it."""
        said = partial(super().write, service, target=target, level=level)
        if service != "publish":
            return await said(text=text)
        async with trio.open_nursery() as nursery:
            for n in range(self._random.randint(0, VOICES_MAX)):
                nursery.start_soon(partial(said, text=f"{text}, voice {n}"))
            return await said(text=text)


@asynccontextmanager
async def _known(chat: Chat, *, needed: bool) -> AsyncIterator[None]:
    """Registered, if nobody else may listen."""
    while needed:
        try:
            await chat.login()
            break
        except (Indeterminate, NoAnswer, RefusedByServer):
            await trio.sleep(1)
    yield


class Listener:
    """Follows one channel through the library; `heard` is what it displays, in the order of showing.

    What the library says was lost with a disk is displayed no longer, as in a chat's window.
    """

    def __init__(self, name: str, channel: str) -> None:
        self.name = name
        self.channel = channel
        self.heard: list[tuple[str, str]] = []  # (author, text)
        self.lost: list[tuple[float, str]] = []  # when the library said that a text was lost
        self._displayed: dict[Key, tuple[str, str]] = {}

    async def run(self, world: "World") -> None:
        """The task: for ever."""
        network = world.network.host(f"host-of-{self.name}")
        async with (
            connect(
                None if world.roster is None else self.name,
                servers=world.addresses,
                brokers=BROKERS,
                network=network,
                security=secured_world.of_client(world.roster, self.name),
                random=Random(f"{world.seed} {self.name}"),
            ) as chat,
            _known(chat, needed=world.roster is not None),
            chat.subscribe(self.channel, backlog=1000, on_change=self._change) as incoming,
        ):
            async for message in incoming:
                self.heard.append((message.user, message.text))
                if message.key is not None:
                    self._displayed[message.key] = self.heard[-1]

    def _change(self, change: Change) -> None:
        said = self._displayed.pop(change.was, None)
        if said is not None and change.now is not None:
            self._displayed[change.now] = said
        elif said is not None:
            self.heard.remove(said)
            self.lost.append((trio.current_time(), said[1]))
