"""Hosts that may be lost or away: the formula against every way of losing them."""

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from recado.protocol.acknowledgement import Acknowledgements
from recado.protocol.domains import host_of, is_uneven, losable, members_by_host, sparable
from recado.protocol.messages import Level


def shapes() -> Iterator[tuple[int, ...]]:
    for hosts in range(1, 6):
        yield from product(range(1, 5), repeat=hosts)


def quorum(members: int) -> int:
    """As servers count it."""
    names = [str(number) for number in range(members)]
    return Acknowledgements[None]("0", names, wait_seconds=1).needed(Level.QUORUM)


def most(shape: tuple[int, ...], holds: object) -> int:
    """The largest number of hosts of which every choice keeps the promise."""
    kept = 0
    for lost in range(1, len(shape) + 1):
        if all(holds(sum(chosen)) for chosen in combinations(shape, lost)):  # type: ignore[operator]
            kept = lost
    return kept


def test_what_is_lost_and_what_is_spared() -> None:
    """For every shape of up to five hosts with up to four members each, every choice of hosts tried."""
    for shape in shapes():
        needed, members = quorum(sum(shape)), sum(shape)
        assert losable(shape) == most(shape, lambda lost, q=needed: lost < q), shape
        assert sparable(shape) == most(shape, lambda away, q=needed, n=members: n - away >= q), shape


def test_equal_numbers_promise_what_one_each_does() -> None:
    """However many members each host has: half of the hosts may be lost, fewer than half may be away."""
    for hosts in range(1, 12):
        for each in range(1, 9):
            assert losable([each] * hosts) == hosts // 2
            assert sparable([each] * hosts) == (hosts - 1) // 2
            assert not is_uneven([each] * hosts)


@pytest.mark.parametrize(
    ("shape", "lost", "away"),
    [
        ([3], 0, 0),
        ([1, 1, 1], 1, 1),
        ([2, 2, 2], 1, 1),
        ([2, 1], 0, 0),
        ([2, 2], 1, 0),
        ([2, 1, 1], 1, 0),
        ([2, 2, 1], 1, 1),
        ([3, 1, 1], 0, 0),
    ],
)
def test_shapes_of_the_operations_page(shape: list[int], lost: int, away: int) -> None:
    """The table that operators read."""
    assert (losable(shape), sparable(shape)) == (lost, away)


def test_hosts_are_those_of_the_addresses() -> None:
    """Ports make no other host, brackets and capitals neither."""
    assert host_of("tcp://[FE80::1]:5555") == "fe80::1"
    found = members_by_host(["tcp://Alfa:5555", "tcp://alfa:5556", "tcp://10.0.0.1:1", "ipc:///run/x"])
    assert found == {"alfa": 2, "10.0.0.1": 1, "ipc": 1}
