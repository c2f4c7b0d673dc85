"""A fake cluster on real sockets, in a thread of its own, for commands that run their own loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from click.testing import CliRunner, Result

from clients.cli import cli
from recado.protocol import codec
from recado.wire.ports import Network, Outgoing
from recado.wire.zeromq import ZeroMQNetwork
from tests.client.fake_cluster import FakeServer, Shared

ANY = "tcp://127.0.0.1:*"


@dataclass
class OnSockets:
    """A fake server behind a real broker and reference."""

    server: FakeServer
    address: str
    broker: str
    reference: str
    state: Path
    portal: BlockingPortal

    def run(self, *arguments: str, **more: Any) -> Result:
        """One command through the reference, in this process."""
        environment = {
            "RECADO_REFERENCE": self.reference,
            "RECADO_STATE": str(self.state),
            "RECADO_LANG": "en",
            "RECADO_SERVER": "",
            "RECADO_BROKER": "",
            "RECADO_USER": "",
        }
        result = CliRunner().invoke(cli, arguments, env=environment, **more)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result


async def _reference(network: Network, listed: list[str], *, task_status: Any) -> None:
    async with network.listener(ANY) as listener:
        task_status.started(listener.address)
        while True:
            for incoming in await listener.receive_batch():
                items = [{"name": "server-1", "rank": 1, "address": address} for address in listed]
                data = {"list": items, "timestamp": 1000, "clock": 7}
                listener.send([Outgoing(incoming.envelope, codec.encode("list", data))])


async def _cluster(server: FakeServer, stop: anyio.Event, *, task_status: Any) -> None:
    async with (
        ZeroMQNetwork() as network,
        network.forwarder(ANY, ANY) as (xsub, xpub),
        anyio.create_task_group() as group,
    ):
        server.shared.brokers.append(xpub)
        address = await group.start(server.serve_at, network, ANY, xsub)

        async def reference(*, task_status: Any) -> None:
            await _reference(network, [address], task_status=task_status)

        listens = await group.start(reference)
        task_status.started((address, xpub, listens))
        await stop.wait()
        group.cancel_scope.cancel()


@contextmanager
def on_sockets(server: FakeServer, directory: Path) -> Iterator[OnSockets]:
    """That server, running, with a broker and a reference."""
    with start_blocking_portal("asyncio") as portal:
        stop = portal.call(anyio.Event)
        running, told = portal.start_task(_cluster, server, stop)
        address, broker, reference = told
        yield OnSockets(server, address, broker, reference, directory / "state", portal)
        portal.call(stop.set)
        running.result(10)


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[OnSockets]:
    """A running fake cluster."""
    with on_sockets(FakeServer("server-1", Shared()), tmp_path) as there:
        yield there
