"""The second workload: people who do what no client of ours would do, all of it allowed by the contract.

They share a few names and ids, ask several servers at once, use an id again for other words, send the
largest texts and names there are and clocks from the end of time, and look at the channel after each
step.  What they are told must be true all the same.
"""

from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import trio
from sessions import SessionClient
from workload import PATIENCE_SECONDS, History, Operation

from recado.protocol.limits import LAMPORT_LIMIT, NAME_BYTES_MAX, TEXT_BYTES_MAX
from recado.protocol.messages import Level

if TYPE_CHECKING:
    from world import World

CLOCKS = (0, 0, LAMPORT_LIMIT - 10**6, 2**52, 2**31)
NAMES = ("ana", "ã" * (NAME_BYTES_MAX // 2), "x" * NAME_BYTES_MAX)  # the longest that there are
SECRET = "segredo"  # in every text, so that one that leaks is recognised
LARGE_ONE_IN = 12
FLOOD_ONE_IN = 200  # more than one page of a pull holds
FLOOD_TEXTS = 70
LEVELS = (Level.LOCAL, Level.LOCAL, Level.QUORUM, Level.QUORUM, Level.ALL)


class Adversary(SessionClient):
    """One of them.  `run` is its task until `closing`."""

    def __init__(self, number: int, history: History, *, random: Random, pause_seconds: float) -> None:
        super().__init__(NAMES[number % len(NAMES)], history, random=random)
        self.closing = trio.Event()
        self.number = number
        self.who = f"adversary {number}"
        self._pause_seconds = pause_seconds
        self._count = 0
        self._last: Operation | None = None

    async def run(self) -> None:
        """Registrations and channels under the same names as others, then words."""
        await self.at_once("login", "", "", count=3)
        await self.at_once("channel", NAMES[0], "", count=2)
        while not self.closing.is_set():
            before = self.clock.value
            self.clock.value += self._random.choice(CLOCKS)
            await self.step()
            self.clock.value = before
            await self.read(NAMES[0])
            with trio.move_on_after(self._random.expovariate(1 / self._pause_seconds)):
                await self.closing.wait()

    async def step(self) -> None:
        """One piece of mischief."""
        dice = self._random.random()
        if dice < 1 / FLOOD_ONE_IN:
            await self.flood()
        elif dice < 0.15 and self._last is not None:
            await self.again(self._last, self._last.text[:100] + " but other words")
        elif dice < 0.3 and self._last is not None:
            await self.again(self._last, self._last.text)
        elif dice < 0.35:
            name = f"{NAMES[1][:-4]}{self._random.randrange(4)}"
            await self.at_once("channel", name, "", count=2)
        else:
            service = "publish" if dice < 0.85 else "message"
            await self.at_once(service, NAMES[0], self.text(), count=self._random.choice((1, 1, 2, 3)))

    async def flood(self) -> None:
        """More at once, at one server, than a push window and a page hold."""
        first = self._random.randrange(len(self._askers))
        async with trio.open_nursery() as nursery:
            for _ in range(FLOOD_TEXTS):
                text = self.text(large=True)
                nursery.start_soon(
                    partial(self.at_once, "publish", NAMES[0], text, level=Level.LOCAL, first=first)
                )

    def text(self, *, large: bool = False) -> str:
        """Words that nobody has said before, now and then as many as are allowed."""
        self._count += 1
        text = f"{SECRET} {self.number} {self._count}"
        large = large or self._random.randrange(LARGE_ONE_IN) == 0
        return text.ljust(TEXT_BYTES_MAX, ".") if large else text

    async def at_once(
        self,
        service: str,
        target: str,
        text: str,
        *,
        count: int = 1,
        level: Level | None = None,
        first: int | None = None,
    ) -> None:
        """The same write with the same id at several servers at the same time: one operation to each."""
        level, id_ = level or self._random.choice(LEVELS), self._random.randbytes(16)
        first = self._random.randrange(len(self._askers)) if first is None else first
        async with trio.open_nursery() as nursery:
            for n in range(count):
                op = self.history.begin(
                    service=service,
                    user=self.user,
                    who=self.who,
                    target=target,
                    text=text,
                    id=id_,
                    level=level,
                )
                nursery.start_soon(self._carried, op, first + n)
        if service == "publish":
            self._last = op

    async def again(self, last: Operation, text: str) -> None:
        """An id that was used already, with the same or with other words."""
        op = self.history.begin(
            service=last.service,
            user=self.user,
            who=self.who,
            repeats=last.begun,
            target=last.target,
            text=text,
            id=last.id,
            level=self._random.choice(LEVELS),
        )
        await self._carried(op, self._random.randrange(len(self._askers)))

    async def _carried(self, op: Operation, first: int) -> None:
        with trio.move_on_after(PATIENCE_SECONDS):
            await self._to_the_end(op, first=first)
        self.remember(op)


class Gang:
    """Some adversaries in one world; used as a `workload.Crowd`."""

    def __init__(self, world: "World", *, people: int = 4, pause_seconds: float = 1.0) -> None:
        self.history = History()
        self.gone = trio.Event()
        self._world = world
        self._people = [
            Adversary(
                number,
                self.history,
                random=Random(f"{world.seed} adversary {number}"),
                pause_seconds=pause_seconds,
            )
            for number in range(people)
        ]

    async def run(self) -> None:
        """Until all have gone home."""
        async with AsyncExitStack() as stack:
            for person in self._people:
                await person.open(self._world, stack)
            async with trio.open_nursery() as nursery:
                for person in self._people:
                    nursery.start_soon(person.run)
        self.gone.set()

    async def go_home(self, *, within_seconds: float) -> None:
        """Everybody ends the sentence.  Raises `trio.TooSlowError` if somebody hangs."""
        for person in self._people:
            person.closing.set()
        with trio.fail_after(within_seconds):
            await self.gone.wait()
