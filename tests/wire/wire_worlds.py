"""Runs one scenario over every carrier and event loop: what `ports` promises holds for all of them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Asker, Listener, Network, Outgoing, Publication, Publisher, Subscriber
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

SCENARIO_SECONDS = 20.0
BACKENDS = ("trio", "asyncio")
QUICK = WireOptions(linger_seconds=0.1, reconnect_seconds_min=0.01, reconnect_seconds_max=0.05)


class World:
    """A network and addresses in it."""

    def __init__(self, network: Network, carrier: str, directory: Path) -> None:
        self.network = network
        self.carrier = carrier
        self._directory = directory
        self._numbers = itertools.count(1)

    def address(self) -> str:
        """A fresh address to listen at."""
        if self.carrier == "ipc":
            return f"ipc://{self._directory}/{next(self._numbers)}"
        return "tcp://127.0.0.1:*"


Scenario = Callable[[World], Awaitable[None]]


@asynccontextmanager
async def open_network(carrier: str) -> AsyncIterator[Network]:
    """A network of the kind named: ``memory``, ``tcp`` or ``ipc``."""
    if carrier == "memory":
        yield MemoryNetwork()
    else:
        async with ZeroMQNetwork(QUICK) as network:
            yield network


async def _play(scenario: Scenario, carrier: str, directory: Path) -> None:
    with anyio.fail_after(SCENARIO_SECONDS):
        async with open_network(carrier) as network:
            await scenario(World(network, carrier, directory))


def _over(*carriers: str) -> Callable[[Scenario], Callable[..., None]]:
    def decorate(scenario: Scenario) -> Callable[..., None]:
        @pytest.mark.parametrize("backend", BACKENDS)
        @pytest.mark.parametrize("carrier", carriers)
        def test(carrier: str, backend: str, tmp_path: Path) -> None:
            anyio.run(_play, scenario, carrier, tmp_path, backend=backend)

        test.__name__, test.__qualname__ = scenario.__name__, scenario.__qualname__
        test.__doc__, test.__module__ = scenario.__doc__, scenario.__module__
        return test

    return decorate


everywhere = _over("memory", "tcp", "ipc")
over_zeromq = _over("tcp", "ipc")
over_tcp = _over("tcp")


async def echo(listener: Listener) -> None:
    """Answer every request with its own body, junk with ``junk``, for ever."""
    while True:
        batch = await listener.receive_batch()
        listener.send(Outgoing(r.envelope, b"junk" if r.body is None else r.body) for r in batch)


@asynccontextmanager
async def echoing(network: Network, address: str) -> AsyncIterator[Listener]:
    """A listener that echoes while the block runs."""
    async with network.listener(address) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(echo, listener)
        yield listener
        tasks.cancel_scope.cancel()


async def ask_until_served(asker: Asker, body: bytes) -> bytes:
    """Ask again and again, as a client with a deadline does, until a reply comes."""
    while True:
        with anyio.move_on_after(0.2):
            return await asker.ask(body)


async def until_delivered(publisher: Publisher, subscriber: Subscriber, topic: bytes) -> None:
    """Publish probes until the subscription has made its way, then take them all.

    The newest must come: an earlier one may have come by a subscription that was just being taken back.
    """
    for number in itertools.count(1):
        probe = b"probe %d" % number
        publisher.publish([Publication(topic, probe)])
        with anyio.move_on_after(0.05 * number):
            while (await subscriber.receive_batch())[-1].body != probe:
                pass
            return
