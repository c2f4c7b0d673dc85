"""The load: a process of people who write, read and listen, and write down what they were told.

``python -m tests.torture.load ORDERS JOURNAL`` reads its wishes from the file ORDERS (JSON, see `Wishes`) and
then obeys two signals: SIGUSR1, nobody begins anything new; SIGTERM, go.  The journal has one JSON
object a line: operations with their ends, messages heard, reads that missed something.
"""

import json
import signal
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, TextIO

import msgspec
import trio

from recado.client import ChannelExists, Chat, Indeterminate, NoAnswer, RefusedByServer, connect
from recado.protocol.messages import Level
from tests.torture.neighbours import Operation
from tests.torture.plain_people import PlainPeople

CHANNELS = tuple(f"sala-{number}" for number in range(1, 5))
DIRECT_SHARE = 0.15
READ_SHARE = 0.05
PAUSE_SECONDS = 0.3  # before the same again
CATCH_UP_SECONDS = 1.0


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """Who should be there.  `rate`: operations a second of all writers together, if nobody waits."""

    seed: str
    servers: list[str]
    brokers: list[str]
    requests: list[str]
    rate: float
    levels: list[str]
    writers_of_each: int = 1
    listeners: int = 2
    plain: bool = True
    read_share: float = READ_SHARE  # of what is published; a read is of 500 messages
    called: str = ""  # what everybody's name begins with
    keys: str = ""  # a directory with `roster.toml` and everybody's key, in a cluster with keys

    def reach(self, name: str) -> dict[str, Any]:
        """How somebody connects."""
        where = {"servers": self.servers, "brokers": self.brokers}
        if not self.keys:
            return where
        return {**where, "roster": f"{self.keys}/roster.toml", "key": f"{self.keys}/{name}.key"}


