"""What the doctor finds on the host itself: configurations, keys, disks; and how the command ends."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from clients.watching.findings import Finding, is_full
from clients.watching.host import nodes_of
from clients.watching.local_checks import Local, look
from clients.watching.mending import Mending
from clients.watching.values import Answer, Survey
from recado.config import load
from recado.keys import make_cluster_key, make_identity, write_cluster_key, write_identity
from tests.clients.conftest import OnSockets


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A secured node's directory with its configuration and keys, all as it should be."""
    data = tmp_path / "server-1"
    data.mkdir(mode=0o700)
    write_identity(data / "node.key", make_identity("server", "server-1"))
    write_cluster_key(data / "cluster.key", make_cluster_key())
    (data / "server-1.toml").write_text(
        f'[node]\nname = "server-1"\ndata = "{data}"\n[security]\nroster = "{data}/roster.toml"\n'
        '[cluster]\nbrokers = []\nreference = ""\n'
    )
    return data


def _look(node: Path) -> Local:
    return look([node / "server-1.toml"], key=None)


def _cases(found: list[Finding]) -> set[tuple[str, str]]:
    return {(one.case, Path(one.subject).name) for one in found if one.code != "disk_full"}


def test_a_node_as_it_should_be_has_nothing(node: Path) -> None:
    """Keys of mode 0600 that can be read, in a directory of their owner's: nothing is found."""
    local = _look(node)
    assert _cases(local.findings) == set()
    assert (local.files, local.unchecked) == (3, [])


@pytest.mark.parametrize("name", ["node.key", "cluster.key"])
def test_a_key_that_others_can_read_is_named(node: Path, name: str) -> None:
    """With its mode, and the command that mends it, which does."""
    (node / name).chmod(0o644)
    (one,) = [one for one in _look(node).findings if one.code == "key_permissions"]
    assert (one.case, one.subject, one.facts["mode"]) == ("key_permissions.mode", str(node / name), "0644")
    assert one.mend == (f"chmod 600 {node / name}",)
    (node / name).chmod(0o600)
    assert _cases(_look(node).findings) == set()


@pytest.mark.needs("root")  # who alone gives files away
def test_a_key_of_somebody_else_is_named(node: Path) -> None:
    """A key that belongs to another user than the data directory can't be read by the daemon."""
    os.chown(node / "node.key", 65_534, -1)
    assert ("key_permissions.owner", "node.key") in _cases(_look(node).findings)


def test_a_key_that_others_can_replace_is_named(node: Path) -> None:
    """A directory that others write in, without the sticky bit."""
    node.chmod(0o777)
    assert ("key_permissions.directory", "node.key") in _cases(_look(node).findings)


def test_a_key_that_is_none_is_named(node: Path) -> None:
    """A missing and a damaged key, neither by its permissions."""
    (node / "node.key").write_text("not a key\n")
    (node / "cluster.key").unlink()
    assert _cases(_look(node).findings) == {("key", "node.key")}
    (node / "node.key").unlink()
    assert _cases(_look(node).findings) == {("key", "node.key")}


def test_a_host_under_systemd_is_known_by_its_keys(tmp_path: Path) -> None:
    """The shared configuration names no node: keys in the store and directories tell which are here."""
    file, store, data = tmp_path / "recado.toml", tmp_path / "store", tmp_path / "data"
    members = ", ".join(f'{{ name = "n{n}", rank = {n}, address = "tcp://10.0.0.{n}:5555" }}' for n in (1, 2))
    file.write_text(f'[cluster]\nmembers = [{members}]\n[security]\nroster = "/etc/recado/roster.toml"\n')
    assert nodes_of(load(file), store=store, data=data) == ()
    store.mkdir()
    for name in ("n2", "reference", "broker", "cluster", "stranger"):
        (store / f"recado.{name}.key").touch()
    found = nodes_of(load(file), store=store, data=data)
    assert [node.node.name for node in found] == ["n2", "broker", "reference"]
    assert found[0].node.data == str(data / "n2")
    assert found[0].security.key == str(store / "recado.n2.key")
    assert found[0].security.cluster_key == str(store / "recado.cluster.key")


def test_a_configuration_of_one_node_is_its_own(node: Path) -> None:
    """One that says who it is speaks of that node, whatever else is on this host."""
    config = load(node / "server-1.toml")
    assert nodes_of(config) == (config,)


