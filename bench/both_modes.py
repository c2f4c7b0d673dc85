"""A cluster without keys, or the same with: daemons as processes, raw sockets as clients."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Final, NamedTuple

import zmq

from bench.serving import HERE, START_SECONDS, processor_seconds
from recado.keys import Identity, make_cluster_key, make_identity, write_cluster_key, write_identity, z85
from recado.protocol import codec
from recado.roster import Roster
from recado.wire.lines import REDIAL_SECONDS

USER: Final = "bench"
CHANNEL: Final = "bench"
PORTS: Final = {"server": 5555, "xpub": 5558, "xsub": 5560}
RATES: Final = ("user_messages", "channel_messages", "address_requests", "server_requests", "key_handshakes")
MANY: Final = 1_000_000  # a second: rates are looked at, and never reached
Frames = zmq.Socket[bytes]


class Used(NamedTuple):
    """Processor time in seconds: of all threads, and of the one that runs the event loop."""

    whole: float
    loop: float

    def __sub__(self, before: "Used") -> "Used":  # type: ignore[override]
        return Used(self.whole - before.whole, self.loop - before.loop)


class Keys(NamedTuple):
    """The identities of a secured cluster, by node name, and the client's."""

    nodes: dict[str, Identity]
    client: Identity


class Cluster:
    """Running daemons on a loopback address each.  `keys` is None in open mode."""

    def __init__(self, network: str, keys: Keys | None, *, servers: int) -> None:
        self.network = network
        self.keys = keys
        self.servers = servers
        self.pids: dict[str, int] = {}
        self.context: zmq.Context[Frames] = zmq.Context()

    def address(self, number: int, port: str = "server") -> str:
        """Of the server of that number, or of the broker, which is at the first one's."""
        return f"tcp://{self.network}{number}:{PORTS[port]}"

    def used(self, *names: str) -> Used:
        """By these daemons, without names by all, until now."""
        pids = [self.pids[name] for name in names or self.pids]
        loops = [Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0] for pid in pids]
        return Used(sum(map(processor_seconds, pids)), sum(map(int, loops)) / 1e9)

    def dial(self, kind: int, address: str, *, node: str, as_node: str | None = None) -> Frames:
        """A socket of that kind to a node, over CURVE if there are keys: as the client, or as a node."""
        end = self.context.socket(kind)
        end.setsockopt(zmq.LINGER, 0)
        end.setsockopt(zmq.RCVTIMEO, 20_000)
        end.setsockopt(zmq.SNDHWM, 0)
        end.setsockopt(zmq.RCVHWM, 0)
        if self.keys is not None:
            mine = self.keys.client if as_node is None else self.keys.nodes[as_node]
            end.setsockopt(zmq.CURVE_SERVERKEY, z85(self.keys.nodes[node].public).encode())
            end.setsockopt(zmq.CURVE_PUBLICKEY, z85(mine.public).encode())
            end.setsockopt(zmq.CURVE_SECRETKEY, mine.secret)
        end.connect(address)
        return end


def ask(end: Frames, service: str, **data: object) -> None:
    """One request and its reply.  Raises `RuntimeError` for a refusal."""
    end.send_multipart([b"", codec.encode(service, {"timestamp": 0, "clock": 0, **data})])
    reply = codec.decode_reply(end.recv_multipart()[1])
    if reply.failed:
        raise RuntimeError(f"{service} was refused: {reply.data}")


@contextmanager
def cluster(home: Path, *, secured: bool, servers: int = 1, broker: bool = False) -> Iterator[Cluster]:
    """So many servers, perhaps a broker, with a user and a channel; their files are kept in `home`."""
    names = [f"server-{number}" for number in range(1, servers + 1)] + ["broker"] * broker
    keys = None
    if secured:
        nodes = {name: make_identity("broker" if name == "broker" else "server", name) for name in names}
        keys = Keys(nodes, make_identity("user", USER))
    network = f"127.{SystemRandom().randrange(1, 255)}.{SystemRandom().randrange(1, 255)}."
    running = Cluster(network, keys, servers=servers)
    with ExitStack() as stack:
        common = _common(running, home, broker=broker)
        for name in names:
            running.pids[name] = stack.enter_context(_daemon(running, name, home / name, common))
        stack.callback(running.context.destroy, linger=0)
        _furnish(running)
        yield running


def _common(running: Cluster, home: Path, *, broker: bool) -> dict[str, object]:
    members = [
        f'{{name="server-{number}", rank={number}, address="{running.address(number)}"}}'
        for number in range(1, running.servers + 1)
    ]
    ends = f'{{name="broker", xsub="{running.address(1, "xsub")}", xpub="{running.address(1, "xpub")}"}}'
    settings: dict[str, object] = {
        "cluster.reference": "",
        "cluster.members": f"[{', '.join(members)}]",
        "cluster.brokers": f"[{ends}]" if broker else "[]",
        "broker.request": "",
        "broker.xsub": running.address(1, "xsub"),
        "broker.xpub": running.address(1, "xpub"),
        "log.level": "error",
    }
    if running.keys is not None:
        roster = Roster(cluster="recado")
        for identity in running.keys.nodes.values():
            roster = roster.with_part(identity.public_part)
        roster.write(home / "roster.toml")
        write_cluster_key(home / "cluster.key", make_cluster_key())
        settings |= {"security.roster": home / "roster.toml", "security.cluster_key": home / "cluster.key"}
        for what in RATES:
            settings |= {f"limits.{what}_per_second": MANY, f"limits.{what}_burst": MANY}
    return settings


@contextmanager
def _daemon(running: Cluster, name: str, data: Path, common: dict[str, object]) -> Iterator[int]:
    """One daemon; its process id once it serves."""
    program, _, number = name.partition("-")
    settings = {**common, "node.name": name, "node.data": data}
    if program == "server":
        settings["server.listen"] = running.address(int(number))
    if running.keys is not None:
        write_identity(data / "node.key", running.keys.nodes[name])
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"daemons.{program}",
            *(w for k, v in settings.items() for w in ("--set", f"{k}={v}")),
        ],
        cwd=HERE,
        env={**os.environ, "RECADO_READY_FD": str(writing)},
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        with open(reading) as ready:
            if not ready.readline():
                raise RuntimeError(f"{name} did not start")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _furnish(running: Cluster) -> None:
    level = "all" if running.servers > 1 else "local"
    end = running.dial(zmq.DEALER, running.address(1), node="server-1")
    end.poll(round(1000 * REDIAL_SECONDS))
    ask(end, "login", user=USER, level=level)
    ask(end, "channel", channel=CHANNEL, user=USER, level=level)
    end.close()
