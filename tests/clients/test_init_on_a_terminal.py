"""The questions of `recado init`, answered on a real pseudo-terminal."""

import os
import pty
import select
import sys
from pathlib import Path
from time import monotonic

import pytest

from recado.config import load

SECONDS = 30.0


class Terminal:
    """`recado init` on a terminal of its own; `says` waits for words, `type` answers."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            command = [sys.executable, "-m", "clients.cli", "init", *arguments]
            path = str(Path(__file__).parents[2])
            os.execvpe(
                command[0], command, {**os.environ, "RECADO_LANG": "en", "TERM": "xterm", "PYTHONPATH": path}
            )
        self.seen = ""
        self._read = 0

    def says(self, words: str) -> None:
        """Wait until it has said so since the last time."""
        deadline = monotonic() + SECONDS
        while words not in self.seen[self._read :]:
            assert monotonic() < deadline, self.seen[-500:]
            if select.select([self.terminal], [], [], 0.2)[0]:
                self.seen += os.read(self.terminal, 65_536).decode()
        self._read = self.seen.index(words, self._read) + len(words)

    def type(self, line: str) -> None:
        os.write(self.terminal, f"{line}\n".encode())

    def end(self) -> int:
        """Its exit code, after it has said all."""
        while True:
            try:
                part = os.read(self.terminal, 65_536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            self.seen += part.decode()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.system
def test_it_asks_for_what_was_not_said(tmp_path: Path) -> None:
    """Name of the cluster, nodes until an empty line (a bad one again), agreement; then it is written."""
    shown = Terminal(tmp_path, f"--root={tmp_path / 'root'}")
    shown.says("The cluster's name [recado]:")
    shown.type("casa")
    shown.says("Node 1")
    shown.type("alfa=10.77.0.11")
    shown.says("Node 2:")
    shown.type("beta")
    shown.says("NAME=HOST")
    shown.says("Node 2:")
    shown.type("beta=10.77.0.12")
    shown.says("Node 3:")
    shown.type("")
    shown.says("casa: alfa=10.77.0.11:5555 beta=10.77.0.12:5555. This is alfa")
    shown.says("Write this? [Y/n]:")
    shown.type("")
    assert shown.end() == 0, shown.seen
    assert "ssh root@10.77.0.12 recado init --start --from - < beta.recado" in shown.seen
    config = load(tmp_path / "root/etc/recado/recado.toml", env={})
    assert [one.name for one in config.cluster.members] == ["alfa", "beta"]


@pytest.mark.system
def test_a_no_writes_nothing(tmp_path: Path) -> None:
    """Whoever does not agree is left with nothing written, and 1; --yes does not ask."""
    shown = Terminal(tmp_path, f"--root={tmp_path / 'root'}", "alfa=10.77.0.11")
    shown.says("Write this? [Y/n]:")
    shown.type("n")
    assert shown.end() == 1
    assert list(tmp_path.iterdir()) == []
    quiet = Terminal(tmp_path, f"--root={tmp_path / 'root'}", "--yes", "alfa=10.77.0.11")
    assert quiet.end() == 0, quiet.seen
    assert "?" not in quiet.seen
