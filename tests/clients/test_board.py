"""What `recado top` draws: rates and graphs from surveys, within any terminal."""

import pytest

from clients.watching.board import KEPT, History, board
from clients.watching.values import Answer, Survey
from clients.watching.words import WATCHING_WORDS
from recado.texts import Texts

SAY = Texts("en", WATCHING_WORDS)


def _answer(name: str, entries: int) -> Answer:
    fields = {"server": name, "entries": entries, "coordinator": "server-1", "epoch": 3, "disk": "ok"}
    return Answer(address=f"tcp://{name}:5555", name=name, fields=fields, seconds=0.002)


def _history(servers: int, *, looks: int = 5) -> History:
    history = History()
    for look in range(looks):
        answers = [_answer(f"server-{n}", 100 + 10 * look * n) for n in range(1, servers)]
        silent = Answer(address="tcp://server-0:5555", name="server-0", problem="timeout")
        history.add(Survey(servers=(silent, *answers)), at=2.0 * look)
    return history


def test_rates_are_differences() -> None:
    """Ten entries more in two seconds are five a second; a server that starts anew has no negative rate."""
    history = _history(3)
    assert [point.rate for point in history.of("server-1")] == [None, 5.0, 5.0, 5.0, 5.0]
    history.add(Survey(servers=(_answer("server-1", 1),)), at=10.0)
    assert history.of("server-1")[-1].rate == 0.0


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 10), (10, 3), (1, 1)])
@pytest.mark.parametrize("servers", [2, 60])
def test_it_fits_the_terminal(size: tuple[int, int], servers: int) -> None:
    """No line is wider and no page longer than the terminal, however many servers there are."""
    lines = board(_history(servers), SAY, size=size, clock="12:00:00")
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]


def test_a_usual_terminal_shows_each_server_and_its_graph() -> None:
    """At 80x24 each server has its row, with a graph of its rate; who is silent has the reason."""
    lines = board(_history(4), SAY, size=(80, 24), clock="12:00:00")
    rows = {line.split()[0]: line for line in lines if line.startswith("server-")}
    assert sorted(rows) == ["server-0", "server-1", "server-2", "server-3"]
    assert "timeout" in rows["server-0"]
    assert "15.0" in rows["server-3"]
    assert rows["server-3"].endswith("████")
    assert lines[0].endswith("q leaves")


def test_before_the_first_survey_there_is_a_title() -> None:
    """Until somebody has answered the screen says what it is and how to leave."""
    assert board(History(), SAY, size=(80, 24)) == ["recado top" + "q leaves".rjust(70)]


def test_memory_is_bounded() -> None:
    """Of one server the last points are kept, and no more."""
    assert len(_history(2, looks=KEPT + 50).of("server-1")) == KEPT
