"""SIGKILL for every process in turn under load: replicas equal soon after, nothing acknowledged lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from loaded import PlainWriter, check_everywhere_once, journaling_bots, until_more_is_acknowledged
from looking import until_equal
from plain_client import World
from processes import until
from running_cluster import QUICK, Cluster, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]

SERVERS = ("server-1", "server-2", "server-3")
VICTIMS = (*((server,) for server in SERVERS), ("broker",), ("reference",), ("bot-1",), SERVERS)
EQUAL_SECONDS = 10.0
BOT_RATE = 25.0
BOTS = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers and a bot of their own, restarted by the supervisor whenever they die."""
    with local_cluster(tmp_path_factory.mktemp("kill"), "--bot-rate", "10", bots=1, env=QUICK) as cluster:
        cluster.wait_for("coordinator", seconds=30)
        yield cluster


def test_nothing_acknowledged_is_lost(cluster: Cluster, world: World, tmp_path: Path) -> None:
    """Each process is killed under load and comes back, at last all servers at once; 10 s later all
    replicas are equal, and hold every acknowledged message exactly once.
    """
    client = world.client(cluster.servers[0])
    client.ask("login", user="simples")
    client.ask("channel", channel="geral")
    with ExitStack() as load:
        journals = load.enter_context(journaling_bots(cluster, tmp_path, count=BOTS, rate=BOT_RATE))
        writers = [
            load.enter_context(PlainWriter(address, f"simples-{number}", clock=number > 2))
            for number, address in enumerate([*cluster.servers, cluster.summary["request"]])
        ]
        for victims in VICTIMS:
            before = cluster.kill(*victims)
            for name in victims:
                cluster.restarted(name, after=before)
            restarted_at = monotonic()
            until_more_is_acknowledged(journals, writers)
    cluster.stop("bot-1")  # replicas that still grow are never settled
    until_equal(cluster.replicas(), seconds=EQUAL_SECONDS - (monotonic() - restarted_at))
    check_everywhere_once(cluster.replicas(), journals, writers)


def test_a_killed_coordinator_is_replaced_under_load(cluster: Cluster, world: World) -> None:
    """The supervisor told of each death and each return; in the end the highest rank leads everywhere."""
    told = [happened["node"] for happened in cluster.events if happened["event"] == "died"]
    assert sorted(told) == sorted(name for victims in VICTIMS for name in victims)
    until(
        lambda: (
            {world.client(address).ask("who_coordinator")["coordinator"] for address in cluster.servers}
            == {"server-3"}
        ),
        seconds=20,
        what="all follow the highest rank",
    )
