"""Logins over a real OpenSSH at two nodes, as docs/ssh.md has it: who gets in, for what, until when."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from machine import NEEDS
from ssh_nodes import ACCOUNT_UID, Nodes, ssh_nodes

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS, "sshd", "ssh")]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ssh_nodes() as found:
        yield found


def test_the_page_is_followed(nodes: Nodes) -> None:
    """The nodes are set up and the keys added as docs/ssh.md says; what it says of talking works as typed."""
    shown = nodes.follow("Talking")
    assert "<ana> bom dia, gente" in shown
    assert "<ana> olá" in shown
    assert "çedilha" in shown
    assert "for logins with SHA256:" in shown


def test_two_people_at_two_nodes_talk(nodes: Nodes) -> None:
    """ana at node 1 and rita at node 2 read each other; what comes by standard input stays as it is."""
    assert nodes.ssh("ana", 1, "channel", "create", "conversa")[0] == 0
    said = "olá, çedilha, 日本\n  duas linhas; $(id) `id` 'x'"
    assert nodes.ssh("ana", 1, "publish", "conversa", stdin=said + "\n")[0] == 0
    assert nodes.ssh("rita", 2, "publish", "conversa", "e", "aí?")[0] == 0
    for who, node in (("rita", 2), ("ana", 1)):
        code, out, _ = nodes.ssh(who, node, "tail", "conversa", "--json")
        assert code == 0
        shown = [json.loads(line) for line in out.splitlines()]
        assert [(one["user"], one["text"]) for one in shown] == [("ana", said), ("rita", "e aí?")]


CODES = {
    "users": 0,
    "publish no-such-channel oi": 1,
    "tail -n x": 2,
    "sh -c id": 2,
    "users; $(id)\nid": 2,
    "publish --user rita conversa oi": 2,
    "publish conversa " + "x" * 100_000: 65,
}


def test_no_shell_no_file_and_exit_codes(nodes: Nodes) -> None:
    """Nothing but what is offered is run, whatever is asked for; the command's exit code comes back."""
    before = nodes.ssh("rita", 1, "history", "conversa", "--json")[1]
    asked = [
        subprocess.Popen(
            nodes.words("ana", 1 + number % 2, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number, command in enumerate(CODES)
    ]
    for (command, code), process in zip(CODES.items(), asked, strict=True):
        out, err = process.communicate(timeout=120)
        shown = command[:60]
        assert process.returncode == code, (shown, err)
        assert b"uid=" not in out + err, shown
        assert b"root:" not in out + err, shown
        assert b"Traceback" not in err, shown
    assert nodes.ssh("rita", 1, "history", "conversa", "--json")[1] == before


def test_nothing_is_forwarded(nodes: Nodes) -> None:
    """No port, no socket, no agent, no file transfer, no variable of ours; a wrong key is none."""
    backwards = ("-N", "-o", "ExitOnForwardFailure yes", "-R2301:127.0.0.1:22")
    assert nodes.ssh("ana", 1, options=backwards)[0] == 255
    through = nodes.ssh("ana", 1, options=("-W", "127.0.0.1:5551"))
    assert through[0] != 0
    assert through[1] == ""
    assert nodes.ssh("ana", 1, "sftp", options=("-s",))[0] != 0
    env = ("-o", "SendEnv RECADO_USER", "-o", "SetEnv RECADO_USER=rita", "-A")
    assert nodes.ssh("ana", 1, "publish", "conversa", "quem?", options=env)[0] == 0
    assert " <ana> quem?" in nodes.ssh("ana", 1, "tail", "conversa", "-n", "1")[1]
    assert nodes.ssh("stranger", 2, "users")[0] == 255


def test_files_of_the_account(nodes: Nodes) -> None:
    """Its keys are its own; it is in no group that reads a replica; who looks up keys can't write one."""
    kept = nodes.one.run("sh", "-c", "find /var/lib/recado-ssh -name '*.key' -printf '%u %m\\n' | sort -u")
    assert kept.splitlines() == ["bbs 600"]
    assert nodes.one.run("stat", "-c", "%U %a", "/var/lib/recado-ssh").split() == ["bbs", "700"]
    replica = "/var/lib/recado/server-1/replica.db"
    assert nodes.one.run("id", "-nG", "bbs").split() == ["bbs"]
    tried = f"runuser -u bbs -- cat {replica}; runuser -u recado-keys -- sh -c 'echo >> {replica}'"
    assert nodes.one.run("sh", "-c", f"{tried}; true").strip() == ""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, words: list[str]) -> None:
        self.shown = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvp(words[0], words)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, *, seconds: float = 30.0) -> None:
        """Until it shows that."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} is not shown:\n{self.shown[-2000:]}"
            if select.select([self._fd], [], [], 0.5)[0]:
                try:
                    self.shown += os.read(self._fd, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        assert text in self.shown, self.shown[-2000:]

    def ended(self, *, seconds: float = 30.0) -> int:
        """Its exit code."""
        end = time.monotonic() + seconds
        while True:
            if select.select([self._fd], [], [], 0.2)[0]:
                with suppress(OSError):
                    self.shown += os.read(self._fd, 65536).decode("utf-8", "replace")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it did not end:\n{self.shown[-2000:]}")


def test_the_chat_on_a_terminal_ends_with_its_key(nodes: Nodes) -> None:
    """A login without a command is the chat; a key revoked at the other node ends it and opens nothing."""
    terminal = Terminal(nodes.words("rita", 2, options=("-tt", "-o", "SetEnv LANG=pt_BR.UTF-8")))
    terminal.wait_for("rita")
    terminal.type("/join conversa\r")
    terminal.wait_for("quem?")
    terminal.type("daqui também, é\r")
    nodes.one.wait_for(
        lambda: "daqui também, é" in nodes.ssh("ana", 1, "tail", "conversa")[1], "what was typed arrives"
    )
    nodes.ssh("ana", 1, "publish", "conversa", "olhe só")
    terminal.wait_for("olhe só")
    (fingerprint,) = [key["key"] for key in _keys(nodes, "rita") if key["ssh_key"]]
    nodes.olga("user", "revoke", fingerprint, "--for", "rita", "--reason", "perdida")
    began = time.monotonic()
    assert nodes.ssh("rita", 1, "users")[0] == 255
    nodes.one.wait_for(
        lambda: nodes.ssh("rita", 2, "users")[0] == 255, "node 2 lets the key in no more", seconds=10
    )
    assert terminal.ended() != 0
    assert "revogada" in terminal.shown
    assert time.monotonic() - began < 15


def test_an_account_of_the_host(nodes: Nodes) -> None:
    """A Unix user whom the configuration names talks and hears without setting anything up; another can't."""
    shown = nodes.follow("Accounts of the host")
    assert "<mia> daqui do nó" in shown
    terminal = Terminal(nodes.mia("recado", "tail", "-f", "geral"))
    terminal.wait_for("daqui do nó")
    nodes.olga("publish", "geral", "ouviu?")
    terminal.wait_for("<olga> ouviu?")
    terminal.type("\x03")
    assert terminal.ended() in (130, -signal.SIGINT)  # the latter of `nsenter` around it
    (key,) = _keys(nodes, "mia")
    assert f"{ACCOUNT_UID}@" in nodes.olga("audit", "--about", "mia")
    assert key["revoked"] is None
    kept = nodes.one.run("sh", "-c", "stat -c '%u %a' /home/mia/.config/recado/*.key")
    assert kept.split() == [str(ACCOUNT_UID), "600"]
    other = nodes.one.words("setpriv", "--reuid=61235", "--clear-groups", "env", "HOME=/nonexistent")
    refused = subprocess.run(
        [*other, "recado", "users", "--timeout", "1"], capture_output=True, check=False, timeout=60
    )
    assert refused.returncode != 0


def test_while_the_node_s_server_is_down(nodes: Nodes) -> None:
    """sshd still knows whose key it is, from the file that a killed server left; another server serves."""
    server = "recado-server@server-1"
    nodes.one.run("sh", "-c", f"systemctl kill -s KILL {server}; systemctl stop {server}")
    try:
        code, out, _ = nodes.ssh("ana", 1, "users")
        assert (code, "rita" in out) == (0, True)
        assert nodes.ssh("stranger", 1, "users")[0] == 255
    finally:
        nodes.one.run("systemctl", "start", server)


def test_a_key_is_lost(nodes: Nodes) -> None:
    """As the page says: revoked by another key of one's own, it is good at neither node, and for ever."""
    assert nodes.ssh("ana", 1, "users")[0] == 0
    nodes.follow("When a key is lost")
    for node in (1, 2):
        nodes.one.wait_for(
            lambda at=node: nodes.ssh("ana", at, "users")[0] == 255, "it is refused", seconds=10
        )  # type: ignore[misc]
    assert {key["reason"] for key in _keys(nodes, "ana") if key["revoked"]} == {"left in the tram"}


def _keys(nodes: Nodes, user: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(nodes.olga("user", "keys", user, "--json"))["keys"]
    return found
