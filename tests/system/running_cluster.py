"""A cluster of real processes, as `recado up` runs it: started for a test, watched, never left behind.

Whatever waits here waits for a condition with a deadline.  A supervisor started here dies with the
test process (PR_SET_PDEATHSIG), and its nodes die with it.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from processes import STOP_SECONDS, free_base_port, no_process_left, until

from clients.cluster import control

Event = dict[str, Any]

START_SECONDS = 60.0
RESTARTED_SECONDS = 20.0  # a second's pause, then starting on a busy machine
EX_CANTCREAT = 73
_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl

# The mission's timings, shortened so that a test sees several of each.
QUICK = {
    "RECADO_TIMINGS__ELECTION_LEASE_SECONDS": "2",
    "RECADO_TIMINGS__ELECTION_RENEW_SECONDS": "0.5",
    "RECADO_TIMINGS__ELECTION_RPC_SECONDS": "0.5",
    "RECADO_TIMINGS__ELECTION_HOLD_SECONDS": "1",
    "RECADO_TIMINGS__HEARTBEAT_SECONDS": "1",
    "RECADO_TIMINGS__SYNC_SECONDS": "2",
    "RECADO_TIMINGS__BERKELEY_MIN_SECONDS": "1",
    "RECADO_TIMINGS__BERKELEY_MAX_SECONDS": "5",
}


def _die_with_the_test() -> None:
    _PRCTL(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


class Cluster:
    """A running `recado up --json`.  `summary` is its first line; `events` are all lines after it."""

    def __init__(self, data: Path, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.data = data
        self.events: list[Event] = []
        self._heard = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "clients.cli", "up", "--json", "--data", str(data), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RECADO_LANG": "en", **env},
            start_new_session=True,
            preexec_fn=_die_with_the_test,  # noqa: PLW1509  # one call, looked up before the fork
        )
        assert self._process.stdout is not None
        started = select.select([self._process.stdout], [], [], START_SECONDS)[0]
        line = self._process.stdout.readline() if started else ""
        self.summary: Event = json.loads(line or "{}")
        if self.summary.get("event") != "up":
            if not started:
                self._process.kill()
            _, complaint = self._process.communicate(timeout=STOP_SECONDS)
            raise CouldNotStart(self._process.returncode, line + complaint)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._heard:
                self.events.append(json.loads(line))
                self._heard.notify_all()

    # What it is ------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def servers(self) -> list[str]:
        return list(self.summary["servers"])

    def node(self, name: str) -> Event:
        return next(node for node in self.summary["nodes"] if node["node"] == name)

    def replica(self, name: str) -> Path:
        return Path(self.node(name)["store"])

    def replicas(self) -> list[Path]:
        return [Path(node["store"]) for node in self.summary["nodes"] if node["role"] == "server"]

    def log(self, name: str) -> str:
        """All that a node has logged."""
        return Path(self.node(name)["log"]).read_text("utf-8")

    def rows(self) -> dict[str, Event]:
        """What `recado ps` shows, by node."""
        return {row["node"]: row for row in control.ask(self.data, {"do": "ps"})["nodes"]}

    # What happens ----------------------------------------------------------------------------

    def wait_for(self, kind: str, *, seconds: float, after: int = 0, **fields: Any) -> Event:
        """The first event of this kind with these fields, not counting the `after` first events."""

        def found() -> Event | None:
            for happened in self.events[after:]:
                if happened["event"] == kind and all(happened.get(k) == v for k, v in fields.items()):
                    return happened
            return None

        with self._heard:
            happened = self._heard.wait_for(found, seconds)
        if not happened:
            words = self.log(fields["node"])[-2000:] if "node" in fields else ""
            last = self.events[after:][-20:]
            raise AssertionError(f"no {kind} {fields} within {seconds:g} s; after: {last}\n{words}")
        return happened

    def wait_for_log(self, name: str, *words: str, seconds: float, after: int = 0) -> str:
        """The first line of a node's log, from character `after` on, that contains all of `words`."""

        def found() -> str | None:
            lines = self.log(name)[after:].splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return until(found, seconds=seconds, what=f"{words} in the log of {name}")

    def kill(self, *names: str) -> int:
        """SIGKILL nodes at once and wait until their end was noticed.  The number of events before."""
        before, rows = len(self.events), self.rows()
        for name in names:
            os.kill(rows[name]["pid"], signal.SIGKILL)
        for name in names:
            self.wait_for("died", node=name, seconds=STOP_SECONDS, after=before)
        return before

    def start(self, name: str) -> None:
        """Start a node that is down, as `recado start` does."""
        control.ask(self.data, {"do": "start", "node": name})

    def stop(self, name: str) -> None:
        """Stop a node and leave it down, as `recado stop` does."""
        control.ask(self.data, {"do": "stop", "node": name})

    def restarted(self, name: str, *, after: int) -> None:
        """Wait until a node that died is ready again."""
        self.wait_for("ready", node=name, seconds=RESTARTED_SECONDS, after=after)

    # Its end ---------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self, seconds: float) -> int:
        """Its exit code.  Raises `subprocess.TimeoutExpired` if it still runs after `seconds`."""
        return self._process.wait(seconds)

    def close(self) -> None:
        """End it by all means, and fail if anything is left of it."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(2 * STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(STOP_SECONDS)
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
        no_process_left(self.data)


class CouldNotStart(Exception):
    """`recado up` refused: its exit code and what it said."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"exit code {code}: {text}")
        self.code = code
        self.text = text


@contextmanager
def local_cluster(
    data: Path,
    *arguments: str,
    servers: int = 3,
    bots: int = 0,
    base_port: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A cluster on free ports, ready; ended when left, whatever happened inside."""
    for attempt in range(3):
        base = base_port or free_base_port(servers)
        wish = ["--servers", str(servers), "--bots", str(bots), "--base-port", str(base)]
        try:
            cluster = Cluster(data, [*wish, *arguments], env or {})
        except CouldNotStart as error:
            # Somebody took a port between our look and the start.
            if error.code != EX_CANTCREAT or base_port is not None or attempt == 2:
                raise
            continue
        try:
            yield cluster
        finally:
            cluster.close()
        return
