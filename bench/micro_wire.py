"""Round trips per second through one listener and one asker in one process, without any Recado logic.

``python bench/micro_wire.py [trio|asyncio]``: over tcp, ipc and memory, with 1 and 64 requests out.
An upper bound for what a server can answer, and the place to look when a wire change costs something.
"""

import sys
import tempfile
import time
from contextlib import AsyncExitStack
from typing import NamedTuple

import anyio

from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Asker, Listener, Network, Outgoing
from recado.wire.zeromq import ZeroMQNetwork

ROUNDS = 10_000
BODY = bytes(120)


async def _echo(listener: Listener) -> None:
    while True:
        listener.send(Outgoing(r.envelope, r.body or b"") for r in await listener.receive_batch())


async def _ask(asker: Asker, count: int) -> None:
    for _ in range(count):
        await asker.ask(BODY)


class Trip(NamedTuple):
    """Round trips over one network with `out` requests out; processor time of both ends together."""

    network: str
    out: int
    rate: float
    processor_us: float


async def _measure(network: Network, address: str, *, name: str, rounds: int) -> list[Trip]:
    trips = []
    async with (
        network.listener(address) as listener,
        network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_echo, listener)
        await _ask(asker, 100)
        for out in (1, 64):
            wall, cpu = time.perf_counter(), time.process_time()
            async with anyio.create_task_group() as asking:
                for _ in range(out):
                    asking.start_soon(_ask, asker, max(1, rounds // out))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            trips.append(Trip(name, out, rounds / wall, cpu / rounds * 1e6))
        tasks.cancel_scope.cancel()
    return trips


async def measure(rounds: int = ROUNDS) -> list[Trip]:
    """Round trips over tcp, ipc and memory, with 1 and 64 requests out each."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        network = await stack.enter_async_context(ZeroMQNetwork())
        return [
            *await _measure(network, "tcp://127.0.0.1:*", name="tcp", rounds=rounds),
            *await _measure(network, f"ipc://{directory}/socket", name="ipc", rounds=rounds),
            *await _measure(MemoryNetwork(), "tcp://memory:1", name="memory", rounds=rounds),
        ]


if __name__ == "__main__":
    for trip in anyio.run(measure, backend=sys.argv[1] if sys.argv[1:] else "trio"):
        print(
            f"{trip.network:7} {trip.out:3} out {trip.rate:9,.0f} round trips/s"
            f" {trip.processor_us:6.1f} us CPU each (both ends)"
        )
