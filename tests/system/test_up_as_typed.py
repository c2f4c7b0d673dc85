"""`recado up` and the commands beside it, as people type them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest
from looking import select
from plain_client import World
from processes import STOP_SECONDS, free_base_port, no_process_left, processes_of, recado, until
from running_cluster import EX_CANTCREAT, QUICK, CouldNotStart, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]
EX_UNAVAILABLE = 69
NODES = ["reference", "broker", "server-1", "server-2", "server-3", "bot-1", "bot-2"]


def test_the_first_line_tells_everything(tmp_path: Path) -> None:
    """One JSON line when all is ready: every endpoint answers, every process lives, every file is there."""
    base = free_base_port()
    with local_cluster(tmp_path, "--bot-rate", "5", bots=2, base_port=base) as cluster:
        told = cluster.summary
        assert [node["node"] for node in told["nodes"]] == NODES
        assert told["servers"] == [f"tcp://127.0.0.1:{base + n}" for n in range(3)]
        ports = [told[end].rpartition(":")[2] for end in ("broker", "reference", "xsub", "request")]
        assert ports == [str(base + offset) for offset in (3, 4, 5, 6)]
        for node in told["nodes"]:
            os.kill(node["pid"], 0)
            assert Path(node["log"]).is_file()
            assert node["store"] is None or Path(node["store"]).is_file()
            for address in node["endpoints"].values():
                host, _, port = address.removeprefix("tcp://").rpartition(":")
                socket.create_connection((host, int(port)), timeout=5).close()
        said = cluster.wait_for("said", user="bot-2", seconds=20)
        assert said["text"]
        assert cluster.wait_for("coordinator", seconds=30)["node"] == "server-3"


def test_words_for_people(tmp_path: Path) -> None:
    """Without --json it prints where everything listens, what to type next, who leads, what bots say."""
    base = free_base_port()
    command = [sys.executable, "-m", "clients.cli", "up", "--data", str(tmp_path), "--base-port", str(base)]
    env = {**os.environ, **QUICK, "RECADO_LANG": "en"}
    with subprocess.Popen(
        [*command, "--bot-rate", "5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if "coordinator" in line and "server-3" in line and "bot-" in said:
                    break
            begun = monotonic()
            os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
            said += process.stdout.read()
            assert process.wait(STOP_SECONDS) == 0
            assert monotonic() - begun < STOP_SECONDS
        finally:
            process.kill()
    no_process_left(tmp_path)
    for address in (f"127.0.0.1:{base}", f":{base + 2}", f":{base + 3}", f":{base + 4}"):
        assert address in said
    assert "recado chat" in said
    assert "Traceback" not in said


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    """Exit code 73, the port and whose it would be; no directory of a node, no process."""
    base = free_base_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", base + 3))
        other.listen(1)
        with (
            pytest.raises(CouldNotStart, match=rf"(?s):{base + 3} \(broker xpub\).*--base-port") as refused,
            local_cluster(tmp_path, base_port=base),
        ):
            pass
    assert refused.value.code == EX_CANTCREAT
    assert not list(tmp_path.glob("*/*"))
    no_process_left(tmp_path, seconds=1)


@pytest.mark.parametrize("directory", ["/proc/sys/recado", "{file}/var"])
def test_a_directory_that_cannot_be_written(tmp_path: Path, directory: str) -> None:
    """Exit code 73 and one line that says what to do."""
    (tmp_path / "file").touch()
    data = directory.format(file=tmp_path / "file")
    ran = recado("up", "--data", data, "--base-port", str(free_base_port()))
    assert ran.returncode == EX_CANTCREAT
    assert data in ran.stderr
    assert "--data" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_second_cluster_and_a_wipe_are_refused_while_one_runs(tmp_path: Path, world: World) -> None:
    """The second `up` on the same data ends with 73, and the first goes on as if nothing had been."""
    with local_cluster(tmp_path, env=QUICK) as cluster:
        ran = recado("up", "--data", str(tmp_path), "--base-port", str(free_base_port()))
        assert ran.returncode == EX_CANTCREAT
        assert str(cluster.pid) in ran.stderr
        assert world.client(cluster.servers[0]).ask("login", user="ana")["status"] == "sucesso"
        assert all(row["state"] == "ready" for row in cluster.rows().values())


def test_a_node_left_down_with_no_restart(tmp_path: Path, world: World) -> None:
    """--no-restart: a killed server stays down, `ps` says how it ended, the others serve; `start` revives."""
    with local_cluster(tmp_path, "--no-restart", env=QUICK) as cluster:
        cluster.kill("server-1")
        died = cluster.wait_for("died", node="server-1", seconds=1)
        assert (died["signal"], died["exit_code"], died["restart_seconds"]) == ("SIGKILL", None, None)
        told = recado("ps", "--data", str(tmp_path))
        assert re.search(r"server-1 +stopped", told.stdout)
        assert re.search(r"server-2 +ready", told.stdout)
        assert world.client(cluster.servers[1]).ask("login", user="ana")["status"] == "sucesso"
        assert recado("start", "server-1", "--data", str(tmp_path)).returncode == 0
        cluster.wait_for("ready", node="server-1", seconds=20)
        returned = world.client(cluster.servers[0])
        until(lambda: "ana" in returned.ask("users")["users"], seconds=10, what="it caught up")
        assert recado("start", "server-9", "--data", str(tmp_path)).returncode == 1


def test_the_next_up_goes_on_with_the_data(tmp_path: Path, world: World) -> None:
    """Users, channels and messages of the first life are there in the second, under other ports too."""
    with local_cluster(tmp_path, env=QUICK) as cluster:
        client = world.client(cluster.servers[0])
        client.ask("login", user="ana")
        client.ask("channel", channel="geral")
        assert client.ask("publish", user="ana", channel="geral", message="até amanhã")["status"] == "OK"
        ranks = world.client(cluster.summary["reference"]).ask("list")["list"]
    with local_cluster(tmp_path, servers=5, env=QUICK) as cluster:
        far = world.client(cluster.servers[4])
        until(lambda: "ana" in far.ask("users")["users"], seconds=10, what="a new server has the old data")
        assert [m["message"] for m in far.ask("history", channel="geral")["messages"]] == ["até amanhã"]
        assert world.client(cluster.servers[0]).ask("login", user="ana", clock=9)["status"] == "erro"

        def listed() -> dict[str, int]:
            told = world.client(cluster.summary["reference"]).ask("list")["list"]
            return {one["name"]: one["rank"] for one in told}

        until(lambda: len(listed()) == 5, seconds=10, what="all five are registered")
        assert {one["name"]: one["rank"] for one in ranks}.items() <= listed().items()


def test_more_than_three_servers(tmp_path: Path, world: World) -> None:
    """Servers beyond three listen on P+10 and up, lead by their rank, and hold what the others hold."""
    base = free_base_port(5)
    with local_cluster(tmp_path, servers=5, base_port=base, env=QUICK) as cluster:
        assert cluster.servers[3:] == [f"tcp://127.0.0.1:{base + 10}", f"tcp://127.0.0.1:{base + 11}"]
        cluster.wait_for("coordinator", node="server-5", seconds=30)
        assert world.client(cluster.servers[0]).ask("login", user="ana", level="all")["acks"] == 5
        for replica in cluster.replicas():
            assert select(replica, "select name from users") == [("ana",)]


@contextmanager
def _detached(data: Path) -> Iterator[dict[str, object]]:
    """A cluster in the background; whatever happens, it is gone afterwards."""
    arguments = ["--data", str(data), "--base-port", str(free_base_port())]
    ran = recado("up", "--detach", "--json", "--bot-rate", "5", *arguments, env=QUICK, seconds=60)
    try:
        assert ran.returncode == 0, ran.stderr
        yield json.loads(ran.stdout)
    finally:
        recado("down", "--data", str(data))
        for pid in processes_of(data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_background_cluster_and_its_commands(tmp_path: Path) -> None:
    """--detach, ps, logs, stop, start, down and down --wipe do what people did with compose."""
    data = ["--data", str(tmp_path)]
    with _detached(tmp_path) as summary:
        assert str(summary["pid"]) in map(str, processes_of(tmp_path))
        rows = json.loads(recado("ps", "--json", *data).stdout)["nodes"]
        assert [(row["node"], row["state"]) for row in rows] == [(name, "ready") for name in NODES]
        logs = recado("logs", "-n", "5", *data)
        assert {line.split()[0] for line in logs.stdout.splitlines()} == set(NODES)
        assert "rank assigned" in recado("logs", "-n", "100", "server-2", *data).stdout
        _logs_follow(tmp_path)
        assert recado("stop", "server-3", *data).returncode == 0
        assert re.search(r"server-3 +stopped", recado("ps", *data).stdout)
        assert recado("start", "server-3", *data).returncode == 0
        until(
            lambda: re.search(r"server-3 +ready", recado("ps", *data).stdout), seconds=20, what="its return"
        )
        begun = monotonic()
        assert recado("down", *data).returncode == 0
        assert monotonic() - begun < STOP_SECONDS + 1  # and the time that a command takes
        no_process_left(tmp_path, seconds=1)
    assert recado("ps", *data).returncode == EX_UNAVAILABLE
    assert (tmp_path / "server-1" / "replica.db").is_file()
    assert recado("down", "--wipe", *data).returncode == 0
    assert list(tmp_path.iterdir()) == []


def _logs_follow(data: Path) -> None:
    """`logs -f` shows what is written while it runs."""
    command = [sys.executable, "-m", "clients.cli", "logs", "-f", "-n", "0", "bot-1", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert re.match(r"bot-1 +\| .*bot-1 clock=\d+ ", following.stdout.readline())
        finally:
            following.kill()
