"""Where messages of the in-memory network wait until they are due."""

import heapq
from typing import Final, Generic, TypeVar

import anyio
import anyio.lowlevel

from recado.wire.ports import WireError

T = TypeVar("T")
CLOSED: Final = "this end is closed"


class Mailbox(Generic[T]):
    """A bounded heap of (when, number, message) for one receiving task.

    Times are the event loop's, in seconds.  Messages come out when they are due, those due at the
    same time in order of their numbers, which must differ.  Nothing is taken before the last
    checkpoint of a `receive`, so a cancelled one loses nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, T]] = []
        self._news: anyio.Event | None = None
        self._receiving = False
        self._closed = False
        self._crashed = False

    @property
    def full(self) -> bool:
        return len(self._heap) >= self._most

    def post(self, message: T, *, when: float, number: int) -> bool:
        """Keep a message until it is due; False if there is no room, or nobody to take it."""
        if self.full or self._closed or self._crashed:
            return False
        heapq.heappush(self._heap, (when, number, message))
        if self._news is not None and self._heap[0][1] == number:  # else what it waits for comes first
            self._news.set()
        return True

    async def receive(self, most: int) -> list[T]:
        """At least one message that is due, at most `most`; a checkpoint in any case.

        Raises `WireError` when closed, or if another task receives already.
        """
        if self._receiving:
            raise WireError("another task is already receiving here")
        self._receiving = True
        try:
            if self._closed or self._due():
                await anyio.lowlevel.checkpoint()
            while not self._closed:
                if self._due():
                    return self._take(most)
                await self._wait()
        finally:
            self._receiving = False
        raise WireError(CLOSED)

    def _due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= anyio.current_time()

    def _take(self, most: int) -> list[T]:
        taken: list[T] = []
        while len(taken) < most and self._due():
            taken.append(heapq.heappop(self._heap)[2])
        return taken

    async def _wait(self) -> None:
        """Until the first message is due, or there is news."""
        self._news = anyio.Event()
        try:
            if not self._heap:
                await self._news.wait()
            else:
                with anyio.CancelScope(deadline=self._heap[0][0]):
                    await self._news.wait()
        finally:
            self._news = None

    def shut(self, *, crashed: bool) -> None:
        """Forget what waits and take no more.

        Receiving raises `WireError` from now on; after a crash it never returns instead, as in a
        process that is no more.
        """
        self._crashed = crashed
        self._closed = not crashed
        self._heap.clear()
        if self._news is not None:
            self._news.set()
