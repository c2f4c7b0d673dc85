"""Looking into replicas from outside, and finding every kind of difference between them."""

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec
import pytest
from storage_entries import ORIGINS, Author, conversation, interleaved, put, uid

from recado.protocol.entry import Head, seal
from recado.protocol.messages import Entry
from storage.database import StorageError, WrongFile
from storage.inspection import VIEW_NAMES, dump, find_replicas, open_for_inspection
from storage.replica import Replica
from storage.report import Report
from storage.verification import verify, verify_images

PAGE = Path(__file__).parents[2] / "docs" / "replica-schema.md"


def image(entries: list[Entry], node: str = "server-1") -> bytes:
    replica = Replica.in_memory(node)
    put(replica, interleaved(entries, Random(node)))
    return replica.image()


def changed(before: bytes, *statements: str) -> bytes:
    """An image after somebody has written into it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(before)
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        return connection.serialize()


def cluster(**nodes: bytes) -> Report:
    return verify_images(nodes)


def kinds(report: Report) -> set[str]:
    assert report.equal == (not report.differences)
    assert json.loads(msgspec.json.encode(report))["equal"] == report.equal
    return {d.kind for d in report.differences}


def place(origin: str, seq: int) -> str:
    return f"number = (select number from origin where origin = '{origin}') and seq = {seq}"


ENTRIES = conversation(60)


def test_equal_replicas_are_equal_whatever_the_order() -> None:
    """Different orders of arrival give equal digests and no difference."""
    report = cluster(a=image(ENTRIES, "a"), b=image(ENTRIES, "b"), c=image(ENTRIES, "c"))
    assert kinds(report) == set()
    assert report.views_compared_with == "definition"
    assert (
        len({(s.heads_digest, s.views_digest, s.entries, s.channel_messages) for s in report.replicas}) == 1
    )
    assert [s.node for s in report.replicas] == ["a", "b", "c"]
    assert report.replicas[0].entries == len(ENTRIES)


@pytest.mark.parametrize(
    "column", ["body = 'outro'", "body = 7", "wall = wall + 1", "author = null", "prev = 1"]
)
def test_changed_entry_is_found(column: str) -> None:
    """One changed column: the entry, the replica, and the columns that differ are named."""
    damaged = changed(image(ENTRIES, "b"), f"update entry set {column} where {place(ORIGINS[1], 5)}")
    report = cluster(a=image(ENTRIES, "a"), b=damaged)
    assert "changed" in kinds(report)
    found = next(d for d in report.differences if d.kind == "changed")
    assert (found.origin, found.seq, list(found.replicas)) == (ORIGINS[1], 5, ["b"])
    assert column.partition(" ")[0] in found.text


def test_missing_entry_is_found() -> None:
    """A hole in the middle of a log: which entry, who has it, who does not; not taken for being behind."""
    damaged = changed(image(ENTRIES, "b"), f"delete from entry where {place(ORIGINS[1], 5)}")
    report = cluster(a=image(ENTRIES, "a"), b=damaged)
    (found,) = report.differences
    assert (found.kind, found.origin, found.seq) == ("missing", ORIGINS[1], 5)
    assert found.replicas == {"a": "has it", "b": "missing"}
    assert report.in_flight == []


def test_entry_missing_everywhere_is_found() -> None:
    """A hole that all replicas share is a hole."""
    statement = f"delete from entry where {place(ORIGINS[1], 5)}"
    report = cluster(a=changed(image(ENTRIES, "a"), statement), b=changed(image(ENTRIES, "b"), statement))
    assert [(d.kind, d.seq) for d in report.differences] == [("missing", 5)]


def test_extra_entry_without_a_chain_is_found() -> None:
    """A row added by hand at the end of a log has no valid hash."""
    extra = (
        "insert into entry select number, seq + 1, lamport + 1, wall, kind, author, target, null, prev, "
        "body, extra, hash, shown from entry where kind = 3 order by number, seq desc limit 1"
    )
    report = cluster(a=image(ENTRIES, "a"), b=changed(image(ENTRIES, "b"), extra))
    assert kinds(report) == {"changed"}
    assert len(report.in_flight) == 1


def test_what_is_behind_is_in_flight_until_settled() -> None:
    """The end of a log that one replica lacks: in flight, named in ranges; settled it is a difference."""
    images = {"a": image(ENTRIES, "a"), "b": image(ENTRIES[:-6], "b")}
    report = verify_images(images)
    assert kinds(report) == set()
    assert sum(part.last - part.first + 1 for part in report.in_flight) == 6
    assert len(report.in_flight) == 3
    assert all((part.has, part.lacks) == (["a"], ["b"]) for part in report.in_flight)
    settled = verify_images(images, settled=True)
    assert kinds(settled) == {"behind"}
    assert len(settled.differences) == 3


def test_forked_chain_is_found_where_it_begins() -> None:
    """Two logs of one origin, each with a sound chain: reported once, from the first unequal entry."""
    one, other = Author(), Author()
    for author, word in ((one, b"um"), (other, b"dois")):
        author.login("ana")
        for n in range(5):
            author.add(body=b"igual" if n < 2 else word)
    report = cluster(a=image(one.entries, "a"), b=image(other.entries, "b"))
    (found,) = report.differences
    assert (found.kind, found.origin, found.seq, found.last_seq) == ("forked", ORIGINS[0], 4, 6)
    assert found.replicas == {"a": one.entries[3].hash.hex(), "b": other.entries[3].hash.hex()}


@pytest.mark.parametrize(
    ("view", "statement"),
    [
        ("channels", "delete from channel"),
        ("users", "delete from user where name = 'bia'"),
        ("users", "update user set shown_name = 'bob' where name = 'bia'"),
        ("channel_messages", f"update entry set shown = 0 where {place(ORIGINS[1], 4)}"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_wrong_view_row_is_found(
    view: str, statement: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A derived row removed or changed: found against the definition, and against the other replicas."""
    if large:
        monkeypatch.setattr("storage.verification.VERIFY_MATERIALISE_ENTRIES_MAX", 10)
    report = cluster(a=image(ENTRIES, "a"), b=changed(image(ENTRIES, "b"), statement))
    assert kinds(report) == {"view"}
    assert report.views_compared_with == ("each other" if large else "definition")
    assert view in {d.view for d in report.differences}
    assert all("b" in d.replicas for d in report.differences)


