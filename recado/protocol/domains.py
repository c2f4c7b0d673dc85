"""Members that share a host die together: how many hosts a cluster can lose, and what then remains.

`quorum` counts members.  With n of them it is q = ⌊n/2⌋ + 1, wherever they are.  So what was acknowledged at
`quorum` outlives the loss of f hosts exactly if no f hosts hold q members together, and writes at `quorum`
(and a coordinator in mode `quorum`) go on exactly if the other hosts hold q.  With the same number m of
members on each of h hosts neither depends on m: f·m members are fewer than q if f ≤ h/2, and the rest are q
if f < h/2.  One more on some of them can cost the second: of 2 + 1 + 1 three are needed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate


def host_of(address: str) -> str:
    """The host in ``tcp://HOST:PORT``; all of ``ipc://`` is one."""
    if not address.startswith("tcp://"):
        return "ipc"
    return address.removeprefix("tcp://").rpartition(":")[0].strip("[]").lower()


def members_by_host(addresses: Iterable[str]) -> dict[str, int]:
    """How many members each host has, by the hosts in their addresses."""
    return dict(Counter(map(host_of, addresses)))


def losable(counts: Iterable[int]) -> int:
    """How many hosts, whichever, may be lost for good, and nothing acknowledged at `quorum` is lost."""
    sizes = _largest_first(counts)
    return sum(lost < _quorum(sizes) for lost in accumulate(sizes))


def sparable(counts: Iterable[int]) -> int:
    """How many hosts, whichever, may be away while writes at `quorum` go on."""
    sizes = _largest_first(counts)
    return sum(sum(sizes) - away >= _quorum(sizes) for away in accumulate(sizes))


def is_uneven(counts: Iterable[int]) -> bool:
    """Whether the same hosts with one member each could spare more of them."""
    sizes = _largest_first(counts)
    return sparable(sizes) < sparable([1] * len(sizes))


def _largest_first(counts: Iterable[int]) -> list[int]:
    return sorted((count for count in counts if count > 0), reverse=True)


def _quorum(sizes: Sequence[int]) -> int:
    return sum(sizes) // 2 + 1
