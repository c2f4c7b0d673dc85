"""The judges of sessions and of words see the faults that they are there for."""

import judges_of_words
import msgspec
import pytest
from workload import History, Operation, Read


def look(shown: set[str] | None, *, at: float, session: int = 0) -> Read:
    """Ana looks at a channel."""
    seen = None if shown is None else frozenset((text.encode(), text) for text in shown)
    return Read(who="ana", session=session, begun=at, server="server-1", channel="geral", shown=seen)


def said(text: str, *, begun: float, ended: float) -> Operation:
    """Ana says something, and is told that it is kept."""
    op = Operation(service="publish", user="ana", who="ana", target="geral", text=text, id=text.encode())
    op.begun, op.ended, op.outcome = begun, ended, "acknowledged"
    return op


def history(*reads: Read, operations: tuple[Operation, ...] = ()) -> History:
    """What is judged."""
    made = History()
    made.reads, made.operations = list(reads), list(operations)
    return made


def test_a_growing_view_is_no_complaint() -> None:
    """More and more is seen, own words included; a server that is behind may say so."""
    reads = (look({"one"}, at=1.0), look(None, at=2.0), look({"one", "two", "mine"}, at=4.0))
    mine = said("mine", begun=2.5, ended=3.0)
    assert judges_of_words.sessions_hold(history(*reads, operations=(mine,))) == []


def test_a_view_that_goes_back_is_seen() -> None:
    """K4: what was seen before is missing."""
    reads = (look({"one", "two"}, at=1.0), look({"one"}, at=2.0))
    (complaint,) = judges_of_words.sessions_hold(history(*reads))
    assert "lacks what was seen before: ['two']" in complaint


def test_missing_own_words_are_seen() -> None:
    """K4: what one was told to be kept is missing; what is still under way is not."""
    operations = (said("mine", begun=1.5, ended=2.0), said("later", begun=2.5, ended=9.0))
    reads = (look({"one"}, at=1.0), look({"one"}, at=3.0))
    (complaint,) = judges_of_words.sessions_hold(history(*reads, operations=operations))
    assert "lacks own words: ['mine']" in complaint


def test_a_new_session_starts_with_nothing() -> None:
    """Who began another session, as a disk took something with it, may see less in it."""
    reads = (look({"one", "two"}, at=1.0), look({"one"}, at=2.0, session=1))
    assert judges_of_words.sessions_hold(history(*reads)) == []


LINE = {"event": "refused", "node": "server-1", "clock": 3, "level": "info", "code": "busy"}


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "/home/recado/var/replica.db is locked"},
        {"reason": 'Traceback (most recent call last): File "x"'},
        {"reason": "<Call object at 0x7f3a5b2c>"},
        {"reason": "KeyError: 'origin'"},
        {"text": "segredo 1 2"},
        {"event": "fault while serving"},
    ],
)
def test_words_that_are_nobodys_business_are_seen(fields: dict[str, str]) -> None:
    """K12: a path, a traceback, an object, an exception, somebody's message, a fault inside."""
    assert judges_of_words.keeps_to_itself([(1.0, LINE)], []) == []
    assert len(judges_of_words.keeps_to_itself([(1.0, {**LINE, **fields})], [])) == 1


def test_refusals_that_tell_too_much_are_seen() -> None:
    """K12: the same in what clients are told."""
    told = {"Canal não existe", "no such table in sqlite3.connect", "/var/lib/recado/replica.db"}
    assert len(judges_of_words.keeps_to_itself([], told)) == 2


def test_long_texts_are_compared_by_their_beginnings() -> None:
    """A read keeps no 16 KiB of a message, and still finds it among one's own words."""
    text = "segredo 0 1".ljust(16_384, ".")
    shown = msgspec.structs.replace(look(set(), at=3.0), shown=frozenset({(text.encode(), "")}))
    operations = (said(text, begun=1.5, ended=2.0),)
    first = look(set(), at=1.0)
    assert len(judges_of_words.sessions_hold(history(first, shown, operations=operations))) == 1
