"""Processes of the machine as tests see them: waiting for conditions, free ports, what is left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Literal, TypeVar

T = TypeVar("T")
Ran = subprocess.CompletedProcess[str]

STOP_SECONDS = 5.0
PAUSE_SECONDS = 0.02
_PORTS = range(20_000, 32_000)  # below the ephemeral range: nobody's outgoing connection sits there


def until(condition: Callable[[], T | Literal[False] | None], *, seconds: float, what: str) -> T:
    """The first true result of `condition`.  Fails, saying `what` did not happen, after `seconds`."""
    pause = threading.Event()
    deadline = monotonic() + seconds
    while not (result := condition()):
        assert monotonic() < deadline, f"not within {seconds:g} s: {what}"
        pause.wait(PAUSE_SECONDS)
    return result


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_base_port(servers: int = 3) -> int:
    """A base port from which on everything that a cluster binds is free at this moment."""
    offsets = [*range(7), *range(10, 10 + max(0, servers - 3))]
    while True:
        base = SystemRandom().choice(_PORTS)
        if all(_free(base + offset) for offset in offsets):
            return base


def processes_of(data: Path) -> dict[int, str]:
    """Process id → command line of every living process that was started for this data directory."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if str(data) in line:
                    found[int(entry.name)] = line.strip()
    return found


def recado(*arguments: str, env: Mapping[str, str] | None = None, seconds: float = 30.0) -> Ran:
    """Run one command of `recado` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "clients.cli", *arguments],
        env={**os.environ, "RECADO_LANG": "en", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def no_process_left(data: Path, *, seconds: float = STOP_SECONDS) -> None:
    """Fail if processes of this directory are still there after `seconds`, having killed them."""
    try:
        until(lambda: not processes_of(data), seconds=seconds, what=f"the last process of {data} ended")
    except AssertionError:
        left = processes_of(data)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"left behind: {left}") from None
