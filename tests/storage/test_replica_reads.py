"""Reads: runs within bounds, damaged entries, histories and pages against a plain computation."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_entries import ORIGINS, Author, conversation, logs, put, uid

from recado.protocol.entry import GENESIS, hash16, names_extra
from recado.protocol.limits import HISTORY_SCAN_ENTRIES_MAX
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import materialise
from storage.loading import HEADS
from storage.replica import Damaged, MessageRow, Replica, StorageError


def replica_of(entries: list[Entry]) -> Replica:
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    return replica


def test_runs_keep_their_bounds() -> None:
    """A run has at least one entry, at most `entries_max`, and no more bytes than asked beyond the first."""
    author = Author()
    entries = [author.add(body=b"x" * 1000) for _ in range(20)]
    replica = replica_of(entries)
    sizes = [len(e.header) + len(e.body) for e in entries]

    def run(after: int, *, entries_max: int = 100, bytes_max: int = 10**6) -> int:
        found = replica.run_after(ORIGINS[0], after, entries_max=entries_max, bytes_max=bytes_max)
        assert found is not None
        assert found.previous_hash == (entries[after - 1].hash if after else GENESIS)
        return len(found.entries)

    assert run(0) == 20
    assert run(0, entries_max=7) == 7
    assert run(3, bytes_max=1) == 1
    assert run(3, bytes_max=sum(sizes[3:8])) == 5
    assert run(3, bytes_max=sum(sizes[3:8]) - 1) == 4
    assert replica.run_after(ORIGINS[0], 20, entries_max=9, bytes_max=999) is None
    assert replica.run_after(ORIGINS[0], 99, entries_max=9, bytes_max=999) is None
    assert replica.run_after("nobody.0000000000000000", 0, entries_max=9, bytes_max=999) is None


@pytest.mark.parametrize(
    "damage",
    [
        "update entry set body = 'other' where seq = 5",
        "update entry set body = cast(x'6fff69' as text) where seq = 5",
        "update entry set body = 5 where seq = 5",
        "update entry set lamport = lamport + 1 where seq = 5",
        "update entry set target = cast(x'ff' as text) where seq = 5",
        "update entry set hash = zeroblob(16) where seq = 5",
        "delete from entry where seq = 5",
    ],
)
def test_damaged_entry_is_never_served(damage: str) -> None:
    """A changed column or a missing row ends the run before it; asked for itself it is `Damaged` (A34)."""
    author = Author()
    replica = replica_of([author.add(body=b"oi") for _ in range(9)])
    replica._writer.connection.execute(damage)
    run = replica.run_after(ORIGINS[0], 0, entries_max=99, bytes_max=10**6)
    assert run is not None
    assert len(run.entries) == 4
    with pytest.raises(Damaged) as caught:
        replica.run_after(ORIGINS[0], 4, entries_max=99, bytes_max=10**6)
    assert (caught.value.origin, caught.value.seq) == (ORIGINS[0], 5)
    assert isinstance(caught.value, StorageError)
    assert len(replica.last_messages(channel="geral", limit=99)) >= 7


def test_ids_are_found_with_their_contents() -> None:
    """All durable entries with an id come back, however many ids are asked for at once."""
    author = Author()
    copies = [author.add(id=b"same", body=body) for body in (b"um", b"dois")]
    others = [author.add(id=n.to_bytes(4, "big")) for n in range(700)]
    replica = replica_of(author.entries)
    ids = [e.id or b"" for e in others] + [b"same", b"unknown"]
    found = replica.find_ids(ids)
    assert set(found) == set(ids) - {b"unknown"}
    assert [f.body_hash16 for f in found[b"same"]] == [hash16(b"um"), hash16(b"dois")]
    first = found[b"same"][0]
    assert (first.author, first.kind, first.target) == (uid("ana"), Kind.CHANNEL_MESSAGE, "geral")
    assert (first.origin, first.seq, first.lamport) == (ORIGINS[0], copies[0].seq, copies[0].lamport)
    assert replica.find_ids([]) == {}


def test_text_too_long_in_a_known_channel_is_not_shown() -> None:
    """The short check for known channels refuses what the full one refuses."""
    author = Author()
    author.add(body=b"oi")
    for body in (b"x" * 20_000, b" ", b"\xff"):
        author.add(body=body)
        author.direct("ana", "bia", "x")
    author.add(author=None)
    replica = replica_of(author.entries)
    assert [row.message for row in replica.last_messages(channel="geral", limit=99)] == ["oi"]
    assert replica.message_counts()[0] == 1


def mine(row: MessageRow, user: str, peer: str | None) -> bool:
    return {row.user, row.to} == {user, peer} if peer else user in (row.user, row.to)


def test_last_messages_of_channels_and_users() -> None:
    """The last ones before a key, in total order; direct ones in both directions, with one peer or all."""
    entries = conversation(120)
    author_of = {name: uid(name) for name in ("ana", "bia", "caio")}
    replica = replica_of(entries)
    views = materialise(entries)
    channel = replica.last_messages(channel="geral", limit=1000)
    assert [(r.user, r.message, *r.key) for r in channel] == [
        (m.author, m.message, m.lamport, m.origin, m.seq) for m in views.channel_messages
    ]
    assert replica.last_messages(channel="geral", limit=7) == channel[-7:]
    assert replica.last_messages(channel="geral", limit=7, before=channel[-7].key) == channel[-14:-7]
    assert replica.last_messages(channel="nenhum", limit=7) == []
    everything = replica.last_messages(user=author_of["ana"], limit=1000)
    assert [r.key for r in everything] == [(m.lamport, m.origin, m.seq) for m in views.user_messages]
    for user, peer in (("bia", None), ("ana", "caio"), ("caio", "ana"), ("bia", "caio"), ("bia", "bia")):
        asked = replica.last_messages(user=author_of[user], peer=author_of[peer] if peer else None, limit=5)
        assert asked == [r for r in everything if mine(r, user, peer)][-5:]
    with pytest.raises(ValueError, match="either"):
        replica.last_messages(limit=1)


def test_last_heads_are_those_of_the_last_messages() -> None:
    """Each origin's last message to each target, the newest last, and no more than were looked at."""
    entries = conversation(120)
    replica = replica_of(entries)
    said = [e for e in entries if e.kind in (Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE)]
    shown = {row[-3:] for view in materialise(entries)[2:] for row in view}
    newest: dict[Any, Entry] = {}
    for entry in sorted((e for e in said if e.key in shown), key=lambda e: e.seq):
        newest[entry.target, entry.origin] = entry
    heads = replica.last_heads(messages_max=1000)
    assert {(target, origin): seq for target, origin, seq in heads} == {
        place: entry.seq for place, entry in newest.items()
    }
    stamps = [newest[target, origin].lamport for target, origin, _ in heads]
    assert stamps == sorted(stamps)
    assert len(replica.last_heads(messages_max=1)) == 2


