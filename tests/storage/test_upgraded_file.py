"""A file that the first version wrote, opened by this one: replica-v1.sql is what that version left."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from storage_entries import ORIGINS, Author, Head, put, shown, uid

from recado.protocol.entry import EMPTY, parse
from recado.protocol.messages import Entry, Run
from recado.protocol.views import materialise
from storage.inspection import VIEW_NAMES, dump
from storage.replica import Batch, Replica
from storage.verification import verify

OLD = Path(__file__).with_name("replica-v1.sql")


def written(directory: Path) -> Path:
    """The old version's file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "replica.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text("utf-8"))
    return path


def entries_of(run: Run | None) -> list[Entry]:
    assert run is not None
    head, entries = EMPTY, []
    for header, body in run.entries:
        entries.append(parse(header, body, head))
        head = Head(entries[-1].seq, entries[-1].lamport, entries[-1].hash)
    return entries


def test_the_log_is_the_same_and_everything_else_is_made_anew(tmp_path: Path) -> None:
    """Byte for byte the same entries; rules, which the old version only kept, are shown; views as defined."""
    path = written(tmp_path)
    with closing(Replica.open(tmp_path, node="server-1")) as replica:
        assert replica.damaged is None
        entries = []
        for origin in ORIGINS[:2]:
            entries += entries_of(replica.run_after(origin, 0, entries_max=99, bytes_max=10**6))
        assert len(entries) == 14
        assert [e.kind for e in replica.rules()] == [1, 1, 1, 2, 1, 2, 5, 6]
        assert replica.run_after(ORIGINS[0], 0, entries_max=99, bytes_max=10**6, signed=True) is None
        points = list(replica.signing_points(ORIGINS[0]))
        replica.stage(Batch(signatures={(ORIGINS[0], p.seq): b"s" * 64 for p in points}))
        replica.commit()
        author = Author()
        author.heads = replica.heads()
        put(replica, [author.direct("ana", "caio", "depois")])
        assert replica.unsigned_origins("server-1") == [ORIGINS[0]]
    with closing(sqlite3.connect(path)) as connection:
        assert shown(connection) == materialise([*entries, *author.entries])
        rows = connection.execute("select rule, user, who, detail, reason, operator from audit").fetchall()
        assert rows == [
            ("suspend", "ana", "bia", None, "spam", 1),
            ("topic", "ana", None, "de tudo é", None, 0),
        ]
        found = connection.execute("select distinct channel from channel_messages where private").fetchall()
        assert found == [("segredos",)]
        steps = connection.execute("select name from _sqlite_migrations order by id").fetchall()
        assert [name.partition("-")[0] for (name,) in steps] == ["1", "2"]


def test_it_is_brought_up_to_date_once(tmp_path: Path) -> None:
    """A second start finds nothing to do, and the file equals one that was filled by this version."""
    written(tmp_path / "old")
    with closing(Replica.open(tmp_path / "old", node="server-1")) as old:
        entries = []
        for origin in ORIGINS[:2]:
            entries += entries_of(old.run_after(origin, 0, entries_max=99, bytes_max=10**6))
        counts = old.counts()
    with closing(Replica.open(tmp_path / "old", node="server-1")) as again:
        assert again.counts() == counts
    with closing(Replica.open(tmp_path / "new", node="server-2")) as new:
        put(new, entries)
        assert new.counts() == counts
    paths = [tmp_path / name / "replica.db" for name in ("old", "new")]
    report = verify(paths, settled=True)
    assert report.equal, report.differences
    columns = "select number, seq, typeof(body), body, shown from entry order by 1, 2"
    both = []
    for path in paths:
        with closing(sqlite3.connect(path)) as connection:
            both.append(connection.execute(columns).fetchall())
    assert both[0] == both[1]


def test_an_old_file_can_be_looked_into_as_it_is(tmp_path: Path) -> None:
    """Beside a server that is not upgraded yet: its views are dumped, direct messages hidden."""
    path = written(tmp_path)
    rows = list(dump(path))
    views = {row["view"] for row in rows}
    assert views == {"users", "channels", "channel_messages", "user_messages", "replication_log"}
    assert views < set(VIEW_NAMES)
    assert [row["message"] for row in rows if row["view"] == "user_messages"] == ["(direct message, 7 bytes)"]
    assert "segredo" not in json.dumps([row for row in rows if row["view"] == "user_messages"])
    assert verify([path]).replicas[0].entries == 14
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (1,)


def test_uids_are_those_of_the_first_version(tmp_path: Path) -> None:
    """A user that the old version registered is the same user now."""
    written(tmp_path)
    with closing(Replica.open(tmp_path, node="server-1")) as replica:
        assert replica.names() == ({uid(n): n for n in ("ana", "bia", "caio")}, {"geral", "segredos"})
