"""Users, keys, channels and their rules in a cluster with keys, as people type them; real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from running_cluster import local_cluster

from clients.cli import cli
from recado.keys import read_identity, z85

pytestmark = [pytest.mark.system, pytest.mark.slow]
WAIT_SECONDS = 60.0
READS = {"info", "list", "show", "keys"}


class People:
    """Commands of several people of one cluster, each with a key; in this process."""

    def __init__(self, home: Path, told: dict[str, Any]) -> None:
        self.keys = home / "config" / "recado"
        self.home = home
        unset = dict.fromkeys(("RECADO_USER", "RECADO_SERVER", "RECADO_BROKER", "RECADO_KEY"), "")
        self.env = {
            **unset,
            "RECADO_REFERENCE": told["reference"],
            "RECADO_ROSTER": told["roster"],
            "RECADO_STATE": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "RECADO_LANG": "en",
        }
        self.keys.mkdir(parents=True)
        (self.keys / "operator.key").write_bytes(Path(told["key"]).read_bytes())
        (self.keys / "operator.key").chmod(0o600)

    def run(self, *arguments: str, **more: Any) -> Result:
        result = CliRunner().invoke(cli, arguments, env=self.env, **more)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def does(self, who: str, *arguments: str) -> str:
        """A command that must succeed: what it wrote to standard output.

        A rule is waited for until it holds at every server, as the next command may ask any of them.
        """
        everywhere = arguments[0] in ("channel", "user") and arguments[1] not in READS
        result = self.run(*arguments, "--user", who, *(("--level", "all") if everywhere else ()))
        assert result.exit_code == 0, (arguments, result.stderr)
        return result.stdout

    def refused(self, who: str, *arguments: str) -> tuple[str, str]:
        """A command that must be refused: the code for programs, the words for people."""
        result = self.run(*arguments, "--user", who, "--json")
        assert result.exit_code == 1, (arguments, result.stdout)
        return json.loads(result.stdout)["error"]["code"], result.stderr.strip()

    def chat(self, who: str, *lines: str) -> "subprocess.CompletedProcess[str]":
        """These lines through a pipe."""
        return subprocess.run(
            [sys.executable, "-m", "clients.cli", "chat", "--user", who, "--level", "all"],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            env={**os.environ, **self.env},
            timeout=WAIT_SECONDS,
            check=False,
        )

    def joins(self, name: str) -> str:
        """A new user: the public key."""
        assert self.run("keygen", "--user", name).exit_code == 0
        self.does(name, "login")
        return z85(read_identity(self.keys / f"{name}.key").public)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """A cluster with keys and its operator, registered."""
    home = tmp_path_factory.mktemp("rules")
    with local_cluster(home / "data", "--secure", servers=2) as cluster:
        there = People(home, cluster.summary)
        there.does("operator", "login")
        yield there


def test_a_private_channel(people: People) -> None:
    """Found, described, read and written by who is invited; who was put out is told why."""
    for name in ("ana", "bob"):
        people.joins(name)
    people.does("ana", "channel", "create", "conselho", "--private")
    people.does("ana", "channel", "topic", "conselho", "café às três")
    assert "conselho" not in people.does("bob", "channels")
    assert people.refused("bob", "channel", "info", "conselho")[0] == "channel_closed"
    people.does("ana", "channel", "invite", "conselho", "bob")
    told = json.loads(people.does("bob", "channel", "info", "conselho", "--json"))
    assert (told["topic"], told["founder"], told["members"]) == ("café às três", "ana", ["bob"])
    people.does("bob", "publish", "conselho", "oi")
    people.does("ana", "channel", "kick", "conselho", "bob", "--reason", "basta")
    code, words = people.refused("bob", "history", "conselho")
    assert (code, words) == ("channel_closed", "recado: #conselho is for who is invited: basta")


def test_to_speak_or_not(people: People) -> None:
    """Muted, banned, without a voice: each refusal says where and why, and each can be undone."""
    people.joins("carla")
    people.joins("davi")
    people.does("carla", "channel", "create", "praça")
    assert people.refused("davi", "channel", "op", "praça", "davi")[0] == "not_channel_operator"
    people.does("carla", "channel", "mute", "praça", "davi", "--reason", "muito barulho")
    assert people.refused("davi", "publish", "praça", "x") == (
        "muted",
        "recado: you are muted on #praça: muito barulho",
    )
    people.does("carla", "channel", "unmute", "praça", "davi")
    people.does("carla", "channel", "moderated", "praça")
    assert people.refused("davi", "publish", "praça", "x")[0] == "moderated"
    people.does("carla", "channel", "voice", "praça", "davi")
    people.does("davi", "publish", "praça", "obrigado")
    people.does("carla", "channel", "op", "praça", "davi")
    people.does("davi", "channel", "unmoderated", "praça")
    assert people.refused("davi", "channel", "ban", "praça", "carla")[0] == "is_founder"
    people.does("operator", "channel", "ban", "praça", "davi", "--reason", "vendia lugares")
    assert people.refused("davi", "publish", "praça", "x") == (
        "banned",
        "recado: you are banned from #praça: vendia lugares",
    )


def test_a_second_device(people: People, tmp_path: Path) -> None:
    """A key that one adds is as good as the first; once revoked it is nobody's; the last one stays."""
    first = people.joins("eva")
    phone = tmp_path / "eva.key"
    assert people.run("keygen", "--user", "eva", "-o", str(phone)).exit_code == 0
    assert people.refused("eva", "publish", "x", "y", "--key", str(phone))[0] == "key_unknown"
    people.does("eva", "user", "add-key", str(tmp_path / "eva.pub"), "--label", "phone")
    people.does("eva", "dm", "eva", "do telefone", "--key", str(phone))
    second = z85(read_identity(phone).public)
    assert people.does("eva", "user", "keys").split()[::3] == [first, second]
    people.does("eva", "user", "revoke", second[:6], "--reason", "lost")
    assert people.refused("eva", "dm", "eva", "x", "--key", str(phone))[0] == "key_revoked"
    assert f"{second}" in people.does("eva", "user", "keys", "eva")
    assert "lost" in people.does("eva", "user", "keys")
    assert people.refused("eva", "user", "revoke", first)[0] == "key_last"
    assert "no key that begins with" in people.refused("eva", "user", "revoke", second)[1]


