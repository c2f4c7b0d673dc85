"""A cluster whose nodes are tiny real processes: they say that they are ready and wait for SIGTERM.

Run as a program it is a supervisor on its own, for the tests that kill one.
"""

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import anyio

from clients.cluster.events import Event, Sink, json_sink
from clients.cluster.plan import Plan, Wish, make_plan
from clients.cluster.supervisor import Supervisor
from recado.wire.zeromq import ZeroMQNetwork

STUB = """
import json, os, signal, sys, time
from pathlib import Path
journal = Path(sys.argv[1])
def tell(word):
    with journal.open("a") as file:
        file.write(f"{word} {sys.argv[2]}\\n")
def leave(*_):
    tell("stop")
    if sys.argv[3] == "stubborn":
        return
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
if sys.argv[3] == "broken":
    print("no such thing as a flux capacitor", file=sys.stderr)
    sys.exit(78)
tell("start")
os.write(int(os.environ["RECADO_READY_FD"]), json.dumps({"ready": True, "listen": {}}).encode() + b"\\n")
while True:
    signal.pause()
"""


def free_base_port(span: int = 10) -> int:
    """A base port with `span` free ports above it, found by binding them all at once."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            base = probe.getsockname()[1]
        if base + span > 65_000:
            continue
        held = []
        try:
            for port in range(base, base + span):
                end = socket.socket()
                held.append(end)
                end.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for end in held:
                end.close()
        return base
    raise AssertionError("no free ports")


def stub_plan(
    data: Path,
    *,
    base_port: int,
    servers: int = 2,
    manners: dict[str, str] | None = None,
    restart: bool = True,
) -> Plan:
    """A plan whose commands are stubs; `manners` makes one ``stubborn`` or ``broken``."""
    plan = make_plan(Wish(data=data, base_port=base_port, servers=servers, bots=1, restart=restart))
    journal = str(data / "journal")
    nodes = tuple(
        replace(
            node,
            command=(sys.executable, "-c", STUB, journal, node.name, (manners or {}).get(node.name, "kind")),
        )
        for node in plan.nodes
    )
    return replace(plan, nodes=nodes)


def supervisor(plan: Plan, sink: Sink) -> Supervisor:
    return Supervisor(plan, sink=sink, network=ZeroMQNetwork(), environment=os.environ)


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Recorder:
    """A sink that keeps the events and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = anyio.Event()

    def __call__(self, happened: Event) -> None:
        self.events.append(happened)
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, kind: str, **fields: object) -> Event:
        """The first event of that kind with these fields, waited for up to 20 s."""
        with anyio.fail_after(20):
            while True:
                for happened in self.events:
                    if happened["event"] == kind and fields.items() <= happened.items():
                        return happened
                await self._changed.wait()

    @property
    def kinds(self) -> list[str]:
        return [happened["event"] for happened in self.events]


async def _alone(plan: Plan) -> None:
    await supervisor(plan, json_sink(sys.stdout)).run()


if __name__ == "__main__":
    manners = dict.fromkeys(sys.argv[3:], "stubborn")
    anyio.run(
        _alone, stub_plan(Path(sys.argv[1]), base_port=int(sys.argv[2]), manners=manners), backend="trio"
    )
