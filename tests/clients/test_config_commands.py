"""`recado config check|show`: what is wrong is found with file and line, and where each value comes from."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.setup.origins import lines_of
from recado.config import Config, describe
from recado.keys import identity_text, make_identity, read_identity, z85

THREE = ("n1=10.77.0.11", "n2=10.77.0.12", "n3=10.77.0.13")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a first node, as `recado init` makes it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RECADO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RECADO_SECURITY__ROSTER", str(tmp_path / "etc/recado/roster.toml"))
    made = CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, ["init", f"--root={tmp_path}", *THREE])
    assert made.exit_code == 0, made.output
    return tmp_path / "etc/recado/recado.toml"


def call(*arguments: str) -> Result:
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, ["config", *arguments])


def wrong(*arguments: str) -> list[dict[str, Any]]:
    """The problems that are told, in words and as JSON."""
    assert call("check", *arguments).exit_code == 78
    told = call("check", "--json", *arguments)
    assert told.exit_code == 78
    document = json.loads(told.stdout)
    assert document["valid"] is False
    found: list[dict[str, Any]] = document["problems"]
    return found


def test_what_init_wrote_is_in_order(config: Path) -> None:
    """Nothing is wrong; the nodes whose keys are here are named."""
    result = call("check", str(config))
    assert result.exit_code == 0, result.output
    assert "3 members, keys here: broker, n1, reference" in result.stderr
    assert json.loads(call("check", str(config), "--json").stdout)["valid"] is True


def test_a_misspelt_setting_is_found_with_its_line(config: Path) -> None:
    """File, line and the name that was meant."""
    here = config.parent / "conf.d/here.toml"
    here.write_text(here.read_text().replace("[server]\nlisten", "[server]\nlissten"))
    line = here.read_text().splitlines().index('lissten = "tcp://10.77.0.11:5555"') + 1
    (problem,) = wrong(str(config))
    assert (problem["source"], problem["line"], problem["key"]) == (str(here), line, "server.lissten")
    assert (
        f"{here}:{line}: server.lissten: unknown; did you mean server.listen?"
        in call("check", str(config)).stderr
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("mode", "chmod 600"),
        ("world", "chmod o-w"),
        ("no roster", "can't be read"),
        ("stranger", "does not name this key"),
        ("no cluster key", "recado.cluster.key"),
        ("member", "none of cluster.members"),
        ("listen", "where cluster.members says"),
        ("reference", "where cluster.reference says"),
        ("broker", "where cluster.brokers says"),
        ("cluster", "is of cluster recado"),
    ],
)
def test_what_no_single_setting_shows(config: Path, damage: str, said: str) -> None:
    """Rights, keys, roster, and whether this node is where the cluster expects it."""
    keys = config.parents[1] / "credstore"
    n1, here, arguments = keys / "recado.n1.key", config.parent / "conf.d/here.toml", [str(config)]
    if damage == "mode":
        n1.chmod(0o644)
    elif damage == "world":
        here.chmod(0o666)
    elif damage == "no roster":
        (config.parent / "roster.toml").unlink()
    elif damage == "stranger":
        n1.write_text(identity_text(make_identity("server", "n1")))
    elif damage == "no cluster key":
        (keys / "recado.cluster.key").unlink()
    elif damage == "member":
        members = '[{name = "n2", rank = 2, address = "tcp://10.77.0.12:5555"}]'
        (config.parent / "conf.d/z.toml").write_text(f"[cluster]\nmembers = {members}\n")
    elif damage == "cluster":
        arguments += ["--set", "cluster.id=other"]
    else:
        key = {"listen": "server.listen", "reference": "reference.listen", "broker": "broker.xpub"}[damage]
        arguments += ["--set", f"{key}=tcp://10.77.0.11:9999"]
    assert any(said in problem["expected"] for problem in wrong(*arguments))


def test_without_a_file_it_says_what_makes_one(tmp_path: Path) -> None:
    """78, and `recado init` is named."""
    result = call("check", str(tmp_path / "none.toml"))
    assert result.exit_code == 78
    assert "recado init" in result.stderr


def test_a_cluster_without_keys_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example file is in order; listening beyond loopback without keys is not."""
    monkeypatch.delenv("RECADO_SECURITY__ROSTER")
    example = Path(__file__).parents[2] / "systemd/recado.example.toml"
    assert call("check", str(example)).exit_code == 0
    assert "loopback" in wrong(str(example), "--set", "server.listen=tcp://10.0.0.1:1")[0]["expected"]


def test_what_is_shown_is_the_configuration(config: Path) -> None:
    """As TOML it is what the daemons have, whatever it was put together from."""
    shown = msgspec.convert(tomllib.loads(call("show", str(config)).stdout), Config)
    assert [one.name for one in shown.cluster.members] == ["n1", "n2", "n3"]
    assert shown.server.listen == "tcp://10.77.0.11:5555"
    again = msgspec.convert(tomllib.loads(call("show", str(config), "--origin").stdout), Config)
    assert again == shown


def test_each_value_tells_where_it_comes_from(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag, a variable, two files with lines, and the default; all settings are there."""
    monkeypatch.setenv("RECADO_TIMINGS__SYNC_SECONDS", "30")
    told = json.loads(call("show", str(config), "--json", "--set", "log.level=debug").stdout)["settings"]
    assert set(told) == {setting.key for setting in describe() if "[]" not in setting.key}
    assert told["log.level"] == {"value": "debug", "origin": "--set", "line": None}
    assert told["timings.sync_seconds"]["origin"] == "RECADO_TIMINGS__SYNC_SECONDS"
    assert told["cluster.id"]["origin"] == str(config)
    assert config.read_text().splitlines()[told["cluster.id"]["line"] - 1] == 'id = "recado"'
    assert told["server.listen"]["origin"] == str(config.parent / "conf.d/here.toml")
    assert told["server.mode"] == {"value": "available", "origin": "default", "line": None}
    changed = call("show", str(config), "--changed", "--origin").stdout
    assert f'id = "recado"  # {config}:{told["cluster.id"]["line"]}' in changed
    assert "mode" not in changed


def test_no_secret_is_shown(config: Path) -> None:
    """Neither a key nor the cluster key appears in anything that these commands say."""
    keys = config.parents[1] / "credstore"
    secrets = [
        z85(read_identity(keys / f"recado.{name}.key").secret) for name in ("n1", "broker", "reference")
    ]
    secrets.append((keys / "recado.cluster.key").read_text().strip())
    said = [
        call(*words, str(config)).output for words in (("show", "--origin"), ("show", "--json"), ("check",))
    ]
    assert all(secret not in text for secret in secrets for text in said)


def test_lines_are_found_by_form(tmp_path: Path) -> None:
    """Tables, arrays of tables, dotted keys, comments and lists over several lines."""
    file = tmp_path / "x.toml"
    file.write_text(
        'cluster.id = "a" # x\n[server] # y\n  mode = "quorum"\n[broker]\nservers = [\n "tcp://h:1",\n]\n'
        '[[cluster.members]]\nname = "a"\n'
    )
    assert lines_of(file) == {
        "cluster.id": 1,
        "server": 2,
        "server.mode": 3,
        "broker": 4,
        "broker.servers": 5,
        "cluster.members": 8,
        "cluster.members.name": 9,
    }
    assert lines_of(tmp_path / "none.toml") == {}