def test_copy_that_should_be_hidden_is_found() -> None:
    """A duplicate shown twice is a difference from the definition even if all replicas agree."""
    author = Author()
    for origin in ORIGINS[:2]:
        author.add(id=b"1", origin=origin)
    statement = "update entry set shown = 1 where not shown"
    images = [changed(image(author.entries, name), statement) for name in "ab"]
    report = cluster(a=images[0], b=images[1])
    assert [(d.kind, d.view) for d in report.differences] == [("view", "channel_messages")] * 2


def test_differences_are_counted_beyond_those_described() -> None:
    """A replica full of errors gives a short report with the full number."""
    damaged = changed(image(conversation(500), "b"), "update entry set wall = wall + 1")
    report = cluster(a=image(conversation(500), "a"), b=damaged)
    assert len(report.differences) == 100
    assert report.differences_total > 500


def stored(data: Path, node: str, entries: list[Entry]) -> Replica:
    replica = Replica.open(data / node, node=node)
    put(replica, entries)
    return replica


def test_files_of_running_and_stopped_servers(tmp_path: Path) -> None:
    """Beside a running server what it has committed is read; stopped files leave nothing new behind."""
    running = stored(tmp_path, "server-1", ENTRIES)
    stored(tmp_path, "server-2", ENTRIES).close()
    paths = find_replicas(tmp_path)
    assert [path.parent.name for path in paths] == ["server-1", "server-2"]
    assert kinds(verify(paths, settled=True)) == set()
    author = Author()
    author.heads = {e.origin: Head(e.seq, e.lamport, e.hash) for e in ENTRIES}
    put(running, [author.add()])
    report = verify(paths)
    assert len(report.in_flight) == 1
    assert report.in_flight[0].lacks == [str(paths[1])]
    assert sorted(p.name for p in paths[1].parent.iterdir()) == ["db.lock", "replica.db"]
    running.close()


