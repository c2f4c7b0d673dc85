"""Many rows by one statement: every size of a batch, errors in the middle of one, look-ups of any length."""

import pytest
from storage_entries import ORIGINS, conversation, put

from storage.bulk import in_chunks, select_by_ids
from storage.replica import Replica, StorageFailed

_SIZES = (1, 2, 3, 31, 32, 33, 63, 100)


def test_batches_of_every_size_are_kept_as_they_came() -> None:
    """Whatever number of statements a batch is cut into, each entry's bytes come out again, in place."""
    entries = conversation(sum(_SIZES), origins=ORIGINS[:1])
    replica = Replica.in_memory("server-1")
    start = 0
    for size in (*_SIZES, len(entries) - sum(_SIZES)):
        put(replica, entries[start : start + size])
        start += size
    run = replica.run_after(ORIGINS[0], 0, entries_max=len(entries), bytes_max=10**6)
    assert run is not None
    assert run.entries == [(entry.header, entry.body) for entry in entries]


@pytest.mark.parametrize("at", [0, 17, 31, 32, 50])
def test_an_error_in_the_middle_of_a_batch_leaves_nothing_of_it(at: int) -> None:
    """A row that cannot be written takes those before it in its statement along, and memory agrees."""
    entries = conversation(60, origins=ORIGINS[:1])
    replica = Replica.in_memory("server-1")
    put(replica, entries[:10])
    before = (replica.counts(), replica.heads())
    batch = entries[10:]
    with pytest.raises(StorageFailed):
        put(replica, [*batch[:at], entries[5], *batch[at:]])
    assert (replica.counts(), replica.heads()) == before
    put(replica, batch)
    assert replica.counts().entries == len(entries)


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1025])
def test_any_number_of_ids_is_looked_up(count: int) -> None:
    """Each id that is there is found once, also when it is asked for twice; others are not."""
    entries = conversation(1100)
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    wanted = [entry.id for entry in entries if entry.id is not None][-count:]
    found = replica.find_ids([*wanted, *wanted[:3], b"nobody's", b"\0"])
    assert {id_: len(places) for id_, places in found.items()} == dict.fromkeys(wanted, 1)


@pytest.mark.parametrize("size", [1, 512])
def test_looking_ids_up_reads_no_more_than_their_places(size: int) -> None:
    """However many ids are asked for, each is found through the index of ids."""
    statement = select_by_ids("e.seq", also="where e.shown")[size]
    connection = Replica.in_memory("server-1")._writer.connection
    plan = connection.execute(f"explain query plan {statement}", [b"1"] * size).fetchall()
    about_entries = [text for *_, text in plan if " e " in text]
    assert about_entries == ["SEARCH e USING INDEX entry_id (id=?)"]


def test_chunks_hold_every_id_once() -> None:
    """The chunks' sizes are powers of two, and what fills them up is no id."""
    ids = [n.to_bytes(2, "big") for n in range(700)]
    chunks = list(in_chunks([*ids, *ids]))
    assert [len(chunk) for chunk in chunks] == [512, 256]
    assert [bytes(id_) for chunk in chunks for id_ in chunk if id_] == ids
