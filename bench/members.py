"""A cluster of ours whose members can be killed, emptied and started again; without keys, on loopback."""

import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final, Self

from bench.peers.base import Process, Running
from bench.serving import HERE, furnish

PORTS: Final = {"requests": 5555, "xpub": 5558, "xsub": 5560}


class _Daemon(Process):
    """A daemon of this checkout that has said that it serves."""

    def __init__(self, program: str, settings: dict[str, object], directory: Path) -> None:
        reading, writing = os.pipe()
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        super().__init__(
            [sys.executable, "-m", f"daemons.{program}", *words],
            directory,
            environment={"RECADO_READY_FD": str(writing)},
            working_directory=HERE,
            pass_fds=[writing],
        )
        os.close(writing)
        with open(reading) as ready:
            if not ready.readline():
                self.kill()
                raise self.not_started()


class Members:
    """So many servers, perhaps a broker, below `directory`; a context manager.

    Each node has an address of its own out of 127.0.0.0/8, so that ports can be the usual ones.  `furnished`:
    the users and channels of the load are made; `start_seconds`: what the last start of a node took.
    """

    def __init__(
        self, directory: Path, *, servers: int, broker: bool = False, furnished: bool = True
    ) -> None:
        self.directory = directory
        self.servers = [f"server-{number}" for number in range(1, servers + 1)]
        self._random = SystemRandom()
        self._network = f"127.{self._random.randrange(1, 255)}.{self._random.randrange(1, 255)}."
        self._broker = broker
        self._furnished = furnished
        self.start_seconds = 0.0
        self._running: dict[str, _Daemon] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._stop)
            for name in [*self.servers, *(["broker"] if self._broker else [])]:
                self.start(name)
            if self._furnished:
                self._furnish()
            self._stack = stack.pop_all()
        return self

    def _furnish(self) -> None:
        furnish(f"tcp://{self.endpoint(0)}", level="all" if len(self.servers) > 1 else "")

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stop(self) -> None:
        for daemon in reversed(self._running.values()):
            daemon.stop()

    def endpoint(self, place: int, port: str = "requests") -> str:
        """``HOST:PORT`` of the server of that place, or of the broker, which is at the first one's."""
        return f"{self._network}{place + 1}:{PORTS[port]}"

    def start(self, name: str, *, more: dict[str, object] | None = None) -> None:
        """Once it serves, with `more` settings.  Raises `RuntimeError` with its last words."""
        settings = {**self._common(), **(more or {}), "node.name": name, "node.data": self.data_of(name)}
        if name in self.servers:
            settings["server.listen"] = f"tcp://{self.endpoint(self.servers.index(name))}"
        start = time.monotonic()
        self._running[name] = _Daemon(name.partition("-")[0], settings, self.directory)
        self.start_seconds = time.monotonic() - start

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._running[name].kill()

    def empty(self, name: str) -> None:
        """Remove what a killed node had."""
        shutil.rmtree(self.data_of(name))

    def pid(self, name: str) -> int:
        """Of a running node."""
        return self._running[name].pid

    def data_of(self, name: str) -> Path:
        """Where that node keeps its files."""
        return self.directory / name

    def running(self) -> Running:
        """As a peer; subscribers connect to the broker."""
        return Running(
            endpoints=[self.endpoint(place) for place in range(len(self.servers))],
            sessions=[daemon.pid for daemon in self._running.values()],
            listening=[self.endpoint(0, "xpub")] if self._broker else [],
        )

    def _common(self) -> dict[str, object]:
        members = ", ".join(
            f'{{name="{name}", rank={place + 1}, address="tcp://{self.endpoint(place)}"}}'
            for place, name in enumerate(self.servers)
        )
        xsub, xpub = (f"tcp://{self.endpoint(0, port)}" for port in ("xsub", "xpub"))
        return {
            "cluster.reference": "",
            "cluster.members": f"[{members}]",
            "cluster.brokers": f'[{{name="broker", xsub="{xsub}", xpub="{xpub}"}}]' if self._broker else "[]",
            "broker.request": "",
            "broker.xsub": xsub,
            "broker.xpub": xpub,
            "log.level": "error",
        }
