"""Two servers on each of three hosts, as `recado init` makes them: a host dies with both, disks and all."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from loaded import PlainWriter
from looking import select, until_equal
from plain_client import World
from processes import until
from several_hosts import Hosts, free_network

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bash")]

HOSTS = {"alfa": "n1", "beta": "n2", "gama": "n3"}
LOST, OTHERS = "beta", ("alfa", "gama")
MORE = 40  # acknowledged before the host dies, and after


class OpenHosts(Hosts):
    """Hosts without keys, whose servers answer once a quorum of the six members has it."""

    def environment(self, host: str) -> dict[str, str]:
        found = super().environment(host)
        del found["RECADO_SECURITY__ROSTER"], found["RECADO_REFERENCE"]
        return {**found, "RECADO_SERVER__DEFAULT_LEVEL": "quorum"}

    def replica(self, host: str, server: str) -> Path:
        return self._root / host / "var/lib/recado" / server / "replica.db"


@pytest.fixture
def network() -> str:
    return free_network(len(HOSTS))


@pytest.fixture
def hosts(tmp_path: Path, network: str) -> Iterator[OpenHosts]:
    found = OpenHosts(tmp_path, list(HOSTS), network=network)
    try:
        yield found
    finally:
        found.close()


def typed(hosts: Hosts, host: str, text: str) -> None:
    ran = hosts.run(host, text)
    assert ran.returncode == 0, f"on {host}: {text}\n{ran.stdout}{ran.stderr}"


def set_up(hosts: OpenHosts, root: Path) -> None:
    """`recado init` for six members, and all of them started."""
    nodes = " ".join(f"{name}=10.0.0.{number}" for number, name in enumerate(HOSTS.values(), start=1))
    typed(hosts, "alfa", f"recado init --root {root}/alfa/ --open-lab --servers-per-host 2 {nodes}")
    typed(hosts, "alfa", "scp n2.recado beta:n2.recado; scp n3.recado gama:n3.recado")
    for host in ("beta", "gama"):
        typed(hosts, host, f"recado init --root {root}/{host} --from {HOSTS[host]}.recado")
    typed(hosts, "alfa", "systemctl start recado-reference")
    for host, name in HOSTS.items():
        typed(hosts, host, f"systemctl start recado-server@{name} recado-server@{name}-2")


def until_more(writers: list[PlainWriter]) -> None:
    """Until every one of them has had so many more acknowledged."""
    had = [len(writer.acknowledged) for writer in writers]
    until(
        lambda: all(len(w.acknowledged) >= n + MORE for w, n in zip(writers, had, strict=True)),
        seconds=60,
        what="writers go on",
    )


def test_a_host_dies_with_both_of_its_servers(
    hosts: OpenHosts, network: str, world: World, tmp_path: Path
) -> None:
    """Cut off, the two of one host acknowledge nothing at `quorum`.  Then SIGKILL for both at once, and their
    disks are gone: what any of the six had acknowledged is once on each of the other four, which go on.
    """
    set_up(hosts, tmp_path)
    places = [(host, number, port) for number, host in enumerate(HOSTS, 1) for port in (5555, 5556)]
    client = world.client(f"tcp://{network}1:5555")
    client.ask("login", user="simples")
    client.ask("channel", channel="geral")
    with ExitStack() as load:
        writers = [
            (
                host,
                load.enter_context(PlainWriter(f"tcp://{network}{n}:{port}", f"w-{n}-{port}", clock=False)),
            )
            for host, n, port in places
        ]
        until_more([writer for _, writer in writers])
        for host in OTHERS:
            hosts.freeze(host)
        lost = [writer for host, writer in writers if host == LOST]
        unanswered = [writer.unanswered for writer in lost]
        until(
            lambda: all(w.unanswered > n for w, n in zip(lost, unanswered, strict=True)),
            seconds=30,
            what="two copies on one host are not enough",
        )
        hosts.burn(LOST)
        for host in OTHERS:
            hosts.thaw(host)
        until_more([writer for host, writer in writers if host in OTHERS])
    left = [hosts.replica(h, server) for h, n in HOSTS.items() if h in OTHERS for server in (n, f"{n}-2")]
    until_equal(left, seconds=20)
    acknowledged = [text for _, writer in writers for text in writer.acknowledged]
    assert sum(text.startswith("w-2-") for text in acknowledged) >= 2 * MORE
    for replica in left:
        shown = [text for (text,) in select(replica, "select message from channel_messages")]
        assert sorted(set(acknowledged) - set(shown)) == []
        assert len(set(shown)) == len(shown)
