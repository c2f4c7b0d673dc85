"""Derived rows made anew: after an upgrade, and of files that came from somebody else."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_entries import Author, batches, conversation, logs, looked_into, put, shown

import storage.rows
from recado.protocol.messages import Entry
from recado.protocol.views import materialise
from storage.database import Damaged
from storage.rebuild import is_up_to_date, rebuild
from storage.replica import Replica

UNKNOWN = 99


@given(entries=logs(), random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_rebuilding_changes_nothing(entries: list[Entry], random: Random) -> None:
    """What the log says and what was derived batch by batch are the same, counts and quarantine included."""
    replica = Replica.in_memory("server-1")
    for batch in batches(entries, random):
        put(replica, batch)
    connection = replica._writer.connection
    before = (shown(connection), connection.execute("select * from quarantine").fetchall())
    connection.execute("update entry set shown = not shown")
    connection.execute("delete from user")
    connection.execute("update channel set lamport = 0")
    connection.execute("begin")
    assert rebuild(connection, strict=True) == len(entries)
    connection.execute("commit")
    assert (shown(connection), connection.execute("select * from quarantine").fetchall()) == before
    assert before[0] == materialise(entries)


def test_an_upgraded_program_shows_what_the_old_one_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Direct messages kept by a program that did not know them are shown after the upgrade (A36)."""
    entries = conversation(30)
    with monkeypatch.context() as old:
        old.setattr(storage.rows, "_SHOWN_KINDS", frozenset({1, 2, 3}))
        replica = Replica.in_memory("server-1")
        put(replica, entries[:20])
        put(replica, entries[20:])
        assert replica.message_counts()[1] == 0
        assert not looked_into(replica).execute("select * from user_messages").fetchall()
        image = replica.image()
    upgraded = Replica.in_memory("server-1", image)
    assert shown(looked_into(upgraded)) == materialise(entries)
    assert upgraded.message_counts()[1] == 10
    assert upgraded.heads() == replica.heads()


def test_going_back_to_the_old_program_hides_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A downgrade loses nothing: the new kind is not shown meanwhile, and is again after the next upgrade."""
    entries = conversation(30)
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    with monkeypatch.context() as old:
        old.setattr(storage.rows, "_SHOWN_KINDS", frozenset({1, 2, 3}))
        back = Replica.in_memory("server-1", replica.image())
        assert back.message_counts()[1] == 0
        image = back.image()
    assert shown(looked_into(Replica.in_memory("server-1", image))) == materialise(entries)


def test_unknown_kinds_are_relayed_byte_for_byte() -> None:
    """A kind that nobody knows comes out of the log as it went in, with what it carries."""
    author = Author()
    author.login("ana")
    strange = author.add(kind=UNKNOWN, target=None, body=b"\x81\xa1x\x01", extra=b"\x81\xa1y\xc0")
    replica = Replica.in_memory("server-1")
    put(replica, author.entries)
    run = replica.run_after(strange.origin, 1, entries_max=9, bytes_max=9999)
    assert run is not None
    assert run.entries == [(strange.header, strange.body)]


@pytest.mark.parametrize(
    "damage",
    [
        "update entry set body = 'x' where seq = 7",
        "update entry set hash = zeroblob(16) where seq = 7",
        "delete from entry where seq = 7",
        "update entry set lamport = 'x' where seq = 7",
    ],
)
def test_damage_in_somebody_else_s_file_is_refused(damage: str) -> None:
    """Strictly read, a log with one wrong byte or a hole raises; a start with it goes on."""
    replica = Replica.in_memory("server-1")
    put(replica, conversation(60))
    connection = replica._writer.connection
    connection.execute(damage)
    with pytest.raises(Damaged):
        rebuild(connection, strict=True)
    connection.execute("update meta set value = '{}' where key = 'derived'")
    again = Replica.in_memory("server-1", replica.image())
    assert is_up_to_date(again._writer.connection)
    assert again.message_counts()[0] > 0
