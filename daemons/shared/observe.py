"""What a daemon shows of itself on loopback: ``/metrics``, ``/livez``, ``/readyz``, ``/status``.

    /livez    200 as long as the event loop answers
    /readyz   503 before everything is bound, and again from the first signal to stop
    /status   the same facts as the service `status`, as JSON
    /metrics  for Prometheus

It begins before the daemon opens anything else and ends after it has drained.
"""

import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from daemons.shared.logging import Logger
from daemons.shared.observe_http import HttpServer, Page, bound, listeners_at
from daemons.shared.observe_metrics import COMMON, CONTENT_TYPE, Family, Sample, process_samples, render
from daemons.shared.process import Life
from recado import __version__
from recado.config import Config, Program

BEAT_SECONDS: Final = 1.0  # between two looks at how late the event loop is
BEATS_KEPT: Final = 60


class Observer:
    """What is shown.  A daemon calls `show` as soon as it has something to tell."""

    def __init__(self, config: Config, life: Life, *, program: Program) -> None:
        self.families: Sequence[Family] = ()
        self.samples: Callable[[], Iterable[Sample]] = tuple
        self.status: Callable[[], dict[str, Any]] = dict
        self.listens: dict[str, str] = {}  # to be told with the addresses that serve
        self._labels = (program, config.node.name or program, __version__)
        self._life = life
        self._delays: deque[float] = deque(maxlen=BEATS_KEPT)
        self._started = time.time()
        self.http: HttpServer | None = None

    def show(
        self,
        families: Sequence[Family],
        *,
        samples: Callable[[], Iterable[Sample]],
        status: Callable[[], dict[str, Any]],
    ) -> None:
        """From now on these too."""
        self.families, self.samples, self.status = families, samples, status

    def pages(self) -> dict[str, Callable[[], Page]]:
        return {
            "/metrics": self._metrics,
            "/livez": lambda: Page(200, b"ok\n"),
            "/readyz": self._readyz,
            "/status": self._status,
        }

    async def watch_the_loop(self) -> None:
        """The task: how late a sleep of a second ends is how long others kept the loop."""
        while True:
            due = trio.current_time() + BEAT_SECONDS
            await trio.sleep_until(due)
            self._delays.append(max(0.0, trio.current_time() - due))

    def _readyz(self) -> Page:
        if self._life.stopping.is_set():
            return Page(503, b"stopping\n")
        return Page(200, b"ready\n") if self._life.serving else Page(503, b"starting\n")

    def _status(self) -> Page:
        told = {"ready": self._life.serving, "stopping": self._life.stopping.is_set(), **self.status()}
        body = json.dumps(told, ensure_ascii=False, default=_plain) + "\n"
        return Page(200, body.encode(), "application/json")

    def _metrics(self) -> Page:
        samples = [*self._common(), *self.samples()]
        return Page(200, render((*COMMON, *self.families), samples), CONTENT_TYPE)

    def _common(self) -> Iterator[Sample]:
        yield Sample("recado_build_info", 1, self._labels)
        yield Sample("recado_ready", self._life.serving)
        yield Sample("recado_loop_delay_seconds", round(max(self._delays, default=0.0), 6))
        for status, count in sorted(self.http.answers.items() if self.http else ()):
            yield Sample("recado_http_requests_total", count, (str(status),))
        yield from process_samples(self._started)


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    return value.hex() if isinstance(value, bytes) else str(value)


@asynccontextmanager
async def observing(
    config: Config, life: Life, *, program: Program, log: Callable[[], Logger]
) -> AsyncIterator[Observer]:
    """What shows this daemon, for as long as it is open; without `observe.listen` it shows nothing.

    Raises `OSError` if the address is taken.
    """
    observer = Observer(config, life, program=program)
    if not config.observe.listen:
        yield observer
        return
    listeners = await listeners_at(config.observe.listen)
    observer.http = HttpServer(
        observer.pages(), fault=lambda error: log().error("fault while showing metrics", exc_info=error)
    )
    observer.listens = {"observe": bound(listeners)}
    log().info("metrics are shown", listen=observer.listens["observe"])
    async with trio.open_nursery() as beside:
        beside.start_soon(observer.http.serve, listeners)
        beside.start_soon(observer.watch_the_loop)
        yield observer
        beside.cancel_scope.cancel()
