"""The library over real sockets on loopback: what virtual time cannot show."""

import time
from typing import Any

import anyio
import pytest
from fake_cluster import FakeServer, Shared

from recado.client import NoAnswer, connect
from recado.wire.zeromq import ZeroMQNetwork


async def _talk() -> None:
    server = FakeServer("server-1", Shared(of=1))
    async with (
        ZeroMQNetwork() as network,
        anyio.create_task_group() as group,
        network.forwarder("tcp://127.0.0.1:*", "tcp://127.0.0.1:*") as (xsub, xpub),
    ):
        address = await group.start(server.serve_at, network, "tcp://127.0.0.1:*", xsub)
        async with connect("ana", servers=[address], brokers=[xpub]) as chat:
            await chat.login()
            await chat.create_channel("geral")
            async with chat.subscribe("geral", backlog=1) as incoming:
                with anyio.fail_after(10):
                    await _said(chat, incoming)
        group.cancel_scope.cancel()


async def _said(chat: Any, incoming: Any) -> None:
    """Publish until the subscription has reached the broker, then expect each message once."""
    numbers = []
    for number in range(3):
        await chat.publish("geral", f"{number}")
        await anyio.sleep(0.05)
    async for message in incoming:
        numbers.append(message.text)
        if len(numbers) == 3:
            break
    assert numbers == ["0", "1", "2"]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_over_zeromq(backend: str) -> None:
    """Login, publish and subscribe over ZeroMQ, with the network that `connect` opens itself."""
    anyio.run(_talk, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_closing_over_zeromq_is_prompt(backend: str) -> None:
    """Leaving takes less than 0.6 s with requests queued for a server that is not there."""

    async def main() -> float:
        async with connect("ana", servers=["tcp://127.0.0.1:1"], brokers=["tcp://127.0.0.1:1"]) as chat:
            with pytest.raises(NoAnswer):
                await chat._connection.read("users", {}, deadline_seconds=0.1)
            began = time.monotonic()
        return time.monotonic() - began

    assert anyio.run(main, backend=backend) < 0.6
