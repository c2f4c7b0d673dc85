"""The log machine: places in the chain, gaps, forks, abandoned commits (R1-R5, A1, A2, A19)."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import codec
from recado.protocol.entry import EMPTY, run_fields, run_of
from recado.protocol.errors import InvalidEntry
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Kind, Run


def minting(node: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{node}.{number:016x}"


def log(node: str = "a") -> ReplicationLog:
    return ReplicationLog({}, mint_origin=minting(node).__next__)


def append(
    to: ReplicationLog, text: str = "oi", *, target: str = "geral", lamport: int | None = None
) -> Entry:
    stamp = to.lamport + 1 if lamport is None else lamport
    return to.append(
        lamport=stamp, wall_ms=0, kind=Kind.CHANNEL_MESSAGE, author=b"u" * 16, id=None, target=target,
        body=text.encode(),
    )  # fmt: skip


def run(entries: list[Entry], previous: Entry | None = None) -> Run:
    return run_of(entries, previous.hash if previous else EMPTY.hash)


def test_appending_gives_consecutive_places_and_previous_of_the_same_target() -> None:
    """seq counts up; prev is the last entry of this origin with the same target, 0 if none."""
    a = log()
    made = [append(a, target=t) for t in ("x", "y", "x", "x", "y")]
    assert [(e.seq, e.prev) for e in made] == [(1, 0), (2, 0), (3, 1), (4, 3), (5, 2)]


def test_nothing_is_durable_before_its_commit() -> None:
    """The durable vector grows with `committed` only."""
    a = log()
    made = append(a)
    assert a.durable == {}
    a.committed([made])
    assert a.durable == {made.origin: 1}


def test_a_run_is_taken_once() -> None:
    """New entries are kept, known ones skipped, a run that overlaps gives its new part."""
    a, b = log("a"), log("b")
    made = [append(a) for _ in range(4)]
    assert b.offer(run(made[:2])).new == made[:2]
    assert b.offer(run(made[:2])).new == []
    assert b.offer(run(made)).new == made[2:]


def test_a_gap_is_not_jumped() -> None:
    """Only the next seq is taken; a later one says `gap` and changes nothing (A19)."""
    a, b = log("a"), log("b")
    made = [append(a) for _ in range(3)]
    offered = b.offer(run(made[1:], made[0]))
    assert offered.gap
    assert not offered.new
    assert b.heads == {}


def test_a_forked_origin_is_noticed_and_stopped() -> None:
    """The same origin with another history is a fork, also where the known part would be skipped (A2)."""
    one, two, b = log("a"), log("a"), log("b")
    ours = [append(one, "oi"), append(one, "tudo bem?")]
    theirs = [append(two, "olá"), append(two, "e aí?"), append(two, "tchau")]
    assert not b.offer(run(ours)).forked
    for forged in (run(theirs), run(theirs[2:], theirs[1])):
        assert b.offer(forged).forked
    b.stop(ours[0].origin, "forked")
    more = append(one)
    assert b.offer(run([more], ours[1])).new == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_stamp_above_the_ceiling_waits(whole: bool) -> None:
    """Neither invalid nor taken; the part in front is, unless the run counts as a whole; later all is."""
    a, b = log("a"), log("b")
    made = [append(a, lamport=stamp) for stamp in (1, 10, 11, 12)]
    offered = b.offer(run(made), whole=whole, ceiling=10)
    assert offered == ([] if whole else made[:2], False, False, None, 11)
    assert b.lamport == (0 if whole else 10)
    assert not b.stopped
    assert b.offer(run(made), whole=whole, ceiling=12).new == (made if whole else made[2:])


def test_an_invalid_entry_stops_its_run_there() -> None:
    """What came before it is kept, it and the rest are not (A15)."""
    a, b = log("a"), log("b")
    made = [append(a) for _ in range(3)]
    pairs = [(e.header, e.body) for e in made]
    pairs[1] = (pairs[1][0], b"changed")
    offered = b.offer(Run(made[0].origin, 1, EMPTY.hash, pairs))
    assert offered.new == made[:1]
    assert offered.invalid


def test_an_entry_of_another_origin_in_a_run_is_invalid() -> None:
    """A run speaks of one origin only."""
    a, b = log("a"), log("b")
    made = append(a)
    offered = b.offer(Run("c.0000000000000001", 1, EMPTY.hash, [(made.header, made.body)]))
    assert offered.invalid
    assert b.heads == {}


def test_an_abandoned_commit_never_gives_its_places_again() -> None:
    """After a failed commit the log is where the disk is, and goes on under a new origin."""
    a = log()
    kept = append(a)
    a.committed([kept])
    lost = append(a)
    a.abandon()
    again = append(a)
    assert a.durable == {kept.origin: 1}
    assert again.origin not in (kept.origin, lost.origin)
    assert again.seq == 1


def test_one_s_own_forked_origin_is_left() -> None:
    """A server that meets its own origin forked mints a new one."""
    a = log()
    first = append(a)
    a.stop(first.origin, "forked")
    assert append(a).origin != first.origin


def test_an_empty_or_absurd_run_is_harmless() -> None:
    """No run makes the machine fail."""
    b = log("b")
    for odd in (
        Run("", 1, b"", []),
        Run("a.0000000000000001", 0, b"", []),
        Run("a.0000000000000001", 1, b"", []),
    ):
        assert b.offer(odd).new == []


@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_any_order_of_runs_ends_in_the_same_heads(random: Random, count: int) -> None:
    """However runs are cut, repeated and ordered, offering until nothing is missing gives one result."""
    a = log("a")
    made = [append(a, str(n)) for n in range(count)]
    b = log("b")
    while b.heads != a.heads:
        first = random.randrange(count)
        last = random.randrange(first, count) + 1
        b.offer(run(made[first:last], made[first - 1] if first else None))
    assert b.heads == a.heads


@pytest.mark.parametrize("stamp", [0, 4, 5, LAMPORT_LIMIT])
def test_a_stamp_that_peers_would_refuse_is_not_appended(stamp: int) -> None:
    """One that does not rise, or is out of range, leaves the log as it was."""
    a = log()
    append(a, lamport=5)
    before = dict(a.heads)
    with pytest.raises(InvalidEntry):
        append(a, lamport=stamp)
    assert a.heads == before


def test_a_run_without_signature_has_the_bytes_of_open_mode() -> None:
    """Four places; a signature is a fifth, and both forms are read back."""
    run = Run("s.0123456789abcdef", 1, b"", [(b"h", b"b")])
    assert (
        codec.pack(run_fields(run)).hex() == "94b2732e3031323334353637383961626364656601c4009192c40168c40162"
    )
    signed = Run(run.origin, run.first, b"", run.entries, b"s" * 64)
    assert codec.pack(run_fields(signed))[:1] == b"\x95"
    for one in (run, signed):
        assert codec.convert(codec.unpack(codec.pack(run_fields(one))), Run) == one
