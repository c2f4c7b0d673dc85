"""Tasks that live as long as an ``async with`` block, without changing how errors leave the block.

A bare task group wraps every error of its body in an ExceptionGroup, and people who write
``except ChannelMissing`` around ``async with connect(…)`` would never catch it.  Here the body's
error leaves as it is; an error of a background task, a bug by definition, still leaves as a group.
"""

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVarTuple

import anyio
from anyio.abc import TaskGroup

Arguments = TypeVarTuple("Arguments")


class Background:
    """An async context manager; leaving it cancels the tasks and waits for them."""

    def __init__(self) -> None:
        self._group: TaskGroup = anyio.create_task_group()
        self.open = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self.open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open = False
        self._group.cancel_scope.cancel()
        if isinstance(error, Exception):
            kind, error, trace = None, None, None
        await self._group.__aexit__(kind, error, trace)

    def start(
        self, task: Callable[[*Arguments], Coroutine[Any, Any, object]], *arguments: *Arguments
    ) -> None:
        """Run `task` until it ends or the block is left."""
        self._group.start_soon(task, *arguments)
