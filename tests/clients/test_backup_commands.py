"""`recado backup`, `recado restore`, `recado replica diff` as people call them."""

import json
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from recado.protocol import names
from recado.protocol.entry import EMPTY, seal
from recado.protocol.messages import Kind
from storage.replica import Batch, Replica

WORDS = "palavras que ninguém deve ver aqui"


def recado(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def told(*arguments: object) -> dict[str, object]:
    """The JSON of a command that ends well."""
    result = recado(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with server-1 and one message; the current directory is beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECADO_LANG", "en")
    entry = seal(
        EMPTY, origin="server-1.0000000000000001", lamport=1, wall_ms=0, kind=Kind.CHANNEL_MESSAGE,
        author=names.uid("ana"), id=None, target="geral", prev=0, body=WORDS.encode(),
    )  # fmt: skip
    with closing(Replica.open(tmp_path / "var" / "server-1", node="server-1")) as replica:
        replica.stage(Batch(entries=[entry]))
        replica.commit()
    return tmp_path / "var"


def configured(data: Path) -> Path:
    """A configuration of that node with a key beside it."""
    home = data.parent / "etc"
    (home / "conf.d").mkdir(parents=True)
    (home / "node.key").write_text("secret")
    (home / "recado.toml").write_text(
        f'[node]\nname = "server-1"\ndata = "{data / "server-1"}"\n[cluster]\nid = "casa"\n'
        f'[security]\nkey = "{home / "node.key"}"\n'
    )
    (home / "conf.d" / "more.toml").write_text("[disk]\nprobe_seconds = 3\n")
    return home / "recado.toml"


def test_there_and_back(data: Path) -> None:
    """Named after node and time, sound by `verify`, restored as another node, equal by `diff`."""
    result = recado("backup")
    assert result.exit_code == 0, result.output
    (file,) = data.parent.glob("recado-server-1-*Z.tar")
    assert "1 entries" in result.stderr
    assert told("backup", "verify", file)["sound"] is True
    assert recado("restore", file).exit_code == 73
    assert told("restore", file, "--as", "server-2")["node"] == "server-2"
    replicas = [data / name / "replica.db" for name in ("server-1", "server-2")]
    same = recado("replica", "diff", *replicas)
    assert (same.exit_code, same.stderr) == (0, "1 of 1 logs are equal\n")
    assert WORDS not in same.stdout


def test_a_running_node_is_left_alone(data: Path) -> None:
    """73, and words that name the process, while a server has the directory."""
    file = told("backup", "-o", "b.tar")["file"]
    with closing(Replica.open(data / "server-1", node="server-1")):
        result = recado("restore", file, "--replace")
    assert result.exit_code == 73
    assert "in use by process" in result.stderr


def test_keys_go_along_only_when_asked(data: Path) -> None:
    """With --config the settings, with --with-keys the keys; they come back with --settings, keys private."""
    config = configured(data)
    plain = Path(str(told("backup", "--config", config, "-o", "plain.tar")["file"]))
    keyed = told("backup", "--config", config, "--with-keys", "-o", "keyed.tar")
    with tarfile.open(plain) as tar:
        assert tar.getnames() == [
            "manifest.json", "replica.db", "settings/recado.toml", "settings/conf.d/more.toml",
        ]  # fmt: skip
    assert b"secret" not in plain.read_bytes()
    assert keyed["manifest"]["cluster"] == "casa"  # type: ignore[index]
    told("restore", "keyed.tar", "--dir", "new", "--settings", "back")
    key = Path("back/keys/node.key")
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("secret", 0o600)
    assert Path("back/settings/conf.d/more.toml").exists()
    assert recado("backup", "--with-keys").exit_code == 2


def test_a_changed_backup_fails(data: Path) -> None:
    """One flipped byte: exit code 1, and which file it is in on standard output."""
    told("backup", "-o", "b.tar")
    content = bytearray(Path("b.tar").read_bytes())
    content[30_000] ^= 1
    Path("b.tar").write_bytes(content)
    result = recado("backup", "verify", "b.tar")
    assert result.exit_code == 1
    assert "replica.db does not match its hash" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["backup", "server-9"], 65),
        (["backup", "--data", "nowhere"], 78),
        (["backup", "-o", "etc.tar"], 73),
        (["backup", "verify", "etc.tar"], 65),
        (["backup", "-o", "-", "--json"], 2),
        (["restore", "etc.tar"], 65),
        (["replica", "diff", "etc.tar", "etc.tar"], 65),
    ],
)
def test_refusals_have_their_codes(data: Path, arguments: list[str], code: int) -> None:
    """What can't be done says so with the exit code of its kind, and leaves nothing behind."""
    Path("etc.tar").write_text("no backup")
    result = recado(*arguments)
    assert result.exit_code == code, result.output
    assert sorted(path.name for path in data.parent.iterdir()) == ["etc.tar", "var"]


def test_a_manifest_is_shown(data: Path) -> None:
    """As text and as JSON; nothing that was said is in it."""
    told("backup", "-o", "b.tar")
    shown = recado("backup", "show", "b.tar")
    assert shown.exit_code == 0
    assert "node  server-1" in shown.stdout
    assert WORDS not in shown.stdout
    assert told("backup", "show", "b.tar")["manifest"]["entries"] == 1  # type: ignore[index]


def test_older_ones_go(data: Path) -> None:
    """With --keep a directory holds so many of the node; without a directory it is refused."""
    nights = data.parent / "nights"
    nights.mkdir()
    for day in (1, 2, 3):
        (nights / f"recado-server-1-2020010{day}T033000Z.tar").touch()
    made = told("backup", "server-1", "--data", data, "-o", nights, "--keep", 2)
    assert [Path(str(path)).name for path in made["deleted"]] == [  # type: ignore[attr-defined]
        "recado-server-1-20200101T033000Z.tar",
        "recado-server-1-20200102T033000Z.tar",
    ]
    assert Path(str(made["file"])).exists()
    assert (data / "server-1" / "last-backup").read_text() == Path(str(made["file"])).name + "\n"
    assert recado("backup", "server-1", "--data", data, "-o", "one.tar", "--keep", 2).exit_code == 2
