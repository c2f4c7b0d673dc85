"""People and bots of the simulated cluster: what they ask, what they are told, and the record of both.

`PlainClient` speaks the contract with a client-made id and repeats a write at the next server with the
same id until the outcome is known or its patience is at an end.  The history holds every operation,
and says what its author knows: acknowledged, refused, or nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import trio

from recado.protocol import codec
from recado.protocol.lamport import LamportClock
from recado.protocol.messages import Level, Reply
from recado.wire.ports import Asker, WireError

if TYPE_CHECKING:
    from world import World

Outcome = Literal["open", "acknowledged", "refused"]
TRY_SECONDS = 3.0  # then the next server
WAIT_SECONDS = 12.0  # for more copies: longer than a server's own patience
PAUSE_SECONDS = 0.5
BRIEF_CHARACTERS = 60
PATIENCE_SECONDS = 45.0  # then the outcome stays open
# What says that nothing was kept, or not enough of it yet: the same again, elsewhere.
_AGAIN = frozenset({"busy", "draining", "storage_full", "indeterminate", "unavailable", "internal"})


class Operation(msgspec.Struct, kw_only=True):
    """One write of one user, over all its tries.  Times are virtual seconds."""

    service: str
    user: str
    who: str = ""  # several people may use one name
    repeats: float | None = None  # its id was used before, at this time for the first time
    target: str = ""
    text: str = ""
    id: bytes
    level: Level = Level.LOCAL
    begun: float = 0.0
    ended: float | None = None
    outcome: Outcome = "open"
    code: str | None = None  # of the refusal
    key: tuple[int, str, int] | None = None  # where the acknowledging server keeps it
    tries: int = 0
    answered_by: str | None = None  # the server that acknowledged

    @property
    def fields(self) -> dict[str, Any]:
        """The request's data, without clock and timestamp."""
        common = {"id": self.id, "level": str(self.level)}
        match self.service:
            case "login":
                return {"user": self.user, **common}
            case "channel":
                return {"channel": self.target, "user": self.user, **common}
            case "publish":
                return {"user": self.user, "channel": self.target, "message": self.text, **common}
        return {"src": self.user, "dst": self.target, "message": self.text, **common}


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One answered look at a channel by somebody with a session.  A new session has another number."""

    who: str
    session: int
    begun: float
    server: str
    channel: str
    shown: frozenset[tuple[bytes, str]] | None  # (id, `brief` text); None: the server is behind


def brief(text: str) -> str:
    """A text as reads keep it: histories hold thousands of them."""
    return text if len(text) <= BRIEF_CHARACTERS else f"{text[:BRIEF_CHARACTERS]}…{len(text)}"


class History:
    """All operations and reads, and what is known to exist because somebody was told so."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.reads: list[Read] = []
        self.users: list[str] = []
        self.channels: list[str] = []
        self.said: set[str] = set()  # what refusals said
        self.told: Callable[[Operation], None] = lambda _op: None  # looks at each acknowledgement

    def begin(self, **fields: Any) -> Operation:
        """Somebody sets out to write."""
        operation = Operation(**fields, begun=trio.current_time())
        self.operations.append(operation)
        return operation

    def acknowledge(self, operation: Operation, *, key: Iterable[Any]) -> None:
        """Its author was told that it is kept."""
        operation.ended, operation.outcome = trio.current_time(), "acknowledged"
        operation.key = tuple(key)  # type: ignore[assignment]
        if operation.service == "login":
            self.users.append(operation.user)
        elif operation.service == "channel":
            self.channels.append(operation.target)
        self.told(operation)

    def refuse(self, operation: Operation, code: str | None) -> None:
        """Its author was told that nothing of it is kept."""
        operation.ended, operation.outcome, operation.code = trio.current_time(), "refused", code

    @property
    def acknowledged(self) -> list[Operation]:
        return [op for op in self.operations if op.outcome == "acknowledged"]

    @property
    def refused(self) -> list[Operation]:
        return [op for op in self.operations if op.outcome == "refused"]


class Client(Protocol):
    """What a chatter needs of whoever carries its words."""

    user: str
    history: History

    async def open(self, world: "World", stack: AsyncExitStack) -> None:
        """Connect; the stack closes."""

    async def write(
        self, service: str, *, target: str = "", text: str = "", level: Level = Level.LOCAL
    ) -> Operation:
        """One operation to its end, recorded in the history."""