def test_stopped_file_can_be_read_without_the_right_to_write_beside_it(tmp_path: Path) -> None:
    """A read-only directory is no hindrance (chmod binds everybody but root), and stays as it was."""
    stored(tmp_path, "server-1", ENTRIES).close()
    os.chmod(tmp_path / "server-1", 0o555)
    try:
        assert sum(1 for _ in dump(tmp_path / "server-1" / "replica.db")) > len(ENTRIES)
        assert sorted(p.name for p in (tmp_path / "server-1").iterdir()) == ["db.lock", "replica.db"]
    finally:
        os.chmod(tmp_path / "server-1", 0o755)


def test_damaged_file_is_a_difference(tmp_path: Path) -> None:
    """SQLite's own check fails: the file is named, the others are still compared."""
    for node in ("server-1", "server-2"):
        stored(tmp_path, node, conversation(300)).close()
    path = tmp_path / "server-2" / "replica.db"
    content = bytearray(path.read_bytes())
    content[4096 * 6 : 4096 * 30] = b"\xa5" * 4096 * 24
    path.write_bytes(content)
    report = verify(find_replicas(tmp_path))
    assert kinds(report) == {"unreadable"}
    assert list(report.differences[0].replicas) == [str(path)]
    assert len(report.replicas) == 1


def test_what_is_no_replica_is_refused(tmp_path: Path) -> None:
    """A missing file, another database, a newer version: each with its own words."""
    with pytest.raises(StorageError, match="no such file"):
        open_for_inspection(tmp_path / "nothing.db")
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(WrongFile, match="not a replica"):
        open_for_inspection(tmp_path / "empty.db")
    stored(tmp_path, "server-1", []).close()
    path = tmp_path / "server-1" / "replica.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version=99")
    with pytest.raises(WrongFile, match="newer"):
        verify([path])


def test_dump_is_ready_for_json(tmp_path: Path) -> None:
    """Every row of every view, as JSON takes it, the names of the views on them."""
    author = Author()
    author.login("ana", id=b"\xff\0")
    author.add(kind=77, target=uid("ana"), body=b"\xff")
    author.add(body=b"\xff")
    author.direct("ana", "ana", "só para mim")
    stored(tmp_path, "server-1", author.entries).close()
    rows = list(dump(tmp_path / "server-1" / "replica.db"))
    lines = [json.loads(json.dumps(row)) for row in rows]
    assert [r["message"] for r in lines if r["view"] == "user_messages"] == ["(direct message, 12 bytes)"]
    log = [row for row in lines if row["view"] == "replication_log"]
    assert [row["kind"] for row in log] == ["login", "kind_77", "channel_message", "user_message"]
    assert [row["shown"] for row in log] == [1, 0, 0, 1]
    assert log[0]["id"] == "ff00"
    assert log[1]["target"] == uid("ana").hex()
    assert log[0]["hash"] == author.entries[0].hash.hex()
    users = list(dump(tmp_path / "server-1" / "replica.db", views=["users"]))
    place = {"timestamp": 1.7e9, "lamport": 1, "origin": ORIGINS[0], "seq": 1}
    assert users == [{"view": "users", "name": "ana", **place, "uid": uid("ana").hex(), "role": None}]
    with pytest.raises(ValueError, match="entry"):
        next(dump(tmp_path / "server-1" / "replica.db", views=["entry"]))


def test_page_names_every_view_and_column() -> None:
    """docs/replica-schema.md lists the views and their columns, all of them, in order, and no others."""
    text = PAGE.read_text("utf-8")
    documented = {
        section.split("`", 1)[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for section in re.split(r"^### `", text, flags=re.MULTILINE)[1:]
    }
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(image([]))
        found = {
            view: [row[1] for row in connection.execute(f"pragma table_info({view})")] for view in VIEW_NAMES
        }
        views = {n for (n,) in connection.execute("select name from sqlite_master where type = 'view'")}
    assert documented == found
    assert views == set(VIEW_NAMES)


def test_sealed_by_hand_is_what_the_store_checks() -> None:
    """An entry with a correct chain but of no known author is stored, sound, and equal everywhere."""
    entry = seal(
        Head(0, 0, bytes(16)), origin=ORIGINS[0], lamport=9, wall_ms=0, kind=3, author=uid("x"), id=None,
        target="geral", prev=0, body=b"oi",
    )  # fmt: skip
    assert kinds(cluster(a=image([entry], "a"), b=image([entry], "b"))) == set()