def test_message_to_oneself_is_there_once() -> None:
    """A note to oneself is not listed as sent and received."""
    author = Author()
    author.login("ana")
    author.direct("ana", "ana", "lembrete")
    replica = replica_of(author.entries)
    assert len(replica.last_messages(user=uid("ana"), limit=9)) == 1
    assert len(replica.last_messages(user=uid("ana"), peer=uid("ana"), limit=9)) == 1


def check_pages(entries: list[Entry], since: dict[str, int], *, limit: int, bytes_max: int) -> None:
    """Follow `upto` to the end, for a channel and for a user; compare with what is shown beyond `since`."""
    replica = replica_of(entries)
    durable = {origin: head.seq for origin, head in replica.heads().items()}
    asked: dict[str, Any]
    for asked in ({"channel": "geral"}, {"user": uid("ana")}, {"user": uid("ana"), "peer": uid("bia")}):
        everything = replica.last_messages(**asked, limit=1000)
        vector, rows, more = dict(since), [], True
        while more:
            page, vector, more = replica.messages_since(
                **asked, since=vector, up_to=durable, limit=limit, bytes_max=bytes_max
            )
            assert len(page) <= limit
            rows += page
        assert sorted(rows, key=lambda r: r.key) == [r for r in everything if r.seq > since.get(r.origin, 0)]
        assert vector == {**durable, **{o: seq for o, seq in since.items() if seq > durable.get(o, 0)}}


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("bytes_max", [1, 700, 10**6])
def test_pages_since_give_every_message_once(limit: int, bytes_max: int) -> None:
    """However small the pages, nothing is left out and nothing comes twice (A46)."""
    check_pages(conversation(60), {}, limit=limit, bytes_max=bytes_max)
    since = {ORIGINS[0]: 9, ORIGINS[1]: 999, "gone.0000000000000000": 4}
    check_pages(conversation(60), since, limit=limit, bytes_max=bytes_max)


