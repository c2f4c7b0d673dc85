"""Plain `sync`: by time of arrival, paged, nothing left out."""

from typing import Any

from storage_entries import ORIGINS, Author, conversation, put, uid

from recado.protocol.entry import names_extra
from recado.protocol.limits import MILESTONE_FINE_MS, MILESTONE_MS
from recado.protocol.messages import Entry, Kind
from storage.replica import Replica

KINDS = ("logins", "channels", "channel_messages", "user_messages")


def replica_of(entries: list[Entry], *, now_ms: int = 1000) -> Replica:
    replica = Replica.in_memory("server-1")
    put(replica, entries, now_ms=now_ms)
    return replica


def said(content: dict[str, Any]) -> list[str]:
    return [item["message"] for item in content["channel_messages"]]


def pages(replica: Replica, since: int | str | None, *, bytes_max: int) -> tuple[list[dict[str, Any]], str]:
    """All pages from `since`, and the last `next_sync`."""
    found = []
    while True:
        content = replica.sync_since(since, bytes_max=bytes_max)
        found.append(content)
        since = content["next_sync"]
        assert isinstance(since, str)
        if not content["more"]:
            return found, since


def test_everything_in_the_form_of_the_contract() -> None:
    """Without `last_sync`: all four kinds, timestamps in whole seconds, in total order."""
    author = Author()
    author.login("ana", wall_ms=5_999)
    author.add(kind=Kind.CHANNEL, author=None, target="geral", body=b"", wall_ms=6_000)
    author.add(wall_ms=7_000, body=b"oi")
    author.direct("ana", "bia", "psiu", wall_ms=8_000)
    author.add(origin=ORIGINS[1], author=uid("bia"), extra=names_extra("bia"), target="livros", wall_ms=9_000)
    content = replica_of(author.entries).sync_since(None, bytes_max=10**6)
    assert content["logins"] == [{"username": "ana", "timestamp": 5}]
    assert content["channels"] == ["livros", "geral"]
    assert content["channel_messages"] == [
        {"user": "bia", "channel": "livros", "message": "oi", "timestamp": 9},
        {"user": "ana", "channel": "geral", "message": "oi", "timestamp": 7},
    ]
    assert content["user_messages"] == [{"src": "ana", "dst": "bia", "message": "psiu", "timestamp": 8}]
    assert content["more"] is False


def test_pages_leave_nothing_out_and_repeat_nothing() -> None:
    """Following `next_sync` gives every item once, whatever the page size; then there is nothing more.

    A channel is named by its creation and by the message before it in the order, so perhaps twice.
    """
    replica = replica_of(conversation(90))
    (whole,), _ = pages(replica, None, bytes_max=10**6)
    for bytes_max in (1, 300, 2000):
        found, last = pages(replica, None, bytes_max=bytes_max)
        assert len(found) > 3
        assert {name for page in found for name in page["channels"]} == set(whole["channels"])
        for kind in set(KINDS) - {"channels"}:
            items = [item for page in found for item in page[kind]]
            assert sorted(map(str, items)) == sorted(map(str, whole[kind]))
        empty = replica.sync_since(last, bytes_max=bytes_max)
        assert [empty[kind] for kind in KINDS] == [[], [], [], []]


def test_entries_that_arrive_while_paging_come_later() -> None:
    """What is committed between two pages is in a later page or after the last `next_sync`."""
    author = Author()
    for n in range(20):
        author.add(origin=ORIGINS[n % 2], body=f"a{n}".encode())
    replica = replica_of(author.entries)
    first = replica.sync_since(None, bytes_max=500)
    put(replica, [author.add(origin=o, body=f"b{o}".encode()) for o in ORIGINS], now_ms=99_000)
    rest, last = pages(replica, first["next_sync"], bytes_max=500)
    texts = [text for page in (first, *rest) for text in said(page)]
    assert sorted(texts) == sorted(e.body.decode() for e in author.entries)
    put(replica, [author.add(body=b"c")], now_ms=99_001)
    assert said(replica.sync_since(last, bytes_max=500)) == ["c"]


def test_time_of_arrival_counts_not_of_writing() -> None:
    """An entry written long ago and arrived late is in the sync of the time it arrived."""
    author = Author()
    replica = Replica.in_memory("server-1")
    for step in range(1, 6):
        late = author.add(body=f"{step}".encode(), wall_ms=step, origin=ORIGINS[step % 3])
        put(replica, [late], now_ms=step * 2 * MILESTONE_MS)
    assert sorted(said(replica.sync_since(0, bytes_max=10**6))) == ["1", "2", "3", "4", "5"]
    for step in range(1, 6):
        texts = said(replica.sync_since(step * 2 * MILESTONE_MS, bytes_max=10**6))
        assert set(texts) >= {str(n) for n in range(step, 6)}, (
            "nothing that arrived at or after it is left out"
        )
        assert len(texts) <= 6 - step, "what had arrived before the milestone is not repeated"


def test_milestones_are_rare_and_survive_a_clock_set_back() -> None:
    """At most one per origin in ten seconds; after a step back a later time still means later arrival."""
    author = Author()
    replica = Replica.in_memory("server-1")
    for n in range(100):
        put(replica, [author.add()], now_ms=1_000_000 + n * 500)
    db = replica._writer.connection
    assert db.execute("select count(*) from milestone").fetchone() == (5,)
    for n in range(3):
        put(replica, [author.add()], now_ms=20_000 + n * MILESTONE_MS)
    rows = db.execute("select time_ms, seq from milestone order by time_ms").fetchall()
    assert [seq for _, seq in rows] == sorted({seq for _, seq in rows})
    assert len(rows) == 8


def test_cursor_of_another_start_counts_as_its_time() -> None:
    """After a restart a cursor repeats rather than misses; nonsense counts as the beginning."""
    author = Author()
    replica = replica_of([author.add(body=b"a")], now_ms=MILESTONE_MS)
    put(replica, [author.add(body=b"b")], now_ms=3 * MILESTONE_MS)
    _, cursor = pages(replica, None, bytes_max=10**6)
    put(replica, [author.add(body=b"c")], now_ms=5 * MILESTONE_MS)
    assert said(replica.sync_since(cursor, bytes_max=10**6)) == ["c"]
    again = Replica.in_memory("server-1", replica.image())
    assert said(again.sync_since(cursor, bytes_max=10**6)) == ["b", "c"]
    for nonsense in ("c:", "nada", "c:" + "9" * 200_000, "c:0123456789abcdef:1:1=x,"):
        assert said(again.sync_since(nonsense, bytes_max=10**6)) == ["a", "b", "c"]


def test_old_milestones_are_thinned_at_start() -> None:
    """Of milestones older than a week one an hour stays, and syncs from then still leave nothing out."""
    author = Author()
    replica = Replica.in_memory("server-1")
    for n in range(400):
        put(replica, [author.add(body=str(n).encode())], now_ms=MILESTONE_MS * (n + 1))
    put(replica, [author.add(body=b"x")], now_ms=MILESTONE_FINE_MS * 3)
    put(replica, [author.add(body=b"y")], now_ms=MILESTONE_FINE_MS * 3 + MILESTONE_MS)
    again = Replica.in_memory("server-1", replica.image())
    (rows,) = again._writer.connection.execute("select count(*) from milestone").fetchone()
    assert rows == 4  # two hours of old ones, and the two new ones
    texts = said(again.sync_since(MILESTONE_MS * 390, bytes_max=10**6))
    assert set(texts) >= {str(n) for n in range(390, 400)} | {"x", "y"}
