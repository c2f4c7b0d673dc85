"""A server to measure: the real program as a process of its own, with the users and channels of the load."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench.generator import CHANNELS, USERS
from recado.protocol import codec
from recado.wire.zeromq import ZeroMQNetwork

HERE = Path(__file__).parents[1]
START_SECONDS = 20.0


class Serving(NamedTuple):
    """A running server: where it listens and its process id."""

    address: str
    pid: int

    def processor_seconds(self) -> float:
        """User and system time of all its threads until now."""
        return processor_seconds(self.pid)

    def resident_mib(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """User and system time of a process, all threads, living and ended (proc(5): ticks of 10 ms).

    The nanoseconds of its living threads are taken instead where the kernel keeps them and no thread
    with a tick of work has ended.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    try:
        threads = [p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except OSError:
        return ticks
    exact = sum(int(thread.split()[0]) for thread in threads) / 1e9
    return exact if abs(exact - ticks) < 0.05 else ticks


@contextmanager
def serving(
    directory: Path, *, tree: Path = HERE, module: str = "daemons.server", arguments: Sequence[str] = ()
) -> Iterator[Serving]:
    """A server of the checkout `tree`, keeping its files below `directory`; they are removed at the end.

    `module` runs it, `arguments` come before its own.
    """
    data = Path(tempfile.mkdtemp(prefix="recado-bench-", dir=directory))
    reading, writing = os.pipe()
    settings = {
        "node.name": "bench",
        "node.data": str(data),
        "server.listen": "tcp://127.0.0.1:*",
        "cluster.reference": "",
        "cluster.brokers": "[]",
        "log.level": "warning",
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments, *words],
        cwd=tree,
        env={**os.environ, "RECADO_READY_FD": str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        with open(reading) as ready:
            line = ready.readline()
        if not line:
            raise RuntimeError(f"the server of {tree} did not start")
        server = Serving(json.loads(line)["listen"]["requests"], process.pid)
        furnish(server.address)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def furnish(address: str, *, level: str = "") -> None:
    """Make the users and channels of the load at a server, answered at that level."""
    trio.run(_furnish, address, level)


async def _furnish(address: str, level: str) -> None:
    async with ZeroMQNetwork() as network, network.asker(address) as asker:
        wanted = [("login", "user", n) for n in range(USERS)] + [
            ("channel", "channel", n) for n in range(CHANNELS)
        ]
        more = {"level": level} if level else {}
        with trio.fail_after(START_SECONDS):
            for service, field, number in wanted:
                reply = await asker.ask(codec.encode(service, {field: f"bench-{number}", **more}))
                if codec.decode_reply(reply).failed:
                    raise RuntimeError(f"{service} bench-{number} was refused")
