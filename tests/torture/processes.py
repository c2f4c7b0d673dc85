"""Starting programs: helpers that run to their end, and nodes that live in a namespace and die with us."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio

READY_FD_VARIABLE = "RECADO_READY_FD"
COMMAND_SECONDS_MAX = 30.0
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A helper program said no."""


def run(*command: str, text: str | None = None) -> str:
    """Run a helper to its end and return what it printed.  Raises `CommandFailed`."""
    ran = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
        start_new_session=True,  # Ctrl-C is for us: it must not stop what cleans up
    )
    if ran.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: exit code {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout


class Running:
    """One started process.  `code` is its exit code (negative: the signal) once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], ready_fd: int | None) -> None:
        self.pid = process.pid
        self._process = process
        self._ready_fd = ready_fd
        self._pidfd = os.pidfd_open(process.pid)
        self._waiting = trio.Lock()  # one task may wait for a descriptor

    @property
    def code(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        async with self._waiting:
            while (code := self._process.poll()) is None:
                await trio.lowlevel.wait_readable(self._pidfd)
        return code

    async def ready(self) -> bool:
        """Whether it says that it serves; False if it ended before."""
        if self._ready_fd is None:
            return False
        descriptor, self._ready_fd = self._ready_fd, None
        try:
            await trio.lowlevel.wait_readable(descriptor)
            return bool(os.read(descriptor, 4096))
        finally:
            os.close(descriptor)

    def signal(self, number: int) -> None:
        """Send a signal; one that has ended takes none."""
        with suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.kill(self.pid, number)

    async def freeze(self) -> None:
        """SIGSTOP, and wait until it has stopped: no system call of it is under way any more."""
        self.signal(signal.SIGSTOP)
        while self.code is None and _state(self.pid) not in {"T", "t"}:  # noqa: ASYNC110  # nobody tells
            await trio.sleep(0.002)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


def _state(pid: int) -> str:
    """The worst of a process's threads: any that still runs makes it running."""
    states = set()
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.add(task.read_text().rpartition(") ")[2][0])
    return next((state for state in states if state not in {"T", "t"}), "T")


def start(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    namespace: Path | None = None,
    watch_ready: bool = True,
) -> Running:
    """Start a process with its output appended to `log`, in a network namespace if one is given.

    The kernel kills it when this process ends.
    """
    read_end, write_end = os.pipe() if watch_ready else (None, None)
    ready = {} if write_end is None else {READY_FD_VARIABLE: str(write_end)}
    network = os.open(namespace, os.O_RDONLY) if namespace is not None else None
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**environment, **ready},
            pass_fds=[] if write_end is None else [write_end],
            start_new_session=True,
            preexec_fn=lambda: _before_exec(network),  # noqa: PLW1509  # two calls, looked up before the fork
        )
    for descriptor in (write_end, network):
        if descriptor is not None:
            os.close(descriptor)
    return Running(process, read_end)


def _before_exec(network: int | None) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if network is not None and _LIBC.setns(network, _CLONE_NEWNET):
        os._exit(71)
