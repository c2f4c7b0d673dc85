"""What daemons show: metrics that Prometheus's own parser reads, readiness that tells the truth."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from daemons.broker import observed as broker_observed
from daemons.reference import observed as reference_observed
from daemons.server import observed
from daemons.server.app import run_server
from daemons.server.meters import room_of
from daemons.server.node import Node
from daemons.server.status import describe
from daemons.shared.logging import ListSink, get_logger
from daemons.shared.observe import Observer, observing
from daemons.shared.observe_metrics import COMMON, Family, Histogram, Sample, render
from daemons.shared.process import Life
from recado.config import Config
from recado.settings import Observe
from recado.wire.memory import MemoryNetwork
from storage.replica import Replica
from tests.daemons.server.server_bench import DEFAULT_TIMINGS, configured, surroundings
from tests.house.metrics_page import rewritten

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
LISTENING = Config(observe=Observe(listen="127.0.0.1:0"))


def _parsed(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_what_is_rendered_is_read_back() -> None:
    """The parser of Prometheus finds each value under its labels, whatever stands in a label."""
    took = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        took.add(seconds)
    families = (
        Family("a_total", "counter", "Of a.\nSecond line.", ("who",)),
        Family("b_seconds", "histogram", "Of b."),
        Family("c", "gauge", "Of c: none."),
    )
    nasty = 'x"y\\z\n#'
    found = _parsed(render(families, [Sample("a_total", 3, (nasty,)), Sample("b_seconds", took)]))
    assert found["a_total", (("who", nasty),)] == 3
    assert [found["b_seconds_bucket", (("le", mark),)] for mark in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert found["b_seconds_sum", ()] == pytest.approx(7.65)
    assert found["b_seconds_count", ()] == 4
    assert not any(name == "c" for name, _ in found)


def test_a_sample_of_no_family_is_a_fault() -> None:
    """A metric can't be shown that is not declared, and so not documented."""
    with pytest.raises(KeyError):
        render((), [Sample("undeclared", 1)])


@pytest.mark.parametrize(
    "families", [COMMON, observed.FAMILIES, reference_observed.FAMILIES, broker_observed.FAMILIES]
)
def test_names_follow_the_conventions(families: tuple[Family, ...]) -> None:
    """Prefixed, in base units, counters end in `_total`, no name twice in one process."""
    names = [family.name for family in (families if families is COMMON else (*COMMON, *families))]
    assert len(set(names)) == len(names)
    for family in families:
        assert family.name.startswith(("recado_", "process_")), family
        assert (family.kind == "counter") == family.name.endswith("_total"), family
        assert not family.name.endswith(("_ms", "_milliseconds", "_kb")), family
        assert family.help.endswith("."), family


def test_the_page_lists_every_metric() -> None:
    """The tables of docs/observability.md are those that `make docs` would write."""
    page = PAGE.read_text("utf-8")
    assert rewritten(page) == page


async def _get(listen: str, path: str) -> tuple[int, bytes]:
    host, _, port = listen.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: {listen}\r\n\r\n".encode())
        raw = b""
        while part := await stream.receive_some(65_536):
            raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_ready_only_between_bound_and_stopping() -> None:
    """/readyz is 503 before READY and from the first signal on; /livez is 200 all the time."""
    life = Life("test", env={})
    log = get_logger("test", lambda: 0, sink=ListSink())
    with trio.fail_after(20):
        async with observing(LISTENING, life, program="server", log=lambda: log) as observer:
            listen = observer.listens["observe"]
            seen = [await _get(listen, "/readyz")]
            life.ready({})
            seen.append(await _get(listen, "/readyz"))
            life.stop()
            seen.append(await _get(listen, "/readyz"))
            alive = await _get(listen, "/livez")
    assert seen == [(503, b"starting\n"), (200, b"ready\n"), (503, b"stopping\n")]
    assert alive == (200, b"ok\n")


async def test_nothing_is_shown_unasked() -> None:
    """Without `observe.listen` nothing is bound, and the daemon runs as before."""
    async with observing(Config(), Life("test", env={}), program="broker", log=_no_log) as observer:
        assert (observer.listens, observer.http) == ({}, None)


def _no_log() -> Any:
    raise AssertionError("nothing is to be said")


async def test_a_server_shows_all_that_is_declared(tmp_path: Path) -> None:
    """A server that has served shows each family that open mode has, with values that fit what was done."""
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        store = ends.enter_context(_closing(Replica.open(tmp_path, node="server-1")))
        config, network, nodes = (
            configured("server-1", of=2, server={}, timings=DEFAULT_TIMINGS),
            MemoryNetwork(),
            [],
        )
        stopping, serving = trio.Event(), trio.Event()

        async def serve() -> None:
            await run_server(
                config,
                network.host("server-1"),
                store=store,
                surroundings=surroundings("server-1"),
                log=lambda node, clock: get_logger(node, clock, sink=ListSink()),
                stopping=stopping,
                ready=lambda _listen: serving.set(),
                opened=nodes.append,
            )

        nursery.start_soon(serve)
        await serving.wait()
        asker = await ends.enter_async_context(network.host("client").asker(config.server.listen))
        await _use(asker)
        node = nodes[0]
        node.meters.room = room_of(tmp_path / "replica.db")
        found = _shown(node)
        stopping.set()
    assert found["recado_requests_total", (("code", "OK"), ("service", "login"))] == 1
    assert found["recado_requests_total", (("code", "service_unknown"), ("service", "other"))] == 1
    assert found["recado_write_seconds_count", ()] == 1
    assert found["recado_log_entries", ()] == 1
    assert found["recado_peer_silent", (("peer", "server-2"),)] in (0, 1)
    assert found["recado_disk_state", (("state", "ok"),)] == 1
    assert found["recado_disk_free_bytes", ()] > 0
    names = {name.removesuffix("_count") for name, _ in found}
    optional = {"recado_connections", "recado_handshakes_refused_total"}
    coordinators = {"recado_peer_clock_offset_seconds", "recado_clock_spread_seconds"}
    assert {f.name for f in observed.FAMILIES} - optional - coordinators <= names
    assert json.dumps(describe(node))


async def _use(asker: Any) -> None:
    from recado.protocol import codec

    for service, fields in (("login", {"user": "ana"}), ("nonsense", {}), ("status", {})):
        await asker.ask(codec.encode(service, fields))


def _shown(node: Node) -> dict[Any, float]:
    observer = Observer(Config(), Life("test", env={}), program="server")
    observer.show(observed.FAMILIES, samples=lambda: observed.samples(node), status=lambda: describe(node))
    told = json.loads(observer.pages()["/status"]().body)
    assert (told["server"], told["ready"], told["cluster"]) == ("server-1", False, "recado")
    return _parsed(observer.pages()["/metrics"]().body)


class _closing:
    """A store as a context manager."""

    def __init__(self, store: Replica) -> None:
        self.store = store

    def __enter__(self) -> Replica:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()
