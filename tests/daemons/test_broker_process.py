"""The broker as a process of its own, with plain sockets around it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from recado.protocol.codec import encode, unpack

pytestmark = pytest.mark.system
WAIT_MS = 10_000


@contextmanager
def _broker(*settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A broker on free ports of loopback, and the line it wrote when it was ready."""
    read_end, write_end = os.pipe()
    arguments = [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(
        [sys.executable, "-m", "daemons.broker", *arguments],
        pass_fds=(write_end,),
        env={**os.environ, "RECADO_READY_FD": str(write_end)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        try:
            with open(read_end) as end:
                line = end.readline()
            yield process, json.loads(line) if line else {}
        finally:
            process.kill()


def _free() -> tuple[str, ...]:
    return tuple(f"broker.{end}=tcp://127.0.0.1:*" for end in ("xsub", "xpub", "request"))


@contextmanager
def _socket(context: "zmq.Context[Any]", kind: int) -> Iterator["zmq.Socket[bytes]"]:
    with context.socket(kind) as end:
        end.setsockopt(zmq.LINGER, 0)
        end.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        yield end


def test_plain_sockets_are_served_and_sigterm_ends_it() -> None:
    """REQ is answered by a plain server behind it, SUB gets what PUB sends, SIGTERM ends with 0."""
    context: zmq.Context[Any] = zmq.Context()
    with context, _socket(context, zmq.REP) as server:
        port = server.bind_to_random_port("tcp://127.0.0.1")
        with (
            _broker(*_free(), f"broker.servers=tcp://127.0.0.1:{port}") as (process, ready),
            _socket(context, zmq.REQ) as client,
            _socket(context, zmq.XPUB) as publisher,
            _socket(context, zmq.SUB) as subscriber,
        ):
            listen = ready["listen"]
            assert (ready["ready"], ready["pid"], set(listen)) == (
                True,
                process.pid,
                {"xsub", "xpub", "request"},
            )
            client.connect(listen["request"])
            client.send(encode("users", {}))
            assert unpack(server.recv())["service"] == "users"
            server.send(encode("users", {"users": ["ana"]}))
            assert unpack(client.recv())["data"] == {"users": ["ana"]}
            subscriber.connect(listen["xpub"])
            subscriber.subscribe(b"geral")
            publisher.connect(listen["xsub"])
            assert publisher.recv() == b"\x01geral"
            publisher.send_multipart([b"geral", b"\x80"])
            assert subscriber.recv_multipart() == [b"geral", b"\x80"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert process.stderr is not None
            assert "broker ready" in process.stderr.read()


def test_a_taken_port_is_one_line_and_73() -> None:
    """A port that somebody else has is told in one line; the broker never says that it is ready."""
    context: zmq.Context[Any] = zmq.Context()
    with context, _socket(context, zmq.ROUTER) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        settings = (
            *_free()[:2],
            f"broker.request=tcp://127.0.0.1:{port}",
            "broker.servers=tcp://127.0.0.1:1",
        )
        with _broker(*settings) as (process, ready):
            assert ready == {}
            assert process.wait(5) == 73
            assert process.stderr is not None
            said = process.stderr.read()
    assert "in use" in said
    assert f":{port}" in said
    assert len(said.splitlines()) == 1


def test_without_servers_alive_a_plain_client_is_answered() -> None:
    """Nobody behind the port: a plain REQ client gets an error envelope within the deadline."""
    context: zmq.Context[Any] = zmq.Context()
    with (
        context,
        _broker(*_free(), "broker.servers=tcp://127.0.0.1:1", "broker.deadline_seconds=0.2") as (_, ready),
        _socket(context, zmq.REQ) as client,
    ):
        client.connect(ready["listen"]["request"])
        client.send(encode("login", {"user": "ana"}))
        assert unpack(client.recv())["data"]["code"] == "indeterminate"
