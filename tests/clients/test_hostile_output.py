"""What other people and servers write reaches nobody's terminal but as text."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from recado.protocol.printable import acts
from tests.clients.conftest import OnSockets, on_sockets
from tests.clients.hostile_forum import HOSTILE, HostileForum
from tests.clients.test_chat import Terminal

pytestmark = pytest.mark.system
READS = (
    ("users",),
    ("channels",),
    ("history", "geral"),
    ("history", "--direct"),
    ("tail",),
    ("tail", "--direct"),
    ("sync",),
    ("status",),
    ("channel", "info", "geral"),
    ("user", "list"),
    ("user", "show", "eva"),
    ("user", "keys", "eva"),
    ("audit",),
)
WRITES = (
    ("channel", "topic", "geral", HOSTILE.replace("\x00", "")),
    ("channel", "ban", "geral", "eva", "--reason", HOSTILE.replace("\x00", "")),
    ("user", "suspend", "eva"),
    ("publish", "geral", "oi"),
    ("dm", "ana", "oi"),
)
# What would act: title, clipboard, wipe, eight-bit CSI, turned and hidden text, a pile of marks, a bell.
PAYLOADS = ("\x1b]0;", "\x1b]52;", "\x1b[2J\x1b[H", "\x9b31m", "\u202egpj", "\u200b", "\u0301" * 9, "\x07")


@pytest.fixture(scope="module")
def forum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnSockets]:
    """A hostile server with messages."""
    server = HostileForum()
    with on_sockets(server, tmp_path_factory.mktemp("forum")) as there:
        for where in ({"channel": "geral", "user": HOSTILE}, {"src": f"eva{HOSTILE}", "dst": "ana"}):
            server.say(where, HOSTILE, publish=False)
        yield there


def harmless(text: str) -> bool:
    return not any(acts(line.replace("\t", "")) for line in text.split("\n"))


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
@pytest.mark.parametrize("command", [*READS, *WRITES], ids=lambda command: " ".join(command)[:30])
def test_nothing_acts(forum: OnSockets, command: tuple[str, ...], *, as_json: bool) -> None:
    """Every command shows a hostile server's and other people's words as text, in JSON without loss."""
    result = forum.run(*command, *(("--json",) if as_json else ()), "--user", "ana")
    assert harmless(result.stdout)
    assert harmless(result.stderr)
    for line in result.stdout.splitlines() if as_json else ():
        json.loads(line)


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
@pytest.mark.parametrize("command", [*READS, *WRITES], ids=lambda command: " ".join(command)[:30])
def test_refusals_do_not_act(forum: OnSockets, command: tuple[str, ...], *, as_json: bool) -> None:
    """The words of a refusal, and the reason in it, are text on one line."""
    assert isinstance(forum.server, HostileForum)
    forum.server.refuse = {"status": "erro", "code": "novo", "message": HOSTILE, "reason": HOSTILE}
    try:
        result = forum.run(*command, *(("--json",) if as_json else ()), "--user", "ana")
    finally:
        forum.server.refuse = None
    assert result.exit_code == 1
    assert harmless(result.stdout)
    assert harmless(result.stderr)
    assert result.stderr.startswith("recado: ")
    assert result.stderr.count("\n") == 1


def test_wrong_usage_does_not_act(forum: OnSockets) -> None:
    """What click repeats of a script's arguments is text too."""
    word = HOSTILE.replace("\x00", "")
    for arguments in (
        (word,),
        ("channel", word),
        ("users", word),
        ("users", f"--{word}"),
        ("history", "--before", word, "x"),
    ):
        result = forum.run(*arguments)
        assert result.exit_code == 2
        assert harmless(result.stderr)


def test_a_terminal_survives(forum: OnSockets, tmp_path: Path) -> None:
    """On a pty: prompt, topic, /info, lists, completion, messages, refusals; no payload arrives as bytes."""
    assert isinstance(forum.server, HostileForum)
    there = Terminal(
        OnSockets(forum.server, forum.address, forum.broker, forum.reference, tmp_path, forum.portal)
    )
    try:
        there.until("[-]")
        there.type("/join geral\r")
        there.until("[#geral private moderated]")
        for line, shown in (
            ("/users", "ana"),
            ("/channels", "#geral"),
            ("/info", "banned"),
            ("/topic", "#geral: "),
            ("/history", "<"),
            ("/status", "coordinator"),
        ):
            there.type(f"{line}\r")
            there.until(shown)
        there.type("/msg e\t")  # Eva's whole name would act: nothing is put into the line
        there.until("/msg e")
        there.type("\x15")
        forum.server.refusing = ("history",)
        there.type("/history\r")
        there.until("! you are muted on #geral: ")
        there.type("/quit\r")
        there.close()
    finally:
        forum.server.refusing = ()
        there.process.kill()
    shown = there.raw.decode("utf-8", "backslashreplace")
    assert [payload for payload in PAYLOADS if payload in shown] == []
