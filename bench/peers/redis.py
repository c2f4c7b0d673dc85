"""Redis: a stream for each channel, every answer after its file's fsync; its publish/subscribe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Contender, Peer, Running, free_port, process


@contextmanager
def _start(directory: Path) -> Iterator[Running]:
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",
        "auto-aof-rewrite-percentage": "0",
        "save": "",
        "client-output-buffer-limit": "pubsub 0 0 0",
        "maxclients": "5000",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with process(["redis-server", *words], directory, port=port) as running:
        yield Running([f"127.0.0.1:{port}"], [running.pid])


REDIS = Peer(
    name="Redis",
    promise="XADD answered after the AOF is fsynced (appendfsync always); one copy",
    package="apt-get install redis-server",
    program="redis-server",
    version_words=["--version"],
    start=_start,
)
STREAMS = Contender("Redis, AOF always", REDIS, "redis-streams")
PUBSUB = Contender("Redis pub/sub", REDIS, "redis-pubsub", promise="answered from memory; nothing is kept")
