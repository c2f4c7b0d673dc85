"""`recado init` for hosts with more than one server: names, ports, keys, and what it warns of."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.setup.plan import PlanError, make_plan, spread, units
from clients.setup.shape import warnings
from recado.config import load
from recado.keys import read_identity
from recado.protocol.domains import losable, members_by_host
from recado.roster import Roster

THREE = ("n1=10.77.0.11", "n2=10.77.0.12", "n3=10.77.0.13")
SERVERS = ["n1", "n1-2", "n2", "n2-2", "n3", "n3-2"]
TWO_EACH = ("--servers-per-host", "2", *THREE)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are called: bundles go here, images are beside."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def call(*arguments: str) -> Result:
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, ["init", *arguments])


def good(*arguments: str) -> dict[str, Any]:
    result = call("--json", *arguments)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def root(tmp_path: Path, name: str) -> str:
    return f"--root={tmp_path / name}"


def drop_in(tmp_path: Path, host: str, server: str) -> Path:
    return tmp_path / host / f"etc/systemd/system/recado-server@{server}.service.d/listen.conf"


def members(tmp_path: Path, host: str) -> list[tuple[str, int, str]]:
    config = load(tmp_path / host / "etc/recado/recado.toml", env={})
    return [(one.name, one.rank, one.address) for one in config.cluster.members]


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def keys(tmp_path: Path, host: str) -> list[str]:
    return sorted(path.name for path in (tmp_path / host / "etc/credstore").iterdir())


def test_two_servers_on_each_of_three_hosts(tmp_path: Path, here: Path) -> None:
    """Six members with names, ranks and ports of their own; one file to each other host, with both keys."""
    told = good(root(tmp_path, "a"), "--cluster", "casa", *TWO_EACH)
    assert [Path(path).name for path in told["bundles"]] == ["n2.recado", "n3.recado"]
    good(root(tmp_path, "b"), "--from", "n2.recado")
    assert members(tmp_path, "a") == members(tmp_path, "b")
    assert members(tmp_path, "a")[:3] == [
        ("n1", 1, "tcp://10.77.0.11:5555"),
        ("n1-2", 2, "tcp://10.77.0.11:5556"),
        ("n2", 3, "tcp://10.77.0.12:5555"),
    ]
    assert keys(tmp_path, "b") == [f"recado.{name}.key" for name in ("cluster", "n2-2", "n2")]
    roster = Roster.read(tmp_path / "b/etc/recado/roster.toml")
    assert [one.name for one in roster.of("server")] == SERVERS
    public = read_identity(tmp_path / "b/etc/credstore/recado.n2-2.key").public
    assert roster.keys_of("server", "n2-2") == (public,)
    assert load(tmp_path / "b/etc/recado/recado.toml", env={}).server.listen == "tcp://10.77.0.12:5555"
    text = drop_in(tmp_path, "b", "n2-2").read_text()
    assert "\nEnvironment=RECADO_SERVER__LISTEN=tcp://10.77.0.12:5556\n" in text
    assert "\nEnvironment=RECADO_SECURITY__LOCAL_LISTEN=ipc:///run/recado/n2-2/local.sock\n" in text
    assert not drop_in(tmp_path, "b", "n2").exists()


def test_again_changes_nothing(tmp_path: Path) -> None:
    """The same words a second time touch no file, and make no key anew if a drop-in is missing."""
    good(root(tmp_path, "a"), *TWO_EACH)
    before = contents(tmp_path)
    assert good(root(tmp_path, "a"), *TWO_EACH)["written"] == []
    drop_in(tmp_path, "a", "n1-2").unlink()
    good(root(tmp_path, "a"), *TWO_EACH)
    assert contents(tmp_path) == before


def test_ports_keep_clear_of_the_others() -> None:
    """With eight servers each nothing collides: a fourth one comes behind broker and reference."""
    plan = make_plan("casa", spread(THREE, 8))
    assert [one.port - 5555 for one in plan.together("n1")] == [0, 1, 2, 10, 11, 12, 13, 14]
    assert units(plan, "n2") == [f"recado-server@{one.name}.service" for one in plan.together("n2")]
    with pytest.raises(PlanError, match="two have the name n1-2"):
        make_plan("casa", spread(("n1=10.77.0.11", "n1-2=10.77.0.12"), 2))


def test_one_more_server_on_each_host(tmp_path: Path, here: Path) -> None:
    """Three hosts with one server each become three with two, one after another; all agree in the end."""
    good(root(tmp_path, "a"), *THREE)
    for name, host in (("n2", "b"), ("n3", "c")):
        good(root(tmp_path, host), "--from", f"{name}.recado")
    for number, host in enumerate("abc", start=1):
        name = f"n{number}-2"
        told = good(root(tmp_path, "a"), "--add", f"{name}=10.77.0.1{number}:5556")
        assert told["next"][-2].startswith("rm ")
        for other in "abc".replace(host, "").replace("a", ""):
            good(root(tmp_path, other), "--from", f"{name}-for-others.recado")
        good(root(tmp_path, host), "--from", f"{name}.recado")
        assert not (here / f"{name}.recado").exists()
        assert drop_in(tmp_path, host, name).exists()
    assert members(tmp_path, "a") == members(tmp_path, "b") == members(tmp_path, "c")
    assert sorted(one[0] for one in members(tmp_path, "a")) == SERVERS
    assert len({(tmp_path / host / "etc/recado/roster.toml").read_bytes() for host in "abc"}) == 1
    assert "recado.n3-2.key" in keys(tmp_path, "c")
    assert call(root(tmp_path, "a"), *THREE).exit_code == 0


def test_its_own_host_is_asked_for_no_login(tmp_path: Path) -> None:
    """A further server of the host where --add is typed is taken there, without ssh or a restart first."""
    good(root(tmp_path, "a"), *THREE)
    told = good(root(tmp_path, "a"), "--add", "n1-2=10.77.0.11:5556")
    assert "recado init --start --from n1-2.recado" in told["next"]
    assert not any("try-restart" in command for command in told["next"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--add", "n1-2=10.77.0.11"), 1, "two have the address"),
        (("--add", "n1-2=10.77.0.11:5000"), 1, "can't come before n1"),
        (("--add", "n1-2=10.77.0.11:5556", "--servers-per-host", "2"), 2, "one after another"),
        (("--from", "n2-2.recado"), 1, "is another one"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, here: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A reason, an exit code, and nothing is touched."""
    good(root(tmp_path, "a"), *THREE)
    good(root(tmp_path, "other"), "--output", str(here), *THREE, "--force")
    good(root(tmp_path, "other"), "--add", "n2-2=10.77.0.12:5556")
    before = contents(tmp_path)
    result = call(root(tmp_path, "a"), *arguments)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ((1, 1, 1), None),
        ((2, 2, 2), None),
        ((2, 2), None),
        ((2, 2, 1), None),
        ((2, 1), "may die with it"),
        ((3, 1, 1), "may die with it"),
        ((3,), "may die with it"),
        ((2, 1, 1), "without any 0 host(s)"),
    ],
)
def test_shapes_that_promise_less_are_named(
    hosts: tuple[int, ...], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be lost with one host, or keeps writes from going on without one, is told; else nothing."""
    monkeypatch.setenv("RECADO_LANG", "en")
    specs = [
        f"n{host}-{k}=10.77.0.{host}:{5555 + k}" for host, count in enumerate(hosts) for k in range(count)
    ]
    plan = make_plan("casa", specs)
    told = warnings(plan)
    assert len(told) == (said is not None)
    assert all(said in one for one in told if said is not None)
    assert losable(members_by_host(one.address for one in plan.nodes).values()) or told


def test_a_laboratory_on_loopback_is_no_cause_to_warn() -> None:
    """All on this machine is what somebody wants who tries it out."""
    assert warnings(make_plan("lab", spread(("n1=127.0.0.1",), 3), open_lab=True)) == []


def test_the_port_of_each_server_is_looked_at(tmp_path: Path) -> None:
    """A port that the second server would have is in use: that is told, and nothing is written."""
    from clients.setup import checks

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plan = make_plan("casa", (f"n1=127.0.0.1:{port - 1}", f"n1-2=127.0.0.1:{port}"))
        found = [one.values["port"] for one in checks.ports(plan, "n1")]
    assert str(port) in found
