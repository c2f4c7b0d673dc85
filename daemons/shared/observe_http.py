"""A very small HTTP/1.1 server for pages that are made on the spot: GET and HEAD, one request a connection.

For loopback.  Whoever connects has `REQUEST_SECONDS` for everything and `HEAD_BYTES_MAX` for the head;
beyond `CONNECTIONS_MAX` at once a connection is closed unanswered.  Bodies are not read.  The ``Host`` must
be a loopback name, so that a browser can't be led here by somebody's DNS.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import h11
import trio

CONNECTIONS_MAX: Final = 16
REQUEST_SECONDS: Final = 5.0
HEAD_BYTES_MAX: Final = 8192
_READ_BYTES: Final = 4096
_BACKLOG: Final = 16


class Page(NamedTuple):
    """One answer.  `body` is cut by nobody: whoever makes it bounds it."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Maker = Callable[[], Page]


class HttpServer:
    """Pages by path.  `answers` counts what was answered, by status.

    `fault` is told of an error that no page foresaw; whoever asked gets a 500.
    """

    def __init__(self, pages: Mapping[str, Maker], *, fault: Callable[[Exception], None]) -> None:
        self._pages = pages
        self._fault = fault
        self._open = 0
        self.answers: Counter[int] = Counter()

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """The task: answer until cancelled."""
        await trio.serve_listeners(self.connected, listeners)

    async def connected(self, stream: trio.abc.Stream) -> None:
        """One connection from its beginning to its end."""
        if self._open >= CONNECTIONS_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            with trio.move_on_after(REQUEST_SECONDS):
                await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever asked has gone
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream) -> None:
        machine = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        try:
            request = await _head(machine, stream)
        except h11.RemoteProtocolError as error:
            page, headless = Page(error.error_status_hint, b"not understood\n"), False
            if machine.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                return
        else:
            if request is None:
                return
            page, headless = self._page(request), request.method == b"HEAD"
        self.answers[page.status] += 1
        await stream.send_all(_response(machine, page, headless=headless))
        if isinstance(stream, trio.SocketStream):
            await stream.send_eof()

    def _page(self, request: h11.Request) -> Page:
        if request.method not in (b"GET", b"HEAD"):
            return Page(405, b"GET or HEAD\n")
        hosts = [value for name, value in request.headers if name == b"host"]
        if not all(is_local(host.decode("ascii", "replace")) for host in hosts):
            return Page(421, b"only for this host\n")
        make = self._pages.get(request.target.partition(b"?")[0].decode("ascii", "replace"))
        if make is None:
            return Page(404, " ".join(self._pages).encode() + b"\n")
        try:
            return make()
        except Exception as error:  # noqa: BLE001 - a page that can't be made must not end the daemon
            self._fault(error)
            return Page(500, b"a fault in the program; see its log\n")


async def _head(machine: h11.Connection, stream: trio.abc.Stream) -> h11.Request | None:
    """The request, or None if the connection ended before there was one.  Raises `RemoteProtocolError`."""
    while True:
        event = machine.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        machine.receive_data(bytes(await stream.receive_some(_READ_BYTES)))


def _response(machine: h11.Connection, page: Page, *, headless: bool) -> bytes:
    headers = [
        ("Content-Type", page.content_type),
        ("Content-Length", str(len(page.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    sent = machine.send(h11.Response(status_code=page.status, headers=headers)) or b""
    return sent if headless else sent + (machine.send(h11.Data(data=page.body)) or b"")


def is_local(host: str) -> bool:
    """Whether a ``Host`` header names this host itself."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


async def listeners_at(listen: str) -> list[trio.SocketListener]:
    """Bind ``HOST:PORT``.  Raises `OSError`."""
    host, _, port = listen.rpartition(":")
    return list(await trio.open_tcp_listeners(int(port), host=host.strip("[]"), backlog=_BACKLOG))


def bound(listeners: list[trio.SocketListener]) -> str:
    """Where the first of them listens, its port filled in."""
    host, port = listeners[0].socket.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
