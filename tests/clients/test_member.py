"""`recado member`: the list of members in a node's configuration; `recado replica quarantine`."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from recado.config import load
from recado.protocol.messages import Kind
from storage.replica import Batch, Quarantined, Replica
from tests.daemons.server.peer_frames import ORIGIN, log_of

THREE = [{"name": f"server-{n}", "rank": n, "address": f"tcp://127.0.0.1:{7000 + n}"} for n in (1, 2, 3)]
FOURTH = ("member", "add", "server-4", "--rank", "4", "--address", "tcp://127.0.0.1:7004")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node's configuration file with three members."""
    path = tmp_path / "recado.toml"
    lines = ["[cluster]", "members = ["]
    lines += [f'  {{ name = "{m["name"]}", rank = {m["rank"]}, address = "{m["address"]}" }},' for m in THREE]
    path.write_text("\n".join([*lines, "]", ""]))
    return path


def call(*arguments: str, config: Path | None = None) -> Result:
    where = [] if config is None else ["--config", str(config)]
    return CliRunner(env={"RECADO_LANG": "en"}).invoke(cli, [*arguments, *where])


def names(config: Path) -> list[str]:
    """The members as the daemons would read them."""
    return [one.name for one in load(config, env={}).cluster.members]


def test_a_fourth_server_is_added_and_removed(config: Path) -> None:
    """The daemons read the list that was written; removing gives the list of before."""
    assert call(*FOURTH, config=config).exit_code == 0
    assert names(config) == ["server-1", "server-2", "server-3", "server-4"]
    written = tomllib.loads((config.parent / "conf.d" / "members.toml").read_text())
    assert written["cluster"]["members"][3] == {
        "name": "server-4",
        "rank": 4,
        "address": "tcp://127.0.0.1:7004",
    }
    assert call("member", "remove", "server-4", config=config).exit_code == 0
    assert names(config) == ["server-1", "server-2", "server-3"]


def test_every_node_gets_the_same_file(config: Path, tmp_path: Path) -> None:
    """The same command on another node with the same list writes the same bytes."""
    other = tmp_path / "other" / "recado.toml"
    other.parent.mkdir()
    other.write_text(config.read_text())
    for path in (config, other):
        assert call(*FOURTH, config=path).exit_code == 0
    files = [path.parent / "conf.d" / "members.toml" for path in (config, other)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_dry_run_writes_nothing(config: Path) -> None:
    """The file is shown as it would be, and is not there."""
    shown = call(*FOURTH, "--dry-run", config=config)
    assert tomllib.loads(shown.stdout)["cluster"]["members"][3]["name"] == "server-4"
    assert not (config.parent / "conf.d").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("member", "add", "server-2", "--rank", "9", "--address", "tcp://h:1"), "name server-2"),
        (("member", "add", "server-9", "--rank", "2", "--address", "tcp://h:1"), "rank 2"),
        (
            ("member", "add", "server-9", "--rank", "9", "--address", "tcp://127.0.0.1:7001"),
            "address tcp://127.0.0.1:7001",
        ),
        (("member", "add", "bad name", "--rank", "9", "--address", "tcp://h:1"), "makes no member"),
        (("member", "add", "server-9", "--rank", "0", "--address", "tcp://h:1"), "makes no member"),
        (("member", "add", "server-9", "--rank", "9", "--address", "h:1"), "makes no member"),
        (("member", "remove", "server-9"), "not in the list"),
    ],
)
def test_what_is_wrong_is_refused(config: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 1, a reason, and no file."""
    result = call(*arguments, config=config)
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (config.parent / "conf.d").exists()


def test_the_last_member_stays(tmp_path: Path) -> None:
    """A cluster of one can't be emptied."""
    path = tmp_path / "recado.toml"
    path.write_text('[cluster]\nmembers = [{ name = "a", rank = 1, address = "tcp://h:1" }]\n')
    assert call("member", "remove", "a", config=path).exit_code == 1


def test_a_file_with_the_last_word_is_told(config: Path) -> None:
    """If another file of conf.d decides the members, the command says so instead of seeming to work."""
    conf = config.parent / "conf.d"
    conf.mkdir()
    (conf / "zz.toml").write_text('[cluster]\nmembers = [{ name = "a", rank = 1, address = "tcp://h:1" }]\n')
    result = call("member", "add", "b", "--rank", "2", "--address", "tcp://h:2", config=config)
    assert result.exit_code == 78
    assert "last word" in result.stderr


def test_list_in_words_and_json(config: Path) -> None:
    """Both forms name each member with rank and address."""
    assert "server-2  rank 2  tcp://127.0.0.1:7002" in call("member", "list", config=config).stdout
    told: dict[str, Any] = json.loads(call("member", "list", "--json", config=config).stdout)
    assert told["members"] == THREE


def test_a_broken_configuration_is_told(tmp_path: Path) -> None:
    """Exit code 78 with the file's name."""
    path = tmp_path / "recado.toml"
    path.write_text("[cluster\n")
    result = call("member", "list", config=path)
    assert result.exit_code == 78
    assert "recado.toml" in result.stderr


def test_quarantine_is_shown(tmp_path: Path) -> None:
    """An entry that can't be shown, what a peer was refused, and the origin that was stopped for it."""
    with_poison = log_of(ORIGIN, 3, text=" ")  # messages without a text: legal for the log, not for people
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    forged = Quarantined("server-3.00000000000000cc", 7, "forked", b"\x92\x01", "server-3")
    replica.stage(Batch(entries=with_poison, quarantined=[forged], states={ORIGIN: "forked"}))
    replica.commit()
    replica.close()
    assert with_poison[0].kind == Kind.CHANNEL_MESSAGE
    shown = call("replica", "quarantine", "--data", str(tmp_path)).stdout
    assert f"{ORIGIN}/2  text_empty  in the log" in shown
    assert "server-3.00000000000000cc/7  forked  from server-3" in shown
    assert f"{ORIGIN}  forked: nothing more of it is taken" in shown
    rows = [
        json.loads(line)
        for line in call(
            "replica", "quarantine", "--data", str(tmp_path), "--json", "--direct"
        ).stdout.splitlines()
    ]
    assert {row.get("raw") for row in rows if row.get("from_node")} == {"9201"}


def test_an_empty_quarantine_is_said(tmp_path: Path) -> None:
    """Nothing on standard output, one line for people."""
    Replica.open(tmp_path / "server-1", node="server-1").close()
    result = call("replica", "quarantine", "--data", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing is quarantined" in result.stderr