@settings(max_examples=40, deadline=None)
@given(entries=logs(), since=st.lists(st.integers(0, 20), min_size=3, max_size=3), limit=st.integers(1, 5))
def test_pages_since_cover_exactly_what_they_looked_at(
    entries: list[Entry], since: list[int], limit: int
) -> None:
    """The same from any vector, over logs in which much is not shown."""
    vector = {origin: seq for origin, seq in zip(ORIGINS, since, strict=True) if seq}
    check_pages(entries, vector, limit=limit, bytes_max=10**6)


def test_heads_are_searched_not_scanned() -> None:
    """Reading the heads takes one search per origin, however long the logs are."""
    replica = replica_of(conversation(9))
    plan = [row[3] for row in replica._reader.execute(f"explain query plan {HEADS}")]
    assert [step for step in plan if step.startswith("SCAN")] == [plan[0]]
    assert plan[0].startswith("SCAN o")


def test_page_ends_at_the_entries_looked_at() -> None:
    """Finding nothing in a long log is a page too: it says how far it looked, and that there is more."""
    author = Author()
    for _ in range(HISTORY_SCAN_ENTRIES_MAX + 10):
        author.add(target="outro")
    author.add(target="geral")
    replica = replica_of(author.entries)
    durable = {ORIGINS[0]: len(author.entries)}
    rows, upto, more = replica.messages_since(
        channel="geral", since={}, up_to=durable, limit=10, bytes_max=10**6
    )
    assert (rows, upto, more) == ([], {ORIGINS[0]: HISTORY_SCAN_ENTRIES_MAX}, True)
    rows, upto, more = replica.messages_since(
        channel="geral", since=upto, up_to=durable, limit=10, bytes_max=10**6
    )
    assert ([r.seq for r in rows], upto, more) == ([durable[ORIGINS[0]]], durable, False)


def test_page_never_covers_what_is_not_durable() -> None:
    """A bound beyond the log is cut to what is there."""
    replica = replica_of([Author().add()])
    bound = {ORIGINS[0]: 99, ORIGINS[1]: 5}
    _, upto, more = replica.messages_since(channel="geral", since={}, up_to=bound, limit=9, bytes_max=999)
    assert (upto, more) == ({ORIGINS[0]: 1}, False)


def test_names_tell_registered_users_and_implied_channels() -> None:
    """A user known only from a message is shown with the message, and is not registered."""
    author = Author()
    author.add(author=uid("bia"), extra=names_extra("bia"), target="novo")
    replica = replica_of(author.entries)
    assert replica.names() == ({}, {"novo"})
    assert replica.users() == []
    assert replica.last_messages(channel="novo", limit=1)[0].user == "bia"
    put(replica, [author.login("bia", origin=ORIGINS[1])])
    assert replica.names() == ({uid("bia"): "bia"}, {"novo"})
    assert replica.users() == ["bia"]


def test_a_receiver_is_shown_by_the_name_that_a_message_told() -> None:
    """A direct message to somebody who is registered nowhere is shown with both names."""
    author = Author()
    author.direct("ana", "bia", "psiu", extra=names_extra("ana", dst="bia"))
    replica = replica_of(author.entries)
    (shown,) = replica.last_messages(user=uid("bia"), limit=1)
    assert (shown.user, shown.to) == ("ana", "bia")
    assert replica.heard_of() == {uid("ana"): "ana", uid("bia"): "bia"}
    assert replica.users() == []


def test_file_and_memory_read_alike(tmp_path: Path) -> None:
    """The same entries in a file and in memory give the same answers."""
    entries = conversation(60)
    memory = replica_of(entries)
    on_disk = Replica.open(tmp_path, node="server-1")
    put(on_disk, entries)
    for replica in (memory, on_disk):
        assert replica.heads() == memory.heads()
        assert replica.last_messages(channel="geral", limit=9) == memory.last_messages(
            channel="geral", limit=9
        )
    on_disk.close()
