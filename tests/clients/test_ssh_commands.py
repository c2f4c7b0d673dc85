"""What a login over SSH may ask for: the commands that are offered, in one reading of the words."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from clients.cli import cli
from clients.ending import Ended
from clients.ssh.allowed import COMMAND_BYTES_MAX, OFFERED, arguments_of, words_of
from clients.ssh.door import KEY_FILE, Door, directory_of, session_identity
from clients.ssh.login import environment_of
from recado.keys import make_identity, write_identity, write_new

FINGERPRINT = "SHA256:Wk6mVLDIGYpn+4UKqkfBYaaXvRE3ZhkY7/5HvM28/U0"


def meant(command: str | bytes) -> list[str]:
    raw = command.encode() if isinstance(command, str) else command
    return arguments_of(words_of(raw))


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("", ["chat"]),
        ("chat geral", ["chat", "geral"]),
        ("publish geral", ["publish", "--", "geral", "-"]),
        ("publish geral bom dia", ["publish", "--", "geral", "bom dia"]),
        ("publish 'um canal' 'bom  dia'", ["publish", "--", "um canal", "bom  dia"]),
        ("publish geral --level all oi gente", ["publish", "--level", "all", "--", "geral", "oi gente"]),
        ("publish --json geral -- -5 graus", ["publish", "--json", "--", "geral", "-5 graus"]),
        ("publish geral $(id); sh id", ["publish", "--", "geral", "$(id); sh id"]),
        ("publish", ["publish", "--", "-"]),
        ("dm bob oi", ["dm", "--", "bob", "oi"]),
        ("tail -n 5", ["tail", "-n", "5"]),
        ("tail -f --direct", ["tail", "-f", "--direct"]),
        ("channel topic geral oi", ["channel", "topic", "geral", "oi"]),
        ("user keys", ["user", "keys"]),
        (f"user revoke {FINGERPRINT}", ["user", "revoke", FINGERPRINT]),
        ("tail --help", ["tail", "--help"]),
        ("user --help", ["user", "--help"]),
        ("user help", ["user", "--help"]),
        ("channel -h create x", ["channel", "--help"]),
        ("user --help add-ssh-key ana /etc/shadow", ["user", "--help"]),
    ],
)
def test_what_is_meant(command: str, arguments: list[str]) -> None:
    """The words as they came, the text of a message joined where ssh took its quotes."""
    assert meant(command) == arguments


@pytest.mark.parametrize(
    "command",
    [
        "sh -c id",
        "/bin/sh",
        "$(id)",
        "`id`",
        ";id",
        "recado publish geral oi",
        "up",
        "keygen --user x",
        "ssh session SHA256:x",
        "backup make /etc/shadow",
        "outbox list",
        "user add-ssh-key ana /etc/shadow",
        "user add-key /etc/shadow",
        "user",
        "user invite",
        "user revoke /etc/shadow.key",
        "user revoke -- x.pub",
        "--config=/etc/shadow",
        "--version",
        "publish --user bob geral oi",
        "publish --use bob geral oi",
        "publish --roster= geral oi",
        "publish --key=/etc/shadow geral oi",
        "publish --outbox geral oi",
        "publish geral oi --state /tmp",
        "tail --server tcp://127.0.0.1:1",
        "tail --resume ../../x -f",
        "tail --reference=tcp://127.0.0.1:1",
        "channel create x --key /etc/shadow",
        "chat --user bob",
        "status --timeout 9",
        "publish 'geral",
        b"publish geral \xff",
        b"publish geral " + b"x" * COMMAND_BYTES_MAX,
        "sftp-server",
        "internal-sftp",
        "scp -t /etc/passwd",
        "rsync --server . /",
    ],
)
def test_what_is_not_offered(command: str | bytes) -> None:
    """No other program, no file, no address, no key, no other name."""
    with pytest.raises((Ended, click.UsageError)) as refused:
        meant(command)
    assert refused.value.exit_code in (2, 65)


def test_a_line_break_is_white_space_or_text() -> None:
    """It ends no command and begins no other."""
    assert meant("publish geral oi\nsh id") == ["publish", "--", "geral", "oi sh id"]
    assert meant("publish geral 'oi\nsh'") == ["publish", "--", "geral", "oi\nsh"]
    with pytest.raises(Ended):
        meant("\nsh")


def test_nothing_that_is_offered_names_a_file() -> None:
    """Of all commands and options that are offered, none takes a path or an address."""
    for name, allowed in OFFERED.items():
        command: click.Command = cli
        for word in name.split():
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None, name
            command = found
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for one in inner:
            for parameter in one.params:
                offered = parameter.name in allowed or isinstance(parameter, click.Argument)
                if offered:
                    assert parameter.name in allowed, (name, parameter.name)
                    assert not isinstance(parameter.type, click.Path | click.File), (name, parameter.name)
                    assert parameter.name not in {"user", "servers", "brokers", "reference", "roster", "key"}


def test_the_environment_is_the_node_s(tmp_path: Path) -> None:
    """Nothing that a client sends says who speaks, with which key, or where the cluster is."""
    door = Door("ipc:///run/x", "/etc/recado/roster.toml", ("tcp://10.0.0.1:5555",), "")
    sent = {"RECADO_USER": "bob", "RECADO_KEY": "/k", "RECADO_BROKER": "tcp://1.1.1.1:1",
            "LANG": "pt_BR.UTF-8", "PYTHONSTARTUP": "/tmp/x",
            "RECADO_SECURITY__ROSTER": "x", "XDG_CONFIG_HOME": "/x"}  # fmt: skip
    found = environment_of(door, tmp_path, user="ana", env=sent)
    assert found == {
        "LANG": "pt_BR.UTF-8",
        "PYTHONUTF8": "1",
        "RECADO_ROSTER": "/etc/recado/roster.toml",
        "RECADO_KEY": str(tmp_path / "session.key"),
        "RECADO_USER": "ana",
        "RECADO_STATE": str(tmp_path),
        "RECADO_SERVER": "tcp://10.0.0.1:5555",
    }


def run(*arguments: str, command: str | None = None) -> tuple[int, str, str]:
    env = {} if command is None else {"SSH_ORIGINAL_COMMAND": command}
    result = CliRunner().invoke(cli, ["ssh", *arguments], env=env)
    return result.exit_code, result.stdout, result.stderr


def test_a_node_that_is_not_set_up_says_so(tmp_path: Path) -> None:
    """Without configuration, without keys, without the socket: which setting is missing."""
    config = tmp_path / "recado.toml"
    at = ("session", FINGERPRINT, "--config", str(config), "--state", str(tmp_path))
    assert run(*at)[0] == 78
    config.write_text('[cluster]\nid = "lab"\n')
    assert "security.roster" in run(*at)[2]
    config.write_text('[security]\nroster = "/nowhere"\n')
    assert "security.local_listen" in run(*at)[2]
    assert run("session", "x", "--config", str(config))[0] == 78


def test_help_names_what_is_offered() -> None:
    """Before anything of the node is looked at."""
    code, out, _ = run("session", FINGERPRINT, command="help")
    assert code == 0
    assert all(name.split()[0] in out for name in OFFERED)


@pytest.mark.parametrize("key", [("ssh-ed25519", "x"), ("ssh-ed25519", '"; sh'), ('command="sh"', "x")])
def test_what_is_no_key_opens_nothing(tmp_path: Path, key: tuple[str, str]) -> None:
    """Not a word for sshd, and no complaint."""
    assert run("authorized-keys", *key, "--data", str(tmp_path)) == (0, "", "")


def test_without_a_replica_nobody_gets_in(tmp_path: Path) -> None:
    """It is an error that sshd logs, not an empty list of keys."""
    good = ("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIHotHWQfUE7QnN4tPK62LLtlcP/m0MWWV1rHVNu+RFoS")
    code, out, _ = run("authorized-keys", *good, "--data", str(tmp_path))
    assert (code, out) == (78, "")
    (tmp_path / "server-1").mkdir()
    (tmp_path / "server-1" / "replica.db").write_bytes(b"no database")
    assert run("authorized-keys", *good, "--data", str(tmp_path))[:2] == (78, "")
    assert run("authorized-keys", *good, "--program", "/x y")[:2] == (78, "")


@pytest.mark.slow
def test_while_the_node_s_server_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has been here before goes on with the key of then; who has not is told, and no key is left."""
    monkeypatch.setattr("clients.ssh.door.ASK_SECONDS", 0.3)
    door = Door(f"ipc://{tmp_path}/nobody", "/etc/recado/roster.toml", (), "")
    with pytest.raises(Ended) as refused:
        session_identity(door, FINGERPRINT, state=tmp_path)
    assert refused.value.exit_code == 69
    path = directory_of(tmp_path, FINGERPRINT) / KEY_FILE
    assert not path.exists()
    kept = make_identity("user", "ana")
    write_identity(path, kept)
    assert session_identity(door, FINGERPRINT, state=tmp_path) == kept


