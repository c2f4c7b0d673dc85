"""A start that is refused: it says what is wrong, and leaves nothing behind."""

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from clients.cli import cli
from clients.cluster.cannot import CannotStart
from clients.cluster.ground import LOCK, check_ports, owned
from clients.cluster.plan import Wish, make_plan


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no-such-host.invalid", "no address is known"),
        ("x" * 70, "no address is known"),
        ("192.0.2.1", "no address of"),
    ],
)
def test_a_host_that_is_none_is_said_not_the_port(tmp_path: Path, host: str, said: str) -> None:
    """What no other port would mend does not speak of ports."""
    with pytest.raises(CannotStart) as refused:
        check_ports(make_plan(Wish(data=tmp_path, host=host)))
    assert said in str(refused.value)
    assert "port" not in str(refused.value).replace("--host", "")


def test_refused_start_removes_what_it_made(tmp_path: Path) -> None:
    """Directories and the lock that were not there before are gone again; others, and other files, stay."""
    plan = make_plan(Wish(data=tmp_path / "a" / "b"))
    with pytest.raises(CannotStart), owned(plan):
        raise CannotStart("no")
    assert not list(tmp_path.iterdir())
    plan.wish.data.mkdir(parents=True)
    (plan.wish.data / "mine").touch()
    with pytest.raises(CannotStart), owned(plan):
        raise CannotStart("no")
    assert [path.name for path in plan.wish.data.iterdir()] == ["mine"]
    with owned(plan):
        pass
    assert (plan.wish.data / LOCK).exists()
    with pytest.raises(CannotStart), owned(plan), owned(plan):
        pass
    assert (plan.wish.data / LOCK).exists()


@pytest.mark.parametrize("detach", [(), pytest.param(("--detach",), marks=pytest.mark.slow)])
def test_a_taken_port_is_said_alone(tmp_path: Path, detach: tuple[str, ...]) -> None:
    """`up` says that it starts only when it does, and a refusal leaves no directory."""
    data = tmp_path / "var"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["up", "--data", str(data), "--base-port", port, *detach]
        environment = {**os.environ, "RECADO_LANG": "en"}
        result = CliRunner().invoke(cli, arguments, env=environment)
    assert result.exit_code == 73
    assert "already in use" in result.stderr
    assert "starting" not in result.stderr
    assert not data.exists()
