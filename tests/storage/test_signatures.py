"""Signatures beside the log: kept in the commit of their entries, and where pages end."""

from collections.abc import Iterator, Sequence

import pytest
from storage_entries import ORIGINS, Author, conversation, put

from recado.protocol.entry import EMPTY, Head, hash16, parse
from recado.protocol.limits import PAGE_BYTES_MAX
from recado.protocol.messages import Entry, Run
from storage.database import Damaged
from storage.replica import Batch, Replica
from storage.scrub import check

ORIGIN = ORIGINS[0]
NODE = "server-1"


def signed(origin: str, chained: bytes) -> bytes:
    """What stands for a signature of the origin's node: the store does not look into them."""
    return hash16(b"secret", origin.encode(), chained) * 4


def kept(entries: Sequence[Entry], *, every: int = 0, seqs: Sequence[int] = ()) -> Replica:
    """A replica with the entries, committed together with signatures over some of them."""
    replica = Replica.in_memory(NODE)
    chosen = [e for e in entries if e.seq in seqs or (every and e.seq % every == 0)]
    replica.stage(
        Batch(entries=entries, signatures={(e.origin, e.seq): signed(e.origin, e.hash) for e in chosen})
    )
    replica.commit()
    return replica


def one_log(count: int, *, body: bytes = b"oi") -> list[Entry]:
    author = Author()
    for _ in range(count):
        author.add(body=body)
    return author.entries


def proves(run: Run, head: Head) -> Head:
    """The head that the run leads to, which its signature must be about."""
    for header, body in run.entries:
        entry = parse(header, body, head)
        head = Head(entry.seq, entry.lamport, entry.hash)
    assert run.signature == signed(run.origin, head.hash)
    return head


def pages(replica: Replica, origin: str, **bounds: int) -> Iterator[Run]:
    head = EMPTY
    while run := replica.run_after(origin, head.seq, signed=True, **bounds):
        head = proves(run, head)
        yield run


def test_pages_end_at_signed_entries() -> None:
    """Each page ends at the last signed entry that fits; what nobody signed yet is not in any."""
    replica = kept(one_log(50), every=7)
    lengths = [len(run.entries) for run in pages(replica, ORIGIN, entries_max=20, bytes_max=10**6)]
    assert lengths == [14, 14, 14, 7]
    assert replica.run_after(ORIGIN, 49, entries_max=20, bytes_max=10**6, signed=True) is None
    unsigned = replica.run_after(ORIGIN, 49, entries_max=20, bytes_max=10**6)
    assert unsigned is not None
    assert (len(unsigned.entries), unsigned.signature) == (1, None)


def test_bytes_bound_a_page_too() -> None:
    """A page of big entries ends at an earlier signature, and goes to the first one whatever its size."""
    replica = kept(one_log(40, body=b"x" * 10_000), every=8)
    lengths = [len(run.entries) for run in pages(replica, ORIGIN, entries_max=99, bytes_max=170_000)]
    assert lengths == [16, 16, 8]
    assert [len(r.entries) for r in pages(replica, ORIGIN, entries_max=3, bytes_max=1)] == [8] * 5


def test_a_stretch_beyond_all_bounds_is_no_page() -> None:
    """A log whose first signature is further away than any page may reach gives nothing to send."""
    replica = kept(one_log(2001), seqs=[2001])
    assert replica.run_after(ORIGIN, 0, entries_max=2000, bytes_max=10**9, signed=True) is None
    assert replica.run_after(ORIGIN, 1, entries_max=9, bytes_max=9, signed=True) is not None
    replica = kept(one_log(140, body=b"x" * 16_000), seqs=[140])
    assert replica.run_after(ORIGIN, 0, entries_max=2000, bytes_max=10**9, signed=True) is None


@pytest.mark.parametrize(("place", "length"), [(3, None), (5, None), (6, 5), (12, 10)])
def test_damage_ends_a_page_at_the_signature_before_it(place: int, length: int | None) -> None:
    """Sound entries up to a signature are served; `Damaged` names the place if there is none before it."""
    replica = kept(one_log(20), every=5)
    replica._writer.connection.execute("update entry set wall = wall + 1 where seq = ?", (place,))
    if length is None:
        with pytest.raises(Damaged) as damaged:
            replica.run_after(ORIGIN, 0, entries_max=99, bytes_max=10**6, signed=True)
        assert damaged.value.seq == place
    else:
        run = replica.run_after(ORIGIN, 0, entries_max=99, bytes_max=10**6, signed=True)
        assert run is not None
        assert len(run.entries) == length


