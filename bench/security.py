"""What keys cost: the same loads against a cluster without keys and one with, in alternating pairs.

Counted is the processor time of the daemons, all threads, since a busy machine blurs that less than a
rate; and of it the event loop's thread, which is what bounds a server that has a second core for libzmq's.
Each load's ratio is the median of the ratios of its pairs, which were measured within the same seconds.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec
import zmq

from bench.both_modes import CHANNEL, USER, Cluster, Frames, cluster
from recado.protocol import codec
from recado.protocol.publications import public_topic, topic
from recado.wire import short_form

TEXT = "x" * 120
SUBSCRIBERS = (10, 100)
PUBLICATIONS_AT_ONCE = 20
BODY = codec.pack({"channel": CHANNEL, "user": USER, "message": TEXT, "timestamp": 1, "clock": 1})


class Measured(msgspec.Struct, frozen=True):
    """One load in one round: microseconds of processor time for each message, and messages a second."""

    processor_us: float
    loop_us: float
    rate: float


class Pairs(msgspec.Struct, frozen=True):
    """A load's rounds, open and secured."""

    load: str
    open: list[Measured]
    secured: list[Measured]

    def ratio(self, what: Callable[[Measured], float]) -> float:
        """Secured to open: the median over the pairs."""
        return median(what(s) / what(o) for o, s in zip(self.open, self.secured, strict=True))


def measure(directory: Path, *, rounds: int, seconds: float) -> list[Pairs]:
    """All loads."""
    found = []
    with _both(directory) as ends:
        for connections in (1, 8):
            load = _publisher(connections, 64, "local", seconds=seconds)
            found.append(_pairs(f"publish {connections} x 64", ends, load, rounds=rounds))
    with _both(directory, servers=3) as ends:
        load = _publisher(8, 64, "quorum", seconds=seconds)
        found.append(_pairs("publish 8 x 64, quorum of 3", ends, load, rounds=rounds))
    with _both(directory, broker=True) as ends:
        for subscribers in SUBSCRIBERS:
            load = _conversation(subscribers, seconds=seconds)
            found.append(_pairs(f"8 x 64, {subscribers} subscribers", ends, load, rounds=rounds))
        for subscribers in SUBSCRIBERS:
            load = _fan_out(subscribers, seconds=seconds)
            found.append(_pairs(f"broker alone, {subscribers} subscr.", ends, load, rounds=rounds))
    return found


def table(found: Sequence[Pairs]) -> Iterator[str]:
    """A line for each load."""
    yield f"{'':28} {'us CPU':>17} {'':>6}  {'of the loop':>17} {'':>6}  {'per s':>17}"
    for one in found:
        yield (
            f"{one.load:28}{_cells(one, lambda m: m.processor_us)} {_cells(one, lambda m: m.loop_us)}"
            f" {_cells(one, lambda m: m.rate)}"
        )


def _cells(one: Pairs, what: Callable[[Measured], float]) -> str:
    before, after = median(map(what, one.open)), median(map(what, one.secured))
    dearer = f"{100 * (one.ratio(what) - 1):+5.0f}%" if all(map(what, one.open)) else f"{'':6}"
    return f" {before:8,.1f} {after:8,.1f} {dearer}"


@contextmanager
def _both(directory: Path, *, servers: int = 1, broker: bool = False) -> Iterator[list[Cluster]]:
    """The cluster without keys, and the one with."""
    with ExitStack() as stack:
        ends = []
        for secured in (False, True):
            home = Path(tempfile.mkdtemp(prefix="recado-bench-", dir=directory))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            ends.append(stack.enter_context(cluster(home, secured=secured, servers=servers, broker=broker)))
        yield ends


def _pairs(name: str, ends: Sequence[Cluster], load: Callable[[Cluster], Measured], *, rounds: int) -> Pairs:
    found: tuple[list[Measured], list[Measured]] = ([], [])
    for number in range(rounds + 1):
        for place in (0, 1) if number % 2 else (1, 0):
            measured = load(ends[place])
            if number:  # the first round warms up
                found[place].append(measured)
    return Pairs(name, *found)


# Publishing ---------------------------------------------------------------------------------------


def _publisher(connections: int, window: int, level: str, *, seconds: float) -> Callable[[Cluster], Measured]:
    def load(of: Cluster) -> Measured:
        sockets = [of.dial(zmq.DEALER, of.address(1), node="server-1") for _ in range(connections)]
        try:
            _publish(sockets, 1, level, seconds=0.0)  # shake hands
            before, start = of.used(), time.monotonic()
            answered = _publish(sockets, window, level, seconds=seconds)
            used, passed = of.used() - before, time.monotonic() - start
        finally:
            for end in sockets:
                end.close()
        return Measured(1e6 * used.whole / answered, 1e6 * used.loop / answered, answered / passed)

    return load


