"""ngircd: an IRC server, with its brakes taken off.  Nothing is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Contender, Peer, Running, free_port, process

_CONFIGURATION = """
[Global]
Name = irc.bench.test
Info = bench
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = bench
PidFile = {directory}/ngircd.pid
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
MaxNickLength = 30
PingTimeout = 3600
PongTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
"""


@contextmanager
def _start(directory: Path) -> Iterator[Running]:
    port = free_port()
    file = directory / "ngircd.conf"
    file.write_text(_CONFIGURATION.format(port=port, directory=directory), "utf-8")
    with process(["ngircd", "-n", "-f", str(file)], directory, port=port) as running:
        yield Running([f"127.0.0.1:{port}"], [running.pid])


NGIRCD = Peer(
    name="ngircd",
    promise="PONG after the message was taken; nothing is kept",
    package="apt-get install ngircd",
    program="ngircd",
    version_words=["--version"],
    start=_start,
)
CHANNEL = Contender("ngircd", NGIRCD, "irc")
