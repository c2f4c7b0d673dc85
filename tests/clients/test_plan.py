"""The plan of a local cluster: ports, files, command lines."""

import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from clients.cluster.plan import Role, Wish, make_plan, server_port
from recado.config import check, load


def test_default_ports_are_the_missions() -> None:
    """With the default base port everything listens where the course's clients expect it."""
    plan = make_plan(Wish(data=Path("/data")))
    assert [address for _, _, address in plan.addresses()] == [
        "tcp://127.0.0.1:5559",
        "tcp://127.0.0.1:5560",
        "tcp://127.0.0.1:5558",
        "tcp://127.0.0.1:5561",
        "tcp://127.0.0.1:5555",
        "tcp://127.0.0.1:5556",
        "tcp://127.0.0.1:5557",
    ]


def test_further_servers_keep_clear_of_the_fixed_ports() -> None:
    """Servers beyond three sit at base + 10 and up, and no port is given twice."""
    assert [server_port(6000, n) for n in (1, 3, 4, 5)] == [6000, 6002, 6010, 6011]
    plan = make_plan(Wish(data=Path("/data"), base_port=6000, servers=9))
    ports = [address.rpartition(":")[2] for _, _, address in plan.addresses()]
    assert len(set(ports)) == len(ports) == 13


def test_nodes_start_in_the_order_of_need() -> None:
    """Reference, broker, servers, bots."""
    plan = make_plan(Wish(data=Path("/data"), servers=2, bots=1))
    assert [node.name for node in plan.nodes] == ["reference", "broker", "server-1", "server-2", "bot-1"]
    order = list(Role)
    assert all(order.index(a.role) <= order.index(b.role) for a, b in pairwise(plan.nodes))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.0.2.7"])
def test_written_configuration_is_valid(tmp_path: Path, host: str) -> None:
    """Every node's file loads without a complaint and says the same members everywhere."""
    plan = make_plan(Wish(data=tmp_path, host=host, servers=3))
    members = set()
    for node in plan.nodes:
        if not node.config:
            continue
        node.directory.mkdir()
        node.config_path.write_text(node.config)
        config = load(node.config_path, env={})
        check(config, node.role.value)  # type: ignore[arg-type]
        assert config.node.name == node.name
        assert Path(config.node.data) == node.directory
        members.add(config.cluster.members)
    assert [(m.name, m.rank) for m in members.pop()] == [("server-1", 1), ("server-2", 2), ("server-3", 3)]
    assert not members


def test_golden_server_file() -> None:
    """The file of one server, byte for byte: whoever changes it should mean to."""
    node = make_plan(Wish(data=Path("/data"), servers=2)).node("server-2")
    assert node is not None
    assert node.command == (
        sys.executable,
        "-m",
        "daemons.server",
        "--config",
        "/data/server-2/server-2.toml",
    )
    assert node.store_path == Path("/data/server-2/replica.db")
    assert node.config.split("\n", 2)[2] == (
        '[node]\nname = "server-2"\ndata = "/data/server-2"\n\n'
        '[server]\nlisten = "tcp://127.0.0.1:5556"\nrank = 2\n\n'
        '[cluster]\nreference = "tcp://127.0.0.1:5559"\n'
        'brokers = [{ xsub = "tcp://127.0.0.1:5560", xpub = "tcp://127.0.0.1:5558", '
        'request = "tcp://127.0.0.1:5561" }]\n'
        'members = [\n    { name = "server-1", rank = 1, address = "tcp://127.0.0.1:5555" },\n'
        '    { name = "server-2", rank = 2, address = "tcp://127.0.0.1:5556" },\n]\n'
    )


def test_strange_directories_survive_in_toml(tmp_path: Path) -> None:
    """A directory with quotes, backslashes and line breaks comes back from the file as it was."""
    data = tmp_path / 'a "b" \\ ç\n\x7f'
    config = make_plan(Wish(data=data)).nodes[0].config
    assert tomllib.loads(config)["node"]["data"] == str(data / "reference")


def test_bots_begin_with_different_servers() -> None:
    """Bots spread over the servers, and each seed differs."""
    plan = make_plan(Wish(data=Path("/data"), bots=3, bot_seed=10))
    commands = [node.command for node in plan.nodes if node.role is Role.BOT]
    first = [command[command.index("--server") + 1] for command in commands]
    assert first == list(plan.servers)
    assert [command[command.index("--seed") + 1] for command in commands] == ["10", "11", "12"]
