"""The small HTTP server: pages, refusals, bounds; over streams in memory, in virtual time."""

import h11
import pytest
import trio
import trio.testing

from daemons.shared.observe_http import (
    CONNECTIONS_MAX,
    HEAD_BYTES_MAX,
    REQUEST_SECONDS,
    HttpServer,
    Page,
    bound,
    is_local,
    listeners_at,
)

FAULTS: list[Exception] = []


def _broken() -> Page:
    raise KeyError("planted")


def _server() -> HttpServer:
    FAULTS.clear()
    return HttpServer({"/livez": lambda: Page(200, b"ok\n"), "/broken": _broken}, fault=FAULTS.append)


async def _read(stream: trio.abc.ReceiveStream) -> bytes:
    parts = []
    while part := await stream.receive_some(4096):
        parts.append(part)
    return b"".join(parts)


async def _ask(server: HttpServer, request: bytes) -> tuple[int, bytes]:
    """(status, body) of what is answered to these bytes; (0, b"") if the connection is only closed."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.connected, theirs)
        await ours.send_all(request)
        raw = await _read(ours)
    if not raw:
        return 0, b""
    machine = h11.Connection(h11.CLIENT)
    machine.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    machine.send(h11.EndOfMessage())
    machine.receive_data(raw)
    machine.receive_data(b"")
    head = machine.next_event()
    assert isinstance(head, h11.Response), raw
    body = machine.next_event()
    return head.status_code, bytes(body.data) if isinstance(body, h11.Data) else b""


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:9555", 200),
        (b"GET /livez?x=1 HTTP/1.1\r\nHost: localhost", 200),
        (b"GET /livez HTTP/1.0", 200),
        (b"GET /livez HTTP/1.1\r\nHost: [::1]:9555", 200),
        (b"GET /livez HTTP/1.1\r\nHost: evil.example:9555", 421),
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost", 404),
        (b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3", 405),
        (b"GET /livez HTTP/1.1", 400),
        (b"\x00\x01\x02 not http", 400),
    ],
)
async def test_a_request_gets_its_status(request_line: bytes, status: int) -> None:
    """Pages for this host by GET, a refusal with the right status for everything else."""
    server = _server()
    assert (await _ask(server, request_line + b"\r\n\r\n"))[0] == status
    assert server.answers == {status: 1}


async def test_a_page_that_fails_is_a_500_and_told() -> None:
    """An error that no page foresaw goes to the log and ends nothing; the next request is served."""
    server = _server()
    assert (await _ask(server, b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 500
    assert [type(error) for error in FAULTS] == [KeyError]
    assert await _ask(server, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") == (200, b"ok\n")


async def test_a_head_that_does_not_end_is_refused() -> None:
    """Beyond the bound of a head the answer is 431, whatever is still to come."""
    endless = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (2 * HEAD_BYTES_MAX)
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_server().connected, theirs)
        await ours.send_all(endless)
        assert (await _read(ours)).startswith(b"HTTP/1.1 431")


async def test_who_says_nothing_is_hung_up_on(autojump_clock: trio.testing.MockClock) -> None:
    """A connection without a request is closed after its time, and its place is free again."""
    server = _server()
    ours, theirs = trio.testing.memory_stream_pair()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.connected, theirs)
        assert await _read(ours) == b""
    assert trio.current_time() - began == pytest.approx(REQUEST_SECONDS)


async def test_connections_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """One connection more than may be open is closed unanswered; when the others end it is served."""
    server = _server()
    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS_MAX):
            nursery.start_soon(server.connected, trio.testing.memory_stream_pair()[1])
        await trio.testing.wait_all_tasks_blocked()
        over, theirs = trio.testing.memory_stream_pair()
        await server.connected(theirs)
        assert await _read(over) == b""
    assert (await _ask(server, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 200


async def test_it_serves_a_real_socket() -> None:
    """On a port that the kernel chose, told with its number; HEAD has no body."""
    server = _server()
    listeners = await listeners_at("127.0.0.1:0")
    host, _, port = bound(listeners).rpartition(":")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, listeners)
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = await _read(stream)
            nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.8.9.1:80", True),
        ("[::1]", True),
        ("[::1]:80", True),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_which_hosts_are_this_one(host: str, local: bool) -> None:
    """Loopback names and addresses, with a port or without, and nothing else."""
    assert is_local(host) is local