def test_a_credential_is_not_examined(node: Path) -> None:
    """What only the running unit sees is listed as not examined, and is no finding."""
    file = node / "server-1.toml"
    file.write_text(file.read_text().replace("[security]\n", '[security]\nkey = "/run/credentials/x/key"\n'))
    local = _look(node)
    assert [key for key, _ in local.unchecked] == ["doctor.credential"]
    assert _cases(local.findings) == set()


def test_a_configuration_that_is_wrong_is_named(tmp_path: Path) -> None:
    """Each problem of a file is a finding of its own, with where and what was expected."""
    file = tmp_path / "recado.toml"
    file.write_text('[server]\nlissten = "x"\nmode = "fast"\n')
    found = look([file], key=None).findings
    assert [(one.code, one.subject) for one in found] == [
        ("configuration", "server.lissten"),
        ("configuration", "server.mode"),
    ]
    assert "server.listen" in found[0].facts["why"]


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [(63, 100, True), (65, 100, False), (200, 20_000, True), (6000, 10**6, False), (4000, 10**6, True)],
)
def test_when_a_disk_is_full(free: int, total: int, full: bool) -> None:
    """Mebibytes: too few, or too small a part of a disk unless that is plenty."""
    assert is_full(free * 2**20, total * 2**20) is full


def test_commands_fit_the_cluster() -> None:
    """Hosts get systemctl over ssh, a laboratory `recado start`; a name is never a command of its own."""
    far = [Answer(address=f"tcp://10.0.0.{n}:5555", name=f"server-{n}") for n in (1, 2)]
    near = [Answer(address=f"tcp://127.0.0.1:555{n}", name=f"server-{n}") for n in (1, 2)]
    hosts, laboratory = Mending(Survey(servers=tuple(far))), Mending(Survey(servers=tuple(near)))
    assert hosts.start("server-1", "tcp://10.0.0.1:5555")[0] == (
        "ssh 10.0.0.1 'systemctl status recado-server@server-1'"
    )
    assert laboratory.start("server-1", near[0].address)[0] == "recado start server-1"
    nasty = laboratory.start("x; rm -rf /", near[0].address)[0]
    assert nasty == "recado start 'x; rm -rf /'"


def _status(**more: Any) -> dict[str, Any]:
    return {"status": "OK", "server": "server-1", "cluster": "recado", "coordinator": "server-1", **more}


def test_the_command_ends_with_one_if_anything_is_wrong(sockets: OnSockets, tmp_path: Path) -> None:
    """The JSON has code, subject, evidence, cause and commands of each finding; the exit code is 1."""
    sockets.server.refuse = _status(disk="full", room={"free": 5, "total": 10})
    ran = sockets.run("doctor", "--json")
    told = json.loads(ran.stdout)
    assert (ran.exit_code, told["healthy"]) == (1, False)
    (one,) = [one for one in told["findings"] if one["code"] == "disk_full"]
    assert set(one) == {"code", "case", "subject", "facts", "evidence", "cause", "mend"}
    assert (one["case"], one["subject"], one["facts"]["free"]) == ("disk_full.full", "server-1", 5)
    assert "read-only" in one["evidence"]
    shown = sockets.run("doctor")
    assert shown.exit_code == 1
    assert "✗ disk_full  server-1" in shown.stdout
    assert "likely cause: " in shown.stdout
    assert "mend  $ " in shown.stdout


def test_nobody_to_ask_is_one_finding(sockets: OnSockets) -> None:
    """Where nothing listens the doctor says so in place of failing."""
    ran = sockets.run("doctor", "--json", "--server", "tcp://127.0.0.1:1")
    told = json.loads(ran.stdout)
    assert ran.exit_code == 1
    assert [one["case"] for one in told["findings"]] == ["unreachable.refused"]


def test_a_loose_key_of_the_caller_is_found_though_nobody_can_be_asked(
    sockets: OnSockets, node: Path, tmp_path: Path
) -> None:
    """With --key of mode 0644 the finding is its mode; that the cluster was not asked is told."""
    key = node / "node.key"
    key.chmod(0o640)
    roster = tmp_path / "roster.toml"
    roster.write_text('cluster = "recado"\n')
    ran = sockets.run("doctor", "--json", "--roster", str(roster), "--key", str(key))
    told = json.loads(ran.stdout)
    assert ran.exit_code == 1
    assert [one["case"] for one in told["findings"]] == ["key_permissions.mode"]
    assert told["unchecked"]
