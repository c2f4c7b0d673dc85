"""The load as a child of whoever injects the faults: started, silenced, sent home, its journal read."""

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import trio

from tests.torture import processes
from tests.torture.fleet import CLIENTS, Fleet
from tests.torture.load import Wishes
from tests.torture.neighbours import History, Operation

SILENCE_SECONDS = 90.0  # a repeated write may have to wait for a server that pulls
END_SECONDS = 20.0
START_SECONDS = 60.0
LOOK_SECONDS = 0.1


class Talkers:
    """A running load."""

    def __init__(self, fleet: Fleet, name: str, wishes: Wishes) -> None:
        self.journal = fleet.plan.directory / f"{name}.jsonl"
        orders = fleet.plan.directory / f"{name}.json"
        orders.write_bytes(msgspec.json.encode(wishes))
        self._process = processes.start(
            [sys.executable, "-m", "tests.torture.load", str(orders), str(self.journal)],
            log=fleet.plan.directory / f"{name}.log",
            environment={name: value for name, value in fleet.environment.items() if name != "LD_PRELOAD"},
            namespace=fleet.network.namespace(CLIENTS),
            watch_ready=False,
        )

    async def talking(self) -> None:
        """Wait until the first message was acknowledged."""
        with trio.fail_after(START_SECONDS):
            while not any(op.text for op in self.history().acknowledged):  # noqa: ASYNC110  # a file
                await trio.sleep(LOOK_SECONDS)

    async def silence(self, *, seconds: float = SILENCE_SECONDS) -> bool:
        """Nobody begins anything new.  Whether everybody came to an end in time."""
        self._process.signal(signal.SIGUSR1)
        with trio.move_on_after(seconds):
            while not any(line["what"] == "silent" for line in self.lines()):
                if self._process.code is not None:
                    return False
                await trio.sleep(LOOK_SECONDS)
            return True
        return False

    async def end(self) -> int:
        """Everybody goes; the exit code."""
        self._process.signal(signal.SIGTERM)
        with trio.move_on_after(END_SECONDS):
            return await self._process.wait()
        self._process.signal(signal.SIGKILL)
        return await self._process.wait()

    def lines(self) -> Iterator[dict[str, Any]]:
        """The journal; a last line that is being written is left out."""
        if not self.journal.exists():
            return
        with self.journal.open(encoding="utf-8") as journal:
            for line in journal:
                if line.endswith("\n"):
                    yield json.loads(line)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.lines()

    def history(self) -> History:
        """All operations so far."""
        return history_of(self.lines())


def history_of(lines: Iterator[dict[str, Any]]) -> History:
    """The operations of a journal, in the order in which they ended."""
    history = History()
    for line in lines:
        if line.pop("what") == "operation":
            line["id"] = bytes.fromhex(line["id"])
            history.operations.append(msgspec.convert(line, Operation))
    return history
