"""etcd: three members, every put on the disks of two before it is answered.  By its older API, the faster."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.peers.base import Contender, Peer, Process, Running, free_port


@contextmanager
def _start(directory: Path) -> Iterator[Running]:
    clients, peers = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    everybody = ",".join(f"n{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
    with ExitStack() as stack:
        members = []
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            settings = {
                "name": f"n{number}",
                "data-dir": f"{directory}/n{number}",
                "enable-v2": "true",
                "listen-client-urls": f"http://127.0.0.1:{client}",
                "advertise-client-urls": f"http://127.0.0.1:{client}",
                "listen-peer-urls": f"http://127.0.0.1:{peer}",
                "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
                "initial-cluster": everybody,
                "initial-cluster-state": "new",
                "snapshot-count": "100000",
                "log-level": "error",
            }
            members.append(Process(["etcd", *(f"--{k}={v}" for k, v in settings.items())], directory))
            stack.callback(members[-1].stop)
        for member, client in zip(members, clients, strict=True):
            member.await_port(client)
        yield Running([f"127.0.0.1:{port}" for port in clients], [member.pid for member in members])


def leader(running: Running) -> int:
    """The place of the leader among `running.endpoints`."""
    for place, endpoint in enumerate(running.endpoints):
        request = urllib.request.Request(
            f"http://{endpoint}/v3/maintenance/status", data=b"{}", method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as reply:
            status = json.load(reply)
        if status["leader"] == status["header"]["member_id"]:
            return place
    raise RuntimeError("etcd has no leader")


ETCD = Peer(
    name="etcd",
    promise="answered after two of three have fsynced it",
    package="apt-get install etcd-server",
    program="etcd",
    version_words=["--version"],
    start=_start,
)
QUORUM = Contender("etcd, 3 members", ETCD, "etcd", window_max=1)