def _publish(sockets: Sequence[Frames], window: int, level: str, *, seconds: float) -> int:
    """For so long, with so many out on each connection; returns how many were answered."""
    poller = zmq.Poller()
    out = dict.fromkeys(sockets, 0)
    answered = 0
    end = time.monotonic() + seconds
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
        for _ in range(window):
            _send(socket, level)
            out[socket] += 1
    while any(out.values()):
        ready = poller.poll(20_000)
        if not ready:
            raise RuntimeError("no answer within 20 s")
        going_on = time.monotonic() < end
        for socket, _ in ready:
            taken = _take(socket)
            answered += taken
            out[socket] -= taken
            for _ in range(taken if going_on else 0):
                _send(socket, level)
                out[socket] += 1
    return answered


def _send(socket: Frames, level: str) -> None:
    number = os.urandom(16)
    fields = {"user": USER, "channel": CHANNEL, "message": TEXT, "id": number, "level": level}
    request = codec.encode("publish", {**fields, "timestamp": 1, "clock": 1})
    socket.send(short_form.MARK + number[: short_form.NUMBER_BYTES] + request)


def _take(socket: Frames) -> int:
    """All replies that are there."""
    taken = 0
    while True:
        try:
            reply = socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return taken
        if b"erro" in reply:
            raise RuntimeError(f"refused: {codec.decode_reply(reply[short_form.HEAD_BYTES :]).data}")
        taken += 1


# Spreading ----------------------------------------------------------------------------------------


def _conversation(subscribers: int, *, seconds: float) -> Callable[[Cluster], Measured]:
    """Published at a server, heard through the broker: a message counts once everybody has it."""

    def load(of: Cluster) -> Measured:
        heading = topic(CHANNEL) if of.keys is None else public_topic(CHANNEL)
        listening = [of.dial(zmq.SUB, of.address(1, "xpub"), node="broker") for _ in range(subscribers)]
        sockets = [of.dial(zmq.DEALER, of.address(1), node="server-1") for _ in range(8)]
        try:
            for end in listening:
                end.setsockopt(zmq.SUBSCRIBE, heading)
            _everybody_hears(sockets, listening)
            before, start, said = of.used(), time.monotonic(), 0
            while time.monotonic() < start + seconds:
                answered = _publish(sockets, 64, "local", seconds=0.0)
                for end in listening:
                    _hear(end, answered)
                said += answered
            used, passed = of.used() - before, time.monotonic() - start
        finally:
            for end in [*listening, *sockets]:
                end.close()
        return Measured(1e6 * used.whole / said, 1e6 * used.loop / said, said / passed)

    return load


def _everybody_hears(sockets: Sequence[Frames], listening: Sequence[Frames]) -> None:
    """Publish until everybody has heard, then read until it is quiet."""
    deaf, end = set(listening), time.monotonic() + 30.0
    while deaf:
        if time.monotonic() > end:
            raise RuntimeError(f"{len(deaf)} subscribers hear nothing")
        _publish(sockets, 1, "local", seconds=0.0)
        deaf -= {one for one in deaf if one.poll(10)}
    poller = zmq.Poller()
    for one in listening:
        poller.register(one, zmq.POLLIN)
    while ready := poller.poll(200):
        for one, _ in ready:
            one.recv_multipart()


def _hear(end: Frames, messages: int) -> None:
    """So many messages, alone or in runs."""
    while messages > 0:
        messages -= _messages_in(end.recv_multipart()[1])


def _messages_in(body: bytes) -> int:
    """How many a frame holds, by MessagePack's header alone."""
    if body[0] & 0xF0 == 0x90:
        return body[0] & 0x0F
    return int.from_bytes(body[1:3], "big") if body[0] == 0xDC else 1


def _fan_out(subscribers: int, *, seconds: float) -> Callable[[Cluster], Measured]:
    def load(of: Cluster) -> Measured:
        heading = topic(CHANNEL) if of.keys is None else public_topic(CHANNEL)
        listening = [of.dial(zmq.SUB, of.address(1, "xpub"), node="broker") for _ in range(subscribers)]
        speaker = of.dial(zmq.PUB, of.address(1, "xsub"), node="broker", as_node="server-1")
        try:
            for end in listening:
                end.setsockopt(zmq.SUBSCRIBE, heading)
            _all_listen(speaker, listening, heading)
            before, start, said = of.used("broker"), time.monotonic(), 0
            while time.monotonic() < start + seconds:
                for _ in range(PUBLICATIONS_AT_ONCE):
                    speaker.send_multipart([heading, BODY])
                said += PUBLICATIONS_AT_ONCE
                for end in listening:
                    for _ in range(PUBLICATIONS_AT_ONCE):
                        end.recv_multipart()
            used, passed = of.used("broker") - before, time.monotonic() - start
        finally:
            for end in [*listening, speaker]:
                end.close()
        return Measured(1e6 * used.whole / said, 1e6 * used.loop / said, said / passed)

    return load


def _all_listen(speaker: Frames, listening: Sequence[Frames], heading: bytes) -> None:
    """Publish until everybody has heard, then until what was said for that has arrived."""
    deaf, end = set(listening), time.monotonic() + 30.0
    while deaf:
        if time.monotonic() > end:
            raise RuntimeError(f"{len(deaf)} subscribers hear nothing")
        speaker.send_multipart([heading, b"?"])
        deaf -= {one for one in deaf if one.poll(10)}
    speaker.send_multipart([heading, b"!"])
    for one in listening:
        while one.recv_multipart()[1] != b"!":
            pass
