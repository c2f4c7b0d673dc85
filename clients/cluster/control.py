"""The control socket of a running cluster: ``DATA/up.sock``, one JSON object per line each way.

Requests: ``{"do": "ps" | "stop" | "start" | "down", "node": NAME}``.  Replies: ``{"ok": true, …}`` or
``{"ok": false, "error": text}``.  Only the owner of the directory gets at it (mode 0600).
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.abc

LINE_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 16
ASK_SECONDS = 10.0  # stopping one node may take half of it
_SOCKET = "up.sock"


class Controlled(Protocol):
    """What a control socket acts on."""

    @property
    def data(self) -> Path: ...

    def about(self) -> dict[str, Any]: ...

    def rows(self) -> list[dict[str, Any]]: ...

    def names(self) -> list[str]: ...

    async def stop_node(self, name: str) -> None: ...

    def start_node(self, name: str) -> None: ...

    def stop(self) -> None: ...


class NotRunning(Exception):
    """No cluster runs on this directory."""

    exit_code = 69


class Refused(Exception):
    """The supervisor does not do that."""

    exit_code = 1


@contextmanager
def _reachable(data: Path) -> Iterator[str]:
    """A path for the socket that fits into the 107 bytes of a unix address, however deep `data` is."""
    descriptor = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _bound(data: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with _reachable(data) as path:
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a killed supervisor; the lock says that it is gone
        before = os.umask(0o177)
        try:
            end.bind(path)
        finally:
            os.umask(before)
    end.listen(CONNECTIONS_MAX)
    return end


async def serve(
    cluster: Controlled, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serve the control socket until cancelled."""
    room = anyio.CapacityLimiter(CONNECTIONS_MAX)
    end = _bound(cluster.data)
    try:
        async with anyio.create_task_group() as connections:
            task_status.started()
            while True:
                await anyio.wait_readable(end)
                with suppress(BlockingIOError):
                    connections.start_soon(_converse, cluster, end.accept()[0], room)
    finally:
        end.close()
        with suppress(FileNotFoundError):
            (cluster.data / _SOCKET).unlink()


async def _converse(cluster: Controlled, peer: socket.socket, room: anyio.CapacityLimiter) -> None:
    peer.setblocking(False)
    with peer:
        async with room:
            with anyio.move_on_after(ASK_SECONDS), suppress(OSError):
                line = await _line(peer)
                reply = await _answer(cluster, line) if line else None
                if reply is not None:
                    # Small enough for the socket's buffer; whoever does not read gets no more.
                    peer.send(json.dumps(reply, ensure_ascii=False).encode() + b"\n")


async def _line(peer: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        await anyio.wait_readable(peer)
        piece = peer.recv(LINE_BYTES_MAX)
        line += piece
        if not piece or len(line) > LINE_BYTES_MAX:
            return b""
    return line


async def _answer(cluster: Controlled, line: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(line)
    except ValueError:
        return _refused("not JSON")
    if not isinstance(asked, dict):
        return _refused("not an object")
    what, name = asked.get("do"), asked.get("node")
    if what == "ps":
        return {"ok": True, **cluster.about(), "nodes": cluster.rows()}
    if what == "down":
        cluster.stop()
        return {"ok": True, **cluster.about()}
    if what not in {"stop", "start"}:
        return _refused(f"unknown request {what!r}")
    if name not in cluster.names():
        return _refused(f"no node {name}; there are {', '.join(cluster.names())}")
    if what == "stop":
        await cluster.stop_node(name)
    else:
        cluster.start_node(name)
    return {"ok": True, "node": name}


def _refused(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


def ask(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    """One question to the supervisor of `data`, from a one-shot command.

    Raises `NotRunning` if there is none, `Refused` if it says no.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(ASK_SECONDS)
        try:
            with _reachable(data) as path:
                end.connect(path)
            end.sendall(json.dumps(request).encode() + b"\n")
            with end.makefile("rb") as answers:
                line = answers.readline()
        except OSError:
            raise NotRunning(f"no cluster runs on {data}; start one with `recado up`") from None
    if not line:
        raise NotRunning(f"the cluster on {data} is stopping")
    reply: dict[str, Any] = json.loads(line)
    if not reply.get("ok"):
        raise Refused(str(reply.get("error", "")))
    return reply