class PlainClient:
    """One user at one host, with an asker to each server."""

    def __init__(self, user: str, history: History, *, random: Random) -> None:
        self.user = user
        self.who = user
        self.history = history
        self.clock = LamportClock()
        self.patience_seconds = PATIENCE_SECONDS
        self._random = random
        self._askers: list[Asker] = []
        self._next = 0

    async def open(self, world: "World", stack: AsyncExitStack) -> None:
        """Connect; the stack closes."""
        network = world.network.host(f"host-of-{self.user}")
        self._askers = [await stack.enter_async_context(network.asker(at)) for at in world.addresses]
        self._next = self._random.randrange(len(self._askers))

    async def write(
        self, service: str, *, target: str = "", text: str = "", level: Level = Level.LOCAL
    ) -> Operation:
        """One operation to its end."""
        operation = self.history.begin(
            service=service,
            user=self.user,
            who=self.who,
            target=target,
            text=text,
            id=self._random.randbytes(16),
            level=level,
        )
        with trio.move_on_after(self.patience_seconds):
            await self._to_the_end(operation)
        return operation

    async def _to_the_end(self, operation: Operation, *, first: int | None = None) -> None:
        """Ask until the outcome is known: the server that answered last, or the `first`, then the others."""
        at = self._next if first is None else first % len(self._askers)
        while operation.outcome == "open":
            operation.tries += 1
            reply = await self._try(operation, self._askers[at])
            if reply is not None:
                self._told(operation, reply)
            if operation.outcome == "open":
                at = (at + 1) % len(self._askers)
                if first is None:
                    self._next = at
                await trio.sleep(PAUSE_SECONDS * self._random.random())

    async def _try(self, operation: Operation, asker: Asker) -> Reply | None:
        seconds = TRY_SECONDS if operation.level is Level.LOCAL else WAIT_SECONDS
        frame = codec.encode(
            operation.service,
            {**operation.fields, "timestamp": int(trio.current_time()), "clock": self.clock.tick()},
        )
        try:
            with trio.move_on_after(seconds):
                reply = codec.decode_reply(await asker.ask(frame))
                self.clock.receive(codec.lamport(reply.data.get("clock")))
                return reply
        except WireError:
            pass
        return None

    def _told(self, operation: Operation, reply: Reply) -> None:
        code = reply.data.get("code")
        if reply.failed:
            self.history.said.add(str(reply.data))
            if code not in _AGAIN:
                self.history.refuse(operation, code)
        else:
            operation.answered_by = reply.data.get("server")
            self.history.acknowledge(operation, key=reply.data["key"])


class Chatter:
    """A client that registers and then talks at random, at levels of all kinds."""

    def __init__(
        self,
        client: Client,
        *,
        random: Random,
        pause_seconds: float,
        levels: tuple[Level, ...],
        room: str | None,
    ) -> None:
        self._client = client
        self._room = room
        self._random = random
        self._pause_seconds = pause_seconds
        self._levels = levels
        self._count = 0
        self.closing = trio.Event()

    async def run(self) -> None:
        """Until `closing`, and then to the end of what is being said."""
        outcome: Outcome = "open"
        while outcome == "open" and not self.closing.is_set():
            outcome = (await self._client.write("login", level=self._level())).outcome
        while not self.closing.is_set():
            service, target = self._what()
            self._count += 1
            text = f"{self._client.user} says {self._count}"
            await self._client.write(service, target=target, text=text, level=self._level())
            with trio.move_on_after(self._random.expovariate(1 / self._pause_seconds)):
                await self.closing.wait()

    def _what(self) -> tuple[str, str]:
        history, dice = self._client.history, self._random.random()
        if self._room is not None and self._count == 0:
            return "channel", self._room
        if not history.channels or dice < 0.03:
            return "channel", f"channel-{self._client.user}-{self._count}"
        if dice < 0.25 and history.users:
            return "message", self._random.choice(history.users)
        return "publish", self._random.choice(history.channels)

    def _level(self) -> Level:
        return self._random.choice(self._levels)


ALL_LEVELS = (Level.LOCAL, Level.LOCAL, Level.QUORUM, Level.QUORUM, Level.ALL)


class Crowd:
    """Some chatters in one world: `run` is their task, `go_home` asks them to end."""

    def __init__(
        self,
        world: "World",
        *,
        clients: Sequence[type[PlainClient] | Callable[..., Client]] = (PlainClient,) * 4,
        pause_seconds: float = 1.0,
        levels: tuple[Level, ...] = ALL_LEVELS,
        room: str | None = None,  # a channel that everybody asks for first
    ) -> None:
        self.history = History()
        self.gone = trio.Event()
        self._world = world
        self._chatters: list[tuple[Client, Chatter]] = []
        for number, make in enumerate(clients):
            random = Random(f"{world.seed} person {number}")
            client = make(f"person-{number}", self.history, random=random)
            chatter = Chatter(client, random=random, pause_seconds=pause_seconds, levels=levels, room=room)
            self._chatters.append((client, chatter))

    async def run(self) -> None:
        """Talk until all have gone home."""
        async with AsyncExitStack() as stack:
            for client, _ in self._chatters:
                await client.open(self._world, stack)
            async with trio.open_nursery() as nursery:
                for _, chatter in self._chatters:
                    nursery.start_soon(chatter.run)
        self.gone.set()

    async def go_home(self, *, within_seconds: float) -> None:
        """Everybody ends the sentence.  Raises `trio.TooSlowError` if somebody hangs."""
        for _, chatter in self._chatters:
            chatter.closing.set()
        with trio.fail_after(within_seconds):
            await self.gone.wait()
