"""`recado keygen` and `recado roster`: the files they write, what they refuse, whose key a command takes."""

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.ending import Ended
from clients.keyring import key_file, security_of
from clients.options import Where, where_options
from recado.keys import read_cluster_key, read_identity, z85
from recado.roster import Roster

NODES = (("--server", "server-1"), ("--broker",), ("--reference",))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own directory, where commands are called; no roster from elsewhere."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    for name in ("RECADO_ROSTER", "RECADO_KEY", "RECADO_USER"):
        monkeypatch.delenv(name, raising=False)
    return home / ".config" / "recado"


def call(*arguments: str) -> Result:
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, arguments)


def good(*arguments: str) -> Result:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result


def where(**more: Any) -> Where:
    return Where(servers=(), brokers=(), reference=None, timeout_seconds=1, state=Path(), **more)


def test_keys_of_nodes_are_made_here() -> None:
    """Secret and public part of each kind of node, named after it; the next command is shown."""
    for arguments in NODES:
        result = good("keygen", *arguments)
        assert "recado roster add" in result.stderr
    written = sorted(path.name for path in Path().iterdir() if path.is_file())
    assert written == [
        f"{name}.{end}" for name in ("broker", "reference", "server-1") for end in ("key", "pub")
    ]
    identity = read_identity(Path("server-1.key"))
    assert Path("server-1.pub").read_text() == result_of_public("server-1")
    assert z85(identity.secret) not in Path("server-1.pub").read_text()


def result_of_public(name: str) -> str:
    """The public part as TOML, from the key file."""
    lines = Path(f"{name}.key").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("#", "secret", "signing_secret")))


def test_the_secret_is_never_printed() -> None:
    """Neither in words nor as JSON."""
    for number, arguments in enumerate(((), ("--json",))):
        result = good("keygen", "--server", f"s{number}", *arguments)
        identity = read_identity(Path(f"s{number}.key"))
        assert z85(identity.public) in result.stdout
        for text in Path(f"s{number}.key").read_text().splitlines():
            if "secret = " in text:
                assert text.split('"')[1] not in result.output


def test_a_persons_key_goes_to_the_person(home: Path) -> None:
    """Into the configuration directory, readable by its owner alone, whatever the name."""
    shown = json.loads(good("keygen", "--user", "ana/é", "--json").stdout)
    assert Path(shown["key"]) == home / "ana%2Fé.key"
    assert read_identity(home / "ana%2Fé.key").name == "ana/é"
    assert good("keygen", "--bot", "b", "-o", "else.key").exit_code == 0
    assert read_identity(Path("else.key")).kind == "bot"
    assert {key_file(name) for name in ("..", "/", "%2F")} == {"%2E..key", "%2F.key", "%252F.key"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--server", "a", "--user", "b"), 2),
        (("--cluster", "--user", "b"), 2),
        (("--server", "no good"), 1),
        (("--user", " "), 1),
        (("--server", "a", "-o", "/proc/a.key"), 73),
    ],
)
def test_what_keygen_refuses(arguments: tuple[str, ...], code: int) -> None:
    """Wrong use, names that can't be, places that can't be written."""
    assert call("keygen", *arguments).exit_code == code


def test_no_key_is_written_over() -> None:
    """The second call ends with 73, and neither file has changed; an old public part is in the way too."""
    good("keygen", "--cluster")
    good("keygen", "--server", "a")
    before = {path: path.read_bytes() for path in Path().glob("*.*") if path.is_file()}
    assert call("keygen", "--cluster").exit_code == 73
    assert call("keygen", "--server", "a").exit_code == 73
    Path("a.key").unlink()
    assert call("keygen", "--server", "a").exit_code == 73
    assert not Path("a.key").exists()
    assert len(read_cluster_key(Path("cluster.key"))) == 32
    assert all(path.read_bytes() == content for path, content in before.items() if path.exists())


def _cluster() -> None:
    """A roster of three nodes and an operator."""
    for arguments in NODES:
        good("keygen", *arguments)
    good("keygen", "--user", "ana", "-o", "ana.key")
    good("roster", "init", "--cluster", "recado")
    good("roster", "add", "server-1.pub", "--address", "tcp://10.0.0.1:5555")
    good("roster", "add", "broker.pub", "reference.key")
    good("roster", "add", "--operator", "ana.pub")


def test_a_roster_from_nothing(home: Path) -> None:
    """The file holds whom one added, shows it in words and as JSON, and passes its check."""
    _cluster()
    roster = Roster.read(home / "roster.toml")
    assert [(entry.role, entry.name) for entry in roster.entries] == [
        ("server", "server-1"),
        ("broker", "broker"),
        ("reference", "reference"),
        ("operator", "ana"),
    ]
    shown = json.loads(good("roster", "show", "--json").stdout)
    assert shown["entries"][0]["addresses"] == ["tcp://10.0.0.1:5555"]
    assert shown["entries"][3]["keys"] == [z85(read_identity(Path("ana.key")).public)]
    assert good("roster", "show").stdout.count("\n") == 4
    assert json.loads(good("roster", "check", "--json").stdout)["server"] == 1


