"""The tortured cluster alive: its processes, restarted as systemd would, their clocks, disks and network.

Whoever harms a node holds its `lock`, so that no two faults work on one process at once.  A process that
ends without having been harmed is written down: it is a failure of the product.
"""

import json
import os
import shutil
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import trio

from storage.database import StorageFailed
from tests.torture import processes
from tests.torture.disks import Directory, Disk, Image
from tests.torture.machine import Means
from tests.torture.neighbours import build_skew
from tests.torture.network import Bridged, Loopback, Network
from tests.torture.plan import Member, Plan, Role, make_plan

RESTART_SECONDS = 1.0
READY_SECONDS = 40.0
STOP_SECONDS = 15.0
CLIENTS = "clients"
_DISK_BYTES = 2**30
_DISK_BYTES_AN_HOUR = 4 * 2**30
_SKEW_FOLDER = "skew"


class Node:
    """One process of the cluster and what it stands on."""

    def __init__(self, member: Member, disk: Disk) -> None:
        self.member = member
        self.disk = disk
        self.lock = trio.Lock()
        self.process: processes.Running | None = None
        self.harmed = False  # its end is expected
        self.excuses = 0  # so often it may yet end with 70, since its file was damaged

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def data(self) -> Path:
        return self.member.data


class Fleet:
    """All nodes.  `unexpected`: (seconds, node, exit code) of ends that nobody caused."""

    def __init__(self, plan: Plan, *, network: Network, means: Means, nodes: list[Node]) -> None:
        self.plan = plan
        self.network = network
        self.means = means
        self.nodes = {node.name: node for node in nodes}
        self.unexpected: list[tuple[float, str, int]] = []
        self.environment = dict(os.environ)
        self._skew = plan.directory / _SKEW_FOLDER
        self._nursery: trio.Nursery

    @property
    def servers(self) -> list[Node]:
        return [self.nodes[member.name] for member in self.plan.servers]

    def of(self, *roles: Role) -> list[Node]:
        return [node for node in self.nodes.values() if node.member.role in roles]

    # Processes -------------------------------------------------------------------------------

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start everything; `nursery` watches it."""
        self._nursery = nursery
        for node in self.nodes.values():
            await self.start(node)

    async def start(self, node: Node) -> None:
        """Start a node and wait until it serves.  One that ends before that is started again."""
        with trio.fail_after(READY_SECONDS):
            while True:
                node.harmed = False
                node.process = self._launch(node)
                if await node.process.ready():
                    break
                self._ended(node, await node.process.wait())
                await trio.sleep(RESTART_SECONDS)
        self._nursery.start_soon(self._watch, node, node.process)

    def _launch(self, node: Node) -> processes.Running:
        return processes.start(
            [sys.executable, "-m", f"daemons.{node.member.role}", "--config", str(node.member.config_path)],
            log=node.member.log_path,
            environment=self.environment,
            namespace=self.network.namespace(node.name),
        )

    async def _watch(self, node: Node, process: processes.Running) -> None:
        code = await process.wait()
        if node.harmed or node.process is not process:
            return
        self._ended(node, code)
        async with node.lock:
            if node.process is process:
                await trio.sleep(RESTART_SECONDS)
                await self.start(node)

    def _ended(self, node: Node, code: int) -> None:
        if code == StorageFailed.exit_code and node.excuses > 0:
            node.excuses -= 1
        else:
            self.unexpected.append((monotonic(), node.name, code))

    async def kill(self, *nodes: Node) -> None:
        """SIGKILL, all at the same time."""
        for node in nodes:
            node.harmed = True
            assert node.process is not None
            node.process.signal(signal.SIGKILL)
        for node in nodes:
            assert node.process is not None
            await node.process.wait()

    async def stop(self, *nodes: Node) -> list[int]:
        """SIGTERM, all at the same time; their exit codes."""
        for node in nodes:
            node.harmed = True
            assert node.process is not None
            node.process.signal(signal.SIGTERM)
        codes = []
        with trio.fail_after(STOP_SECONDS):
            for node in nodes:
                assert node.process is not None
                codes.append(await node.process.wait())
        return codes

    # Clocks ----------------------------------------------------------------------------------

    def set_clock(self, node: Node, offset_seconds: float) -> None:
        """Let the wall clock of a running process be off by so much from now on."""
        if self.means.clocks:
            with (self._skew / node.name).open("r+b") as file:
                file.write(struct.pack("d", offset_seconds))

    def prepare_clocks(self) -> None:
        """Give every node a clock of its own, true at first.  Before anything starts."""
        if not self.means.clocks:
            return
        self._skew.mkdir()
        library = build_skew(self._skew)
        for name in self.nodes:
            (self._skew / name).write_bytes(struct.pack("d", 0.0))
        self.environment |= {"LD_PRELOAD": str(library), "SKEW_DIRECTORY": str(self._skew)}

    # Its end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Kill what still runs, unmount, tear the network down."""
        for node in self.nodes.values():
            node.harmed = True
            if node.process is not None:
                node.process.signal(signal.SIGKILL)
                await node.process.wait()
            await node.disk.close()
        self.network.close()

    def log_lines(self, node: Node) -> Iterator[dict[str, Any]]:
        """What a node has logged; what is no log line has the event `raw`."""
        if not node.member.log_path.exists():
            return
        with node.member.log_path.open(encoding="utf-8", errors="replace") as log:
            for line in log:
                try:
                    said = json.loads(line)
                except ValueError:
                    said = {"event": "raw", "text": line.rstrip(), "node": node.name}
                if isinstance(said, dict) and "event" in said:
                    yield said


def build(
    directory: Path, means: Means, *, servers: int, brokers: int, seed: str, hours: float = 0.0
) -> Fleet:
    """Disks, network, configurations of a cluster below `directory`; nothing runs yet."""
    names = [f"server-{number}" for number in range(1, servers + 1)]
    mounts = {name: directory / "disks" / name for name in names} if means.disks else {}
    base_port = None if means.network else Random(f"{seed} ports {os.getpid()}").randrange(20_000, 31_000)
    plan = make_plan(directory, servers=servers, brokers=brokers, base_port=base_port, disks=mounts)
    nodes = []
    for member in plan.members:
        member.directory.mkdir(parents=True)
        member.config_path.write_text(member.config, "utf-8")
        nodes.append(Node(member, _disk(member, mounts.get(member.name), hours=hours)))
    hosts = {member.name: member.host for member in plan.members} | {CLIENTS: plan.clients_host}
    network = Bridged(hosts, directory, seed=seed) if means.network else Loopback()
    fleet = Fleet(plan, network=network, means=means, nodes=nodes)
    fleet.prepare_clocks()
    return fleet


def _disk(member: Member, mount: Path | None, *, hours: float) -> Disk:
    if mount is None:
        return Directory(member.directory)
    size = _DISK_BYTES + int(hours * _DISK_BYTES_AN_HOUR)
    return Image(member.directory / "disk.img", mount, size_bytes=size)


def forget(data: Path) -> None:
    """Delete a data directory."""
    shutil.rmtree(data, ignore_errors=True)
