"""Asks every server, the reference and the brokers how they are, all at once, each with a deadline.

Whom there is to ask is what the caller knows, what the reference lists, and whom the servers name.  Ends stay
open from one survey to the next.
"""

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from clients.watching.values import Answer, Heard, Problem, Survey
from recado.protocol import codec
from recado.protocol.errors import ProtocolError
from recado.protocol.limits import KNOWN_SERVERS_MAX
from recado.protocol.publications import BEACON_TOPIC
from recado.values import optional, whole
from recado.wire.ports import Asker, Network, WireError

if TYPE_CHECKING:
    from recado.wire.security import Security

ASK_SECONDS: Final = 3.0  # for one answer
DIAL_SECONDS: Final = 2.0  # for a TCP connection, to tell why there was none
LOOK_SECONDS: Final = 0.5  # without an answer, before a connection is tried to see why
LISTEN_SECONDS: Final = 6.0  # for a beacon: servers send one every 2 s by default
Role = Literal["server", "broker", "reference"]
_HOPELESS: Final = frozenset({"refused", "unknown_host", "unusable"})  # waiting longer changes nothing
Dial = Callable[[str], Awaitable[Problem]]


@dataclass(frozen=True, kw_only=True)
class Known:
    """Whom to ask: addresses of servers with their names ("" if not known), the reference, XPUBs."""

    servers: Mapping[str, str]
    reference: str | None = None
    brokers: tuple[str, ...] = ()


