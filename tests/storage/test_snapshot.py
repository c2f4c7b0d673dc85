"""A whole log as one file: made beside a running server, examined, joined with what is here, installed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from storage_entries import ORIGINS, Author, conversation, put

from recado.protocol import names
from storage.database import SNAPSHOT_IN, SNAPSHOT_OUT, DataLocked
from storage.replica import Batch, Replica, StorageFull
from storage.snapshot import Candidate, Incoming, Source, Unusable, make
from storage.verification import verify

OTHER = "server-9.00000000000000ff"


@contextmanager
def pair(directory: Path, *, in_file: bool = True) -> Iterator[tuple[Replica, Replica]]:
    """A replica with a conversation, and an empty one."""
    if not in_file:
        donor, lacking = Replica.in_memory("server-1"), Replica.in_memory("server-2")
        put(donor, conversation(300))
        yield donor, lacking
        return
    donor = Replica.open(directory / "server-1", node="server-1")
    lacking = Replica.open(directory / "server-2", node="server-2")
    put(donor, conversation(300))
    try:
        yield donor, lacking
    finally:
        donor.close()
        lacking.close()


def carried(source: Source, lacking: Replica, *, piece: int = 1000) -> Candidate:
    """The source's file at the other server, in pieces, examined."""
    incoming = Incoming(lacking, size=source.size)
    while incoming.received < source.size:
        incoming.write(source.read(incoming.received, piece))
    assert incoming.hash == source.hash
    candidate = incoming.candidate()
    candidate.examine()
    return candidate


def taken(donor: Replica, lacking: Replica) -> Candidate:
    """The same from a source that is made for it and closed."""
    with closing(make(donor)) as source:
        return carried(source, lacking)


def own(name: str = "zeca", *, origin: str = OTHER, count: int = 5) -> Author:
    """Entries that only the lacking replica has: a login, messages."""
    author = Author()
    author.login(name, origin=origin)
    for n in range(count):
        author.add(origin=origin, author=names.uid(name), body=f"só aqui {n}".encode(), id=b"x%d" % n)
    return author


@pytest.mark.parametrize("in_file", [True, False])
def test_an_empty_replica_becomes_equal(tmp_path: Path, in_file: bool) -> None:
    """Heads, views, counts and people are the donor's; the node's own facts and name stay its own."""
    with pair(tmp_path, in_file=in_file) as (donor, lacking):
        lacking.stage(Batch(meta={"epoch": [7, 1, "server-2", "b"]}))
        lacking.commit()
        donor.stage(Batch(meta={"epoch": [9, 3, "server-3", "c"]}, states={ORIGINS[0]: "forked"}))
        donor.commit()
        source = make(donor)
        candidate = carried(source, lacking)
        assert candidate.merge(lacking, most=100) == 0
        candidate.install(lacking)
        source.close()
        assert lacking.heads() == donor.heads()
        assert lacking.counts() == donor.counts()
        assert lacking.users() == donor.users()
        assert lacking.meta("epoch") == [7, 1, "server-2", "b"]
        assert (lacking.meta("node"), lacking.boot_count) == ("server-2", 1)
        assert lacking.states() == {}, "what the donor thinks of origins is its own affair"
        put(lacking, own().entries)  # and it is written like any other
        assert lacking.counts().entries == donor.counts().entries + 6
    if in_file:
        assert not list(tmp_path.glob("*/snapshot-*"))
        assert [path for path in tmp_path.glob("*/replica.db*") if path.stat().st_mode & 0o007] == []
        with closing(Replica.open(tmp_path / "server-2", node="server-2")) as again:
            assert again.damaged is None
            assert again.boot_count == 2
            assert again.counts().entries == donor.counts().entries + 6


