"""Runs a test's coroutine under trio and under asyncio, both in virtual time.

Under trio the autojump clock does it; under asyncio a selector that, with nothing ready, moves the
loop's clock to the next timer instead of sleeping.  Nothing here may be real: memory network only.
"""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio.testing


class _JumpSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits and nothing will ever happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class _JumpLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _JumpSelector()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def _options(backend: str) -> dict[str, Any]:
    if backend == "trio":
        return {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return {"loop_factory": _JumpLoop}


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorator: the async test becomes two synchronous ones, `[trio]` and `[asyncio]`."""

    @pytest.mark.parametrize("backend", ["trio", "asyncio"])
    @functools.wraps(test)
    def run(backend: str, **fixtures: Any) -> None:
        anyio.run(functools.partial(test, **fixtures), backend=backend, backend_options=_options(backend))

    del run.__wrapped__  # type: ignore[attr-defined]
    signature_of(run, test)
    return run


def signature_of(run: Any, test: Callable[..., Any]) -> None:
    """Tell pytest the fixtures: the test's own and `backend`."""
    import inspect

    own = inspect.signature(test)
    backend = inspect.Parameter("backend", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[backend, *own.parameters.values()], return_annotation=None)
