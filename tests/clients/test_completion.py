"""What Tab shows: commands without loading them, and names from a replica of this host."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete

from clients import completion
from clients.cli import COMMANDS, COMPLETING, cli
from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, seal
from recado.protocol.messages import Kind
from storage.replica import Batch, Replica

ORIGIN = "server-1.0000000000000001"
STRANGE = ("$(reboot)", "two words", "*", "-n", "a;b", "`id`", "x\u202ey")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of nodes with one replica: users, channels, one private, some with strange names."""
    monkeypatch.setenv(COMPLETING, "bash_complete")
    monkeypatch.setenv("RECADO_DATA", str(tmp_path))
    monkeypatch.setattr(completion, "INSTALLED", tmp_path / "nowhere")
    head, entries = EMPTY, []
    said: list[tuple[int, str, bytes]] = [
        (Kind.LOGIN, name, b"") for name in ("ana", "beto", "álvaro", *STRANGE)
    ]
    said += [(Kind.CHANNEL, name, b"") for name in ("geral", "jogos", *STRANGE)]
    said.append((Kind.CHANNEL, "junta", json.dumps({"private": True}).encode()))
    for lamport, (kind, name, body) in enumerate(said, start=1):
        author = names.uid(name) if kind == Kind.LOGIN else names.uid("ana")
        place: dict[str, Any] = {"origin": ORIGIN, "lamport": lamport, "wall_ms": 0, "prev": 0, "id": None}
        entries.append(seal(head, kind=kind, body=body, author=author, target=name, **place))
        head = Head(entries[-1].seq, lamport, entries[-1].hash)
    with closing(Replica.open(tmp_path / "server-1", node="server-1")) as store:
        store.stage(Batch(entries=entries))
        store.commit()
    return tmp_path


def _shown(*words: str) -> list[str]:
    *args, incomplete = words
    found = BashComplete(cli, {}, "recado", COMPLETING).get_completions(args, incomplete)
    return [item.value for item in found]


def test_commands_come_with_their_help_and_without_their_modules() -> None:
    """Every command is offered with its line of help, and no command's module was loaded for that."""
    script = (
        "import sys; from click.shell_completion import BashComplete; from clients.cli import cli\n"
        "shown = BashComplete(cli, {}, 'recado', 'X').get_completions([], '')\n"
        "print(*(f'{item.value}:{item.help}' for item in shown), sep='\\n')\n"
        "print('trio' in sys.modules, 'storage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *shown, loaded = done.stdout.splitlines()
    assert shown == [f"{name}:{text}" for name, _, _, text in COMMANDS]
    assert loaded == "False False"


def test_options_of_recado_itself_are_shown() -> None:
    """Before a command there are the options that need none."""
    assert _shown("--v") == ["--version"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("publish", "g"), ["geral"]),
        (("publish", "--user", "a"), ["ana"]),
        (("dm", ""), ["ana", "beto", "álvaro"]),
        (("chat", "geral", "j"), ["jogos"]),
        (("history", ""), ["geral", "jogos", "ana", "beto", "álvaro"]),
        (("channel", "op", "geral", "b"), ["beto"]),
        (("publish", "geral", ""), []),
        (("login", ""), []),
        (("search", "oi", "--channel", "j"), ["jogos"]),
        (("search", "oi", "--author", "b"), ["beto"]),
    ],
)
def test_names_come_from_a_replica(data: Path, words: tuple[str, ...], expected: list[str]) -> None:
    """Where a channel or user is asked for, those that begin so are shown; nothing a shell would act on."""
    assert _shown(*words) == expected


def test_private_channels_are_not_shown(data: Path) -> None:
    """A channel that is or was private is completed for nobody."""
    assert _shown("publish", "ju") == []


def test_a_replica_that_cannot_be_read_is_nothing_to_tell(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged file, or none, gives no names and no word on the terminal."""
    (data / "server-1" / "replica.db").write_bytes(b"not a replica" * 400)
    assert _shown("publish", "g") == []
    (data / "server-1" / "replica.db").unlink()
    assert _shown("publish", "g") == []
    assert capfd.readouterr() == ("", "")
