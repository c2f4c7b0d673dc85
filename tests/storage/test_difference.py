"""What two replicas differ in, and where the first difference is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from storage_entries import ORIGINS, Author, conversation, put

from storage.difference import Part, differ
from storage.replica import Replica


def filled(directory: Path, entries: list[object]) -> Path:
    with closing(Replica.open(directory, node=directory.name)) as replica:
        put(replica, entries)  # type: ignore[arg-type]
    return directory / "replica.db"


def only(a: Path, b: Path) -> Part:
    """The one log in which they differ."""
    found = differ(a, b)
    assert found.equal == found.origins - 1
    (part,) = found.parts
    return part


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal replicas."""
    entries: list[object] = [*conversation(60)]
    return filled(tmp_path / "server-1", entries), filled(tmp_path / "server-2", entries)


def test_equal_logs_have_no_difference(pair: tuple[Path, Path]) -> None:
    """All origins are equal, and what both sides hold is told."""
    found = differ(*pair)
    assert (found.origins, found.equal, found.parts) == (3, 3, [])
    assert (found.a.node, found.b.node) == ("server-1", "server-2")
    assert found.a.entries == found.b.entries == 64
    assert found.a.counts == found.b.counts


def test_one_that_is_behind(tmp_path: Path) -> None:
    """The shorter log's end, and the first entry that it lacks."""
    entries = conversation(60)
    mine = [entry for entry in entries if entry.origin == ORIGINS[1]]
    lacks = [entry for entry in entries if entry not in mine[-5:]]
    a, b = filled(tmp_path / "server-1", [*entries]), filled(tmp_path / "server-2", [*lacks])
    part = only(a, b)
    assert (part.origin, part.what, part.a_last, part.b_last) == (ORIGINS[1], "behind", 20, 15)
    assert (part.common, part.first, part.b) == (15, 16, None)
    assert part.a is not None
    assert part.a.hash == mine[15].hash.hex()


def test_an_origin_that_only_one_has(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """It differs from its first entry on."""
    with closing(Replica.open(tmp_path / "server-2", node="server-2")) as replica:
        put(replica, [Author().add(origin="server-7.0000000000000007")])
    part = only(*pair)
    assert (part.origin, part.what, part.a_last, part.first) == ("server-7.0000000000000007", "behind", 0, 1)


def test_logs_that_part(tmp_path: Path) -> None:
    """Two servers that claim one log: equal up to the fork, then each its own entry."""
    one, other = Author(), Author()
    for author in (one, other):
        for n in range(9):
            author.add(body=f"{n}".encode())
    one.add(body=b"left")
    other.add(body=b"right")
    other.add(body=b"more")
    a, b = filled(tmp_path / "server-1", [*one.entries]), filled(tmp_path / "server-2", [*other.entries])
    part = only(a, b)
    assert (part.what, part.common, part.first, part.a_last, part.b_last) == ("parted", 9, 10, 10, 11)
    assert part.a is not None
    assert part.b is not None
    assert part.a.hash != part.b.hash


def test_a_changed_word(pair: tuple[Path, Path]) -> None:
    """An entry whose hash is the same and whose text is not is the first difference, too."""
    with closing(sqlite3.connect(pair[1])) as db:
        db.execute("update entry set body = 'x' where number = 2 and seq = 4")
        db.commit()
    part = only(*pair)
    assert (part.what, part.first) == ("parted", 4)
    assert part.a is not None
    assert part.b is not None
    assert part.a.hash == part.b.hash
    assert part.a.digest != part.b.digest


@pytest.mark.parametrize("seq", [1, 4])
def test_a_hole(pair: tuple[Path, Path], seq: int) -> None:
    """A missing entry with later ones behind it is a hole and not an end."""
    with closing(sqlite3.connect(pair[1])) as db:
        db.execute("delete from entry where number = 2 and seq = ?", (seq,))
        db.commit()
    part = only(*pair)
    assert (part.what, part.first, part.common, part.b) == ("hole", seq, seq - 1, None)
    assert part.a_last == part.b_last == 20
