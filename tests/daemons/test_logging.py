"""Log lines: one event one line, whatever the network says."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from daemons.shared.logging import ListSink, TextSink, get_logger, open_sink
from recado.protocol.printable import printable
from recado.settings import Log

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


def _line(settings: Log, *, journal: bool = False, **fields: object) -> str:
    stream = io.StringIO()
    sink = TextSink(settings, stream=stream, journal=journal, now=lambda: NOON)
    get_logger("server-1", lambda: 7, sink=sink).info("login", **fields)
    return stream.getvalue()


def test_a_line_has_time_level_node_clock_and_fields() -> None:
    """The text form names node and Lamport clock in every line, then the fields."""
    line = _line(Log(), user="ana", copies=2, local=True, nothing=None, text='a "b" c', ranks=[1, 2])
    assert line == (
        "2030-01-02T12:00:00.000Z info server-1 clock=7 login user=ana copies=2 local=true nothing=- "
        'text="a \\"b\\" c" ranks=[1,2]\n'
    )


def test_json_lines_hold_the_same() -> None:
    """The JSON form is one object a line with the same names."""
    event = json.loads(_line(Log(format="json"), user="ana", id=b"\x01\xff"))
    assert (event["node"], event["clock"], event["event"], event["user"]) == ("server-1", 7, "login", "ana")
    assert event["id"] == "01ff"


def test_under_the_journal_the_priority_replaces_the_time() -> None:
    """With format auto the journal gets `<6>` for info and keeps its own time."""
    assert _line(Log(), journal=True) == "<6>info server-1 clock=7 login\n"
    assert _line(Log(format="text"), journal=True).startswith("2030-")


@given(st.text(max_size=50), st.sampled_from(["text", "json"]))
def test_no_value_breaks_its_line(value: str, form: str) -> None:
    """Whatever text is logged, as a value or inside a list, the output is one printable line."""
    line = _line(Log(format=form), value=value, inside=[value], key={value: value})
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert printable(line[:-1]) == line[:-1]


def test_below_the_level_nothing_is_computed() -> None:
    """A call below the level asks nobody for the clock and writes nothing."""
    asked: list[int] = []

    def clock() -> int:
        asked.append(1)
        return 1

    sink = ListSink(level="warning")
    log = get_logger("n", clock, sink=sink).bind(peer="b")
    log.info("quiet")
    log.warning("heard")
    assert [event["event"] for event in sink.events] == ["heard"]
    assert asked == [1]
    assert sink.events[0]["peer"] == "b"


def test_a_file_is_reopened_after_rotation(tmp_path: Path) -> None:
    """After `reopen` lines go to a new file of the old name; the moved one keeps its own."""
    path = tmp_path / "node.log"
    with open_sink(Log(file=str(path)), env={}) as sink:
        log = get_logger("n", lambda: 1, sink=sink)
        log.info("first")
        path.rename(tmp_path / "node.log.1")
        log.info("second")
        sink.reopen()
        log.info("third")
    assert "third" in path.read_text()
    assert "first" not in path.read_text()
    assert (tmp_path / "node.log.1").read_text().count("\n") == 2


def test_a_full_disk_does_not_stop_the_daemon() -> None:
    """A line that can't be written is counted as lost, and the caller goes on."""
    with open_sink(Log(file="/dev/full"), env={}) as sink:
        get_logger("n", lambda: 1, sink=sink).info("lost")
        assert sink.lost == 1


def test_acting_characters_are_shown() -> None:
    """Terminal sequences, line breaks, bidirectional and zero-width characters appear as code points."""
    assert printable("a\x1b[2Jb\n\x9b\u202e\u200b\x7f\ud800") == (
        "a\\u{1b}[2Jb\\u{a}\\u{9b}\\u{202e}\\u{200b}\\u{7f}\\u{d800}"
    )
    assert printable("ção 漢字 👍 x\u0301") == "ção 漢字 👍 x\u0301"
    assert printable("a\tb\n", keep="\t\n") == "a\tb\n"


def test_a_log_file_that_can_not_be_opened_anew_ends_nobody(tmp_path: Path) -> None:
    """When its directory is gone at SIGHUP the old file goes on, and says so."""
    folder = tmp_path / "logs"
    folder.mkdir()
    with open_sink(Log(file=str(folder / "n.log"))) as sink:
        moved = folder.rename(tmp_path / "moved")
        sink.reopen()
        get_logger("n", lambda: 1, sink=sink).info("goes on")
    lines = (moved / "n.log").read_text("utf-8").splitlines()
    assert "log file can't be opened anew" in lines[0]
    assert lines[1].endswith("goes on")
