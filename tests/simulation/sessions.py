"""People with a session: they look at a channel after each write, and expect never to see less (3e, A43).

The session is the version vector of what was seen and of what was acknowledged.  A server that lacks some of
it must say that it is behind.  One whose disk died may have taken part of a session with it: who meets
nothing but servers that are behind begins another session after a while, which the history says.
"""

from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import trio
from workload import TRY_SECONDS, History, Operation, PlainClient, Read, brief

from recado.protocol import codec
from recado.protocol.messages import Level, Reply
from recado.protocol.vector import merge
from recado.wire.ports import WireError

if TYPE_CHECKING:
    from world import World

BEHIND_MAX = 12  # times in a row; then a new session
LIMIT = 1000  # messages of one look: more than a storm's channel ever has


class SessionClient(PlainClient):
    """`workload.PlainClient` that reads what it writes."""

    def __init__(self, user: str, history: History, *, random: Random) -> None:
        super().__init__(user, history, random=random)
        self._vector: dict[str, int] = {}
        self._session = 0
        self._behind = 0
        self._names: list[str] = []

    async def open(self, world: "World", stack: AsyncExitStack) -> None:
        await super().open(world, stack)
        self._names = [name for name in world.servers if name not in world.avoided]

    async def write(
        self, service: str, *, target: str = "", text: str = "", level: Level = Level.LOCAL
    ) -> Operation:
        operation = await super().write(service, target=target, text=text, level=level)
        self.remember(operation)
        if service == "publish":
            await self.read(target)
        return operation

    def remember(self, operation: Operation) -> None:
        """What was acknowledged belongs to the session."""
        if operation.key is not None:
            _, origin, seq = operation.key
            merge(self._vector, {origin: seq})

    async def read(self, channel: str) -> None:
        """Look at a channel, at whatever server; an unanswered look is not recorded."""
        begun, at = trio.current_time(), self._random.randrange(len(self._askers))
        reply = await self._asked(
            at, "history", {"channel": channel, "limit": LIMIT, "session": dict(self._vector)}
        )
        if reply is None:
            return
        server = self._names[at]
        seen = {"who": self.who, "session": self._session, "begun": begun, "server": server}
        if reply.failed:
            self.history.said.add(str(reply.data.get("description")))
            if reply.data.get("code") == "behind":
                self.history.reads.append(Read(**seen, channel=channel, shown=None))  # type: ignore[arg-type]
                self._held_up()
            return
        self._behind = 0
        shown = frozenset((row["id"], brief(row["message"])) for row in reply.data["messages"])
        self.history.reads.append(Read(**seen, channel=channel, shown=shown))  # type: ignore[arg-type]
        merge(self._vector, reply.data["upto"])

    def _held_up(self) -> None:
        self._behind += 1
        if self._behind >= BEHIND_MAX:
            self._behind, self._vector = 0, {}
            self._session += 1

    async def _asked(self, at: int, service: str, fields: dict[str, Any]) -> Reply | None:
        fields = {**fields, "timestamp": int(trio.current_time()), "clock": self.clock.tick()}
        try:
            with trio.move_on_after(TRY_SECONDS):
                return codec.decode_reply(await self._askers[at].ask(codec.encode(service, fields)))
        except WireError:
            pass
        return None
