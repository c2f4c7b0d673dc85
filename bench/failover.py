"""kill -9 of one node of three: the longest time that a client is without an answer.

Eight closed loops.  Of the peers the leader is killed and clients are attached to the other two, so that
only the election is seen and not the finding of another node.  Of ours there is no leader of messages: once
clients of the other servers are measured, once those of the killed one, who go to the next server.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import msgspec

from bench import generator
from bench.generator import Load
from bench.peers import etcd, nats, recado
from bench.peers.base import Contender, Running

CONNECTIONS = 8
RETRY_MS = 400  # without an answer for so long, a client asks another node
BEFORE_SECONDS = 1.5


class Kind(msgspec.Struct, frozen=True):
    """Whom to kill, and where clients are.  `own`: they are the killed node's; `spared`: nobody is killed."""

    name: str
    contender: Contender
    victim: Callable[[Running], int]
    seconds: float
    own: bool = False
    spared: bool = False


class Gaps(msgspec.Struct, frozen=True):
    """The longest gap of each kill in milliseconds, and what was answered a second over all."""

    name: str
    version: str
    longest_ms: list[float]
    rates: list[float]

    @property
    def median_ms(self) -> float:
        """Over the kills."""
        return median(self.longest_ms)


class Failover(msgspec.Struct, frozen=True):
    """All kinds that ran, and why others did not."""

    gaps: list[Gaps]
    left_out: list[str]


OTHERS, OWN = "Recado, clients of other servers", "Recado, clients of the killed server"
UNDISTURBED = "Recado, nobody killed"
ETCD, JETSTREAM_R3 = "etcd, leader", "JetStream R3, stream's leader"
KINDS = (
    Kind(UNDISTURBED, recado.QUORUM, lambda _: 2, 4.0, spared=True),
    Kind(OTHERS, recado.QUORUM, lambda _: 2, 4.0),
    Kind(OWN, recado.QUORUM, lambda _: 2, 4.0, own=True),
    Kind(ETCD, etcd.QUORUM, etcd.leader, 6.0),
    Kind(JETSTREAM_R3, nats.THREE_COPIES, nats.leader, 10.0),
)


def measure(directory: Path, *, kills: int) -> Failover:
    """Each kind, `kills` times from the start: a killed node does not come back."""
    command = generator.build()
    gaps: list[Gaps] = []
    left_out: list[str] = []
    for kind in KINDS:
        if (why := kind.contender.peer.missing()) is not None:
            left_out.append(why)
            click.echo(f"left out: {why}", err=True)
            continue
        loads = [kill_once(command, directory, kind) for _ in range(kills)]
        gaps.append(
            Gaps(
                kind.name,
                kind.contender.peer.version(),
                [load.longest_gap_us / 1000 for load in loads],
                [load.rate for load in loads],
            )
        )
    return Failover(gaps, left_out)


def kill_once(command: list[str], directory: Path, kind: Kind) -> Load:
    """The load during which a node is killed, from the start of its cluster."""
    with kind.contender.peer.started(directory) as running:
        time.sleep(1.0)  # until roles are given
        victim = kind.victim(running)
        others = [end for place, end in enumerate(running.endpoints) if place != victim]
        words = generator.publish(
            command,
            kind.contender.protocol,
            [running.endpoints[victim], *others] if kind.own else others,
            connections=CONNECTIONS,
            window=1,
            warm=0.2,
            seconds=kind.seconds,
            retry_ms=RETRY_MS,
            together=int(kind.own),
            level=kind.contender.level,
        )
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
            time.sleep(BEFORE_SECONDS)
            if not kind.spared:
                os.killpg(running.sessions[victim], signal.SIGKILL)
            output, errors = asking.communicate(timeout=kind.seconds + 60)
        if asking.returncode:
            raise RuntimeError(f"{kind.name}: {errors.strip()}")
        return generator.parse(output)
