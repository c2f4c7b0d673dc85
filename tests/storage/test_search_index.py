"""The search index: it finds what a plain look through all messages finds, and can be lost at any moment."""

import os
import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_entries import CHANNELS, ORIGINS, USERS, Author, conversation, put, uid

from recado.protocol.errors import Refused
from recado.protocol.messages import Entry, Kind
from recado.protocol.searching import Term, terms
from storage import search
from storage.database import DataLocked
from storage.replica import Replica
from storage.search import FILE_NAME, Index, Interrupted, SearchFailed, Spot
from storage.search_query import Query
from storage.snapshot import Incoming, make

WORDS = ("café", "CAFE", "cafés", "ação", "acao", "bom", "dia", "Bom-dia", "dia!", "a1", "não", "🙂", "日本")


def plain(text: str) -> list[str]:
    """The words of a text as people compare them: no accents, no capitals."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return re.findall(r"[^\W_]+", bare.lower())


def has(text: str, term: Term) -> bool:
    """Whether a text has a term, by looking at all of it."""
    said, looked = plain(text), plain(term.words)
    for start in range(len(said) - len(looked) + 1):
        piece = said[start : start + len(looked)]
        begins = term.prefix and piece[:-1] == looked[:-1] and piece[-1].startswith(looked[-1])
        if piece == looked or begins:
            return True
    return False


def in_memory(entries: Sequence[Entry], *, most: int = 7) -> tuple[Replica, Index]:
    """A replica of these, and its index, made in small slices."""
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    return replica, followed(Index(replica), replica, most=most)


def followed(index: Index, replica: Replica, *, most: int = 7) -> Index:
    """The index with everything that is durable."""
    durable = {origin: head.seq for origin, head in replica.heads().items()}
    while stretches := index.stretches(durable, most=most):
        index.take(stretches)
    assert index.lag(durable) == 0
    return index


def spots(index: Index, query: Query, *, most: int = 3) -> list[Spot]:
    """Everything that a query finds, the last first, in small pieces."""
    found: list[Spot] = []
    below: int | None = None
    while True:
        piece, below = index.find(query, below=below, most=most)
        found += piece
        if below is None:
            return found


def looked_through(entries: Sequence[Entry], query: Query) -> set[tuple[int, str]]:
    """What a plain look through all messages finds."""
    found = set()
    for entry in entries:
        if entry.kind != query.kind or not all(has(entry.body.decode(), term) for term in query.terms):
            continue
        ends = {entry.target, entry.author}
        wanted = (query.channel, entry.target), (query.author, entry.author)
        if any(want is not None and want != there for want, there in wanted) or entry.target in query.hidden:
            continue
        if query.kind == 4 and not {query.user, *([query.peer] if query.peer else [])} <= ends:
            continue
        found.add((entry.lamport, entry.origin))
    return found


_TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
_SAID = st.tuples(
    st.sampled_from(ORIGINS), st.sampled_from([*CHANNELS, *USERS]), st.sampled_from(USERS), _TEXTS
)
_TERM = st.one_of(
    st.sampled_from(WORDS[:-2]),
    st.lists(st.sampled_from(WORDS[:-3]), min_size=1, max_size=3).map(lambda words: f'"{" ".join(words)}"'),
    st.sampled_from(["caf*", "aca*", "bom-d*", '"bom di*"']),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_SAID, max_size=25), st.lists(_TERM, min_size=1, max_size=3), st.data())
def test_it_finds_what_a_look_through_everything_finds(
    said: list[tuple[str, str, str, str]], asked: list[str], data: st.DataObject
) -> None:
    """Words, phrases and beginnings, in channels and direct messages, with an author and without."""
    author = Author()
    for origin, to, user, text in said:
        if to in USERS:
            author.direct(user, to, text, origin=origin)
        else:
            author.add(origin=origin, author=uid(user), target=to, body=text.encode())
    try:
        looked = terms(" ".join(asked))
    except Refused:
        return
    who: dict[str, Any] = {"terms": looked, "author": data.draw(st.sampled_from([None, uid("ana")]))}
    if data.draw(st.booleans()):
        peer = data.draw(st.sampled_from([None, uid("ana"), uid("bia")]))
        query = Query(user=uid("ana"), peer=peer, **who)
    else:
        hidden = data.draw(st.sampled_from([(), ("livros",)]))
        query = Query(channel=data.draw(st.sampled_from([None, "geral"])), hidden=hidden, **who)
    if query.channel is not None:
        query = Query(channel=query.channel, **who)
    _, index = in_memory(author.entries)
    found = spots(index, query)
    expected = looked_through(author.entries, query)
    if query.peer == query.user:  # the replica tells those to oneself from all
        assert set(found) >= expected
    else:
        assert set(found) == expected
    assert len(found) == len(set(found))
    assert [spot.lamport for spot in found] == sorted((spot.lamport for spot in found), reverse=True)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from([*"\"'*)^-{\0x\ud800𐐀", "AND", "NOT", "NEAR(", "said:"])).map(" ".join),
    )
)
def test_no_text_is_an_error_or_an_operator(text: str) -> None:
    """Whatever is typed is looked for or refused by its own rules; a message with all its words is found."""
    author = Author()
    author.add(body=text.encode("utf-8", "replace") or b"-")
    author.add(body=b"AND OR NOT NEAR said place direct")
    _, index = in_memory(author.entries)
    try:
        looked = terms(text)
    except Refused:
        return
    found, _ = index.find(Query(terms=looked), below=None, most=10)
    assert set(found) <= {Spot(1, ORIGINS[0]), Spot(2, ORIGINS[0])}


def test_hostile_names_are_tokens() -> None:
    """A channel or author whose name looks like a query is nothing but a name."""
    author = Author()
    names = ['x" OR "y', "*", 'a" AND place:"b', "NEAR(", "{said}:", "c67"]
    for name in names:
        author.add(target=name, body=b"oi")
    _, index = in_memory(author.entries)
    for stamp, name in enumerate(names, start=1):
        found = spots(index, Query(terms=terms("oi"), channel=name))
        assert found == [Spot(stamp, ORIGINS[0])]
        assert len(spots(index, Query(terms=terms("oi"), hidden=(name,)))) == len(names) - 1
    assert spots(index, Query(terms=terms("c67 63"), hidden=())) == []


# Files -----------------------------------------------------------------------------------------------


def on_disk(directory: Path, count: int = 60) -> tuple[Replica, list[Entry]]:
    replica = Replica.open(directory, node="server-1")
    entries = conversation(count)
    put(replica, entries)
    return replica, entries


def everything(index: Index) -> set[Spot]:
    return set(spots(index, Query(terms=terms("mensagem")), most=100))


def expected_of(entries: Sequence[Entry]) -> set[tuple[int, str]]:
    return {(e.lamport, e.origin) for e in entries if e.kind == Kind.CHANNEL_MESSAGE}


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """A second opening reads nothing again, and goes on with what came meanwhile."""
    replica, entries = on_disk(tmp_path)
    index = followed(Index(replica), replica)
    reached = dict(index.reached)
    index.close()
    index = Index(replica)
    assert index.begun_anew is None
    assert index.reached == reached
    more = Author()
    put(replica, [more.add(origin="server-9.0000000000000009", body=b"mensagem nova")])
    assert everything(followed(index, replica)) == expected_of([*entries, *more.entries])
    index.close()
    replica.close()


@pytest.mark.parametrize("slices", range(6))
def test_a_kill_between_slices_loses_and_repeats_nothing(tmp_path: Path, slices: int) -> None:
    """What a killed process leaves is gone on with; all is found, each message once."""
    replica, entries = on_disk(tmp_path / "node")
    index = Index(replica)
    durable = {origin: head.seq for origin, head in replica.heads().items()}
    for _ in range(slices):
        index.take(index.stretches(durable, most=11))
    index._writer.execute("begin immediate")  # in the middle of the next one
    index._writer.execute("insert into words(rowid, said) values(1, 'mensagem')")
    image = tmp_path / "image"
    shutil.copytree(tmp_path / "node", image)
    again = Replica.open(image, node="server-1")
    left = followed(Index(again), again)
    assert left.begun_anew is None
    assert everything(left) == expected_of(entries)
    assert len(spots(left, Query(terms=terms("mensagem")))) == len(expected_of(entries))
    for one in (left, index, again, replica):
        one.close()


HARMS = ("gone", "no database", "empty", "cut", "another format", "no tables", "zeros")


@pytest.mark.parametrize("harm", HARMS)
def test_a_lost_or_damaged_index_begins_anew(tmp_path: Path, harm: str) -> None:
    """Whatever became of the file: everything is found again."""
    replica, entries = on_disk(tmp_path, 600)
    followed(Index(replica), replica, most=100).close()
    path = tmp_path / FILE_NAME
    match harm:
        case "gone":
            path.unlink()
        case "no database":
            path.write_bytes(b"something else " * 1000)
        case "empty":
            path.write_bytes(b"")
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "another format" | "no tables":
            index = Index(replica)
            said = "pragma user_version = 99" if harm == "another format" else "drop table words"
            index._writer.execute(said)
            index.close()
        case "zeros":
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(bytes(path.stat().st_size - 4096))
    index = Index(replica)
    try:
        followed(index, replica)
        found = everything(index)
    except SearchFailed as failed:  # what shows only when it is read: the server gives it up then
        if not failed.lost:
            raise
        index.begin_anew()
        found = everything(followed(index, replica))
    assert found == expected_of(entries)
    index.close()
    replica.close()


def test_the_index_of_another_log_begins_anew(tmp_path: Path) -> None:
    """A file brought from elsewhere, or left beside an older replica, is not believed."""
    replica, _ = on_disk(tmp_path / "a")
    followed(Index(replica), replica).close()
    replica.close()
    other = Replica.open(tmp_path / "b", node="server-1")
    entries = conversation(20)  # the same origins, and less in their logs
    put(other, entries)
    shutil.copy(tmp_path / "a" / FILE_NAME, tmp_path / "b" / FILE_NAME)
    index = Index(other)
    assert index.begun_anew is not None
    assert everything(followed(index, other)) == expected_of(entries)
    index.close()
    other.close()


def test_a_replica_is_exchanged_while_the_index_lets_go(tmp_path: Path) -> None:
    """With the index open the replica's file stays; released and reopened it follows the new one."""
    replica, entries = on_disk(tmp_path / "here")
    other = Replica.in_memory("server-2")
    more = Author()
    put(other, [more.add(origin="server-8.0000000000000008", body=b"mensagem de longe") for _ in range(5)])
    index = followed(Index(replica), replica)

    def install() -> None:
        source = make(other)
        incoming = Incoming(replica, size=source.size)
        incoming.write(source.read(0, source.size))
        candidate = incoming.candidate()
        try:
            candidate.examine()
            while candidate.merge(replica, most=1000):
                pass
            candidate.install(replica)
        finally:
            candidate.close()
            incoming.close()

    with pytest.raises(DataLocked):
        install()
    index.release()
    install()
    index.reopen()
    assert index.begun_anew is None
    assert everything(followed(index, replica)) == expected_of([*entries, *more.entries])
    index.close()
    replica.close()


