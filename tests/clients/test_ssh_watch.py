"""What watches over a login over SSH: it ends with its reader, also while it has nothing to say."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from clients.ssh.door import nobody_reads

WAITING = """
import os, signal, time
from clients.ssh import door
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
door.LOOK_SECONDS = 0.05
door.ask = lambda *_: "ana"
node = door.Door("ipc:///nowhere", "", (), "")
with door.Watch(node, "", key="", over=lambda: os.kill(os.getpid(), signal.SIGHUP)):
    time.sleep(60)
"""


def test_who_reads_and_who_does_not() -> None:
    """A pipe or socket that is closed at the other end, but none that only gives no more, and no file."""
    read, write = os.pipe()
    ours, theirs = socket.socketpair()
    with closing(ours):
        assert not nobody_reads(write)
        assert not nobody_reads(ours.fileno())
        theirs.shutdown(socket.SHUT_WR)
        assert not nobody_reads(ours.fileno())
        theirs.close()
        os.close(read)
        assert nobody_reads(write)
        assert nobody_reads(ours.fileno())
    os.close(write)
    with open(os.devnull, "wb") as nothing:
        assert not nobody_reads(nothing.fileno())


@pytest.mark.slow
def test_a_silent_command_ends_with_its_reader() -> None:
    """It has written nothing and never would; as long as somebody reads it goes on."""
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.stdout.close()
    assert process.wait(timeout=30) == -signal.SIGHUP
