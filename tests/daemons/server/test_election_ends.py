"""The election task at its end: what a late commit releases must not fall over a closed nursery."""

import trio

from daemons.server.election import Elections
from daemons.server.node import Node
from daemons.shared.logging import ListSink, get_logger
from recado.protocol.election import Phase
from storage.replica import Replica
from tests.daemons.server.server_bench import DEFAULT_TIMINGS, configured, surroundings


async def test_an_epoch_kept_after_the_task_has_ended_asks_nobody(autojump_clock: trio.abc.Clock) -> None:
    """A candidate whose epoch becomes durable while its server stops sends nothing and raises nothing."""
    sink = ListSink()
    config = configured("server-1", of=3, server={}, timings=DEFAULT_TIMINGS)
    node = Node(
        config,
        store=Replica.in_memory("server-1"),
        surroundings=surroundings("server-1"),
        log=lambda name, clock: get_logger(name, clock, sink=sink),
    )
    elections = Elections(node, {})
    with trio.move_on_after(2):
        await elections.run()
    assert elections.bully.phase is Phase.STANDING  # its epoch waits: no commit task runs yet
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.commits.run)
        await node.commits.durable()
        nursery.cancel_scope.cancel()
    assert sink.named("election started")