@pytest.mark.parametrize("in_file", [True, False])
def test_what_only_we_have_is_kept(tmp_path: Path, in_file: bool) -> None:
    """Own entries are joined, in steps, also those whose copies or names the donor has otherwise."""
    with pair(tmp_path, in_file=in_file) as (donor, lacking):
        mine = own()
        mine.login("ana", origin=OTHER)  # registered at both, here later
        mine.add(origin=OTHER, id=(0).to_bytes(16, "big"), body=b"mensagem 0")  # a copy of a message there
        put(lacking, mine.entries)
        candidate = taken(donor, lacking)
        assert [candidate.merge(lacking, most=3) for _ in range(4)] == [3, 3, 2, 0]
        candidate.install(lacking)
        put(donor, mine.entries)
        assert lacking.heads() == donor.heads()
        assert lacking.counts() == donor.counts()
        assert lacking.last_messages(channel="geral", limit=999) == donor.last_messages(
            channel="geral", limit=999
        )
    if in_file:
        report = verify(sorted(tmp_path.glob("*/replica.db")), settled=True)
        assert report.equal, report.differences


def test_a_snapshot_is_of_one_moment(tmp_path: Path) -> None:
    """What the donor commits after it was made is not in it, and it can be read meanwhile."""
    with pair(tmp_path) as (donor, lacking):
        before = donor.heads()
        source = make(donor)
        put(donor, own().entries)
        candidate = carried(source, lacking)
        candidate.merge(lacking, most=9)
        candidate.install(lacking)
        assert lacking.heads() == before
        assert (tmp_path / "server-1" / SNAPSHOT_OUT).exists()
        source.close()
        assert not (tmp_path / "server-1" / SNAPSHOT_OUT).exists()


@pytest.mark.parametrize(
    "damage",
    [
        "update entry set body = 'x' where seq = 7",
        "delete from entry where seq = 3",
        "update entry set hash = zeroblob(16) where seq = 2",
        "drop table channel",
        "pragma user_version = 99",
    ],
)
def test_a_file_that_is_not_sound_is_not_taken(tmp_path: Path, damage: str) -> None:
    """Whatever is wrong in the donor's file, the replica stays as it was, and the file can be removed."""
    with pair(tmp_path) as (donor, lacking):
        donor._writer.connection.execute(damage)
        source = make(donor)
        with pytest.raises(Unusable):
            carried(source, lacking)
        source.close()
        assert lacking.heads() == {}
        donor._guard.failed = False


@pytest.mark.parametrize("ours_is_longer", [True, False])
def test_another_log_under_the_same_origin_is_not_taken(tmp_path: Path, ours_is_longer: bool) -> None:
    """A fork is for the pages to find and to quarantine: a snapshot would hide one side of it."""
    with pair(tmp_path) as (donor, lacking):
        put(donor, own("ana", count=9).entries)
        put(lacking, own("bia", count=20 if ours_is_longer else 3).entries)
        before = lacking.heads()
        candidate = taken(donor, lacking)
        with pytest.raises(Unusable, match=OTHER):
            candidate.merge(lacking, most=9)
        candidate.close()
        assert lacking.heads() == before


def test_a_shell_in_the_file_puts_the_exchange_off(tmp_path: Path) -> None:
    """While another program has the file open nothing is exchanged, and everything works on as before."""
    with pair(tmp_path) as (donor, lacking):
        put(lacking, own().entries)
        candidate = taken(donor, lacking)
        while candidate.merge(lacking, most=100):
            pass
        with closing(sqlite3.connect(tmp_path / "server-2" / "replica.db")) as shell:
            shell.execute("select * from users").fetchall()
            with pytest.raises(DataLocked):
                candidate.install(lacking)
            assert lacking.users() == ["zeca"]
            put(lacking, [*own(origin="server-8.00000000000000ff").entries])
            assert lacking.counts().entries == 12
            assert shell.execute("select count(*) from replication_log").fetchone() == (12,)


def test_no_room_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither end begins a copy that does not fit on its disk; leftovers go at the next start."""
    with pair(tmp_path) as (donor, lacking):
        monkeypatch.setattr("storage.snapshot._ROOM", 1e12)
        with pytest.raises(StorageFull):
            make(donor)
        with pytest.raises(StorageFull):
            Incoming(lacking, size=1_000_000)
    (tmp_path / "server-1" / SNAPSHOT_OUT).write_bytes(b"x")
    (tmp_path / "server-1" / SNAPSHOT_IN).write_bytes(b"x")
    Replica.open(tmp_path / "server-1", node="server-1").close()
    assert not list(tmp_path.glob("*/snapshot-*"))