class Journal:
    """What happened, a line each.  `closing`: nobody begins anything new."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.closing = False

    def ended(self, operation: Operation) -> None:
        """An operation whose outcome is known, or of which no more will be known."""
        fields = {
            **msgspec.structs.asdict(operation),
            "id": operation.id.hex(),
            "level": str(operation.level),
        }
        self.write("operation", **fields)

    def write(self, what: str, **fields: Any) -> None:
        line = json.dumps({"what": what, **fields}, ensure_ascii=False) + "\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


class Writer:
    """One user of the library.  Repeats with the same id until the outcome is known."""

    def __init__(
        self, chat: Chat, level: Level, journal: Journal, *, random: Random, users: list[str], reads: float
    ) -> None:
        self._reads = reads
        self.user = chat.user
        self._chat = chat
        self._level = level
        self._journal = journal
        self._random = random
        self._users = users
        self._count = 0
        self._registered = False

    async def register(self) -> None:
        """Log in, once."""
        if not self._registered:
            self._registered = True
            await self._settle("login", "")

    async def found(self) -> None:
        """Create the channels."""
        for channel in CHANNELS:
            await self._settle("channel", channel)

    async def run(self, pause_seconds: float) -> None:
        """Register, then talk until the journal closes."""
        await self.register()
        due = trio.current_time()
        while not self._journal.closing:
            self._count += 1
            text = f"{self.user} n. {self._count}"
            if self._random.random() < DIRECT_SHARE:
                await self._settle("message", self._random.choice(self._users), text)
            else:
                channel = self._random.choice(CHANNELS)
                operation = await self._settle("publish", channel, text)
                # One that took long may stand above the last page by now.
                if self._random.random() < self._reads and operation.tries == 1:
                    await self._look(channel, text)
            # What was late is made up for, or the rate would be less by all the waiting for answers.
            due = max(due, trio.current_time() - CATCH_UP_SECONDS) + self._random.expovariate(
                1 / pause_seconds
            )
            await trio.sleep_until(due)

    async def _settle(self, service: str, target: str, text: str = "") -> Operation:
        operation = Operation(
            service=service,
            user=self.user,
            target=target,
            text=text,
            id=self._random.randbytes(16),
            level=self._level,
            begun=monotonic(),
        )
        try:
            while operation.outcome == "open":
                operation.tries += 1
                await self._try(operation)
        finally:  # also when told to go in the middle: then the outcome stays open
            self._journal.ended(operation)
        return operation

    async def _try(self, op: Operation) -> None:
        chat = self._chat
        try:
            if op.service == "login":
                receipt = await chat.login()
            elif op.service == "channel":
                receipt = await chat.create_channel(op.target, level=op.level, id=op.id)
            elif op.service == "publish":
                receipt = await chat.publish(op.target, op.text, level=op.level, id=op.id)
            else:
                receipt = await chat.message(op.target, op.text, level=op.level, id=op.id)
        except ChannelExists:
            op.outcome, op.code = "refused", "channel_taken"
        except (Indeterminate, NoAnswer):
            return
        except RefusedByServer as refused:
            op.code = refused.code
            await trio.sleep(PAUSE_SECONDS)
        else:
            op.id, op.outcome, op.ended = receipt.id, "acknowledged", monotonic()
            op.key = receipt.key
            if op.service == "login":
                op.level = Level.QUORUM  # the library's own choice with three members

    async def _look(self, channel: str, text: str) -> None:
        """Whoever wrote reads it, unless told that the page is behind."""
        try:
            page = await self._chat.history(channel, limit=500)
        except (NoAnswer, RefusedByServer):
            return
        found = any(message.text == text for message in page)
        self._journal.write(
            "read", user=self.user, found=found, behind=page.behind, text=text, at=monotonic()
        )


async def _listen(name: str, wishes: Wishes, journal: Journal, ready: trio.Event) -> None:
    """Follow all channels and write down what is shown."""
    who, random = name if wishes.keys else None, Random(f"{wishes.seed} {name}")
    async with connect(who, **wishes.reach(name), random=random) as chat:
        if wishes.keys:
            await chat.login()
        async with chat.subscribe(
            *CHANNELS, backlog=1000, on_change=lambda change: _changed(name, journal, change)
        ) as incoming:
            ready.set()
            async for message in incoming:
                journal.write(
                    "heard",
                    listener=name,
                    user=message.user,
                    target=message.channel,
                    text=message.text,
                    at=monotonic(),
                )


def _changed(name: str, journal: Journal, change: Any) -> None:
    ident = change.id.hex() if isinstance(change.id, bytes) else change.id
    journal.write("changed", listener=name, id=ident, lost=change.lost, at=monotonic())


async def _people(wishes: Wishes, journal: Journal, nursery: trio.Nursery) -> None:
    """Open everybody's connection, then let them talk."""
    plain = PlainPeople(wishes.servers, wishes.requests, journal) if wishes.plain else None
    async with AsyncExitStack() as stack:
        writers = await _writers(wishes, journal, stack)
        if wishes.keys:  # only who is registered may
            await writers[0].register()
        await writers[0].found()
        for number in range(wishes.listeners):
            ready = trio.Event()
            name = f"{wishes.called}listener-{number + 1}"
            nursery.start_soon(_listen, name, wishes, journal, ready)
            await ready.wait()
        pause_seconds = (len(writers) + (len(plain.names) if plain else 0)) / wishes.rate
        async with trio.open_nursery() as talking:
            for writer in writers:
                talking.start_soon(writer.run, pause_seconds)
            if plain is not None:
                talking.start_soon(plain.run, pause_seconds)
        journal.write("silent")


async def _writers(wishes: Wishes, journal: Journal, stack: AsyncExitStack) -> list[Writer]:
    """Connected, each beginning at another server; the stack closes them."""
    numbers = range(1, wishes.writers_of_each + 1)
    names = [(level, f"{wishes.called}{level}-{n}") for level in wishes.levels for n in numbers]
    writers = []
    for number, (level, name) in enumerate(names):
        first = number % len(wishes.servers)
        reach = {**wishes.reach(name), "servers": wishes.servers[first:] + wishes.servers[:first]}
        random = Random(f"{wishes.seed} {name}")
        way = connect(name, **reach, random=random)
        chat = await stack.enter_async_context(way)
        users = [other for _, other in names[: number + 1]]
        reads = wishes.read_share
        writers.append(Writer(chat, Level(level), journal, random=random, users=users, reads=reads))
    return writers


async def main(wishes: Wishes, out: TextIO) -> None:
    """Until SIGTERM."""
    journal = Journal(out)
    with trio.open_signal_receiver(signal.SIGUSR1, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_people, wishes, journal, nursery)
            async for number in signals:
                journal.closing = True
                if number == signal.SIGTERM:
                    nursery.cancel_scope.cancel()


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        trio.run(main, msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Wishes), file)
