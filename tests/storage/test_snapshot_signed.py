"""A file that a peer gives in secured mode: what of it is believed, and what is not."""

import pytest
from storage_entries import ORIGINS, Author, conversation, put

from recado.protocol.entry import hash16
from recado.protocol.messages import Entry
from storage.replica import Batch, Replica
from storage.snapshot import Candidate, Incoming, Unusable, Verify, make

OTHER = "server-9.00000000000000ff"


def signature(origin: str, seq: int, chained: bytes) -> bytes:
    return hash16(b"secret", origin.encode(), seq.to_bytes(8, "big"), chained) * 4


def good(origin: str, seq: int, chained: bytes, given: bytes) -> bool:
    return given == signature(origin, seq, chained)


def keep_signed(replica: Replica, entries: list[Entry], *, every: int) -> None:
    chosen = [e for e in entries if e.seq % every == 0]
    signatures = {(e.origin, e.seq): signature(e.origin, e.seq, e.hash) for e in chosen}
    replica.stage(Batch(entries=entries, signatures=signatures))
    replica.commit()


def carried(donor: Replica, lacking: Replica, verify: Verify | None = good) -> Candidate:
    source = make(donor)
    incoming = Incoming(lacking, size=source.size)
    incoming.write(source.read(0, source.size))
    candidate = incoming.candidate()
    candidate.examine(verify)
    return candidate


def installed(donor: Replica, lacking: Replica) -> None:
    candidate = carried(donor, lacking)
    while candidate.merge(lacking, most=3):
        pass
    candidate.install(lacking)


def pair() -> tuple[Replica, Replica]:
    return Replica.in_memory("server-1"), Replica.in_memory("server-2")


def last_signed(replica: Replica) -> dict[str, int]:
    """The last signed entry of each origin: none may be behind it."""
    heads = replica.heads()
    return {o: max(replica.signatures(o, after=0, upto=h.seq), default=0) for o, h in heads.items()}


def test_an_unsigned_tail_is_cut_off_and_comes_again() -> None:
    """Each log ends at its last good signature, with views and counts to match; pages bring the rest."""
    donor, lacking = pair()
    entries = conversation(300)
    keep_signed(donor, entries, every=8)
    installed(donor, lacking)
    heads = lacking.heads()
    assert {o: h.seq for o, h in heads.items()} == {o: h.seq // 8 * 8 for o, h in donor.heads().items()}
    assert last_signed(lacking) == {o: h.seq for o, h in heads.items()}
    expected = Replica.in_memory("server-2")
    put(expected, [e for e in entries if e.seq <= heads[e.origin].seq])
    assert lacking.counts() == expected.counts()
    assert lacking.users() == expected.users()
    put(lacking, [e for e in entries if e.seq > heads[e.origin].seq])
    assert lacking.heads() == donor.heads()
    assert lacking.counts() == donor.counts()


def test_a_log_that_nobody_signed_is_left_out() -> None:
    """An invented origin, its chain sound, leaves no trace: no entry, no user, no channel, no number."""
    donor, lacking = pair()
    keep_signed(donor, conversation(100), every=1)
    forger = Author()
    forger.login("zeca", origin=OTHER)
    forger.add(origin=OTHER, target="falso")
    put(donor, forger.entries)
    donor.stage(Batch(signatures={(OTHER, 2): b"\0" * 64}))
    donor.commit()
    installed(donor, lacking)
    assert OTHER not in lacking.heads()
    assert "zeca" not in lacking.users()
    assert "falso" not in lacking.channels()
    assert lacking.number_of(OTHER) is None


@pytest.mark.parametrize("wrong", [b"\0" * 64, b"", "text", 7])
def test_a_wrong_signature_among_good_ones_is_dropped(wrong: object) -> None:
    """A page could end there, to be refused by every peer; for the log a later one vouches."""
    donor, lacking = pair()
    keep_signed(donor, conversation(100), every=4)
    donor._writer.connection.execute("update signature set signature = ? where seq = 8", (wrong,))
    installed(donor, lacking)
    for origin in ORIGINS:
        seqs = set(lacking.signatures(origin, after=0, upto=999))
        assert 8 not in seqs
        assert {4, 12} <= seqs
        assert lacking.heads()[origin].seq == max(seqs)


def test_a_signature_of_no_entry_is_dropped() -> None:
    """A signature beyond the log's end, even a good one by its own words, is not taken over."""
    donor, lacking = pair()
    keep_signed(donor, conversation(30), every=1)
    number = donor.number_of(ORIGINS[0])
    donor._writer.connection.execute("insert into signature values(?, 999, ?)", (number, b"x" * 64))
    installed(donor, lacking)
    assert lacking.heads() == donor.heads()
    assert max(lacking.signatures(ORIGINS[0], after=0, upto=9999)) == lacking.heads()[ORIGINS[0]].seq


def test_our_own_entries_keep_their_signatures() -> None:
    """What only the receiver has is appended with its signatures, also where the donor's tail was cut."""
    donor, lacking = pair()
    entries = conversation(66)
    keep_signed(donor, entries, every=5)
    mine = Author()
    for n in range(10):
        mine.add(origin=OTHER, body=b"%d" % n)
    keep_signed(lacking, [*mine.entries, *(e for e in entries if e.origin == ORIGINS[1])], every=2)
    before = last_signed(lacking)
    assert before[ORIGINS[1]] > max(donor.signatures(ORIGINS[1], after=0, upto=999))
    installed(donor, lacking)
    after = last_signed(lacking)
    assert {origin: after[origin] for origin in before} == before
    assert lacking.heads()[ORIGINS[1]] == donor.heads()[ORIGINS[1]]


def test_open_mode_asks_for_no_signatures() -> None:
    """Without `verify` everything is taken as before, signatures included."""
    donor, lacking = pair()
    keep_signed(donor, conversation(30), every=7)
    candidate = carried(donor, lacking, None)
    assert candidate.merge(lacking, most=9) == 0
    candidate.install(lacking)
    assert lacking.heads() == donor.heads()
    assert last_signed(lacking) == last_signed(donor)


@pytest.mark.parametrize(
    "statement",
    [
        "create trigger quiet after insert on entry begin update entry set shown = 0; end",
        "create view gossip as select * from entry",
        "create table more(x)",
        "create index slow on entry(body)",
        "pragma user_version = 0",
        "pragma user_version = 1",
    ],
)
@pytest.mark.parametrize("verify", [None, good])
def test_a_file_with_another_program_in_it_is_not_taken(statement: str, verify: Verify | None) -> None:
    """Triggers, views, tables or indexes that are not ours, or a wrong version of them: refused."""
    donor, lacking = pair()
    keep_signed(donor, conversation(30), every=1)
    donor._writer.connection.execute(statement)
    with pytest.raises(Unusable):
        carried(donor, lacking, verify)
    assert lacking.heads() == {}


def test_a_changed_view_is_not_taken() -> None:
    """The donor's view of users, which would tell our clients its own story, is not brought in."""
    donor, lacking = pair()
    keep_signed(donor, conversation(30), every=1)
    connection = donor._writer.connection
    connection.execute("drop view users")
    connection.execute("create view users as select 'zeca' as name")
    with pytest.raises(Unusable, match="views"):
        carried(donor, lacking)