@pytest.mark.slow
def test_half_a_key_stands_in_nobody_s_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a login left that was cut short is as good as nothing; a directory that is closed is named."""
    monkeypatch.setattr("clients.ssh.door.ASK_SECONDS", 0.3)
    door = Door(f"ipc://{tmp_path}/nobody", "/etc/recado/roster.toml", (), "")
    path = directory_of(tmp_path, FINGERPRINT) / KEY_FILE
    write_new(path, "# A secret", mode=0o600)
    with pytest.raises(Ended) as refused:
        session_identity(door, FINGERPRINT, state=tmp_path)
    assert refused.value.exit_code == 69
    assert not path.exists()
    path.mkdir()
    with pytest.raises(Ended) as refused:
        session_identity(door, FINGERPRINT, state=tmp_path)
    assert refused.value.exit_code == 78


def test_a_session_key_that_cannot_be_kept_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written no try makes an entry of the log; else one named key is left."""
    asked: list[str] = []
    monkeypatch.setattr("clients.ssh.door.ask", lambda _door, _ssh, key: asked.append(key) or "ana")
    door = Door("ipc:///nowhere", "/etc/recado/roster.toml", (), "")
    (tmp_path / "state").write_text("no directory")
    with pytest.raises(Ended) as refused:
        session_identity(door, FINGERPRINT, state=tmp_path / "state")
    assert (refused.value.exit_code, asked) == (78, [])
    assert session_identity(door, FINGERPRINT, state=tmp_path).name == "ana"
    assert [path.name for path in directory_of(tmp_path, FINGERPRINT).iterdir()] == [KEY_FILE]
