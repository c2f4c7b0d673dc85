"""`recado init --start` on a machine with a real systemd: one command, and the node runs with keys."""

import json
from collections.abc import Iterator

import pytest
from machine import NEEDS, Machine
from machine import UNITS as UNIT_FILES

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS, "ip")]

INIT = ("recado", "init", "--cluster", "casa", "n1=10.77.0.11")
UNITS = ("recado-reference", "recado-broker", "recado-server@n1", "recado.target")


@pytest.fixture(scope="module")
def node() -> Iterator[Machine]:
    """A machine that has only been installed, with an address of the cluster's."""
    with Machine() as machine:
        machine.run("ip", "address", "add", "10.77.0.11/24", "dev", "lo")
        machine.run("systemd-sysusers")
        machine.run("systemd-tmpfiles", "--create", "recado.conf")
        yield machine


def _status(node: Machine) -> dict[str, object]:
    told: dict[str, object] = json.loads(node.run("recado", "status", "--json"))
    return told


def test_one_command_makes_and_starts_a_node(node: Machine) -> None:
    """Written, enabled, started; the operator's status works at once; a second time nothing changes."""
    told = json.loads(node.run(*INIT, "--start", "--json"))
    assert {node.show(unit, "ActiveState") for unit in UNITS} == {"active"}
    assert {node.show(unit, "UnitFileState") for unit in UNITS} == {"enabled"}
    assert told["next"] == ["recado status"]
    status = _status(node)
    assert (status["server"], status["of"]) == ("n1", 1)
    assert json.loads(node.run(*INIT, "--start", "--json"))["written"] == []
    node.run("recado", "config", "check")
    # On the other nodes root has no operator's key: there it is the node that asks.
    elsewhere = node.run("env", "XDG_CONFIG_HOME=/nowhere", "recado", "status", "--json")
    assert json.loads(elsewhere)["server"] == "n1"
    node.run("recado", "user", "list")


def test_the_socket_may_come_later(node: Machine) -> None:
    """With --socket the port goes over to systemd, and the server serves through it."""
    node.run(*INIT, "--start", "--socket")
    assert node.show("recado-server@n1.socket", "ActiveState") == "active"
    assert node.show("recado-server@n1.socket", "Listen") == "10.77.0.11:5555 (Stream)"
    assert _status(node)["server"] == "n1"


def test_what_is_in_use_is_refused(node: Machine) -> None:
    """Another cluster where one runs: the ports are told, and nothing is written."""
    before = node.run("cat", "/etc/recado/recado.toml")
    done = node.run("recado", "init", "--cluster", "rua", "n1=10.77.0.11", check=False)
    assert done == ""
    assert node.run("cat", "/etc/recado/recado.toml") == before


MOVE = """
rm -rf /usr/lib/systemd/system/recado* /usr/lib/systemd/catalog/recado.catalog
rm -rf /etc/systemd/system/recado-server@n1.socket.d
mkdir -p /srv/chat
cp -a /opt/recado/bin /opt/recado/lib /opt/recado/pyvenv.cfg /srv/chat/
sed -i '1s,/opt/recado,/srv/chat,' /srv/chat/bin/recado*
systemctl daemon-reload
"""


def test_an_installation_by_pip_gets_its_units(node: Machine) -> None:
    """For programs in another place units are written that start there, shut in as the shipped ones are."""
    node.run("systemctl", "stop", "recado-*", "recado.target", "recado-server@n1.socket")
    node.run("systemctl", "disable", "recado-server@n1.socket")
    node.run("sh", "-euc", MOVE)
    for file in UNIT_FILES.glob("recado*"):  # where a wheel has them
        node.write_now(f"/opt/recado/app/clients/units/{file.name}", file.read_text())
    told = json.loads(node.run("/srv/chat/bin/recado", "systemd", "install", "--json"))
    assert told["programs"] == "/srv/chat/bin"
    node.run("/srv/chat/bin/recado", *INIT[1:], "--start")
    assert {node.show(unit, "ActiveState") for unit in UNITS} == {"active"}
    assert node.run("cat", f"/proc/{node.show('recado-server@n1', 'MainPID')}/cmdline").split("\0")[2] == (
        "/srv/chat/bin/recado-server"
    )
    assert _status(node)["server"] == "n1"
    refused = node.run("/srv/chat/bin/recado", "systemd", "remove", "--json", check=False)
    assert json.loads(refused)["exit_code"] == 75
    node.run("systemctl", "stop", "recado-*", "recado.target")
    removed = json.loads(node.run("/srv/chat/bin/recado", "systemd", "remove", "--json"))["removed"]
    assert sorted(removed) == sorted(told["written"])
    assert node.show("recado-server@n1", "LoadState") == "not-found"
    assert node.run("find", "/etc/systemd/system", "-name", "recado*.service") == ""
