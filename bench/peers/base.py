"""What all peers have in common: a promise, whether they are here, processes that end with the bench."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class Process:
    """A program in a session of its own, its output in a file; a context manager that ends all of it."""

    def __init__(
        self,
        words: Sequence[str],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        working_directory: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.log = directory / f"{Path(words[0]).name}-{len(list(directory.glob('*.log')))}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                cwd=working_directory or directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        """Of the program, which is also its session's."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, at once."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def await_port(self, port: int) -> None:
        """Until it listens.  Raises `RuntimeError` with the end of its output if it does not."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.running():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        raise self.not_started()

    def not_started(self) -> RuntimeError:
        """What to raise about it: the end of its output."""
        return RuntimeError(f"{self.log.stem} did not start: {self.log.read_text('utf-8', 'replace')[-800:]}")


class Running(msgspec.Struct, frozen=True):
    """A started peer: where clients connect, ``HOST:PORT`` each, and the sessions of its nodes."""

    endpoints: list[str]
    sessions: list[int]
    listening: list[str] = []  # where subscribers connect, if elsewhere

    def pids(self) -> list[int]:
        """All processes that belong to it now."""
        return [pid for pid in _all_pids() if _session_of(pid) in self.sessions]

    def processor_seconds(self) -> float:
        """User and system time of all its processes until now."""
        return sum(_used_by(pid) for pid in self.pids())

    def resident_mib(self) -> float:
        """Resident memory of all its processes, in MiB."""
        pages = 0
        for pid in self.pids():
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Peer(msgspec.Struct, frozen=True):
    """A program to measure beside ours.  `promise`: what an answer of it means, as it is started here."""

    name: str
    promise: str
    package: str
    program: str  # looked for in PATH, or a path
    version_words: list[str]
    start: Callable[[Path], AbstractContextManager[Running]]

    def missing(self) -> str | None:
        """Why it cannot be measured here; None if it can."""
        return None if shutil.which(self.program) else f"{self.name}: not installed ({self.package})"

    def version(self) -> str:
        """What its program calls itself."""
        done = subprocess.run(
            [self.program, *self.version_words], capture_output=True, text=True, check=False, timeout=20
        )
        found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
        return found[0] if found else "?"

    @contextmanager
    def started(self, directory: Path) -> Iterator[Running]:
        """It, running, with its files below `directory` until the end."""
        with ExitStack() as stack:
            place = Path(tempfile.mkdtemp(prefix="recado-bench-", dir=directory)).resolve()
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            yield stack.enter_context(self.start(place))


class Contender(msgspec.Struct, frozen=True):
    """One way of asking one peer.  `promise`: of its answers, if another one than the peer's; `window_max`:
    how many requests a connection can have out."""

    name: str
    peer: Peer
    protocol: str
    level: str = ""
    promise: str = ""
    window_max: int = 1024


@contextmanager
def process(
    words: Sequence[str], directory: Path, *, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A process that listens at `port`, stopped at the end."""
    running = Process(words, directory, environment=environment)
    try:
        running.await_port(port)
        yield running
    finally:
        running.stop()


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return -1


def _used_by(pid: int) -> float:
    """Nanoseconds of living threads where the kernel keeps them, or ticks if that is more: threads end."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except OSError:
        return 0.0
    ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    exact = sum(int(thread.split()[0]) for thread in threads) / 1e9
    return exact if abs(exact - ticks) < 0.05 else ticks
