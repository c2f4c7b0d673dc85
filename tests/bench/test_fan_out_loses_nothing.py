"""At full speed through a server and a broker, every subscriber gets every message once."""

import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio

from bench import generator
from bench.members import Members
from recado.client import connect

MESSAGES = 20_000
SUBSCRIBERS = 3
PATIENCE_SECONDS = 120.0


def publishing(endpoint: str) -> list[str]:
    """The words of a burst into the channel bench-0, eight connections with 64 out each."""
    words = generator.publish(
        generator.build(),
        "recado-short",
        [endpoint],
        connections=8,
        window=64,
        channels=1,
        count=MESSAGES,
        seconds=PATIENCE_SECONDS,
    )
    return words


async def heard_by_each(members: Members, *, broker_dies: bool) -> list[list[tuple[str, int]]]:
    """(origin, seq) of what subscribers of the library were shown, in that order, of one burst."""
    heard: list[list[tuple[str, int]]] = [[] for _ in range(SUBSCRIBERS)]
    server = f"tcp://{members.endpoint(0)}"
    under_way = trio.Event()

    async def listen(mine: list[tuple[str, int]], task_status: trio.TaskStatus[None]) -> None:
        async with (
            connect(None, servers=[server]) as chat,
            chat.subscribe("bench-0") as incoming,
        ):
            task_status.started()
            async for message in incoming:
                mine.append((message.origin or "", message.seq or 0))
                if len(mine) == MESSAGES // 10:
                    under_way.set()
                if len(mine) == MESSAGES:
                    return

    with trio.move_on_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for mine in heard:
                await nursery.start(listen, mine)
            burst = partial(trio.run_process, stdout=subprocess.DEVNULL)
            nursery.start_soon(burst, publishing(members.endpoint(0)))
            if broker_dies:
                await under_way.wait()
                members.kill("broker")
                await trio.to_thread.run_sync(members.start, "broker")
    return heard


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.needs("cc")
@pytest.mark.parametrize("broker_dies", [False, True], ids=["", "while the broker is killed"])
def test_every_subscriber_gets_every_message_of_a_burst_once(tmp_path: Path, broker_dies: bool) -> None:
    """20,000 messages at full speed: each of three subscribers is shown all of them, none twice, in order.

    What the broker drops for one that reads too slowly, or loses when it dies, comes from the history.
    """
    with Members(tmp_path, servers=1, broker=True) as members:
        heard = trio.run(partial(heard_by_each, members, broker_dies=broker_dies))
    assert [len(mine) for mine in heard] == [MESSAGES] * SUBSCRIBERS
    assert all(mine == sorted(set(mine)) for mine in heard)