def test_a_signature_is_committed_with_its_entry_or_not_at_all() -> None:
    """What a kill leaves has both or neither; a later batch may add, replace and take away."""
    entries = one_log(4)
    replica = kept(entries[:2], seqs=[2])
    before = replica.image()
    replica.stage(Batch(entries=entries[2:], signatures={(ORIGIN, 4): b"s" * 64}))
    assert replica.signatures(ORIGIN, after=0, upto=9) == {2: signed(ORIGIN, entries[1].hash)}
    assert Replica.in_memory(NODE, before).heads()[ORIGIN].seq == 2
    replica.commit()
    after = Replica.in_memory(NODE, replica.image())
    assert after.signatures(ORIGIN, after=2, upto=4) == {4: b"s" * 64}
    after.stage(Batch(signatures={(ORIGIN, 4): b"t" * 64, (ORIGIN, 2): None}))
    after.commit()
    assert after.signatures(ORIGIN, after=0, upto=9) == {4: b"t" * 64}


def test_old_logs_are_signed_at_points_that_make_pages() -> None:
    """Every 512 entries and the head; then the origin is no longer among the unsigned, and pages go."""
    author = Author()
    for n in range(1300):
        author.add(body=b"%d" % n)
    author.add(origin=ORIGINS[1])
    replica = kept(author.entries)
    assert replica.unsigned_origins(NODE) == [ORIGIN]
    assert replica.unsigned_origins("server-2") == [ORIGINS[1]]
    assert replica.unsigned_origins("server-3") == []
    points = list(replica.signing_points(ORIGIN))
    assert [point.seq for point in points] == [512, 1024, 1300]
    assert [point.hash for point in points] == [author.entries[point.seq - 1].hash for point in points]
    replica.stage(Batch(signatures={(ORIGIN, p.seq): signed(ORIGIN, p.hash) for p in points}))
    replica.commit()
    assert replica.unsigned_origins(NODE) == []
    assert sum(len(r.entries) for r in pages(replica, ORIGIN, entries_max=2000, bytes_max=10**6)) == 1300
    put(replica, [author.add()])
    assert replica.unsigned_origins(NODE) == [ORIGIN]
    assert [point.seq for point in replica.signing_points(ORIGIN)] == [1301]


def test_old_logs_of_big_entries_are_signed_more_often() -> None:
    """No stretch between two points is larger than a page, so every page can be sent."""
    replica = kept(one_log(200, body=b"x" * 16_000))
    points = list(replica.signing_points(ORIGIN))
    assert 3 < len(points) < 6
    stretches = zip([0, *(p.seq for p in points)], points, strict=False)
    assert all((point.seq - before) * 16_000 <= PAGE_BYTES_MAX for before, point in stretches)


def test_what_is_damaged_is_not_signed() -> None:
    """Points end before an entry that does not follow: a signature would vouch for a hash nobody has."""
    replica = kept(one_log(700))
    replica._writer.connection.execute("update entry set hash = zeroblob(16) where seq = 600")
    points = replica.signing_points(ORIGIN)
    assert [next(points).seq, next(points).seq] == [512, 599]
    with pytest.raises(Damaged):
        next(points)


def test_repair_keeps_signatures() -> None:
    """A signed entry that was damaged and put back is still signed, and the run is whole again."""
    entries = one_log(20)
    replica = kept(entries, every=5)
    replica._writer.connection.execute("update entry set body = 'x' where seq = 10")
    assert check(replica, ORIGIN, 0, upto=20).damaged == [10]
    replica.stage(Batch(repairs=[entries[9]]))
    replica.commit()
    assert [len(r.entries) for r in pages(replica, ORIGIN, entries_max=10, bytes_max=10**6)] == [10, 10]


def test_open_mode_is_untouched() -> None:
    """Without signatures runs carry none, and asked for signed ones there are none."""
    replica = kept(conversation(30))
    for origin in ORIGINS:
        run = replica.run_after(origin, 0, entries_max=99, bytes_max=10**6)
        assert run is not None
        assert run.signature is None
        assert replica.run_after(origin, 0, entries_max=99, bytes_max=10**6, signed=True) is None
