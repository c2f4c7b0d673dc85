"""The reference as a process of its own, with plain REQ sockets around it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from recado.protocol.codec import encode, unpack

pytestmark = pytest.mark.system
WAIT_MS = 10_000


@contextmanager
def _reference(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A reference on `data` and a free port of loopback, and where it listens ("" if it never was ready)."""
    read_end, write_end = os.pipe()
    settings = (f"node.data={data}", "reference.listen=tcp://127.0.0.1:*")
    arguments = [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(
        [sys.executable, "-m", "daemons.reference", *arguments],
        pass_fds=(write_end,),
        env={**os.environ, "RECADO_READY_FD": str(write_end)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        try:
            with open(read_end) as end:
                line = end.readline()
            yield process, json.loads(line)["listen"]["reference"] if line else ""
        finally:
            process.kill()


def _ask(address: str, service: str, **data: Any) -> dict[str, Any]:
    """One request over a plain REQ socket: the reply's `data`."""
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        client.connect(address)
        client.send(encode(service, data))
        return dict(unpack(client.recv())["data"])


def test_ranks_survive_a_kill(tmp_path: Path) -> None:
    """Killed with SIGKILL right after it told a rank, the reference tells the same one afterwards."""
    with _reference(tmp_path) as (process, address):
        assert _ask(address, "rank", user="server-3", rank_hint=3)["rank"] == 3
        assert _ask(address, "rank", user="server-1")["rank"] == 1
        process.kill()
        process.wait(5)
    with closing(sqlite3.connect(tmp_path / "registry.db")) as shell:
        assert shell.execute("select name, rank from servers").fetchall() == [
            ("server-1", 1),
            ("server-3", 3),
        ]
    with _reference(tmp_path) as (process, address):
        assert [_ask(address, "rank", user=f"server-{n}")["rank"] for n in (3, 2, 1)] == [3, 2, 1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_second_reference_on_the_data_is_one_line_and_73(tmp_path: Path) -> None:
    """The data directory has one owner; the second process says whose it is and leaves with 73."""
    with _reference(tmp_path) as (first, address), _reference(tmp_path) as (second, nowhere):
        assert nowhere == ""
        assert second.wait(5) == 73
        assert second.stderr is not None
        (said,) = second.stderr.read().splitlines()
        assert str(tmp_path) in said
        assert str(first.pid) in said
        assert _ask(address, "list")["list"] == []
