"""The load of `bench/load/`, of ours alone, where there is no C compiler: same words, same line of JSON.

It takes about as much processor time as the server, so a machine of few cores gives low rates; the
server's processor time per message stays comparable.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator

import zmq

from bench.generator import CHANNELS, USERS
from recado.protocol import codec


class Connection:
    """One closed loop with its window."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", address: str, number: int) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(address)
        self._user = f"bench-{number % USERS}"
        self._asked: dict[bytes, float] = {}

    def ask(self, count: int, text: str) -> None:
        """One more publish."""
        ident = int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10)
        data = {"user": self._user, "channel": f"bench-{count % CHANNELS}", "message": text, "id": ident}
        self._asked[ident] = time.perf_counter()
        self.socket.send_multipart(
            [b"", codec.encode("publish", {**data, "timestamp": int(time.time()), "clock": count})]
        )

    def replies(self) -> Iterator[tuple[float, bool]]:
        """What is there now: (when it was asked, whether it was taken)."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            reply = codec.decode_reply(frames[1])
            yield self._asked.pop(reply.data["id"]), not reply.failed


def main() -> None:
    kind, protocol, endpoint = sys.argv[1:4]
    if (kind, protocol) != ("publish", "recado"):
        raise SystemExit(f"{kind} {protocol} needs the generator in C, and that a compiler")
    settings = dict(word.split("=") for word in sys.argv[4:])
    connections, window = int(settings["connections"]), int(settings["window"])
    warm_seconds, seconds = float(settings["warm"]), float(settings["seconds"])
    text = "x" * int(settings["bytes"])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    poller = zmq.Poller()
    ends = {}
    asked = 0
    start = time.perf_counter()
    for number in range(connections):
        end = Connection(context, f"tcp://{endpoint}", number)
        poller.register(end.socket, zmq.POLLIN)
        ends[end.socket] = end
        for _ in range(window):
            asked += 1
            end.ask(asked, text)
    latencies: list[float] = []
    answered = refused = 0
    while (now := time.perf_counter()) < start + warm_seconds + seconds:
        for socket, _ in poller.poll(100):
            end = ends[socket]
            for when, taken in end.replies():
                answered += 1
                refused += not taken
                if now >= start + warm_seconds:
                    latencies.append(time.perf_counter() - when)
                asked += 1
                end.ask(asked, text)
    context.destroy(linger=0)
    elapsed = time.perf_counter() - start
    print(json.dumps(_summary(latencies, answered, refused, elapsed, warm_seconds)))


def _summary(
    latencies: list[float], answered: int, refused: int, elapsed: float, warm_seconds: float
) -> dict[str, float]:
    latencies.sort()
    used = resource.getrusage(resource.RUSAGE_SELF)

    def percentile_us(fraction: float) -> int:
        return int(latencies[min(len(latencies) - 1, int(fraction * len(latencies)))] * 1e6)

    return {
        "answered": answered,
        "measured": len(latencies),
        "refused": refused,
        "seconds": elapsed - warm_seconds,
        "rate": len(latencies) / (elapsed - warm_seconds),
        "p50_us": percentile_us(0.5),
        "p99_us": percentile_us(0.99),
        "p999_us": percentile_us(0.999),
        "generator_cores": (used.ru_utime + used.ru_stime) / elapsed,
    }


if __name__ == "__main__":
    main()
