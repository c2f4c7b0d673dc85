"""`recado top` on a real pseudo-terminal of 80x24, as over SSH."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
from time import monotonic

import pytest

from tests.clients.conftest import OnSockets

SECONDS = 30.0


def _read_until(terminal: int, word: bytes, *, seconds: float = SECONDS) -> bytes:
    """What the program wrote until `word` stands there, or until it ended."""
    seen, deadline = b"", monotonic() + seconds
    while word not in seen or not word:
        assert monotonic() < deadline, seen[-500:]
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                return seen
            if not part:
                return seen
            seen += part
    return seen


@pytest.mark.system
def test_it_draws_and_leaves_on_q(sockets: OnSockets) -> None:
    """The full screen shows the server; `q` gives the terminal back as it was and ends with 0."""
    sockets.server.refuse = {"status": "OK", "server": "server-1", "entries": 12, "coordinator": "server-1"}
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {
            **os.environ,
            "RECADO_REFERENCE": sockets.reference,
            "RECADO_LANG": "en",
            "RECADO_STATE": str(sockets.state),
            "TERM": "xterm",
        }
        command = [sys.executable, "-m", "clients.cli", "top", "--interval", "0.2"]
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    drawn = _read_until(terminal, b"server-1")
    assert b"\x1b[?1049h" in drawn, "the alternate screen"
    os.write(terminal, b"q")
    after = _read_until(terminal, b"\x1b[?1049l")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, after
