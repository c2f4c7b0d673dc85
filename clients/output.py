"""Everything that the commands write goes out here, and through the one sanitiser (`printable`).

Nothing else in this room writes to standard output or standard error: a house test holds it to that.  So
a name, a topic, a reason or an error's text reaches a terminal as text and never as an order to it,
whichever command shows it.
"""

import json
import sys
from typing import Any, TextIO

from recado.protocol.printable import printable, printable_json

SCHEMA_VERSION = 1


def put(line: str, *, keep: str = "", flush: bool = True) -> None:
    """One line of data, on standard output; a line break in it is shown as such."""
    _write(printable(line, keep=keep), sys.stdout, flush=flush)


def put_page(text: str) -> None:
    """Several lines made here, on standard output.  What others wrote in them is `printable` already."""
    _write(printable(text, keep="\n"), sys.stdout, flush=True)


def words(text: str) -> None:
    """Lines for people, on standard error."""
    _write(printable(text, keep="\n"), sys.stderr, flush=True)


def document(**fields: Any) -> None:
    """One JSON document, or one line of a stream of them, on standard output."""
    _write(json_line({"schema_version": SCHEMA_VERSION, **fields}), sys.stdout, flush=True)


def json_line(fields: Any) -> str:
    """A value as JSON on one line; what could act is escaped as JSON does, so that nothing is lost."""
    return printable_json(json.dumps(fields, ensure_ascii=False))


def stream_line(text: str, stream: TextIO) -> None:
    """Lines made here, on a stream of the caller's.  Raises `OSError`."""
    _write(printable(text, keep="\n"), stream, flush=True)


def _write(text: str, stream: TextIO, *, flush: bool) -> None:
    print(text, file=stream, flush=flush)
