"""Events as journald's native protocol has them, read from a real datagram socket."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.shared.journal import Journal, encode, fields_of, is_journal, message_id
from daemons.shared.logging import TextSink, get_logger
from recado.settings import Log

LARGE = "x" * 5_000_000  # more than any datagram


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end, at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "socket"))
        end.setblocking(False)
        yield end


def decode(raw: bytes) -> dict[str, str]:
    """The fields of one datagram, read as journald reads them."""
    fields = {}
    while raw:
        line, _, rest = raw.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        raw = rest
    return fields


def _sink(path: Path, stream: io.StringIO) -> tuple[TextSink, Journal]:
    journal = Journal(str(path))
    return TextSink(Log(), stream=stream, journal=True, native=journal), journal


def test_an_event_has_fields_of_its_own(journald: socket.socket, tmp_path: Path) -> None:
    """Event, clock, node and each value can be asked for; the message reads like a line without its time."""
    stream = io.StringIO()
    sink, journal = _sink(tmp_path / "socket", stream)
    sink.everywhere = lambda: {"epoch": 7}
    get_logger("server-1", lambda: 12, sink=sink).warning("peer is silent", peer="server-2", ranks=[1, 2])
    journal.close()
    assert decode(journald.recv(65536)) == {
        "MESSAGE": "server-1 clock=12 peer is silent peer=server-2 ranks=[1,2]",
        "PRIORITY": "4",
        "MESSAGE_ID": message_id("peer is silent"),
        "RECADO_EPOCH": "7",
        "RECADO_NODE": "server-1",
        "RECADO_CLOCK": "12",
        "RECADO_EVENT": "peer is silent",
        "RECADO_PEER": "server-2",
        "RECADO_RANKS": "[1,2]",
    }
    assert stream.getvalue() == ""


def test_an_event_says_itself_what_differs(journald: socket.socket, tmp_path: Path) -> None:
    """The epoch of an event is the one it names, not the one its server is in."""
    sink, journal = _sink(tmp_path / "socket", io.StringIO())
    sink.everywhere = lambda: {"epoch": 7}
    get_logger("server-1", lambda: 1, sink=sink).info("election started", epoch=8)
    journal.close()
    assert decode(journald.recv(65536))["RECADO_EPOCH"] == "8"


def test_a_large_event_goes_as_a_file(journald: socket.socket, tmp_path: Path) -> None:
    """What no datagram holds arrives whole, in a sealed file that is passed along."""
    journal = Journal(str(tmp_path / "socket"))
    assert journal.send({"MESSAGE": LARGE})
    journal.close()
    _, (descriptor,), _, _ = socket.recv_fds(journald, 16, 1)
    with open(descriptor, "rb") as file:
        file.seek(0)  # the two ends share one position
        assert decode(file.read())["MESSAGE"] == LARGE


def test_without_a_journal_lines_go_to_standard_error(tmp_path: Path) -> None:
    """Where nobody listens the line is written as before, with its priority."""
    stream = io.StringIO()
    sink, journal = _sink(tmp_path / "nobody", stream)
    get_logger("server-1", lambda: 1, sink=sink).error("refused")
    journal.close()
    assert stream.getvalue() == "<3>error server-1 clock=1 refused\n"
    assert sink.lost == 0


def test_a_journal_that_does_not_read_holds_up_nobody(journald: socket.socket, tmp_path: Path) -> None:
    """When its queue is full, lines are lost and counted, and the caller goes on."""
    sink, journal = _sink(tmp_path / "socket", io.StringIO())
    log = get_logger("server-1", lambda: 1, sink=sink)
    for _ in range(2000):
        log.info("x")
        if sink.lost:
            break
    journal.close()
    assert sink.lost


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=40)))
def test_whatever_is_in_a_value_stays_in_it(fields: dict[str, str]) -> None:
    """A value with line breaks or `=` adds no field and cuts none off."""
    assert decode(encode(fields)) == fields


@given(st.dictionaries(st.text(max_size=80), st.text(max_size=10), max_size=5))
def test_names_are_such_as_the_journal_takes(event: dict[str, str]) -> None:
    """Whatever a field is called here, there it is at most 64 of A-Z, 0-9 and _."""
    for name in fields_of(event, message="", priority=6, quoted=str):
        assert len(name) <= 64
        assert all(character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_" for character in name)


def test_the_id_of_an_event_never_changes() -> None:
    """It is a UUID of version 4 that depends on the name alone."""
    assert message_id("peer is silent") == "6421f5b6a3dd4facb854858253321305"
    assert message_id("peer is silent")[12] == "4"
    assert message_id("peer is silent") != message_id("peer answers again")


def test_the_journal_is_recognised() -> None:
    """Standard error is the journal's only if device and inode say so."""
    read_end, write_end = os.pipe()
    found = os.fstat(write_end)
    named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    assert is_journal(named, write_end)
    assert not is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, write_end)
    assert not is_journal({}, write_end)
    os.close(read_end)
    os.close(write_end)
    assert not is_journal(named, write_end)
