"""Several servers on a host with a real systemd: each with a unit, a port and a directory of its own."""

import json
from collections.abc import Iterator

import pytest
from machine import NEEDS, Machine
from processes import until

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS, "ip")]

INIT = ("recado", "init", "--start", "--json")


@pytest.fixture(scope="module")
def node() -> Iterator[Machine]:
    """A machine that has only been installed, with an address of the cluster's."""
    with Machine() as machine:
        machine.run("ip", "address", "add", "10.77.0.11/24", "dev", "lo")
        machine.run("systemd-sysusers")
        machine.run("systemd-tmpfiles", "--create", "recado.conf")
        yield machine


def serve(node: Machine, *servers: str) -> None:
    """All of them are active, at boot too, with a replica each, answer, and follow one coordinator."""

    def whole() -> bool:
        told = json.loads(node.run("recado", "status", "--json"))
        answered = [one["status"]["server"] for one in told["servers"] if one["answered"]]
        return (told["of"], sorted(answered), bool(told["coordinator"])) == (len(servers), [*servers], True)

    until(whole, seconds=40, what=f"{servers} answer")
    for name in servers:
        unit = f"recado-server@{name}"
        assert (node.show(unit, "ActiveState"), node.show(unit, "UnitFileState")) == ("active", "enabled")
        node.run("test", "-s", f"/var/lib/recado/{name}/replica.db")
        node.run("test", "-S", f"/run/recado/{name}/local.sock")


def test_two_from_the_start(node: Machine) -> None:
    """One command makes and starts both; a second time nothing changes; the configuration is in order."""
    words = (*INIT, "--servers-per-host", "2", "--cluster", "casa", "n1=10.77.0.11")
    told = json.loads(node.run(*words))
    assert any("10.77.0.11=2" in note for note in told["notes"])  # a quorum fits on it
    serve(node, "n1", "n1-2")
    assert json.loads(node.run(*words))["written"] == []
    node.run("recado", "config", "check")


def test_a_third_one_later(node: Machine) -> None:
    """What --add says to type on the same host starts the third server, and the others know it."""
    told = json.loads(node.run("recado", "init", "--add", "n1-3=10.77.0.11:5557", "--json"))
    commands = [command for command in told["next"] if command.startswith("recado init")]
    assert commands == ["recado init --start --from n1-3.recado"]
    node.run(*commands[0].split())
    serve(node, "n1", "n1-2", "n1-3")
    node.run("systemctl", "stop", "recado-server@n1-2")
    node.run("recado", "user", "list")


def test_the_doctor_says_what_one_host_is_worth(node: Machine) -> None:
    """Three members on one host: the finding is there, whatever else is not right on a bare machine."""
    node.run("systemctl", "start", "recado-server@n1-2")
    serve(node, "n1", "n1-2", "n1-3")
    found = json.loads(node.run("sh", "-c", "recado doctor --json || true"))["findings"]
    assert [one["subject"] for one in found if one["code"] == "shared_host"] == ["10.77.0.11"]
