"""What a daemon tells the service manager for as long as it runs: status, watchdog, more time.

The watchdog (sd_notify(3), `WATCHDOG_USEC`) is fed by a task, so a blocked event loop ends it; and only
while nothing vital hangs, so that a writer which waits for a dead disk ends it too.  A manager that
asked for none of this costs nothing: the task ends at once.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from daemons.shared.sd_notify import sd_notify
from recado.protocol.printable import printable

TELL_SECONDS: Final = 2.0  # between two looks at what there is to tell
FEEDS_PER_WATCHDOG: Final = 4
EXTEND_SECONDS: Final = 30.0  # more time that is asked for at once
EXTEND_EVERY_SECONDS: Final = 5.0
OPENING_SECONDS_MAX: Final = 3600.0  # after that nobody believes any more that it comes to an end

Hangs = Callable[[], str]  # what hangs, in words; "" while all is well


def extension(seconds: float) -> str:
    """A line that asks for so much more time than is left for starting or stopping."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def watchdog_seconds(env: Mapping[str, str]) -> float | None:
    """How often this process must be heard of; None: the manager does not watch it."""
    microseconds, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


async def keep_told(
    words: Callable[[], str], vital: Sequence[Hangs], *, env: Mapping[str, str] = os.environ
) -> None:
    """The task: tell the status whenever it changes, and feed the watchdog unless something hangs.

    Ends at once if nobody wants to be told.
    """
    if not env.get("NOTIFY_SOCKET"):
        return
    watchdog = watchdog_seconds(env)
    period = TELL_SECONDS if watchdog is None else min(TELL_SECONDS, watchdog / FEEDS_PER_WATCHDOG)
    before = ""
    while True:
        hanging = [hangs for look in vital if (hangs := look())]
        status = "; ".join(hanging) or words()
        lines = []
        if watchdog is not None and not hanging:
            lines.append("WATCHDOG=1")
        if status and status != before:
            before = status
            lines.append(f"STATUS={printable(status)}")
        if lines:
            sd_notify("\n".join(lines), env=env)
        await trio.sleep(period)


@contextmanager
def taking_long(what: str, *, env: Mapping[str, str] = os.environ) -> Iterator[None]:
    """While the block runs, which may keep the event loop, ask for more time to start every few seconds.

    For opening and migrating large files: for at most an hour, after that the manager ends the start.
    """
    if not env.get("NOTIFY_SOCKET"):
        yield
        return
    over = threading.Event()
    start = time.monotonic()

    def ask() -> None:
        while not over.wait(EXTEND_EVERY_SECONDS):
            seconds = int(time.monotonic() - start)
            if seconds > OPENING_SECONDS_MAX:
                return
            sd_notify(f"STATUS={what}, for {seconds} s\n{extension(EXTEND_SECONDS)}", env=env)

    sd_notify(f"STATUS={what}", env=env)
    thread = threading.Thread(target=ask, name="recado-extending", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
