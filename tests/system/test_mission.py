"""The five tests that people run by hand after reading the mission, with real processes."""

import re
from collections.abc import Iterator
from time import time
from typing import Any

import pytest
from looking import select, sqlite3_shell
from plain_client import World
from processes import until
from running_cluster import QUICK, Cluster, local_cluster
from skewed_clocks import skewed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("cc", "sqlite3")]

# How far each server's wall clock is off, seconds.
SKEWS = {"server-1": 2.5, "server-2": -1.75, "server-3": 0.5}
SPREAD_SECONDS = 0.05
CONVERGED_SECONDS = 45.0
COORDINATOR_SECONDS = 20.0  # a lease of two seconds, an election, a busy machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers whose clocks differ by seconds; who dies stays down until it is started."""
    clocks = skewed(tmp_path_factory.mktemp("clocks"), SKEWS)
    env = {**QUICK, **clocks}
    with local_cluster(tmp_path_factory.mktemp("mission"), "--no-restart", env=env) as cluster:
        yield cluster


def test_1_request_and_reply(cluster: Cluster, world: World) -> None:
    """alice logs in, creates a channel, and finds both in the lists; a second login is refused."""
    client = world.client(cluster.servers[0])
    assert client.ask("login", user="alice")["status"] == "sucesso"
    assert client.ask("channel", channel="geral")["status"] == "sucesso"
    assert client.ask("channels")["channels"] == ["geral"]
    assert client.ask("users")["users"] == ["alice"]
    again = world.client(cluster.servers[0]).ask("login", user="alice", clock=77)
    assert (again["status"], again["description"]) == ("erro", "Usuário já existe")


def test_2_publish_and_answer_directly(cluster: Cluster, world: World) -> None:
    """Two subscribe to a channel, one publishes, the other sees it and answers directly."""
    ana, rui = (world.client(address) for address in cluster.servers[:2])
    for client, name in ((ana, "ana"), (rui, "rui")):
        assert client.ask("login", user=name)["status"] == "sucesso"
    assert ana.ask("channel", channel="praça")["status"] == "sucesso"
    ana_hears, rui_hears = (
        world.subscriber(cluster.summary["broker"], "praça", name) for name in ("ana", "rui")
    )

    def published() -> tuple[str, dict[str, Any]] | None:
        """Again until the subscriptions have reached the servers: PUB sends to nobody at first."""
        assert ana.ask("publish", user="ana", channel="praça", message="bom dia")["status"] == "OK"
        return rui_hears.receive(seconds=0.3)

    heard = until(published, seconds=10, what="rui hears what ana says")
    topic, said = heard
    assert (topic, said["user"], said["channel"], said["message"]) == ("praça", "ana", "praça", "bom dia")
    assert rui.ask("message", src="rui", dst="ana", message="bom dia, ana")["status"] == "OK"
    direct = until(
        lambda: next((m for m in iter(lambda: ana_hears.receive(seconds=2), None) if m[0] == "ana"), None),
        seconds=10,
        what="ana hears what rui tells her",
    )
    assert {key: direct[1][key] for key in ("from", "src", "dst", "message")} == {
        "from": "rui",
        "src": "rui",
        "dst": "ana",
        "message": "bom dia, ana",
    }
    assert type(direct[1]["timestamp"]) is int


def test_3_clocks_in_the_logs_and_a_berkeley_round(cluster: Cluster, world: World) -> None:
    """Ten operations at the coordinator make a round; every log line has its clock, and clocks grow."""
    cluster.wait_for("coordinator", node="server-3", seconds=COORDINATOR_SECONDS)
    before = len(cluster.log("server-3"))
    client = world.client(cluster.servers[2])
    assert client.ask("login", user="carla")["status"] == "sucesso"
    for number in range(9):
        assert client.ask("publish", user="carla", channel="geral", message=f"n. {number}")["status"] == "OK"
    cluster.wait_for_log("server-3", "berkeley round as coordinator", seconds=10, after=before)
    cluster.wait_for_log("server-3", "berkeley round finished", seconds=30, after=before)
    log = cluster.log("server-3")
    for server in SKEWS:
        assert re.search(rf"berkeley clock .*server={server} time_seconds=", log)
        assert re.search(rf"berkeley adjustment sent .*server={server} adjustment_seconds=", log)
    lines = log.splitlines()
    clocks = [int(found[1]) for line in lines if (found := re.search(r" server-3 clock=(\d+) ", line))]
    assert len(clocks) == len(lines)
    assert clocks == sorted(clocks)


def _adjusted_clocks(cluster: Cluster, world: World) -> list[float]:
    """Each server's disciplined clock against this machine's true one, in seconds, by `clock` requests."""
    offsets = []
    for address in cluster.servers:
        client = world.client(address)
        client.ask("clock")  # connects
        sent = time()
        told = client.ask("clock")["time"]
        offsets.append(told - (sent + time()) / 2)
    return offsets


