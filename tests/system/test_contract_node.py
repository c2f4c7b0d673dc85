"""The plain contract in another language: Node.js with its own ZeroMQ and its own MessagePack."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from contract_services import Step, check, check_kept, client_steps, peer_steps, reference_steps
from processes import until
from running_cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("node-zeromq")]
SCRIPT = Path(__file__).parent / "node" / "client.js"
TIMESTAMPS = ("int-seconds", "float-seconds", "int-milliseconds", "iso-8601", "missing")
by_variant = pytest.mark.parametrize(
    ("timestamp", "clock"),
    [(timestamp, clock) for timestamp in TIMESTAMPS for clock in (True, False)],
    ids=lambda value: value if isinstance(value, str) else "a clock" if value else "no clock",
)


class Node:
    """The other program, one line there and one line back."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the client ended; what it said is on standard error"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def connect(self, address: str) -> None:
        self.tell({"connect": address})

    def ask(
        self, service: str, *, timestamp: str = "int-seconds", clock: bool = True, **fields: Any
    ) -> dict[str, Any]:
        """One request; the data of its reply, after what every reply must keep was looked at."""
        reply = self.tell({"ask": service, "fields": fields, "timestamp": timestamp, "clock": clock})
        data: dict[str, Any] = reply["data"]
        assert (reply["service"], reply["frames"]) == (service, 1)
        assert type(data["timestamp"]) is type(data["clock"]) is int
        assert abs(data["timestamp"] - time()) < 60
        assert data["clock"] > reply["asked"]
        assert reply["shown"].startswith("20")
        return data


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with subprocess.Popen(
        ["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parent
    ) as process:
        try:
            yield Node(process)
        finally:
            process.kill()


def _asking(node: Node, step: Step, timestamp: str, clock: bool) -> Callable[[], dict[str, Any]]:
    return lambda: node.ask(step.service, timestamp=timestamp, clock=clock, **step.fields)


def _mark(where: str, timestamp: str, clock: bool) -> str:
    return f"node-{where}-{timestamp}-{int(clock)}"


@pytest.mark.parametrize("where", ["server", "round-robin"])
@by_variant
def test_client_services(plain_cluster: Cluster, node: Node, where: str, timestamp: str, clock: bool) -> None:
    """Every client service answers a Node client, at one server and through the broker."""
    node.connect(plain_cluster.servers[1] if where == "server" else plain_cluster.summary["request"])
    mark = _mark(where, timestamp, clock)
    for step in client_steps(mark):
        if step.service == "clock":  # a whole number of seconds is the same to this language
            step = step._replace(types={})  # noqa: PLW2901
        check(step, _asking(node, step, timestamp, clock))
    if where == "server":
        check_kept(node.ask, mark)


@by_variant
def test_servers_services(plain_cluster: Cluster, node: Node, timestamp: str, clock: bool) -> None:
    """What servers ask the reference and each other, asked by a Node program."""
    mark = _mark("servers", timestamp, clock)
    node.connect(plain_cluster.summary["reference"])
    for step in reference_steps(mark):
        check(step, _asking(node, step, timestamp, clock))
    node.connect(plain_cluster.servers[2])
    for step in peer_steps(mark):
        check(step, _asking(node, step, timestamp, clock))
    (said,) = node.ask("history_channel", channel=f"sala-{mark}")["messages"]
    assert said["message"] == "de longe"


def test_a_node_subscriber_hears_channel_and_direct_messages(plain_cluster: Cluster, node: Node) -> None:
    """SUB in Node receives two frames, topic and flat map, of what it published itself."""
    node.connect(plain_cluster.servers[0])
    for name in ("nó-ana", "nó-rui"):
        assert node.ask("login", user=name)["status"] == "sucesso"
    assert node.ask("channel", channel="nó-sala")["status"] == "sucesso"
    node.tell({"subscribe": plain_cluster.summary["broker"], "topics": ["nó-sala", "nó-rui"]})

    def heard(service: str, **fields: Any) -> dict[str, Any]:
        def said() -> dict[str, Any] | None:
            assert node.ask(service, **fields)["status"] == "OK"
            answer = node.tell({"receive": 0.5})
            return None if "nothing" in answer or answer["topic"] != topic else answer

        topic = fields.get("channel") or fields["dst"]
        answer = until(said, seconds=10, what=f"{service} is heard")
        assert answer["frames"] == 2
        body: dict[str, Any] = answer["body"]
        assert type(body["timestamp"]) is type(body["clock"]) is int
        return body

    said = heard("publish", user="nó-ana", channel="nó-sala", message="olá")
    assert (said["user"], said["message"], said["channel"]) == ("nó-ana", "olá", "nó-sala")
    direct = heard("message", src="nó-ana", dst="nó-rui", message="só para ti")
    assert (direct["from"], direct["src"], direct["dst"]) == ("nó-ana", "nó-ana", "nó-rui")