def test_rotation_and_leaving(home: Path) -> None:
    """A further key, dialled first; the old one goes; a server that leaves stays as a former one."""
    _cluster()
    good("keygen", "--server", "server-1", "-o", "new/server-1.key")
    good("roster", "add", "--first", "new/server-1.pub")
    old, new = (read_identity(Path(path)) for path in ("server-1.key", "new/server-1.key"))
    assert Roster.read(home / "roster.toml").keys_of("server", "server-1") == (new.public, old.public)
    good("roster", "remove", "server-1", "--key", z85(old.public))
    assert Roster.read(home / "roster.toml").keys_of("server", "server-1") == (new.public,)
    good("roster", "remove", "server-1")
    assert Roster.read(home / "roster.toml").signing_keys("server-1")
    assert "former  server-1" in good("roster", "show").stdout


def test_rotate_in_two_steps(home: Path) -> None:
    """Between the steps both keys are good, afterwards only the new one; what comes next is said."""
    _cluster()
    good("keygen", "--server", "server-1", "-o", "new/server-1.key")
    old, new = (read_identity(Path(path)) for path in ("server-1.key", "new/server-1.key"))
    begun = good("roster", "rotate", "new/server-1.pub")
    assert "rotate --finish server-1" in begun.stderr
    assert Roster.read(home / "roster.toml").keys_of("server", "server-1") == (old.public, new.public)
    good("roster", "rotate", "--finish", "server-1")
    roster = Roster.read(home / "roster.toml")
    assert roster.keys_of("server", "server-1") == (new.public,)
    assert roster.signing_keys("server-1") == (old.signing_public, new.signing_public)
    assert call("roster", "rotate", "--finish", "server-1").exit_code == 1
    good("keygen", "--server", "server-9")
    assert call("roster", "rotate", "server-9.pub").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("init", "--cluster", "x"), 73, "exists already"),
        (("add", "server-1.pub"), 1, "already"),
        (("add", "ana.pub"), 1, "register themselves"),
        (("add", "--operator", "broker.pub"), 1, "operators are users"),
        (("add", "none.pub"), 78, "can't be read"),
        (("add", "server-1.pub", "--address", "10.0.0.1"), 2, "is not an address"),
        (("add", "ana.pub", "broker.pub", "--address", "tcp://h:1"), 2, "one FILE"),
        (("remove", "nobody"), 1, "is not in"),
        (("remove", "server-1", "--role", "broker"), 1, "no broker server-1"),
        (("remove", "server-1", "--key", "x"), 2, "40 characters"),
        (("show", "--roster", "none.toml"), 78, "can't be read"),
    ],
)
def test_what_roster_refuses(home: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A reason, an exit code, and the file as it was."""
    _cluster()
    before = (home / "roster.toml").read_bytes()
    result = call("roster", *arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert (home / "roster.toml").read_bytes() == before


def test_check_against_a_configuration(home: Path) -> None:
    """Members that the roster does not name are told with 78."""
    _cluster()
    config = Path("recado.toml")
    members = ", ".join(
        f'{{ name = "server-{n}", rank = {n}, address = "tcp://127.0.0.1:{n}" }}' for n in (1, 2)
    )
    config.write_text(f"[cluster]\nmembers = [{members}]\n")
    result = call("roster", "check", "--config", str(config))
    assert result.exit_code == 78
    assert "server-2 has no key" in result.stderr
    assert "server-1" not in result.stderr.replace("roster.toml", "")
    good("keygen", "--server", "server-2")
    good("roster", "add", "server-2.pub")
    good("roster", "check", "--config", str(config))


def test_whose_key_a_command_takes(home: Path) -> None:
    """The one given, else the user's, else the only one; else it says how to get one."""
    _cluster()
    roster = home / "roster.toml"
    with pytest.raises(Ended, match=r"recado keygen --user bia"):
        security_of(where(roster=roster), "bia")
    with pytest.raises(Ended, match="there are 0"):
        security_of(where(roster=roster))
    good("keygen", "--user", "bia")
    for asked in (security_of(where(roster=roster), "bia"), security_of(where(roster=roster))):
        assert asked is not None
        assert asked.identity.name == "bia"
    given = security_of(where(roster=roster, key=Path("ana.key")), "bia")
    assert given is not None
    assert given.identity.name == "ana"
    with pytest.raises(Ended, match="not of a user"):
        security_of(where(roster=roster, key=Path("server-1.key")))
    assert security_of(where()) is None
    with pytest.raises(Ended, match="--roster"):
        security_of(where(key=Path("ana.key")))


def test_a_roster_that_a_person_keeps_is_the_default(home: Path) -> None:
    """Without --roster the file in the configuration directory is used if it is there; '' says none."""
    found: list[Where] = []

    @click.command()
    @where_options
    def command(where: Where) -> None:
        found.append(where)

    def parse(*arguments: str, **env: str) -> Where:
        result = CliRunner().invoke(command, arguments, env={**os.environ, **env})
        assert result.exit_code == 0, result.output
        return found[-1]

    assert parse().roster is None
    _cluster()
    assert parse().roster == home / "roster.toml"
    assert parse("--roster", "").roster is None
    assert parse(RECADO_ROSTER="/r").roster == Path("/r")
    assert parse("--key", "k").key == Path("k")
