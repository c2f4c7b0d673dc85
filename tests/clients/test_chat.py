"""The chat: through a pipe, and on a terminal of 80 x 24."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import OnSockets

pytestmark = pytest.mark.system
TURN_SECONDS = 15
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]|\r")


def environment(cluster: OnSockets, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "RECADO_REFERENCE": cluster.reference,
        "RECADO_STATE": str(cluster.state),
        "RECADO_LANG": "en",
        **more,
    }


def piped(cluster: OnSockets, lines: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`recado chat` with these lines on standard input."""
    return subprocess.run(
        [sys.executable, "-m", "clients.cli", "chat", *arguments],
        input=lines,
        capture_output=True,
        text=True,
        env=environment(cluster, **more),
        timeout=30,
        check=False,
    )


def test_words_are_found(sockets: OnSockets) -> None:
    """`/search` shows what is found, and says so if nothing is."""
    ended = piped(sockets, "/login ana\n/create geral\noi gente\n/search gente\n/buscar nunca dito\n")
    assert ended.stdout.splitlines()[-1].endswith("#geral <ana> oi gente")
    assert ended.stderr.splitlines()[-1] == "nothing found"


def test_plain_lines_in_and_out(sockets: OnSockets) -> None:
    """Everything typed into a pipe is carried out in order, messages on stdout, words on stderr."""
    ended = piped(sockets, "/login ana\n/create geral\noi gente\n/users\n/history\n/dance\n")
    assert ended.returncode == 1  # a command that there is none of
    sent, users, *history = ended.stdout.splitlines()
    assert sent.endswith("#geral <ana> oi gente ✓✓")
    assert users == "ana"
    assert history[0].endswith("#geral <ana> oi gente")
    assert ended.stderr.splitlines() == [
        "you are ana",
        "channel geral created",
        "you are on #geral",
        "! there is no command /dance; see /help",
    ]
    assert [m["message"] for m in sockets.server.shared.messages] == ["oi gente"]


def test_last_line_without_a_line_break_counts(sockets: OnSockets) -> None:
    """What is typed before the end of the input is said, even without a final line break."""
    piped(sockets, "/create geral\noi", "--user", "ana")
    assert [m["message"] for m in sockets.server.shared.messages] == ["oi"]


def test_input_from_a_file(sockets: OnSockets, tmp_path: Path) -> None:
    """A regular file as standard input works as a pipe does."""
    script = tmp_path / "script"
    script.write_text("/create geral\noi\n")
    with script.open() as lines:
        subprocess.run(
            [sys.executable, "-m", "clients.cli", "chat", "--user", "ana"],
            stdin=lines,
            capture_output=True,
            env=environment(sockets),
            timeout=30,
            check=True,
        )
    assert [m["message"] for m in sockets.server.shared.messages] == ["oi"]


def test_strangers_are_told_what_to_do(sockets: OnSockets) -> None:
    """Without a login, without a channel and with a missing user or channel one is told what helps."""
    ended = piped(sockets, "oi\n/join nada\n/msg bob x\n/login ana\noi\n/msg bob x\n/leave\n")
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "! first: /login YOURNAME",
        "! there is no channel nada; /create nada makes it",
        "! first: /login YOURNAME",
        "you are ana",
        "! on no channel; /channels and /join NAME",
        "! That user does not exist",
        "! on no channel; /channels and /join NAME",
    ]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("/create geral\noi\n", 0),
        ("oi\n", 1),
        ("/join nada\n", 1),
        ("/msg ninguem x\n", 1),
        ("/create servers\n", 1),
        ("/history\n", 1),
    ],
)
def test_scripts_learn_what_was_refused(sockets: OnSockets, lines: str, code: int) -> None:
    """Through a pipe the exit code is 1 if anything that was typed was not carried out."""
    assert piped(sockets, lines, "--user", "ana").returncode == code


def test_scripts_are_not_heard_elsewhere(sockets: OnSockets) -> None:
    """What follows a /join or /create that failed is said nowhere, not on the channel of before."""
    lines = "/create geral\num\n/join nada\ndois\n/join geral\ntrês\n/create servers\nquatro\n"
    assert piped(sockets, lines, "--user", "ana").returncode == 1
    assert [m["message"] for m in sockets.server.shared.messages] == ["um", "três"]


@pytest.mark.slow
def test_scripts_learn_what_waits(sockets: OnSockets) -> None:
    """A message that no server has confirmed by the end makes the exit code 75."""

    def lose_replies(asked: Any) -> None:
        sockets.server.lost_replies = int(asked.service == "publish")

    sockets.server.on_request = lose_replies
    ended = piped(sockets, "/create geral\noi\n", "--user", "ana", "--timeout", "2")
    assert ended.returncode == 75, ended.stderr