def test_the_file_is_nobody_else_s_to_read(tmp_path: Path) -> None:
    """It holds the words of private messages: as unreadable for others as the replica."""
    replica, _ = on_disk(tmp_path)
    index = Index(replica)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o007 == 0
    index.close()
    replica.close()


# Origins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "slots"), [(1, 1024), (2, 8), (1, 4)])
def test_more_origins_than_slots(monkeypatch: pytest.MonkeyPatch, own: int, slots: int) -> None:
    """Origins without a slot of their own are found too, even with more of one stamp than there is room."""
    monkeypatch.setattr(search, "OWN_SLOTS", own)
    monkeypatch.setattr(search, "_SLOTS", slots)
    author = Author()
    origins = [f"server-{n}.{n:016x}" for n in range(1, 9)]
    for n in range(40):
        author.add(origin=origins[n % 8], body=f'mensagem "{n}" bom dia'.encode())
    replica, index = in_memory(author.entries)
    assert everything(index) == expected_of(author.entries)
    for n, entry in enumerate(author.entries):
        assert spots(index, Query(terms=terms(f'"{n} bom"'))) == [Spot(entry.lamport, entry.origin)]
    index.take([search.Stretch(origin, 0, 5) for origin in origins])  # once more, as after a repair
    assert len(spots(index, Query(terms=terms("mensagem")))) == 40
    del replica


