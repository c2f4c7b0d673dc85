"""A search ends at its deadline and at the server's stop, and its index is closed behind it."""

import threading
from typing import Any, cast

import pytest
import trio

from daemons.server.commit import commit_in_thread
from daemons.server.search import Found, Search
from storage.search import Index, Interrupted


class Endless:
    """An index whose search ends only by an interrupt that comes after it has begun."""

    def __init__(self) -> None:
        self.begin = threading.Event()
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.closed_within = False
        self._stop = threading.Event()
        self.early = 0

    def find(self, *_: Any, **__: Any) -> Any:
        assert self.begin.wait(10)
        self.begun.set()
        stopped = self._stop.wait(10)
        self.ended.set()
        assert stopped, "nobody interrupted it"
        raise Interrupted

    def interrupt(self) -> None:
        if self.begun.is_set():
            self._stop.set()
        else:
            self.early += 1
            self.begin.set()  # the statement begins just behind an interrupt that it did not feel


class Room:
    """As much of the server as looking for something takes."""

    def __init__(self, index: Endless) -> None:
        self.index = index
        self.reading = trio.Lock()
        self._indexing = self
        self._node = self
        self.surroundings = self
        self.aside = commit_in_thread

    async def look(self, *, deadline: float) -> None:
        search = cast(Search, self)
        await Search._spots(search, cast(Any, None), Found(below=None), most=1, deadline=deadline)


async def test_an_interrupt_that_comes_too_early_is_repeated() -> None:
    """With the deadline passed before the statement begins, the search ends all the same."""
    index = Endless()
    with trio.fail_after(5), pytest.raises(Interrupted):
        await Room(index).look(deadline=trio.current_time())
    assert index.early
    assert index.ended.is_set()


async def test_a_stop_ends_the_search_that_is_under_way() -> None:
    """Cancelled long before its deadline, it is interrupted, and the thread has left the index."""
    index = Endless()
    index.begin.set()
    room = Room(index)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def look() -> None:
                await room.look(deadline=trio.current_time() + 1000)

            nursery.start_soon(look)
            await trio.to_thread.run_sync(index.begun.wait)
            nursery.cancel_scope.cancel()
    assert index.ended.is_set()
    assert not room.reading.locked()


def test_it_stands_for_an_index() -> None:
    """What is played here has the methods that a real index has."""
    assert {"find", "interrupt"} <= set(dir(Index))
