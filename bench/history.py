"""Reading as the log grows: pages of the history, searches, and what else might cost more with ten million.

The log is made by `bench.long_log`; at each size a server starts on it, is asked through the wire by one
client, one request at a time, and stops.  A percentile is of all requests of a kind.  A rare channel, and
one user's messages, are kinds of their own: there an index that is missing shows.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import trio

from bench import generator
from bench.long_log import RARE_CHANNEL, RARE_USER, WORDS, LongLog
from bench.members import Members
from recado.protocol import codec
from recado.wire.ports import Asker
from recado.wire.zeromq import ZeroMQNetwork

PAGES: Final = 400
PAGE: Final = 100
REPLY_SECONDS: Final = 60.0
NEWEST, OLDER, SINCE = "newest 100", "100 before a random place", "100 since a random place"
SEARCHES: Final = ("search, a rare word", "search, a frequent word", "search, two words")
INDEXED_SECONDS: Final = 1800.0


class Timing(msgspec.Struct, frozen=True):
    """Requests of one kind."""

    kind: str
    count: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Length(msgspec.Struct, frozen=True):
    """A server on a log of so many entries.  `start_seconds`: until it serves, with the program's own
    start, the index of searches being there; `indexed_seconds`: until it was; memory after the start, and
    after all requests."""

    entries: int
    replica_mib: float
    made_seconds: float
    start_seconds: float
    idle_mib: float
    indexed_seconds: float
    asked_mib: float
    timings: list[Timing]

    def timing(self, kind: str) -> Timing | None:
        """Of that kind of requests, if there were any."""
        return next((one for one in self.timings if one.kind == kind), None)


def measure(directory: Path, *, sizes: list[int], pages: int = PAGES) -> list[Length]:
    """At each size of the log, the smallest first."""
    found = []
    with place_in(directory) as place:
        log = LongLog(place / "server-1")
        for size in sizes:
            made_from = time.monotonic()
            replica_mib = log.grow(size).replica_mib
            made_seconds = time.monotonic() - made_from
            with Members(place, servers=1, furnished=False) as members:
                indexed_seconds = trio.run(_until_indexed, members.endpoint(0))
            with Members(place, servers=1, furnished=False) as members:
                idle_mib = members.running().resident_mib()
                started = members.start_seconds
                timings = trio.run(_ask_all, members.endpoint(0), log, pages)
                asked_mib = members.running().resident_mib()
            found.append(
                Length(
                    size, replica_mib, made_seconds, started, idle_mib, indexed_seconds, asked_mib, timings
                )
            )
    return found


async def _ask_all(endpoint: str, log: LongLog, pages: int) -> list[Timing]:
    async with ZeroMQNetwork() as network, network.asker(f"tcp://{endpoint}") as asker:
        await _indexed(asker)
        return [
            _timing(kind, [await _timed(asker, *request) for request in requests])
            for kind, requests in (_kinds(log, pages) | _searches(log, pages)).items()
        ]


def _kinds(log: LongLog, pages: int) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    random = Random(log.entries)
    channels = [f"bench-{n % generator.CHANNELS}" for n in range(pages)]

    def before() -> list[Any]:
        return [random.randrange(log.entries // 10, log.entries), "", 0]

    def since() -> dict[str, int]:
        return {origin: random.randrange(head) for origin, head in log.heads().items()}

    few = max(pages // 4, 1)
    return {
        NEWEST: [("history", {"channel": c, "limit": PAGE}) for c in channels],
        OLDER: [("history", {"channel": c, "limit": PAGE, "before": before()}) for c in channels],
        SINCE: [("history", {"channel": c, "limit": PAGE, "since": since()}) for c in channels],
        "a rare channel, newest 100": [("history", {"channel": RARE_CHANNEL, "limit": PAGE})] * few,
        "a rare channel, before a place": [
            ("history", {"channel": RARE_CHANNEL, "limit": PAGE, "before": before()}) for _ in range(few)
        ],
        "a rare channel, since a place": [
            ("history", {"channel": RARE_CHANNEL, "limit": PAGE, "since": since()}) for _ in range(few)
        ],
        "a user's direct messages": [("history", {"user": RARE_USER, "limit": PAGE})] * few,
        "a user's direct messages, before": [
            ("history", {"user": RARE_USER, "limit": PAGE, "before": before()}) for _ in range(few)
        ],
        "direct messages with one other": [
            ("history", {"user": RARE_USER, "peer": f"bench-{n % 64}", "limit": PAGE}) for n in range(few)
        ],
        "direct messages of a busy user with one other": [
            ("history", {"user": "bench-3", "peer": RARE_USER, "limit": PAGE}) for _ in range(few)
        ],
        "status": [("status", {})] * few,
        "all logs and their ends": [("audit", {"have": {}, "origins": True})] * few,
        "channels": [("channels", {})] * few,
    }


def _searches(log: LongLog, pages: int) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    random = Random(log.entries)
    rare, frequent, two = SEARCHES
    few = max(pages // 4, 1)
    texts = {
        rare: [str(random.randrange(log.entries // 10)) for _ in range(few)],
        frequent: [f"w{random.randrange(1, 20)}" for _ in range(few)],
        two: [f"w{random.randrange(1, WORDS)} w{random.randrange(1, 50)}" for _ in range(few)],
    }
    return {kind: [("search", {"text": text}) for text in of] for kind, of in texts.items()}


async def _until_indexed(endpoint: str) -> float:
    start = time.monotonic()
    async with ZeroMQNetwork() as network, network.asker(f"tcp://{endpoint}") as asker:
        await _indexed(asker)
    return time.monotonic() - start


async def _indexed(asker: Asker) -> None:
    """Until a search lacks nothing of the log.  Raises `RuntimeError` if that takes too long."""
    with trio.move_on_after(INDEXED_SECONDS):
        while True:
            reply = codec.decode_reply(await _asked(asker, "search", {"text": "w1", "limit": 1}))
            if not reply.failed and not reply.data["lag"]:
                return
            if reply.failed and reply.data.get("code") != "busy":
                raise RuntimeError(f"a search was refused: {reply.data}")
            await trio.sleep(0.5)
    raise RuntimeError("the index of searches does not reach the end of the log")


async def _asked(asker: Asker, service: str, data: dict[str, Any]) -> bytes:
    with trio.fail_after(REPLY_SECONDS):
        return await asker.ask(codec.encode(service, data))


async def _timed(asker: Asker, service: str, data: dict[str, Any]) -> float:
    """Milliseconds until the reply is here, read and found to be none of a refusal."""
    start = time.perf_counter()
    reply = codec.decode_reply(await _asked(asker, service, data))
    took = (time.perf_counter() - start) * 1000
    if reply.failed:
        raise RuntimeError(f"{service} {data} was refused: {reply.data}")
    return took


def _timing(kind: str, took_ms: list[float]) -> Timing:
    ordered = sorted(took_ms)
    return Timing(kind, len(ordered), *(ordered[int((len(ordered) - 1) * at)] for at in (0.5, 0.99, 1)))


def flatness(found: Sequence[Length], kind: str) -> float | None:
    """How many times longer the slowest hundredth takes at the largest size than at the smallest."""
    times = [one for length in found if (one := length.timing(kind)) is not None]
    return times[-1].p99_ms / max(times[0].p99_ms, 1e-9) if len(times) > 1 else None


@contextmanager
def place_in(directory: Path) -> Iterator[Path]:
    """A directory below it, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="recado-bench-", dir=directory) as place:
        yield Path(place).resolve()
