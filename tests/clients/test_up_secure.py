"""`recado up --secure` before anything starts: keys, roster, configuration, and what people are shown."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from clients.cli import cli
from clients.cluster.cannot import CannotStart
from clients.cluster.environment import nodes_environment
from clients.cluster.events import summary
from clients.cluster.ground import leftovers, prepare
from clients.cluster.keys import operator_security
from clients.cluster.plan import KEYS, Plan, Role, Wish, make_plan
from clients.cluster.words import screen
from clients.words import WORDS
from recado.config import check, load
from recado.keys import make_identity, read_identity
from recado.roster import Roster
from recado.secured import load_security
from recado.texts import Texts


def _plan(data: Path, **more: object) -> Plan:
    return make_plan(Wish(data=data, secure=True, **more))  # type: ignore[arg-type]


@pytest.fixture
def prepared(tmp_path: Path) -> Plan:
    """A secured cluster's files, made."""
    plan = _plan(tmp_path, servers=2, bots=1)
    prepare(plan)
    return plan


def test_every_node_can_start_secured(prepared: Plan) -> None:
    """Each daemon's file and keys pass the daemon's own check; it is who it should be."""
    for node in prepared.nodes:
        if not node.config:
            continue
        config = load(node.config_path, env={})
        check(config, node.role.value)  # type: ignore[arg-type]
        loaded = load_security(config, node.role.value)  # type: ignore[arg-type]
        assert loaded is not None
        assert (loaded.identity.kind, loaded.identity.name) == (node.role.value, node.name)
        for address in prepared.servers:
            assert len(loaded.book.keys_of(address)) == 1
    assert prepared.request == ""
    assert "request" not in [what for _, what, _ in prepared.addresses()]


@pytest.mark.parametrize("host", ["192.0.2.7", "::1"])
def test_with_keys_no_host_is_insecure(tmp_path: Path, host: str) -> None:
    """A cluster with keys listens beyond loopback without the laboratories' setting."""
    plan = _plan(tmp_path, host=host)
    prepare(plan)
    node = plan.node("server-1")
    assert node is not None
    config = load(node.config_path, env={})
    check(config, "server")
    assert not config.security.insecure


def test_bots_and_the_operator_have_keys(prepared: Plan) -> None:
    """A bot is told its key and the roster on its command line; the operator is in the roster."""
    assert prepared.keys is not None
    [bot] = [node for node in prepared.nodes if node.role is Role.BOT]
    given = dict(zip(bot.command[3::2], bot.command[4::2], strict=True))
    identity = read_identity(Path(given["--key"]))
    assert (identity.kind, identity.name) == ("bot", "bot-1")
    roster = Roster.read(Path(given["--roster"]))
    assert roster.role_of(identity.public) is None
    operator = roster.role_of(read_identity(prepared.keys.operator).public)
    assert operator is not None
    assert (operator.role, operator.name) == ("operator", "operator")
    security = operator_security(prepared)
    assert security is not None
    assert security.keys_of(prepared.xpub) == roster.keys_of("broker", "broker")


def test_keys_are_made_once(prepared: Plan, tmp_path: Path) -> None:
    """The second start changes no file of keys."""
    before = {path: path.read_bytes() for path in (tmp_path / KEYS).iterdir()}
    modes = {path.stat().st_mode & 0o777 for path in before if path.suffix == ".key"}
    prepare(prepared)
    assert {path: path.read_bytes() for path in (tmp_path / KEYS).iterdir()} == before
    assert modes == {0o600}


def test_a_larger_cluster_elsewhere_keeps_what_there_is(prepared: Plan, tmp_path: Path) -> None:
    """More servers and other ports: old keys and what people added stay, addresses follow."""
    assert prepared.keys is not None
    path = prepared.keys.roster
    before = Roster.read(path)
    ana = make_identity("user", "ana")
    before.with_part(ana.public_part, operator=True).write(path)
    larger = _plan(tmp_path, servers=4, base_port=7000)
    prepare(larger)
    after = Roster.read(path)
    assert after.keys_of("server", "server-1") == before.keys_of("server", "server-1")
    assert after.role_of(ana.public) is not None
    assert [entry.addresses for entry in after.of("server")] == [(address,) for address in larger.servers]


def test_keys_are_not_taken_off_by_leaving_out_a_word(prepared: Plan) -> None:
    """Without --secure the same directory is refused, with 78 and what to type."""
    with pytest.raises(CannotStart, match="--secure") as caught:
        prepare(make_plan(Wish(data=prepared.wish.data)))
    assert caught.value.exit_code == 78


def test_damaged_keys_stop_the_start(prepared: Plan) -> None:
    """A key that others can read, a broken roster: no process is started."""
    assert prepared.keys is not None
    key = prepared.keys.key("server-1")
    key.chmod(0o644)
    with pytest.raises(CannotStart, match="chmod 600"):
        prepare(prepared)
    key.chmod(0o600)
    prepared.keys.roster.write_text("no")
    with pytest.raises(CannotStart, match=r"roster\.toml"):
        prepare(prepared)


def test_how_a_client_connects_is_told(prepared: Plan) -> None:
    """The screen's commands name the roster, the key and the user; JSON has the files, no request port."""
    assert prepared.keys is not None
    told = summary(prepared, {}, 1)
    assert (told["request"], told["roster"]) == (None, str(prepared.keys.roster))
    assert json.loads(json.dumps(told))["key"] == str(prepared.keys.operator)
    shown = screen(Texts("en", WORDS), told, program="recado")
    chat = next(line for line in shown.splitlines() if "recado chat" in line)
    for path in (prepared.keys.roster, prepared.keys.operator):
        assert any(os.path.abspath(word) == str(path) for word in chat.split())
    assert "--user operator" in chat
    assert "requests spread" not in shown


def test_open_clusters_are_told_as_before(tmp_path: Path) -> None:
    """Without keys nothing on the screen speaks of them."""
    told = summary(make_plan(Wish(data=tmp_path)), {}, 1)
    shown = screen(Texts("en", WORDS), told, program="recado")
    assert told["roster"] is told["key"] is None
    assert "roster" not in shown
    assert "requests spread" in shown


def test_the_nodes_take_no_keys_from_the_environment() -> None:
    """What whoever types `up` has set for clients does not reach the nodes."""
    given = {"RECADO_KEY": "a", "RECADO_ROSTER": "b", "RECADO_SECURITY__KEY": "c", "RECADO_LIMITS__X": "d"}
    assert nodes_environment(given) == {"RECADO_LIMITS__X": "d"}


def test_wiping_takes_the_keys_too(prepared: Plan, tmp_path: Path) -> None:
    """`down --wipe` leaves no secret behind."""
    assert tmp_path / KEYS in leftovers(tmp_path)
    environment = {**os.environ, "RECADO_LANG": "en"}
    result = CliRunner().invoke(cli, ["down", "--wipe", "--data", str(tmp_path)], env=environment)
    assert result.exit_code == 0
    assert not (tmp_path / KEYS).exists()
