"""The steps of a message's path one by one, without a network around them: processor time of each."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import trio

from bench import micro_wire
from daemons.server.calls import Replies
from daemons.server.clock_tags import ClockTags
from recado.protocol import codec, names
from recado.protocol.disciplined import DisciplinedClock
from recado.protocol.entry import EMPTY, Head, origin_name, parse, seal
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.messages import Entry, Kind
from recado.protocol.publications import channel_message
from storage.replica import Batch, Replica

TEXT = "x" * 120
USER = names.uid("bench-0")
ORIGIN = origin_name("bench", bytes(8))
REPEATS = 5


def request() -> bytes:
    """A publish as the load generator sends it."""
    data = {"user": "bench-0", "channel": "bench-0", "message": TEXT}
    return codec.encode(
        "publish", {**data, "timestamp": 1_750_000_000, "clock": 2**33, "id": bytes(range(16))}
    )


def entries(count: int, *, previous: Head = EMPTY) -> list[Entry]:
    """A chain of channel messages with ids in order of time."""
    chain = []
    for _ in range(count):
        number = previous.seq + 1
        entry = seal(
            previous,
            origin=ORIGIN,
            lamport=previous.lamport + 1,
            wall_ms=1_750_000_000_000 + number,
            kind=Kind.CHANNEL_MESSAGE,
            author=USER,
            id=number.to_bytes(6, "big") + os.urandom(10),
            target="bench-0",
            prev=previous.seq,
            body=TEXT.encode(),
        )
        chain.append(entry)
        previous = Head(entry.seq, entry.lamport, entry.hash)
    return chain


def _us(step: Callable[[], object], *, times: int) -> float:
    """Processor time of one call in microseconds: the median of a few runs of `times` calls."""
    costs = []
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(times):
            step()
        costs.append((time.process_time() - start) / times * 1e6)
    return median(costs)


def measure(*, quick: bool) -> dict[str, float]:
    """Step → microseconds of processor time."""
    times = 1_000 if quick else 10_000
    frame, (entry,) = request(), entries(1)
    clock = LamportClock()
    replies = Replies(
        clock,
        DisciplinedClock(time.time, time.monotonic),
        ClockTags(clock, b"", ceiling=lambda: LAMPORT_LIMIT),
    )
    publication = channel_message(entry, user="bench-0")

    def reply() -> None:
        data = {"status": "OK", "level": "local", "key": [1, ORIGIN, 1], "server": "bench", "id": entry.id}
        replies.add((b"\0" * 5, b""), "publish", {**data, "acks": 1, "of": 1}, asked_clock=1)

    steps: dict[str, Callable[[], object]] = {
        "decode and check a publish": lambda: codec.decode_request(frame),
        "names, user id, text": lambda: (names.user_name("bench-0"), names.uid("bench-0"), names.text(TEXT)),
        "Lamport: receive": lambda: clock.receive_unsigned(0, now=0.0),
        "seal an entry": lambda: entries(1),
        "parse and check a peer's entry": lambda: parse(entry.header, entry.body, EMPTY),
        "make and encode a reply": reply,
        "encode a publication": lambda: codec.pack(publication),
    }
    found = {name: _us(step, times=times) for name, step in steps.items()}
    found["a checkpoint of trio"] = trio.run(_checkpoints, times)
    found |= {f"store a row, {size} a commit": _row_us(size, quick=quick) for size in (1, 64, 512)}
    rounds = micro_wire.ROUNDS // (10 if quick else 1)
    for trip in anyio.run(micro_wire.measure, rounds, backend="trio"):
        found[f"wire, {trip.network}, {trip.out} out: both ends"] = trip.processor_us
    return found


async def _checkpoints(times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        await trio.lowlevel.checkpoint()
    return (time.process_time() - start) / times * 1e6


def _row_us(size: int, *, quick: bool) -> float:
    """Processor time of storing one row, with commits that cost no disk where there is a tmpfs."""
    shared = Path("/dev/shm")
    batches = max(4, (2_048 if quick else 16_384) // max(size, 16))
    with TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="recado-micro-") as place:
        replica = Replica.open(Path(place), node="bench")
        try:
            chain = entries(batches * size)
            start = time.process_time()
            for number in range(batches):
                replica.stage(Batch(entries=chain[number * size : (number + 1) * size], now_ms=number))
                replica.commit()
            return (time.process_time() - start) / (batches * size) * 1e6
        finally:
            replica.close()


def table(found: dict[str, float]) -> Iterator[str]:
    """One line per step."""
    yield "Steps of a message's path, microseconds of processor time each"
    for name, us in found.items():
        yield f"  {name:40} {us:8.2f}"
