"""An account of a node: who it is by the node's configuration, and when it is nobody there."""

from pathlib import Path

import pytest

from clients.ending import Ended
from clients.local_account import Account, account_here, make_first_key
from recado.keys import read_identity

CONFIG = """
[cluster]
reference = "tcp://10.0.0.1:5559"
members = [
    { name = "server-1", rank = 1, address = "tcp://10.0.0.1:5555" },
    { name = "server-2", rank = 2, address = "tcp://10.0.0.2:5555" },
]
[server]
listen = "tcp://10.0.0.2:5555"
[security]
roster = "/etc/recado/roster.toml"
local_listen = "ipc:///nowhere/local.sock"
local_accounts = ["1000=mia", "1001=*"]
ssh_accounts = ["1002", "1000"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "recado.toml"
    path.write_text(CONFIG)
    return path


def test_who_is_named_is_that_user(config: Path) -> None:
    """With the node's own server first; a gateway, an account for SSH and everybody else are nobody's."""
    config.write_text(CONFIG.replace(', "1000"]', "]"))
    assert account_here(config, uid=1000) == Account(
        "mia",
        "ipc:///nowhere/local.sock",
        Path("/etc/recado/roster.toml"),
        ("tcp://10.0.0.2:5555", "tcp://10.0.0.1:5555"),
        "tcp://10.0.0.1:5559",
    )
    assert [account_here(config, uid=uid) for uid in (1001, 1002, 1003)] == [None] * 3


def test_an_account_for_ssh_is_no_other(config: Path) -> None:
    """An account that is both named and for logins over SSH speaks for who has come, not for itself."""
    assert account_here(config, uid=1000) is None


def test_a_configuration_that_is_none_names_nobody(config: Path) -> None:
    """Broken, or of a cluster without keys."""
    config.write_text("[security")
    assert account_here(config, uid=1000) is None
    config.write_text("")
    assert account_here(config, uid=1000) is None


@pytest.mark.slow
def test_without_the_server_no_key_is_made(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the node's server does not answer, and leaves no half of a key."""
    monkeypatch.setattr("clients.local_account.ASK_SECONDS", 0.3)
    config.write_text(CONFIG.replace(', "1000"]', "]"))
    account = account_here(config, uid=1000)
    assert account is not None
    account = account._replace(socket=f"ipc://{tmp_path}/nobody")
    with pytest.raises(Ended) as refused:
        make_first_key(account, tmp_path / "mia.key")
    assert refused.value.exit_code == 69
    assert list(tmp_path.iterdir()) == [config]


def test_a_key_that_cannot_be_kept_is_not_added(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written the server is not even asked."""
    asked: list[str] = []
    monkeypatch.setattr("clients.local_account._in_a_thread", lambda _account, key: asked.append(key))
    config.write_text(CONFIG.replace(', "1000"]', "]"))
    account = account_here(config, uid=1000)
    assert account is not None
    with pytest.raises(Ended):
        make_first_key(account, config / "mia.key")
    assert asked == []
    make_first_key(account, tmp_path / "keys" / "mia.key")
    assert len(asked) == 1
    assert read_identity(tmp_path / "keys" / "mia.key").name == "mia"
    assert len(list((tmp_path / "keys").iterdir())) == 1