def test_impersonation_by_command_line(people: People) -> None:
    """With one's own key nobody speaks under another name."""
    people.joins("fred")
    key = str(people.keys / "fred.key")
    people.joins("gil")
    assert people.refused("gil", "dm", "fred", "sou o gil", "--key", key)[0] == "not_you"
    assert people.refused("gil", "login", "--key", key)[0] == "not_you"
    assert people.refused("gil", "history", "--direct", "--key", key)[0] == "not_you"


def test_operators(people: People, tmp_path: Path) -> None:
    """They register others, suspend and restore; others are refused all of it."""
    hugo = tmp_path / "hugo.key"
    assert people.run("keygen", "--user", "hugo", "-o", str(hugo)).exit_code == 0
    people.joins("ines")
    public = str(tmp_path / "hugo.pub")
    assert people.refused("ines", "user", "add-key", public)[0] == "user_missing"
    people.does("operator", "user", "add-key", public)
    people.does("hugo", "dm", "ines", "oi", "--key", str(hugo))
    for command in (("user", "suspend", "hugo"), ("user", "invite"), ("audit",)):
        assert people.refused("ines", *command)[0] == "operators_only"
    people.does("operator", "user", "suspend", "hugo", "--reason", "spam")
    assert people.refused("hugo", "dm", "ines", "oi", "--key", str(hugo))[0] == "suspended"
    told = json.loads(people.does("operator", "user", "show", "hugo", "--json"))
    assert told["suspended"] is True
    people.does("operator", "user", "restore", "hugo")
    people.does("hugo", "dm", "ines", "oi", "--key", str(hugo))


def test_invitations(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token registers one; one that was taken back none, given so that no process list shows it."""
    tokens = people.does("operator", "user", "invite", "--uses", "3", "--expires", "1h").split()
    assert len(set(tokens)) == 3
    for name in ("joana", "leo"):
        assert people.run("keygen", "--user", name).exit_code == 0
    monkeypatch.setenv("RECADO_INVITE", tokens[0])
    people.does("joana", "login")
    monkeypatch.delenv("RECADO_INVITE")
    assert people.refused("leo", "login", "--invite", tokens[0])[0] == "invite_invalid"
    people.does("operator", "user", "uninvite", tokens[1])
    assert people.refused("leo", "login", "--invite", tokens[1])[0] == "invite_invalid"
    typed = people.run("login", "--user", "leo", "--invite", "-", input=tokens[2] + "\n")
    assert typed.exit_code == 0, typed.stderr


def test_in_the_chat(people: People) -> None:
    """The same by the chat's commands: marks, topic, who is muted and why, and what is so in the channel."""
    people.joins("olivia")
    people.joins("rui")
    lines = (
        "/create --private sala",
        "/invite rui",
        "oi",
        "/topic olá",
        "/topic",
        "/mute rui é tarde",
        "/info",
    )
    chat = people.chat("olivia", *lines, "/resign", "/deop ninguem")
    assert chat.returncode == 1
    assert "#sala @<olivia> oi" in chat.stdout
    assert "  topic: olá  (olivia, " in chat.stdout
    assert [line for line in chat.stdout.splitlines() if line.startswith("  muted")] == ["  muted: rui"]
    told = chat.stderr.splitlines()
    for words in ("rui may enter #sala", "#sala: topic changed", "rui is muted on #sala"):
        assert words in told
    assert told[-2:] == [
        "! Only an operator can do that to the channel's founder",
        "! That user does not exist",
    ]
    people.does(
        "olivia", "channel", "voice", "sala", "rui"
    )  # with --level all: what was before is everywhere too
    chat = people.chat("rui", "/join sala", "x", "/leave", "/resign sala", "/join sala")
    told = chat.stderr.splitlines()
    assert "! you are muted on #sala: é tarde" in told
    assert "you are still of #sala; /resign sala gives that up" in told
    assert "you are no longer of #sala" in told
    assert told[-1].startswith("! there is no channel sala")


def test_the_audit_log(people: People) -> None:
    """It tells who did what to whom, where and why, in order; filtered by channel, user and time."""
    people.joins("mara")
    people.joins("nilo")
    people.does("mara", "channel", "create", "feira")
    people.does("mara", "channel", "mute", "feira", "nilo", "--reason", "dois motivos")
    people.does("mara", "channel", "unmute", "feira", "nilo")
    lines = people.does("operator", "audit", "--channel", "feira").splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        'mara  mute  channel=feira  who=nilo  reason="dois motivos"',
        "mara  unmute  channel=feira  who=nilo",
    ]
    about = people.does("operator", "audit", "--about", "nilo", "--json", "--since", "1h")
    assert [json.loads(line)["do"] for line in about.splitlines()] == ["mute", "unmute"]
    assert people.does("operator", "audit", "--since", str(int(time.time()) + 3600)) == ""
    assert len(people.does("operator", "audit", "-n", "1").splitlines()) == 1
