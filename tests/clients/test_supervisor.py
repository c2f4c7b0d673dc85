"""The supervisor with tiny real processes."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trio

from clients.cluster import control
from clients.cluster.cannot import CannotStart
from clients.cluster.events import Event
from clients.cluster.ground import set_aside
from clients.cluster.plan import Plan
from tests.clients.cluster_of_stubs import Recorder, alive, free_base_port, stub_plan, supervisor

pytestmark = pytest.mark.system


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[Recorder]:
    """The plan under supervision while inside; stopped, and checked to be gone, at the end."""
    recorder = Recorder()
    cluster = supervisor(plan, recorder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.run)
        try:
            await recorder.until("up")
            yield recorder
        finally:
            cluster.stop()
    assert not any(alive(pid) for pid in pids(recorder.events))


def assert_files(up: Event) -> None:
    for node in up["nodes"]:
        assert Path(node["log"]).exists()
        assert node["config"] is None or Path(node["config"]).exists()


def pids(events: list[Event]) -> list[int]:
    first = [node["pid"] for happened in events if happened["event"] == "up" for node in happened["nodes"]]
    return first + [happened["pid"] for happened in events if happened["event"] in {"started", "restarted"}]


def pid_of(recorder: Recorder, name: str) -> int:
    nodes = recorder.events[0]["nodes"]
    return int(next(node["pid"] for node in nodes if node["node"] == name))


async def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    """Bots stop before servers, servers before the broker, the broker before the reference."""
    async with running(stub_plan(tmp_path, base_port=free_base_port(), servers=1)) as recorder:
        assert recorder.kinds == ["up"]
    lines = (tmp_path / "journal").read_text().split("\n")
    nodes = ["reference", "broker", "server-1", "bot-1"]
    assert lines[:4] == [f"start {name}" for name in nodes]
    assert lines[4:8] == [f"stop {name}" for name in reversed(nodes)]
    assert recorder.kinds[-2:] == ["stopping", "stopped"]


async def test_first_event_tells_everything(tmp_path: Path) -> None:
    """The summary names every endpoint, file and living process."""
    base = free_base_port()
    async with running(stub_plan(tmp_path, base_port=base)) as recorder:
        up = recorder.events[0]
        assert up["servers"] == [f"tcp://127.0.0.1:{base}", f"tcp://127.0.0.1:{base + 1}"]
        assert up["broker"] == f"tcp://127.0.0.1:{base + 3}"
        assert up["reference"] == f"tcp://127.0.0.1:{base + 4}"
        assert all(alive(node["pid"]) for node in up["nodes"])
        assert_files(up)
        assert json.loads(json.dumps(up)) == up


async def test_killed_node_is_restarted(tmp_path: Path) -> None:
    """A node killed with SIGKILL is told dead, and a new process of it is ready again."""
    async with running(stub_plan(tmp_path, base_port=free_base_port())) as recorder:
        os.kill(pid_of(recorder, "server-1"), signal.SIGKILL)
        died = await recorder.until("died", node="server-1")
        assert (died["signal"], died["restart_seconds"]) == ("SIGKILL", 1.0)
        again = await recorder.until("restarted", node="server-1")
        await recorder.until("ready", node="server-1", pid=again["pid"])


async def test_no_restart_leaves_it_down(tmp_path: Path) -> None:
    """With --no-restart a dead node stays down until it is started by hand."""
    plan = stub_plan(tmp_path, base_port=free_base_port(), restart=False)
    async with running(plan) as recorder:
        os.kill(pid_of(recorder, "server-2"), signal.SIGKILL)
        died = await recorder.until("died", node="server-2")
        assert died["restart_seconds"] is None
        await trio.to_thread.run_sync(control.ask, tmp_path, {"do": "start", "node": "server-2"})
        await recorder.until("started", node="server-2")


async def test_stop_and_start_by_the_control_socket(tmp_path: Path) -> None:
    """A node stopped by hand is not restarted, `ps` says so, and it comes back when asked."""

    async def ask(**request: str) -> Event:
        return await trio.to_thread.run_sync(control.ask, tmp_path, request)

    async with running(stub_plan(tmp_path, base_port=free_base_port())) as recorder:
        await ask(do="stop", node="server-1")
        rows = {row["node"]: row for row in (await ask(do="ps"))["nodes"]}
        assert (rows["server-1"]["state"], rows["server-2"]["state"]) == ("stopped", "ready")
        assert rows["server-1"]["pid"] is None
        assert rows["server-1"]["restarts"] == 0
        with pytest.raises(control.Refused, match="no node nobody; there are reference, broker"):
            await ask(do="stop", node="nobody")
        with pytest.raises(control.Refused, match="unknown request"):
            await ask(do="dance")
        await ask(do="start", node="server-1")
        await recorder.until("ready", node="server-1")
        assert "died" not in recorder.kinds


async def test_node_that_fails_tears_everything_down(tmp_path: Path) -> None:
    """A node that can't start ends the whole, with its own last words and exit code."""
    plan = stub_plan(tmp_path, base_port=free_base_port(), manners={"server-2": "broken"})
    recorder = Recorder()
    with pytest.raises(CannotStart, match="flux capacitor") as caught:
        await supervisor(plan, recorder).run()
    assert caught.value.exit_code == 78
    assert recorder.kinds == []
    assert "stop reference" in (tmp_path / "journal").read_text()


