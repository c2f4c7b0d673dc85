"""`recado up` and its companions with the real daemons."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cluster_of_stubs import alive, free_base_port

pytestmark = [pytest.mark.system, pytest.mark.slow]


def recado(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """One command to its end."""
    environment = {**os.environ, "RECADO_LANG": "en"}
    return subprocess.run(
        [sys.executable, "-m", "clients.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
        **more,
    )


class Foreground:
    """`recado up --json` as a child, its events read one by one."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clients.cli", "up", "--json", "--data", str(data), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.up = self.next()
        self.pids = {node["node"]: node["pid"] for node in self.up["nodes"]}

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        found: dict[str, Any] = json.loads(line)
        return found

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next event of that kind with these fields.  The test's own timeout is the caller's."""
        while True:
            happened = self.next()
            if happened["event"] == kind and fields.items() <= happened.items():
                if "pid" in happened and happened.get("node"):
                    self.pids[happened["node"]] = happened["pid"]
                return happened


@contextmanager
def foreground(data: Path, *arguments: str) -> Iterator[Foreground]:
    cluster = Foreground(data, *arguments)
    try:
        yield cluster
    finally:
        if cluster.process.poll() is None:
            cluster.process.send_signal(signal.SIGINT)
        try:
            cluster.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            cluster.process.kill()
            cluster.process.communicate()
    assert not [name for name, pid in cluster.pids.items() if alive(pid)]


def test_a_life(tmp_path: Path) -> None:
    """Up, talk, a coordinator, a kill and its restart, Ctrl-C; the second life has the first one's data."""
    base = str(free_base_port())
    with foreground(tmp_path, "--base-port", base, "--bots", "1", "--bot-rate", "5") as cluster:
        assert cluster.up["event"] == "up"
        assert cluster.up["servers"][0] == f"tcp://127.0.0.1:{base}"
        cluster.until("coordinator", node="server-3")
        cluster.until("said", user="bot-1")
        first = cluster.pids["server-2"]
        os.kill(first, signal.SIGKILL)
        died = cluster.until("died", node="server-2")
        assert died["signal"] == "SIGKILL"
        assert cluster.until("restarted", node="server-2")["pid"] != first
        cluster.until("ready", node="server-2")
        begun = time.monotonic()
        cluster.process.send_signal(signal.SIGINT)
        rest = [json.loads(line)["event"] for line in cluster.process.stdout or ()]
        assert cluster.process.wait(5) == 0
        assert time.monotonic() - begun < 5
        assert rest[-1] == "stopped"
    assert recado("verify", "--data", str(tmp_path)).returncode == 0
    with foreground(tmp_path, "--base-port", base, "--bots", "0") as again:
        users = recado("users", "--json", "--reference", again.up["reference"])
        assert json.loads(users.stdout)["users"] == ["bot-1"]


def test_coordinator_is_replaced(tmp_path: Path) -> None:
    """With --no-restart a dead coordinator stays dead, and the next rank is announced in its place."""
    arguments = ("--base-port", str(free_base_port()), "--bots", "0", "--no-restart")
    with foreground(tmp_path, *arguments) as cluster:
        cluster.until("coordinator", node="server-3")
        os.kill(cluster.pids["server-3"], signal.SIGKILL)
        assert cluster.until("died", node="server-3")["restart_seconds"] is None
        cluster.until("coordinator", node="server-2")


def test_in_the_background(tmp_path: Path) -> None:
    """--detach, ps, stop, start, logs, down --wipe: what people did with compose."""
    data = ("--data", str(tmp_path / "var"))
    up = recado("up", "--detach", "--json", *data, "--base-port", str(free_base_port()), "--servers", "1")
    assert up.returncode == 0, up.stderr
    supervisor = json.loads(up.stdout)["pid"]
    try:
        rows = json.loads(recado("ps", "--json", *data).stdout)["nodes"]
        assert [row["node"] for row in rows] == ["reference", "broker", "server-1", "bot-1", "bot-2"]
        assert all(row["state"] == "ready" for row in rows)
        assert recado("stop", "bot-2", *data).returncode == 0
        table = recado("ps", *data).stdout.splitlines()
        assert table[-1].split()[:2] == ["bot-2", "stopped"]
        assert recado("start", "bot-2", *data).returncode == 0
        assert recado("stop", "bot-9", *data).returncode == 1
        lines = recado("logs", "-n", "5", "server-1", *data).stdout.splitlines()
        assert lines
        assert all(line.startswith("server-1   | ") for line in lines)
        assert recado("up", *data, "--base-port", str(free_base_port())).returncode == 73
    finally:
        down = recado("down", "--wipe", *data)
    assert down.returncode == 0
    assert not alive(supervisor)
    assert list((tmp_path / "var").iterdir()) == []
    assert recado("ps", *data).returncode == 69
    assert recado("down", *data).returncode == 0


def test_wipe_takes_only_what_is_the_clusters(tmp_path: Path) -> None:
    """`down --wipe` in a directory that holds other things leaves them alone."""
    (tmp_path / "server-1").mkdir()
    (tmp_path / "server-1" / "replica.db").touch()
    (tmp_path / "holidays").mkdir()
    (tmp_path / "notes.txt").touch()
    assert recado("down", "--wipe", "--data", str(tmp_path)).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holidays", "notes.txt"]


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_refusals_leave_nothing_half_started(tmp_path: Path, how: tuple[str, ...]) -> None:
    """A taken port is named, the exit code is 73, and no node has begun anything."""
    base = free_base_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base + 4))
        holder.listen(1)
        refused = recado("up", *how, "--data", str(tmp_path), "--base-port", str(base))
    assert refused.returncode == 73
    assert f"tcp://127.0.0.1:{base + 4} (reference): already in use" in refused.stderr
    assert not list(tmp_path.glob("*/*.db"))


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_unwritable_directory(how: tuple[str, ...]) -> None:
    """A data directory that can't be made, even by root, is refused with 73 and a hint."""
    refused = recado("up", *how, "--data", "/proc/recado")
    assert refused.returncode == 73
    assert "choose another" in refused.stderr


def test_reading_end_goes_away(tmp_path: Path) -> None:
    """`recado up | head -1` stops the cluster in order."""
    cluster = Foreground(tmp_path, "--base-port", str(free_base_port()), "--servers", "1", "--bot-rate", "50")
    assert cluster.process.stdout is not None
    cluster.process.stdout.close()
    assert cluster.process.wait(30) == 0
    assert not [name for name, pid in cluster.pids.items() if alive(pid)]
    assert cluster.process.stderr is not None
    assert cluster.process.stderr.read() == ""
    cluster.process.stderr.close()
