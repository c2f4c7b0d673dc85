"""One child process: started so that it can't outlive us, watched without signals or threads.

The kernel kills the children if the supervisor dies (PR_SET_PDEATHSIG).  It does so when the
*thread* that started them ends, which is why they are started on the main thread and not in a
worker.  Each child has a session of its own: Ctrl-C in the terminal reaches the supervisor alone,
which then stops the children in order.
"""

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio

from clients.cluster.plan import Node

READY_FD_VARIABLE = "RECADO_READY_FD"
_READY_BYTES_MAX = 64 * 1024
_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 4096


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does between fork and exec.  Looked up before the fork: after it, nothing may be."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # Certain rather than polite: the nodes lose nothing they acknowledged, and nobody is left to
    # wait for one that does not stop.
    arguments = (_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    getppid, leave = os.getppid, os._exit

    def before_exec() -> None:
        prctl(*arguments)
        if getppid() != parent:  # it died before the call above
            leave(70)

    return before_exec


class Child:
    """A started process of a node.  `ended` is its exit code (negative: the signal), None before."""

    def __init__(self, node: Node, process: subprocess.Popen[bytes], ready_fd: int) -> None:
        self.node = node
        self.pid = process.pid
        self.started_at = time.time()
        self._process = process
        self._ready_fd = ready_fd
        self._pidfd = os.pidfd_open(process.pid)

    @property
    def ended(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """The exit code once it has ended (negative: the signal's number)."""
        while (code := self._process.poll()) is None:
            await anyio.wait_readable(self._pidfd)
        return code

    async def ready(self) -> dict[str, Any] | None:
        """What it says of itself when it serves; None if it ended or closed the line before."""
        line = b""
        try:
            while not line.endswith(b"\n") and len(line) < _READY_BYTES_MAX:
                await anyio.wait_readable(self._ready_fd)
                piece = os.read(self._ready_fd, _READY_BYTES_MAX)
                if not piece:
                    return None
                line += piece
        finally:
            self._close_ready()
        try:
            said = json.loads(line)
        except ValueError:
            return None
        return said if isinstance(said, dict) and said.get("ready") else None

    def signal(self, number: int) -> None:
        """Send a signal; one that has ended takes none."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Give the descriptors back.  The process must have ended."""
        self._close_ready()
        os.close(self._pidfd)

    def _close_ready(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1


def start(node: Node, environment: Mapping[str, str]) -> Child:
    """Start a node's process, its output appended to its log.  Call on the main thread.

    Raises `OSError` if that can't be done.
    """
    read_end, write_end = os.pipe()
    try:
        with node.log_path.open("ab") as log:
            process = subprocess.Popen(
                node.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                env={**environment, READY_FD_VARIABLE: str(write_end), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  # looked up before the fork
            )
    except OSError:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    os.set_blocking(read_end, False)
    return Child(node, process, read_end)


def last_words(node: Node) -> str:
    """The last lines of a node's log, for the person who wonders why it did not start."""
    try:
        with node.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-8:])
