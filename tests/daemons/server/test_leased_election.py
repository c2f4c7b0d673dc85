"""The election task in mode `quorum`: which clock its lease runs on, and what it says of itself."""

import msgspec
import pytest
import trio

from daemons.server.election import Elections
from daemons.server.node import Node
from daemons.shared.logging import ListSink, get_logger
from recado.config import ConfigError, load
from recado.protocol.messages import Epoch
from storage.replica import Replica
from tests.daemons.server.server_bench import DEFAULT_TIMINGS, bench, configured, surroundings


class Suspended:
    """A clock that goes on while the event loop's stands still."""

    def __init__(self) -> None:
        self.slept_seconds = 0.0

    def __call__(self) -> float:
        return 7_000.0 + trio.current_time() + self.slept_seconds


async def test_a_lease_runs_out_while_the_machine_is_suspended(autojump_clock: trio.abc.Clock) -> None:
    """After a suspension longer than the lease nothing is done as coordinator, not even before the first
    tick; then the server steps down, within a renewal interval of the event loop's time.
    """
    clock = Suspended()
    node = Node(
        configured("server-1", of=1, server={"mode": "quorum"}, timings=DEFAULT_TIMINGS),
        store=Replica.in_memory("server-1"),
        surroundings=msgspec.structs.replace(surroundings("server-1"), boottime=clock),
        log=lambda name, lamport: get_logger(name, lamport, sink=ListSink()),
    )
    elections = Elections(node, {})
    changes: list[tuple[Epoch | None, bool]] = []
    elections.changed.append(lambda epoch, leading: changes.append((epoch, leading)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.commits.run)
        nursery.start_soon(elections.run)
        await trio.sleep(10)
        assert node.acting()
        clock.slept_seconds = 3600.0
        assert not node.acting()
        assert changes[-1][1], "nobody has told the tasks yet"
        before = len(changes)
        await trio.sleep(DEFAULT_TIMINGS.election_renew_seconds + 0.01)
        assert changes[before] == (None, False)
        nursery.cancel_scope.cancel()


async def test_status_shows_lease_and_promise(autojump_clock: trio.abc.Clock) -> None:
    """The coordinator shows what is left of its lease, a voter whom it is bound to; both the mode."""
    async with bench("server-1", "server-2", of=2, server={"mode": "quorum"}) as cluster:
        await trio.sleep(12)
        leader, voter = [await cluster.running[name].ask("status") for name in ("server-2", "server-1")]
        assert (leader["mode"], leader["election"]) == ("quorum", "leading")
        assert 3 < leader["lease_seconds"] < 5.5
        assert (voter["election"], voter["lease_seconds"]) == ("following", 0)
        assert voter["granted"]["to"] == leader["granted"]["to"] == "server-2"
        assert 4 < voter["granted"]["seconds"] <= 6
        assert voter["granted"]["epoch"] == leader["epoch"]
        warned = cluster.running["server-1"].sink.named(
            "of two members both are needed for a coordinator, server.mode is quorum"
        )
        assert len(warned) == 1


async def test_status_in_mode_available_speaks_of_no_lease(autojump_clock: trio.abc.Clock) -> None:
    """Where there are no leases none are shown."""
    async with bench("server-1", of=1) as cluster:
        await trio.sleep(1)
        said = await cluster.running["server-1"].ask("status")
        assert (said["mode"], said["election"]) == ("available", "leading")
        assert not {"lease_seconds", "granted"} & said.keys()


def test_a_lease_must_outlast_a_renewal_and_its_answer() -> None:
    """In mode quorum the drift of clocks is taken off first; the same timings do in mode available."""
    flags = {"timings.election_lease_seconds": "2.6", "server.mode": "available"}
    assert load(None, overrides=flags).server.mode == "available"
    with pytest.raises(ConfigError) as caught:
        load(None, overrides=flags | {"server.mode": "quorum"})
    (problem,) = caught.value.problems
    assert problem.key == "timings.election_lease_seconds"
    assert "more than 2.75" in problem.expected
