"""`recado init` for three hosts: what it writes is what three real nodes with keys start with, and talk."""

import json
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import until
from several_hosts import Hosts, free_network

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bash")]

HOSTS = {"alfa": "n1", "beta": "n2", "gama": "n3"}


class SetUpHosts(Hosts):
    """Hosts where root's files are below the host's own root, as after `recado init --root`."""

    def environment(self, host: str) -> dict[str, str]:
        found = super().environment(host)
        del found["RECADO_REFERENCE"]  # the roster tells where everything is
        if host == "beta":
            found["RECADO_NODE__NAME"] = "broker-n2"  # as the drop-in of its unit says
        return {
            **found,
            "XDG_CONFIG_HOME": str(self._root / host / "root/.config"),
            "RECADO_SECURITY__LOCAL_LISTEN": "",  # /run belongs to this machine
        }


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[SetUpHosts]:
    found = SetUpHosts(tmp_path, list(HOSTS), network=free_network(4))
    try:
        yield found
    finally:
        found.close()


def typed(hosts: Hosts, host: str, text: str) -> str:
    """What a command says that ends well."""
    ran = hosts.run(host, text)
    assert ran.returncode == 0, f"on {host}: {text}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def lead(hosts: Hosts, of: int) -> bool:
    ran = hosts.run("alfa", "recado status --json")
    told = json.loads(ran.stdout) if ran.returncode == 0 else {}
    servers = told.get("servers", [])
    return told.get("of") == of and told.get("coordinator") and all(one["answered"] for one in servers)


def on_the_second_broker(hosts: SetUpHosts) -> None:
    """Who listens hears on when the first broker has gone."""
    follow = subprocess.Popen(
        ["recado", "tail", "-f", "geral", "--user", "operator"],
        env=hosts.environment("alfa"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follow.stdout is not None
        assert "oi" in follow.stdout.readline()
        typed(hosts, "alfa", "systemctl stop recado-broker")
        typed(hosts, "alfa", "recado publish --user operator geral depois")
        # Who has no broker asks the servers every few seconds.
        assert select.select([follow.stdout], [], [], 3)[0], "not heard by the other broker"
        assert "depois" in follow.stdout.readline()
    finally:
        follow.kill()
        follow.communicate()


def test_three_hosts_to_a_cluster_that_talks(hosts: SetUpHosts, tmp_path: Path) -> None:
    """Init, one file to each other host, start: a status of three, a login, a message; then a fourth node's
    update is taken, and the servers start with it."""
    nodes = " ".join(f"{name}=10.0.0.{number}" for number, name in enumerate(HOSTS.values(), start=1))
    root = f"--root {tmp_path}/alfa/"
    typed(hosts, "alfa", f"recado init {root} --cluster casa --broker n1 --broker n2 {nodes}")
    typed(hosts, "alfa", f"scp n2.recado beta:n2.recado; ssh gama recado init {root} --from - < n3.recado")
    typed(hosts, "beta", f"recado init --root {tmp_path}/beta --from n2.recado")
    assert not (tmp_path / "beta/home/n2.recado").exists()
    typed(hosts, "alfa", "systemctl start recado-reference recado-broker recado-server@n1")
    typed(hosts, "beta", "systemctl start recado-broker recado-server@n2")
    typed(hosts, "gama", "systemctl start recado-server@n3")
    until(lambda: lead(hosts, 3), seconds=30, what="a status of three servers and a coordinator")
    typed(hosts, "alfa", "recado user list && recado login operator && recado channel create geral")
    typed(hosts, "alfa", "recado publish --user operator geral oi --level all")
    assert "oi" in typed(hosts, "alfa", "recado history geral --user operator")
    on_the_second_broker(hosts)
    typed(hosts, "alfa", f"recado init {root} --add n4=10.0.0.4")
    typed(hosts, "alfa", f"ssh beta recado init {root} --from - < n4-for-others.recado")
    typed(hosts, "beta", "systemctl restart 'recado-*'")
    shown = typed(hosts, "beta", "recado member list")
    assert [line.split()[0] for line in shown.splitlines()] == ["n1", "n2", "n3", "n4"]
