"""The end of a server's own log in memory gives what the store would have given."""

from collections.abc import Sequence

import pytest

from daemons.server.replication import chunks
from daemons.server.tail import TAIL_BYTES_MAX, TAIL_ENTRIES_MAX, Tail, size_of
from recado.protocol.entry import EMPTY, hash16
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Run
from tests.daemons.server.peer_frames import ORIGIN, OTHER, log_of

PLENTY = {"entries_max": 2000, "bytes_max": 2**20}


def signature_of(entry: Entry) -> bytes:
    return hash16(entry.hash) * 4


def filled(entries: Sequence[Entry], *, each: int, signed: bool = False) -> Tail:
    """A tail of these entries, so many to a commit."""
    tail, previous = Tail(), EMPTY.hash
    for first in range(0, len(entries), each):
        batch = entries[first : first + each]
        signatures = {(batch[-1].origin, batch[-1].seq): signature_of(batch[-1])} if signed else {}
        for run in chunks(previous, batch, signatures):
            tail.add(run, size_of(run))
        previous = batch[-1].hash
    return tail


def taken(run: Run | None) -> int:
    return 0 if run is None else len(run.entries)


@pytest.mark.parametrize("each", [1, 7, 50])
def test_what_comes_of_it_follows_what_the_peer_has(each: int) -> None:
    """From any place on, page after page, a peer's log takes all of it: no gap, no fork, every hash right."""
    entries = log_of(ORIGIN, 50)
    tail = filled(entries, each=each)
    for start in range(51):
        log = ReplicationLog({}, mint_origin=lambda: OTHER)
        log.offer(Run(ORIGIN, 1, b"", [(e.header, e.body) for e in entries[:start]]))
        at = start
        while (run := tail.run_after(ORIGIN, at, **PLENTY)) is not None:
            offered = log.offer(run)
            assert offered.new == entries[at : at + len(run.entries)]
            at += len(offered.new)
        assert at == 50


def test_a_page_keeps_to_its_bounds() -> None:
    """At most so many entries and bytes; where not even one commit fits the store is to be asked."""
    entries = log_of(ORIGIN, 50)
    tail = filled(entries, each=10)
    one = len(entries[0].header) + len(entries[0].body)
    assert taken(tail.run_after(ORIGIN, 0, entries_max=35, bytes_max=2**20)) == 30
    assert taken(tail.run_after(ORIGIN, 5, entries_max=7, bytes_max=2**20)) == 5
    assert 0 < taken(tail.run_after(ORIGIN, 0, entries_max=2000, bytes_max=25 * one)) <= 25
    assert tail.run_after(ORIGIN, 0, entries_max=9, bytes_max=2**20) is None
    assert tail.run_after(ORIGIN, 0, entries_max=2000, bytes_max=one) is None


def test_a_signed_run_ends_at_its_signature() -> None:
    """Wherever it begins; and without signatures nothing is given that has to be signed."""
    entries = log_of(ORIGIN, 50)
    tail = filled(entries, each=10, signed=True)
    for start in (0, 3, 10, 39, 49):
        run = tail.run_after(ORIGIN, start, entries_max=25, bytes_max=2**20, signed=True)
        assert run is not None
        last = entries[run.first + len(run.entries) - 2]
        assert (last.seq % 10, run.signature) == (0, signature_of(last))
    assert filled(entries, each=10).run_after(ORIGIN, 0, **PLENTY, signed=True) is None


def test_only_the_end_of_one_origin_is_kept() -> None:
    """What is older than its bounds, of another origin, or of one that was given up, is not there."""
    entries = log_of(ORIGIN, 3000, text="{:>2000}")
    tail = filled(entries, each=100)
    assert tail.run_after(ORIGIN, 0, **PLENTY) is None
    assert taken(tail.run_after(ORIGIN, 2950, **PLENTY)) == 50
    sizes = [size_of(run) for run in chunks(EMPTY.hash, entries[:1])]
    kept = next(seq for seq in range(3000) if tail.run_after(ORIGIN, seq, **PLENTY))
    assert TAIL_BYTES_MAX - 200 * sizes[0] < (3000 - kept) * sizes[0] <= TAIL_BYTES_MAX
    assert 3000 - kept <= TAIL_ENTRIES_MAX
    assert tail.run_after(OTHER, 0, **PLENTY) is None
    for run in chunks(EMPTY.hash, log_of(OTHER, 3)):
        tail.add(run, size_of(run))
    assert tail.run_after(ORIGIN, 2950, **PLENTY) is None
    assert taken(tail.run_after(OTHER, 0, **PLENTY)) == 3