def test_the_menu_by_pipe_in_portuguese(sockets: OnSockets) -> None:
    """A newcomer reaches a first message by numbers alone."""
    ended = piped(sockets, "/menu\n1\nana\n/menu\n4\ngeral\n/menu\n6\noi\n/menu\n0\n", RECADO_LANG="pt_BR")
    assert ended.returncode == 0
    assert "  1  entrar com um nome" in ended.stderr
    assert ended.stdout.splitlines()[-1].endswith("#geral <ana> oi ✓✓")


def test_other_peoples_text_does_not_act(sockets: OnSockets) -> None:
    """Escape sequences in a message reach the terminal as visible text."""
    piped(sockets, "/create geral\n", "--user", "ana")
    sockets.server.say({"channel": "geral", "user": "e\x07va"}, "\x1b]0;gotcha\x07", publish=False)
    ended = piped(sockets, "/history\n", "--user", "ana", "geral")
    assert "\x1b" not in ended.stdout
    assert "<e\\u{7}va> \\u{1b}]0;gotcha\\u{7}" in ended.stdout


class Terminal:
    """`recado chat` on a pseudo-terminal of 80 columns and 24 lines."""

    def __init__(self, cluster: OnSockets, *arguments: str, **more: str) -> None:
        self.cluster = cluster
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clients.cli", "chat", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(cluster, TERM="xterm", **more),
            start_new_session=True,
        )
        os.close(slave)
        self._master = master
        self.raw = b""
        self._seen = 0

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str) -> str:
        """What was shown since the last call, up to and with `text`."""
        deadline = time.monotonic() + TURN_SECONDS
        while True:
            shown = _ESCAPES.sub(b"", self.raw[self._seen :]).decode("utf-8", "replace")
            if text in shown:
                self._seen = len(self.raw)
                return shown
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; shown: {shown[-800:]!r}"
            if select.select([self._master], [], [], left)[0]:
                self._read()

    def _read(self) -> None:
        piece = os.read(self._master, 65_536)
        self.raw += piece
        if b"\x1b[6n" in piece:  # a terminal answers where its cursor is
            os.write(self._master, b"\x1b[20;1R")

    def close(self) -> int:
        """The exit code once it has ended."""
        deadline = time.monotonic() + TURN_SECONDS
        while self.process.poll() is None and (left := deadline - time.monotonic()) > 0:
            if select.select([self._master], [], [], min(left, 0.2))[0]:
                try:
                    self._read()
                except OSError:
                    break
        code = self.process.wait(TURN_SECONDS)
        os.close(self._master)
        return code


@pytest.fixture
def terminal(sockets: OnSockets) -> Iterator[Terminal]:
    """Ana, logged in on #geral."""
    piped(sockets, "/create geral\n", "--user", "ana")
    there = Terminal(sockets, "--user", "ana", "geral")
    there.until("you are on #geral")
    there.until("[#geral]")
    yield there
    if there.process.poll() is None:
        there.process.kill()
        there.process.wait()


def test_typed_line_stays_while_messages_arrive(terminal: Terminal) -> None:
    """Half a sentence is still there, and whole, after somebody else's message was shown above it."""
    terminal.type("half a")
    terminal.until("half a")
    say = terminal.cluster.server.say
    terminal.cluster.portal.call(say, {"channel": "geral", "user": "eva"}, "excuse me")
    shown = terminal.until("#geral <eva> excuse me")
    shown += terminal.until("[#geral] half a")  # drawn again below it
    terminal.type(" sentence\r")
    terminal.until("#geral <ana> half a sentence ✓✓")
    terminal.type("/quit\r")
    assert terminal.close() == 0


def test_neither_the_mouse_nor_the_screen_is_taken(terminal: Terminal) -> None:
    """No alternate screen, no mouse reports, and no line longer than the terminal from our own words."""
    terminal.type("/help\r")
    terminal.until("arrows repeat")
    terminal.until("[#geral]")  # drawn again below: it reads keys
    terminal.type("\x04")
    assert terminal.close() == 0
    assert not re.search(rb"\x1b\[\?(1049|1000|1002|1003|1006|47)h", terminal.raw)


def test_ctrl_c_twice_leaves(terminal: Terminal) -> None:
    """The first Ctrl-C throws the line away, the second leaves."""
    terminal.type("never mind")
    terminal.until("never mind")
    terminal.type("\x03")
    terminal.until("[#geral]")
    terminal.type("\x03")
    assert terminal.close() == 0
    assert not terminal.cluster.server.shared.messages


def test_hang_up_leaves(terminal: Terminal) -> None:
    """A lost SSH connection (SIGHUP) ends the chat."""
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.close() == 0


@pytest.mark.slow
def test_reconnects_by_itself(terminal: Terminal) -> None:
    """While nobody answers it says so; afterwards it tells how many messages were fetched."""
    server = terminal.cluster.server
    server.mute = True
    terminal.until("nobody answers; trying again")
    server.say({"channel": "geral", "user": "eva"}, "while you were away", publish=False)
    server.mute = False
    shown = terminal.until("missed messages fetched")
    assert "while you were away" in shown
    assert "reconnected, 1 missed messages fetched" in shown
    terminal.type("/quit\r")
    terminal.close()
