"""What was said between few stays out of what inspection prints, unless it is asked for."""

import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from storage_entries import Author, put, said, uid

from recado.protocol.messages import Kind
from storage.inspection import dump, quarantined
from storage.replica import Batch, Quarantined, Replica
from storage.verification import verify, verify_images

SECRETS = ("só para bia", "planos da mesa", "assunto da mesa", "por causa da mesa")


def community() -> Author:
    author = Author()
    author.login("ana")
    author.login("bia")
    author.direct("ana", "bia", SECRETS[0])
    author.add(kind=Kind.CHANNEL, author=uid("ana"), target="mesa", body=said(private=True))
    author.add(target="mesa", body=SECRETS[1].encode())
    rule = {"kind": Kind.CHANNEL_RULE, "author": uid("ana")}
    author.add(**rule, target="mesa", body=said(do="topic", text=SECRETS[2], reason=SECRETS[3]))
    author.add(**rule, target="geral", body=said(do="topic", text="de tudo", reason="aberto"))
    author.add(target="geral", body=b"para todos")
    return author


def stored(directory: Path) -> Path:
    with closing(Replica.open(directory, node="server-1")) as replica:
        put(replica, community().entries)
        refused = Quarantined("server-9.0000000000000099", 1, "forked", SECRETS[0].encode(), "server-3")
        replica.stage(Batch(quarantined=[refused]))
        replica.commit()
    return directory / "replica.db"


def test_a_dump_shows_sizes_in_place_of_private_words(tmp_path: Path) -> None:
    """Direct messages, and messages, topics and reasons of private channels; everything else as it is."""
    path = stored(tmp_path)
    rows = list(dump(path))
    text = json.dumps(rows, ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in text]
    assert "(direct message, 12 bytes)" in text
    assert "(private channel, 14 bytes)" in text
    assert all(word in text for word in ("para todos", "de tudo", "aberto"))
    channels = [row for row in rows if row["view"] == "channel_messages"]
    assert [(row["channel"], row["private"]) for row in channels] == [("mesa", 1), ("geral", 0)]


def test_a_dump_shows_them_to_who_asks(tmp_path: Path) -> None:
    """`direct` gives every row as the views have it."""
    path = stored(tmp_path)
    text = json.dumps(list(dump(path, direct=True)), ensure_ascii=False)
    assert all(secret in text for secret in SECRETS)
    assert len(list(dump(path, direct=True))) == len(list(dump(path)))


@pytest.mark.parametrize("direct", [False, True])
def test_what_a_peer_sent_is_private_too(tmp_path: Path, direct: bool) -> None:
    """Refused bytes may be a message: their number, or, asked for, themselves."""
    (row,) = quarantined(stored(tmp_path), direct=direct)
    assert row["raw"] == (SECRETS[0].encode().hex() if direct else "(12 bytes)")


@pytest.mark.parametrize("kind", [Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE])
def test_a_report_of_differences_quotes_nobody(kind: Kind) -> None:
    """Unequal texts are reported as unequal, with their sizes, also if these are the same."""
    replica = Replica.in_memory("server-1")
    put(replica, community().entries)
    before = replica.image()
    connection = replica._writer.connection
    connection.execute("update entry set body = upper(body) where kind = ?", (int(kind),))
    report = verify_images({"a": before, "b": replica.image()})
    assert {d.kind for d in report.differences} >= {"changed"}
    text = msgspec.json.encode(report).decode()
    assert not [s for s in (*SECRETS, "para todos") if s in text or s.upper() in text]


def test_unequal_rows_of_one_size_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the text differs and has the same size, the report says that it is not the same."""
    monkeypatch.setattr("storage.verification.VERIFY_MATERIALISE_ENTRIES_MAX", 1)
    replica = Replica.in_memory("server-1")
    put(replica, community().entries)
    before = replica.image()
    replica._writer.connection.execute("update entry set body = upper(body) where kind = 4")
    report = verify_images({"a": before, "b": replica.image()})
    found = [d for d in report.differences if d.kind == "view"]
    assert [d.view for d in found] == ["user_messages"]
    assert all("12 bytes" in what and "not the same" in what for what in found[0].replicas.values())


def test_a_sound_replica_needs_no_words(tmp_path: Path) -> None:
    """Verification of a file with private words in it says nothing but that it is equal to its log."""
    assert verify([stored(tmp_path)], settled=True).equal