@pytest.mark.slow
async def test_stubborn_node_is_killed_within_five_seconds(tmp_path: Path) -> None:
    """A server that ignores SIGTERM does not keep the cluster from being gone after 5 s."""
    plan = stub_plan(tmp_path, base_port=free_base_port(), manners={"server-1": "stubborn"})
    begun = 0.0
    async with running(plan):
        begun = anyio.current_time()
    assert anyio.current_time() - begun < 5.0


async def test_taken_port_is_named_and_nothing_starts(tmp_path: Path) -> None:
    """A port that somebody holds is refused with 73 before any process is started."""
    base = free_base_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base + 3))
        holder.listen(1)
        with pytest.raises(CannotStart, match=rf"{base + 3} \(broker xpub\): already in use") as caught:
            await supervisor(stub_plan(tmp_path, base_port=base), Recorder()).run()
    assert caught.value.exit_code == 73
    assert not (tmp_path / "journal").exists()


async def test_second_cluster_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """The second one is told who holds the directory, and the first goes on."""
    async with running(stub_plan(tmp_path, base_port=free_base_port())):
        with pytest.raises(CannotStart, match=rf"already runs on .* \(process {os.getpid()}\)") as caught:
            await supervisor(stub_plan(tmp_path, base_port=free_base_port()), Recorder()).run()
        assert caught.value.exit_code == 73
        told = await trio.to_thread.run_sync(control.ask, tmp_path, {"do": "ps"})
        assert all(row["state"] == "ready" for row in told["nodes"])


async def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A data directory that can't be made is refused with 73 and a hint."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="choose another directory with --data") as caught:
        await supervisor(stub_plan(tmp_path / "file", base_port=free_base_port()), Recorder()).run()
    assert caught.value.exit_code == 73


async def test_control_socket_under_a_deep_directory(tmp_path: Path) -> None:
    """A path longer than a unix socket's address works all the same."""
    deep = tmp_path.joinpath(*["a-rather-long-directory-name"] * 5)
    assert len(str(deep)) > 108
    async with running(stub_plan(deep, base_port=free_base_port())):
        told = await trio.to_thread.run_sync(control.ask, deep, {"do": "ps"})
        assert told["data"] == str(deep)


def test_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL to the supervisor: the kernel ends its children, and the directory is free again."""
    base = free_base_port()
    command = [sys.executable, "-m", "tests.clients.cluster_of_stubs", str(tmp_path), str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        children = [node["pid"] for node in json.loads(process.stdout.readline())["nodes"]]
        watched = [os.pidfd_open(pid) for pid in children]
        process.kill()
    for descriptor in watched:
        assert select.select([descriptor], [], [], 5)[0]
        os.close(descriptor)
    with pytest.raises(control.NotRunning):
        control.ask(tmp_path, {"do": "ps"})


def test_interrupt_of_a_real_supervisor(tmp_path: Path) -> None:
    """Ctrl-C ends it with exit code 0 and the events of an orderly stop."""
    command = [sys.executable, "-m", "tests.clients.cluster_of_stubs", str(tmp_path), str(free_base_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = [json.loads(line)["event"] for line in process.stdout]
    assert process.returncode == 0
    assert rest[0] == "stopping"
    assert rest[-1] == "stopped"


def test_large_log_is_set_aside(tmp_path: Path) -> None:
    """A log beyond its limit is kept aside once, and a node that holds it open goes on in the same file."""
    plan = stub_plan(tmp_path, base_port=free_base_port())
    node = plan.nodes[0]
    node.directory.mkdir()
    with node.log_path.open("ab", buffering=0) as log:
        log.write(b"x" * 100)
        set_aside(node, bytes_max=100)
        assert node.log_path.stat().st_size == 100
        log.write(b"y")
        set_aside(node, bytes_max=100)
        log.write(b"new\n")
    assert node.log_path.read_bytes() == b"new\n"
    assert (node.directory / "reference.log.1").read_bytes() == b"x" * 100 + b"y"


def test_second_interrupt_ends_the_patience(tmp_path: Path) -> None:
    """While a stubborn server is waited for, a second Ctrl-C kills everything at once."""
    command = [sys.executable, "-m", "tests.clients.cluster_of_stubs"]
    command += [str(tmp_path), str(free_base_port()), "server-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert json.loads(process.stdout.readline())["event"] == "stopping"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert time.monotonic() - begun < 2.5
