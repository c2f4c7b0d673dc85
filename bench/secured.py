"""``python -m bench.secured``: what keys cost a server for each message, beside the same server without.

Rounds alternate between an open and a secured server; one client in Python publishes with a window.  The
processor time of all the server's threads is counted, so that a busy machine blurs it less than a rate.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import click
import msgspec
import zmq

from bench.serving import Serving, processor_seconds
from recado.keys import (
    Identity,
    make_cluster_key,
    make_identity,
    write_cluster_key,
    write_identity,
    z85,
)
from recado.protocol import codec
from recado.roster import Roster

USER = "bench"
TEXT = "x" * 120
MANY = 1_000_000  # a second: rates are looked at, and never reached


class Measured(msgspec.Struct, frozen=True):
    """One load: messages answered, processor time of the server and of its event loop's thread for each."""

    answered: int
    processor_us: float


@contextmanager
def server(home: Path, *, keys: tuple[Identity, Identity] | None) -> Iterator[Serving]:
    """A server that keeps its files in `home`; `keys`: its own and the client's, or open mode."""
    settings: dict[str, object] = {
        "node.name": "server-1",
        "node.data": home,
        "server.listen": "tcp://127.0.0.1:*",
        "cluster.reference": "",
        "cluster.brokers": "[]",
        "log.level": "warning",
    }
    if keys is not None:
        write_identity(home / "node.key", keys[0])
        write_cluster_key(home / "cluster.key", make_cluster_key())
        Roster(cluster="recado").with_part(keys[0].public_part).write(home / "roster.toml")
        settings["security.roster"] = home / "roster.toml"
        for what in ("user_messages", "channel_messages", "address_requests"):
            settings |= {f"limits.{what}_per_second": MANY, f"limits.{what}_burst": MANY}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "daemons.server", *words],
        env={**os.environ, "RECADO_READY_FD": str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        with open(reading) as ready:
            yield Serving(msgspec.json.decode(ready.readline())["listen"]["requests"], process.pid)
    finally:
        process.terminate()
        process.wait(10)


class Client:
    """One connection, over CURVE if it has keys, with several publishes out at a time."""

    def __init__(self, address: str, keys: tuple[Identity, Identity] | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, 20_000)
        if keys is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, z85(keys[0].public).encode())
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, z85(keys[1].public).encode())
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, keys[1].secret)
        self._socket.connect(address)
        self._count = 0

    def _send(self, service: str, **data: object) -> None:
        self._count += 1
        fields = {**data, "timestamp": int(time.time()), "clock": self._count}
        self._socket.send_multipart([b"", codec.encode(service, fields)])

    def _answer(self) -> None:
        reply = codec.decode_reply(self._socket.recv_multipart()[1])
        if reply.failed:
            raise RuntimeError(f"refused: {reply.data}")

    def furnish(self) -> None:
        """The user and the channel of the load."""
        self._send("login", user=USER)
        self._answer()
        self._send("channel", channel="bench", user=USER)
        self._answer()

    def publish(self, seconds: float, *, window: int) -> int:
        """For so long; returns how many were answered."""
        end = time.monotonic() + seconds
        answered = 0
        for _ in range(window):
            self._publish()
        while time.monotonic() < end:
            self._answer()
            answered += 1
            self._publish()
        for _ in range(window):
            self._answer()
        return answered + window

    def _publish(self) -> None:
        self._send("publish", user=USER, channel="bench", message=TEXT, id=os.urandom(16))

    def close(self) -> None:
        self._context.destroy(linger=0)


def measured(serving: Serving, client: Client, *, seconds: float, window: int) -> Measured:
    """One load."""
    before = processor_seconds(serving.pid)
    answered = client.publish(seconds, window=window)
    return Measured(answered, (processor_seconds(serving.pid) - before) / answered * 1e6)


@click.command(context_settings={"show_default": True})
@click.option("--rounds", type=click.IntRange(1, 100), default=5, help="Alternating rounds.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=1.0, help="Length of each load.")
@click.option("--window", type=click.IntRange(1, 1000), default=64, help="Publishes out at a time.")
def main(rounds: int, seconds: float, window: int) -> None:
    """Print the median of the server's processor time for each publish, open and secured."""
    keys = make_identity("server", "server-1"), make_identity("user", USER)
    found: dict[str, list[float]] = {"open": [], "secured": []}
    with ExitStack() as stack:
        ends = []
        for name, given in (("open", None), ("secured", keys)):
            home = Path(tempfile.mkdtemp(prefix="recado-bench-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            serving = stack.enter_context(server(home, keys=given))
            client = Client(serving.address, given)
            stack.callback(client.close)
            client.furnish()
            ends.append((name, serving, client))
        for number in range(rounds + 1):
            for name, serving, client in ends[:: 1 if number % 2 else -1]:
                one = measured(serving, client, seconds=seconds, window=window)
                if number:  # the first round warms up
                    found[name].append(one.processor_us)
    middle = {name: median(times) for name, times in found.items()}
    for name, times in found.items():
        print(f"{name:8} {middle[name]:7.1f} us a message  ({', '.join(f'{t:.1f}' for t in times)})")
    ratios = [secured / plain for plain, secured in zip(found["open"], found["secured"], strict=True)]
    print(f"secured costs {100 * (median(ratios) - 1):+.1f} %, the median of the rounds")


if __name__ == "__main__":
    main()
