"""The SQL views against their definition in `recado.protocol.views`, whatever the order of arrival."""

from collections import defaultdict
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage_entries import ORIGINS, Author, batches, conversation, interleaved, logs, looked_into, put, shown

from recado.protocol.entry import EMPTY, parse, run_of, shape_problem
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import materialise
from storage.replica import Replica


def filled(entries: list[Entry], random: Random) -> Replica:
    replica = Replica.in_memory("server-1")
    for batch in batches(interleaved(entries, random), random):
        put(replica, batch, now_ms=random.randint(0, 100_000))
    return replica


def whole_logs(replica: Replica) -> dict[str, list[tuple[bytes, bytes]]]:
    """Every origin's log as it would go to a peer, pulled in small pages."""
    logs_: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    for origin in replica.heads():
        while run := replica.run_after(origin, len(logs_[origin]), entries_max=7, bytes_max=30_000):
            logs_[origin] += run.entries
    return logs_


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=logs(), seed=st.integers(0, 2**32))
def test_views_are_a_function_of_the_set(entries: list[Entry], seed: int) -> None:
    """Any interleaving in any batches gives the views that the definition gives, and the same log."""
    random = Random(seed)
    replicas = [filled(entries, random) for _ in range(2)]
    for replica in replicas:
        assert shown(looked_into(replica)) == materialise(entries)
        assert whole_logs(replica) == {
            origin: run_of([e for e in entries if e.origin == origin], EMPTY.hash).entries
            for origin in {e.origin for e in entries}
        }
        found = looked_into(replica).execute("select origin, seq from quarantine order by origin, seq")
        assert found.fetchall() == sorted(
            (e.origin, e.seq) for e in entries if e.kind < 7 and shape_problem(e)
        )
        counts = replica.counts()
        expected = materialise(entries)
        assert (counts.entries, counts.users, counts.channels) == (
            len(entries),
            len(expected.users),
            len(expected.channels),
        )
        expected_messages = (len(expected.channel_messages), len(expected.user_messages))
        assert replica.message_counts() == expected_messages
    images = [looked_into(replica) for replica in replicas]
    log = "select * from replication_log"
    assert images[0].execute(log).fetchall() == images[1].execute(log).fetchall()


@settings(max_examples=25, deadline=None)
@given(entries=logs(24), seed=st.integers(0, 2**32))
def test_restart_changes_nothing(entries: list[Entry], seed: int) -> None:
    """A replica that is killed and started between batches ends like one that never was."""
    random = Random(seed)
    replica = Replica.in_memory("server-1")
    for batch in batches(interleaved(entries, random), random, most=5):
        put(replica, batch)
        replica = Replica.in_memory("server-1", replica.image())
    assert shown(looked_into(replica)) == materialise(entries)
    counts = filled(entries, random).counts()
    assert replica.counts() == counts


def test_runs_can_be_parsed_again() -> None:
    """A peer that starts from nothing accepts every run that the store gives."""
    replica = Replica.in_memory("server-1")
    entries = conversation(50)
    put(replica, entries)
    for origin in ORIGINS:
        head = EMPTY
        run = replica.run_after(origin, 0, entries_max=100, bytes_max=10**6)
        assert run is not None
        for header, body in run.entries:
            entry = parse(header, body, head)
            head = type(head)(entry.seq, entry.lamport, entry.hash)
        assert replica.heads()[origin] == head


def test_smaller_copy_takes_over() -> None:
    """A copy with a smaller key that arrives later is the one shown; the counts stay."""
    author = Author()
    late = author.add(id=b"1", origin=ORIGINS[0], later=5)
    early = author.add(id=b"1", origin=ORIGINS[1], later=2)
    replica = Replica.in_memory("server-1")
    for entry in (late, early):
        put(replica, [entry])
        assert [row.key for row in replica.last_messages(channel="geral", limit=9)] == [entry.key]
        assert replica.message_counts()[0] == 1


def test_undisplayable_derived_row_is_quarantined() -> None:
    """A row of users or channels that cannot be written leaves the entry, and those after it, in the log."""
    replica = Replica.in_memory("server-1")
    replica._writer.connection.execute(
        "create trigger poison before insert on channel when new.name = 'poison' "
        "begin select raise(abort, 'poison'); end"
    )
    author = Author()
    bad = author.add(kind=Kind.CHANNEL, target="poison", body=b"")
    good = author.add(kind=Kind.CHANNEL, target="geral", body=b"")
    put(replica, [bad, good])
    assert replica.heads()[ORIGINS[0]].seq == good.seq
    assert replica.channels() == ["geral"]
    rows = looked_into(replica).execute("select origin, seq, reason from quarantine").fetchall()
    assert rows == [(bad.origin, bad.seq, "materialiser: IntegrityError")]
