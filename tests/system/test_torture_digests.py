"""The torture's eyes on stopped replicas: equal ones are held once, others are seen to differ."""

import sqlite3
from contextlib import closing
from pathlib import Path

from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, seal
from recado.protocol.messages import Entry, Kind
from storage.replica import Batch, Replica
from tests.torture.digests import states
from tests.torture.neighbours import FinalState, judges

ANA = names.uid("ana")


def log(*texts: str) -> list[Entry]:
    """A user, and what she says in a channel."""
    head, entries = EMPTY, []
    for number, text in enumerate(("", *texts)):
        kind, target = (Kind.LOGIN, "ana") if number == 0 else (Kind.CHANNEL_MESSAGE, "geral")
        entry = seal(
            head,
            origin="server-1.0000000000000001",
            lamport=head.lamport + 1,
            wall_ms=number,
            kind=kind,
            author=ANA,
            id=number.to_bytes(16, "big"),
            target=target,
            prev=0,
            body=text.encode(),
        )
        entries.append(entry)
        head = Head(entry.seq, entry.lamport, entry.hash)
    return entries


def replicas(folder: Path, *logs: list[Entry]) -> list[tuple[str, Path]]:
    """A stopped server with each of these logs."""
    made = []
    for number, entries in enumerate(logs, 1):
        name = f"server-{number}"
        replica = Replica.open(folder / name, node=name)
        replica.stage(Batch(entries=entries, now_ms=0))
        replica.commit()
        replica.close()
        made.append((name, folder / name / "replica.db"))
    return made


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_equal_replicas_are_held_once(tmp_path: Path) -> None:
    """Of three equal replicas the rows are in memory once, under three names, and the judges agree."""
    same = log("oi", "tudo bem?")
    found = list(states(replicas(tmp_path, same, same, same), []))
    assert [state.server for state in found] == ["server-1", "server-2", "server-3"]
    assert found[1].entries is found[0].entries
    assert found[2].views is found[0].views
    assert judges.equal_replicas(found) == []


def differing(tmp_path: Path) -> list[FinalState]:
    return list(states(replicas(tmp_path, log("oi", "tudo bem?"), log("oi", "tudo bom?")), []))


def test_another_text_makes_another_replica(tmp_path: Path) -> None:
    """A replica whose last entry differs is read in full, and the judges say so."""
    found = differing(tmp_path)
    assert found[1].entries is not found[0].entries
    assert judges.equal_replicas(found) != []


def test_a_row_that_is_not_shown_makes_another_replica(tmp_path: Path) -> None:
    """Equal logs under unequal views are not equal."""
    made = replicas(tmp_path, log("oi"), log("oi"))
    change(made[1][1], "update entry set shown = 0 where kind = 3")
    found = list(states(made, []))
    assert judges.equal_replicas(found) == ["server-2: view channel_messages is not what its entries say"]


def test_a_changed_body_is_damage(tmp_path: Path) -> None:
    """A replica with an entry whose hash does not fit its text is told and left out."""
    made = replicas(tmp_path, log("oi"), log("oi"))
    change(made[1][1], "update entry set body = 'ai' where kind = 3")
    complaints: list[str] = []
    assert [state.server for state in states(made, complaints)] == ["server-1"]
    assert complaints == ["server-2: entry server-1.0000000000000001/2 is damaged or missing"]