def test_very_many_origins_at_once() -> None:
    """A thousand logs of one message each, as after a thousand starts, are all found."""
    author = Author()
    for n in range(1000):
        author.add(origin=f"server-1.{n:016x}", later=n + 1, body=b"mensagem")
    _, index = in_memory(author.entries, most=2000)
    assert everything(index) == expected_of(author.entries)


def test_repaired_entries_are_read_again() -> None:
    """What stood there damaged when it was indexed is found by its own words afterwards."""
    author = Author()
    entries = [author.add(body=f"palavra{n}".encode()) for n in range(9)]
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    replica._writer.connection.execute("update entry set body = 'estrago' where seq = 5")
    index = followed(Index(replica), replica)
    assert spots(index, Query(terms=terms("palavra4"))) == []
    replica._writer.connection.execute("update entry set body = 'palavra4' where seq = 5")
    index.take([search.Stretch(ORIGINS[0], 4, 5)])
    assert spots(index, Query(terms=terms("palavra4"))) == [Spot(5, ORIGINS[0])]
    assert index.reached == {ORIGINS[0]: 9}


def test_a_slice_can_be_ended(tmp_path: Path) -> None:
    """An interrupted slice leaves nothing, and the next one puts the same into the index."""
    replica, entries = on_disk(tmp_path)
    index = Index(replica)
    durable = {origin: head.seq for origin, head in replica.heads().items()}
    index._writer.set_progress_handler(lambda: 1, 1000)
    with pytest.raises(Interrupted):
        index.take(index.stretches(durable, most=2000))
    index._writer.set_progress_handler(None, 1)
    assert index.reached == {}
    assert everything(followed(index, replica)) == expected_of(entries)
    index.interrupt_taking()  # nothing is under way: nothing ends
    index.close()
    index.interrupt_taking()
    replica.close()


def test_a_search_can_be_ended() -> None:
    """An interrupt comes out as such, and the next search goes on."""
    _, index = in_memory(conversation(50))
    index._reader.set_progress_handler(lambda: 1, 1)
    with pytest.raises(Interrupted):
        index.find(Query(terms=terms("mensagem")), below=None, most=10)
    index._reader.set_progress_handler(None, 1)
    assert len(index.find(Query(terms=terms("mensagem")), below=None, most=10)[0]) == 10
