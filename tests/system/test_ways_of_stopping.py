"""Stopping under load, politely and not: in time, completely, and without losing what was acknowledged."""

import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from loaded import PlainWriter, check_everywhere_once, journaling_bots, until_more_is_acknowledged
from looking import until_equal
from plain_client import World
from processes import STOP_SECONDS, free_base_port, no_process_left, recado
from running_cluster import QUICK, Cluster, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]
BOT_RATE = 25.0


class Load:
    """What was acknowledged over several lives of one cluster."""

    def __init__(self, folder: Path) -> None:
        self.journals: list[Path] = []
        self.writers: list[PlainWriter] = []
        self._folder = folder

    def on(self, cluster: Cluster, stack: ExitStack) -> None:
        """Start writing; returns once bots and plain clients have had answers."""
        life = self._folder / f"life-{len(self.journals)}"
        life.mkdir()
        self.journals += (
            journals := stack.enter_context(journaling_bots(cluster, life, count=2, rate=BOT_RATE))
        )
        writers = [
            stack.enter_context(PlainWriter(address, f"{life.name}-{number}", clock=False))
            for number, address in enumerate(cluster.servers)
        ]
        self.writers += writers
        until_more_is_acknowledged(journals, writers)


def _prepare(world: World, cluster: Cluster) -> None:
    client = world.client(cluster.servers[0])
    client.ask("login", user="simples")
    client.ask("channel", channel="geral")


def test_what_was_acknowledged_survives_every_way_of_stopping(world: World, tmp_path: Path) -> None:
    """Ctrl-C under load ends all of it within 5 s; SIGKILL of the supervisor leaves no process either;
    the next `up`, on the same ports, goes on with everything that was acknowledged.
    """
    data, load, base = tmp_path / "dados", Load(tmp_path), free_base_port()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with ExitStack() as stack, local_cluster(data, bots=1, base_port=base, env=QUICK) as cluster:
            _prepare(world, cluster)
            load.on(cluster, stack)
            begun = monotonic()
            cluster.signal(number)
            code = cluster.ended(STOP_SECONDS)
            assert monotonic() - begun < STOP_SECONDS
            assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
            stack.close()  # the bots outside, which still look for their servers
            no_process_left(data, seconds=2)
    with local_cluster(data, base_port=base, env=QUICK) as cluster:
        until_equal(cluster.replicas(), seconds=10)
        check_everywhere_once(cluster.replicas(), load.journals, load.writers)


def test_a_server_drains_and_comes_back(world: World, tmp_path: Path) -> None:
    """`recado stop` under load: exit code 0 within 5 s, everything pushed; `recado start`: equal again."""
    data, load = tmp_path / "dados", Load(tmp_path)
    with local_cluster(data, env=QUICK) as cluster:
        with ExitStack() as stack:
            _prepare(world, cluster)
            load.on(cluster, stack)
            begun = monotonic()
            assert recado("stop", "server-2", "--data", str(data)).returncode == 0
            assert monotonic() - begun < STOP_SECONDS
            stopped = cluster.wait_for("stopped", node="server-2", seconds=1)
            assert stopped["exit_code"] == 0
            assert "drained=true" in cluster.log("server-2").splitlines()[-1]
            others = [writer for number, writer in enumerate(load.writers) if number != 1]
            until_more_is_acknowledged(load.journals, others)
            assert recado("start", "server-2", "--data", str(data)).returncode == 0
            cluster.wait_for("ready", node="server-2", seconds=20)
            until_more_is_acknowledged(load.journals, load.writers[1:2])
        until_equal(cluster.replicas(), seconds=10)
        check_everywhere_once(cluster.replicas(), load.journals, load.writers)


def test_each_node_ends_on_a_signal_of_its_own(tmp_path: Path) -> None:
    """Every node ends with code 0 within 5 s of SIGTERM to it alone, in any order."""
    with local_cluster(tmp_path, "--no-restart", bots=1, env=QUICK) as cluster:
        for name in ("reference", "broker", "server-3", "server-1", "server-2", "bot-1"):
            os.kill(cluster.rows()[name]["pid"], signal.SIGTERM)
            died = cluster.wait_for("died", node=name, seconds=STOP_SECONDS)
            assert (died["exit_code"], died["signal"]) == (0, None), name
        cluster.signal(signal.SIGINT)
        try:
            assert cluster.ended(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("a supervisor without nodes does not end")
