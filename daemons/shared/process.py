"""A daemon as an operating-system process: signals, readiness, exit codes.  The only `trio.run`.

Exit codes are part of the interface (sysexits.h): 0 stopped as asked, 1 failure, 2 wrong usage,
69 something needed is unavailable, 70 fault in the program or the disk, 73 can't create (port
taken, data directory locked or unwritable), 75 try again, 78 configuration.

An expected failure is any exception with an integer ``exit_code``: its text goes to standard error
as one message without a traceback.  `WireError` and `OSError` are given theirs here.
"""

import errno
import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import trio

from daemons.shared.sd_notify import sd_notify
from daemons.shared.service_manager import Hangs, extension, keep_told
from recado.config import Config
from recado.protocol.printable import printable
from recado.wire.ports import WireError

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_SOFTWARE = 70
EXIT_CANNOT_CREATE = 73
EXIT_TEMPORARY = 75
EXIT_CONFIG = 78
STOP_MARGIN_SECONDS = 5.0  # beyond what a daemon means to take for stopping
EXIT_INTERRUPTED = 130  # SIGINT before there was anything to stop

READY_FD_VARIABLE = "RECADO_READY_FD"
_DISK_FAULTS = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Failure(Exception):
    """An expected end: what to tell people, and the exit code."""

    def __init__(self, text: str, *, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Life:
    """What a daemon's main function is given: when to stop, and how to say that it is ready.

    `stopping` is set by the first SIGTERM or SIGINT; the main function then ends in its own order.
    The second signal cancels it; a third one finds the default handlers and kills.
    """

    def __init__(self, name: str, *, env: Mapping[str, str] = os.environ) -> None:
        self.name = name
        self.stopping = trio.Event()
        self.forced = False
        self.on_reload: list[Callable[[], None]] = []
        self.read_again: Callable[[], Config] = Config  # the configuration, from the same places
        self.words: Callable[[], str] = str  # how it is, in one line for people
        self.vital: list[Hangs] = []  # what must go on, or else the service manager ends the process
        self.stop_seconds = 0.0  # how long it means to take for stopping, at most
        self._env = env
        self.served = trio.Event()  # set when requests are served
        self._announced = False

    def ready(self, listen: Mapping[str, str], *, announce: bool = True) -> None:
        """Say once that requests are served, and where: to ``RECADO_READY_FD`` and the service manager.

        The line on that descriptor is ``{"ready": true, "listen": {…}, "pid": 123}``.  Without
        `announce` the manager waits for `announce()`.
        """
        if self.served.is_set():
            return
        self.served.set()
        if announce:
            self.announce()
        number = self._env.get(READY_FD_VARIABLE, "")
        if number.isdigit():
            line = json.dumps({"ready": True, "listen": dict(listen), "pid": os.getpid()}) + "\n"
            _tell_parent(int(number), line.encode())

    def announce(self) -> None:
        """Tell the service manager that the start is over."""
        if not self._announced and not self.stopping.is_set():
            self._announced = True
            self._tell("READY=1")

    @property
    def serving(self) -> bool:
        """Ready, and not asked to stop."""
        return self.served.is_set() and not self.stopping.is_set()

    def stop(self) -> None:
        """Begin to stop, as the first signal does."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._tell(
                "STOPPING=1",
                "STATUS=stopping: what was accepted is finished first",
                extension(self.stop_seconds + STOP_MARGIN_SECONDS),
            )

    def reload(self) -> None:
        """SIGHUP: run the hooks; without any it is ignored."""
        if self._announced:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for hook in self.on_reload:
            hook()
        if self._announced:
            self._tell("READY=1")

    async def keep_told(self) -> None:
        """The task that tells the service manager how it is, until it stops."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_stopping, scope)
                await keep_told(self._say, self.vital, env=self._env)
                nursery.cancel_scope.cancel()

    def _say(self) -> str:
        return self.words()  # whatever it is by now

    async def _until_stopping(self, scope: trio.CancelScope) -> None:
        await self.stopping.wait()
        scope.cancel()

    def _tell(self, *lines: str) -> None:
        sd_notify("\n".join(lines), env=self._env)


def _tell_parent(descriptor: int, line: bytes) -> None:
    """Write and close. A parent that no longer listens is no reason to stop."""
    try:
        with open(descriptor, "wb", buffering=0) as end:
            end.write(line)
    except OSError:
        return


async def _obey_signals(
    life: Life, cancel: Callable[[], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                life.reload()
            elif life.stopping.is_set():
                life.forced = True
                break
            else:
                life.stop()
    cancel()


async def live(main: Callable[[Life], Awaitable[None]], life: Life) -> None:
    """Run `main` under the signals until it returns; what it raises comes out of a group."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_obey_signals, life, nursery.cancel_scope.cancel)
        nursery.start_soon(life.keep_told)
        await main(life)
        nursery.cancel_scope.cancel()
    if life.forced:
        raise Failure("stopped at once by a second signal")
    if not life.stopping.is_set():
        raise Failure("ended by itself")


def run(main: Callable[[Life], Awaitable[None]], *, name: str) -> int:
    """Run a daemon until it ends; returns the exit code. Text for people goes to standard error."""
    faulthandler.enable(file=sys.__stderr__ or 2)  # what the watchdog aborts says where it was
    try:
        trio.run(live, main, Life(name))
    except KeyboardInterrupt:  # before the signals were ours: nothing had begun
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost boundary: an error becomes an exit code
        return report(error, name=name)
    return EXIT_OK


def report(error: Exception, *, name: str) -> int:
    """Tell people what ended the program; returns the exit code for it."""
    leaves = list(_leaves(error))
    known = [(exit_code(leaf), leaf) for leaf in leaves]
    if any(code is None for code, _ in known):
        # A traceback repeats what somebody sent, if that is what nobody expected.
        print(printable("".join(traceback.format_exception(error)), keep="\n"), end="", file=sys.stderr)
        print(f"{name}: a fault in the program, see above", file=sys.stderr)
        return EXIT_SOFTWARE
    said: dict[str, None] = {}
    for _, leaf in known:
        for line in (str(leaf) or type(leaf).__name__).splitlines():
            said.setdefault(f"{name}: {printable(line)}")
    print("\n".join(said), file=sys.stderr)
    return max(code for code, _ in known if code is not None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def exit_code(error: BaseException) -> int | None:
    """The exit code of an expected error; None for one that nobody expected."""
    code: Any = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code
    if isinstance(error, WireError):
        return EXIT_CANNOT_CREATE
    if isinstance(error, OSError):
        return EXIT_SOFTWARE if error.errno in _DISK_FAULTS else EXIT_CANNOT_CREATE
    return None