async def dial(address: str) -> Problem:
    """Why nobody answers at an address: what a TCP connection says."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not address.startswith("tcp://"):
        return "mute"
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        return "unusable"
    try:
        with anyio.fail_after(DIAL_SECONDS):
            async with await anyio.connect_tcp(host.strip("[]"), int(port)):
                return "mute"
    except TimeoutError:
        return "timeout"
    except (socket.gaierror, UnicodeError):
        return "unknown_host"
    except OSError as error:
        return (
            "refused" if any(isinstance(one, ConnectionRefusedError) for one in _causes(error)) else "timeout"
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came of."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        yield error
        error = error.__cause__


class Surveyor:
    """Made by `surveying`.  `learn` is told what is at an address before it is dialled.

    `left`: who was a member once; the reference lists a server for a while after it has gone.
    """

    def __init__(
        self,
        network: Network,
        stack: AsyncExitStack,
        *,
        learn: Callable[[Role, str, str], None] = lambda _role, _name, _address: None,
        left: Collection[str] = (),
        dial: Dial = dial,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._network = network
        self._stack = stack
        self._learn = learn
        self._left = frozenset(left)
        self._dial = dial
        self._wall = wall
        self._ends: dict[str, Asker | None] = {}
        self._names: dict[str, str] = {}

    async def survey(self, known: Known, *, listen: bool = False) -> Survey:
        """Ask everybody; with `listen` wait for beacons at the brokers too."""
        self._names.update(known.servers)
        reference = await self._listed(known.reference) if known.reference else None
        asked: dict[str, Answer] = {}
        brokers = set(known.brokers)
        while fresh := [address for address in self._names if address not in asked][:KNOWN_SERVERS_MAX]:
            for answer in await self._ask_all(fresh):
                asked[answer.address] = answer
                brokers.update(answer.names("brokers"))
                self._meet(answer)
        heard = await self._listen_all(sorted(brokers)) if listen else ()
        called = (replace(one, name=one.name or self._names[one.address]) for one in asked.values())
        ordered = sorted(_distinct(called), key=lambda one: (one.name, one.address))
        return Survey(servers=tuple(ordered), reference=reference, brokers=heard)

    def _meet(self, answer: Answer) -> None:
        """Whom a server names is asked too, within a bound: it may name anybody."""
        if answer.answered:
            self._names[answer.address] = answer.name
        for peer in answer.rows("peers"):
            name, address = optional(peer, "name", str), optional(peer, "address", str)
            if name and address:
                self._call(address, name)

    def _call(self, address: str, name: str) -> None:
        """Who is at an address, as somebody says, if nobody has said so yet."""
        if address in self._names or len(self._names) < KNOWN_SERVERS_MAX:
            self._names[address] = self._names.get(address) or name

    async def _listed(self, address: str) -> Answer:
        """What the reference says of itself; whom it lists is remembered."""
        answer = await self._ask(address, "status", role="reference")
        if answer.answered:
            told = await self._ask(address, "list", role="reference")
            for item in told.rows("list"):
                name, there = optional(item, "name", str), optional(item, "address", str)
                if there and name not in self._left:
                    self._call(there, name or "")
        return answer

    async def _ask_all(self, addresses: Iterable[str]) -> list[Answer]:
        found: list[Answer] = []

        async def one(address: str) -> None:
            found.append(await self._ask(address, "status"))

        wanted = list(addresses)
        for address in wanted:
            await self._end(address, "server")
        async with anyio.create_task_group() as tasks:
            for address in wanted:
                tasks.start_soon(one, address)
        return found

    async def _end(self, address: str, role: Role) -> Asker | None:
        if address not in self._ends:
            self._learn(role, self._names.get(address, ""), address)
            try:
                self._ends[address] = await self._stack.enter_async_context(self._network.asker(address))
            except WireError:
                self._ends[address] = None
        return self._ends[address]

    async def _ask(self, address: str, service: str, *, role: Role = "server") -> Answer:
        name = self._names.get(address, "")
        end = await self._end(address, role)
        if end is None:
            return Answer(address=address, name=name, problem="unusable")
        wall, began = self._wall(), time.monotonic()
        frame = codec.encode(service, {"timestamp": int(wall), "clock": 1})
        replies: list[bytes] = []

        async def ask() -> None:
            with suppress(WireError):  # the queue is full: nobody takes anything there
                replies.append(await end.ask(frame))

        problem = await self._unless_nobody(address, ask, seconds=ASK_SECONDS)
        took = time.monotonic() - began
        try:
            fields = codec.decode_reply(replies[0]).data if replies else None
        except ProtocolError:
            fields, problem = None, "mute"
        if fields is None:
            return Answer(address=address, name=name, problem=problem or "mute")
        theirs = whole(fields.get("wall_ms"))
        return Answer(
            address=address,
            name=optional(fields, "server", str) or name,
            fields=fields,
            seconds=took,
            skew_seconds=None if theirs is None else theirs / 1000 - (wall + took / 2),
        )

    # Brokers --------------------------------------------------------------------------------------

    async def _listen_all(self, addresses: Iterable[str]) -> tuple[Heard, ...]:
        found: list[Heard] = []

        async def one(address: str) -> None:
            found.append(await self._listen(address))

        async with anyio.create_task_group() as tasks:
            for address in addresses:
                tasks.start_soon(one, address)
        return tuple(sorted(found, key=lambda heard: heard.address))

    async def _listen(self, address: str) -> Heard:
        """The first beacon that comes through, and those that come with it."""
        self._learn("broker", "", address)
        servers: set[str] = set()
        try:
            async with self._network.subscriber([address]) as subscriber:
                subscriber.subscribe(BEACON_TOPIC)

                async def listen() -> None:
                    while not servers:
                        servers.update(
                            {_speaker(one.body) for one in await subscriber.receive_batch()} - {""}
                        )

                problem = await self._unless_nobody(address, listen, seconds=LISTEN_SECONDS)
        except WireError:
            return Heard(address=address, problem="unusable")
        return Heard(address=address, servers=tuple(sorted(servers)), problem="" if servers else problem)

    async def _unless_nobody(
        self, address: str, work: Callable[[], Awaitable[None]], *, seconds: float
    ) -> Problem:
        """Do the work, but not longer than that, nor if a connection shows that nobody can be there.

        "" if it was done, else why not.
        """
        found: Problem = "mute"
        async with anyio.create_task_group() as tasks:

            async def done() -> None:
                nonlocal found
                with anyio.move_on_after(seconds):
                    await work()
                    found = ""
                tasks.cancel_scope.cancel()

            async def look() -> None:
                nonlocal found
                await anyio.sleep(LOOK_SECONDS)
                found = await self._dial(address)
                if found in _HOPELESS:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(done)
            tasks.start_soon(look)
        return found


def _speaker(body: bytes) -> str:
    """Whose beacon it is; "" if it is none."""
    try:
        said = codec.unpack(body)
    except ProtocolError:
        return ""
    return optional(said, "server", str) or "" if isinstance(said, dict) else ""


def _distinct(answers: Iterable[Answer]) -> list[Answer]:
    """One answer of each server: it may have several addresses, of which some don't lead there from here."""
    by_server: dict[str, Answer] = {}
    for one in answers:
        key = one.name or one.address
        before = by_server.get(key)
        if before is None or (one.answered and not before.answered):
            by_server[key] = one
        elif one.answered and one.text("boot") != before.text("boot"):
            by_server[f"{key} {one.address}"] = one  # two processes of one name: both are to be seen
    return list(by_server.values())


@asynccontextmanager
async def surveying(security: "Security | None" = None, **more: Any) -> AsyncIterator[Surveyor]:
    """A surveyor with a ZeroMQ network of its own."""
    from recado.wire.zeromq import WireOptions, ZeroMQNetwork

    async with (
        ZeroMQNetwork(WireOptions(linger_seconds=0.0), security) as network,
        AsyncExitStack() as stack,
    ):
        yield Surveyor(network, stack, **more)