def _shown_clocks(cluster: Cluster, world: World) -> list[float]:
    """The same for the time that messages are stamped with, which slews towards the adjusted one."""
    offsets = []
    for name, address in zip(SKEWS, cluster.servers, strict=True):
        client = world.client(address)
        client.ask("clock")
        sent = time()
        # The text is new each time: an equal one with equal stamps would be a resend, shown once.
        key = client.ask("publish", user="carla", channel="geral", message=f"{name}: são {sent}")["key"]
        true_seconds = (sent + time()) / 2
        query = "select timestamp from channel_messages where origin = ? and seq = ?"
        offsets.append(select(cluster.replica(name), query, *key[1:])[0][0] - true_seconds)
    return offsets


def _spread(clocks: list[float]) -> float:
    return max(clocks) - min(clocks)


def test_3_clocks_that_differ_by_seconds_are_brought_together(cluster: Cluster, world: World) -> None:
    """The round found the wall clocks 4.25 s apart; afterwards the servers agree within 50 ms."""
    found = re.findall(r"berkeley clock .* offset_seconds=(\S+)", cluster.log("server-3"))
    assert _spread([float(offset) for offset in found[:3]]) == pytest.approx(
        _spread([*SKEWS.values()]), abs=0.2
    )
    until(
        lambda: _spread(_adjusted_clocks(cluster, world)) < SPREAD_SECONDS,
        seconds=CONVERGED_SECONDS,
        what="the adjusted clocks agree",
    )


def _views(cluster: Cluster, world: World, names: list[str]) -> set[str]:
    """Who each of these servers thinks is coordinator."""
    addresses = dict(zip(SKEWS, cluster.servers, strict=True))
    return {str(world.client(addresses[name]).ask("who_coordinator")["coordinator"]) for name in names}


def test_4_the_coordinator_is_killed_and_comes_back(cluster: Cluster, world: World) -> None:
    """SIGKILL: the next rank announces itself, all follow and synchronise with it; then all turn back."""
    everybody = list(SKEWS)
    until(
        lambda: _views(cluster, world, everybody) == {"server-3"},
        seconds=COORDINATOR_SECONDS,
        what="all agree on the highest rank",
    )
    announcements = world.subscriber(cluster.summary["broker"], "servers")
    before, log_1, log_2 = len(cluster.events), len(cluster.log("server-1")), len(cluster.log("server-2"))
    cluster.kill("server-3")
    cluster.wait_for("coordinator", node="server-2", seconds=COORDINATOR_SECONDS, after=before)
    heard = announcements.receive(seconds=5)
    assert heard is not None
    topic, announced = heard
    assert (topic, announced["service"]) == ("servers", "election")
    assert announced["data"]["coordinator"] == "server-2"
    assert type(announced["data"]["timestamp"]) is int
    assert announced["data"]["clock"] > 0
    cluster.wait_for_log("server-2", "coordinator did not answer", seconds=5, after=log_2)
    cluster.wait_for_log("server-2", "becoming coordinator", seconds=5, after=log_2)
    until(lambda: _views(cluster, world, everybody[:2]) == {"server-2"}, seconds=5, what="server-1 follows")
    for words in ("synchronisation requested", "synchronisation received", "synchronisation done"):
        cluster.wait_for_log("server-1", words, "coordinator=server-2", seconds=10, after=log_1)
    assert world.client(cluster.servers[0]).ask("login", user="dora")["status"] == "sucesso"
    _the_old_one_returns(cluster, world)


def _the_old_one_returns(cluster: Cluster, world: World) -> None:
    before, log_2 = len(cluster.events), len(cluster.log("server-2"))
    cluster.start("server-3")
    cluster.wait_for("coordinator", node="server-3", seconds=COORDINATOR_SECONDS, after=before)
    until(
        lambda: _views(cluster, world, list(SKEWS)) == {"server-3"},
        seconds=COORDINATOR_SECONDS,
        what="all agree on the returned one",
    )
    cluster.wait_for_log("server-2", "synchronisation done", "coordinator=server-3", seconds=10, after=log_2)
    assert "dora" in world.client(cluster.servers[2]).ask("users")["users"]


def test_5_a_login_is_in_every_replica(cluster: Cluster, world: World) -> None:
    """Who logs in at server-1 can be read with sqlite3 in the files of all three."""
    assert world.client(cluster.servers[0]).ask("login", user="elza")["status"] == "sucesso"

    def everywhere() -> bool:
        query = "select name, origin from users where name = 'elza'"
        found = [sqlite3_shell(replica, query) for replica in cluster.replicas()]
        return all(rows and rows[0].startswith("elza|server-1.") for rows in found)

    until(everywhere, seconds=5, what="elza is in all replicas")


def test_6_messages_are_stamped_alike_everywhere(cluster: Cluster, world: World) -> None:
    """In the end, after a coordinator's death and return, all servers stamp within 50 ms of each other."""
    until(
        lambda: _spread(_shown_clocks(cluster, world)) < SPREAD_SECONDS,
        seconds=CONVERGED_SECONDS,
        what="the shown clocks agree",
    )
