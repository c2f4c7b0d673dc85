"""Log lines: an event and key=value fields, each line with the node and its Lamport clock.

A program opens one sink and makes its logger from it; nothing is configured by importing.  Values
come from the network, so every text goes through `printable`: one call, one line.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, BinaryIO, Protocol, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from daemons.shared.journal import Journal, fields_of, is_journal
from recado.protocol.printable import printable
from recado.settings import Log

__all__ = ["ListSink", "Logger", "Sink", "TextSink", "get_logger", "open_sink"]

Logger = FilteringBoundLogger
Event = MutableMapping[str, Any]
_FIRST = ("time", "level", "node", "clock", "event")
_QUOTED = frozenset(' "=,[]{}\\')  # a value with one of these would not be read back as one value
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# sd-daemon(3): the journal takes the priority from a `<N>` at the beginning of a line.
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class Sink(Protocol):
    """Where finished events go. `level` is the least that is made at all."""

    @property
    def level(self) -> str: ...

    def write(self, event: Event) -> None:
        """Take one event: texts are printable, `level`, `node`, `clock` and `event` are set."""


class ListSink:
    """Keeps events as dictionaries: for tests and for programs that look at their own log."""

    def __init__(self, level: str = "debug") -> None:
        self.level = level
        self.events: list[dict[str, Any]] = []

    def write(self, event: Event) -> None:
        self.events.append(dict(event))

    def named(self, name: str) -> list[dict[str, Any]]:
        """The events of that name, in order."""
        return [event for event in self.events if event["event"] == name]


class TextSink:
    """Writes lines to a stream, or appends them to a file that `reopen` opens anew (log rotation).

    A line that can't be written (disk full, reader gone) is counted in `lost`; a daemon does not
    stop because nobody can read its log.  With a `native` journal events go there as fields; `everywhere`
    tells which every one of them has, unless it says otherwise itself.
    """

    def __init__(
        self,
        settings: Log,
        *,
        stream: TextIO | None = None,
        journal: bool = False,
        native: Journal | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.level = settings.level
        self.lost = 0
        self._file = settings.file
        self._stream = stream if stream is not None else self._opened()
        self._render = render_json if settings.format == "json" else render_text
        self._journal = journal and settings.format == "auto"
        self._native = native
        self.everywhere: Callable[[], Mapping[str, Any]] = dict
        self._now = now

    def _opened(self) -> TextIO:
        if not self._file:
            return sys.stderr
        # Unbuffered: each line is one append, and one that fails leaves nothing behind to fail again.
        raw = open(self._file, "ab", buffering=0)  # noqa: SIM115 - closed by `close` and `reopen`
        return TextIOWrapper(cast(BinaryIO, raw), "utf-8", errors="backslashreplace", write_through=True)

    def write(self, event: Event) -> None:
        if self._native is not None and self._to_journal(self._native, event):
            return
        if self._journal:
            line = f"<{_PRIORITIES.get(event['level'], 6)}>{self._render(event)}\n"
        else:
            moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = self._render({"time": moment, **event}) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed under us
            self.lost += 1

    def _to_journal(self, journal: Journal, event: Event) -> bool:
        """Whether it was taken, or lost: False if there is no journal, but still standard error."""
        message = self._render({key: value for key, value in event.items() if key != "level"})
        priority = _PRIORITIES.get(event["level"], 6)
        fields = fields_of({**self.everywhere(), **event}, message=message, priority=priority, quoted=_quoted)
        try:
            self.lost += not journal.send(fields)
        except OSError:
            return False
        return True

    def reopen(self) -> None:
        """Open the file anew, after somebody moved it away. Without a file: nothing.

        One that can't be opened is said in the old one, which stays.
        """
        if not self._file:
            return
        try:
            after = self._opened()
        except OSError as error:
            self.write({"level": "error", "event": "log file can't be opened anew", "reason": str(error)})
            return
        before, self._stream = self._stream, after
        before.close()

    def close(self) -> None:
        if self._file:
            self._stream.close()


@contextmanager
def open_sink(settings: Log, *, env: Mapping[str, str] = os.environ) -> Iterator[TextSink]:
    """The sink that the configuration names, closed at the end. Raises `OSError`."""
    under = "JOURNAL_STREAM" in env
    native = Journal() if settings.format == "auto" and not settings.file and is_journal(env) else None
    sink = TextSink(settings, journal=under, native=native)
    try:
        yield sink
    finally:
        sink.close()
        if native is not None:
            native.close()


def get_logger(node: str, clock: Callable[[], int], *, sink: Sink) -> Logger:
    """A logger whose lines say which node they are from and where its Lamport clock stands.

    ``log.info("login", user=name)``; ``log.bind(peer=name)`` gives one with a field added. Below
    the sink's level a call costs a method call and nothing is computed.
    """

    def stamp(_logger: WrappedLogger, level: str, event: Event) -> Mapping[str, Any]:
        fields = {key: _clean(value) for key, value in event.items()}
        sink.write(
            {"level": level, "node": node, "clock": clock(), "event": fields.pop("event", ""), **fields}
        )
        raise structlog.DropEvent

    proxy = structlog.wrap_logger(
        None,
        processors=[structlog.processors.format_exc_info, stamp],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[sink.level]),
    )
    logger: Logger = proxy.bind()  # the proxy itself would bind at every call
    return logger


def _clean(value: Any) -> Any:
    """A value as it may stand in a line: texts printable, bytes in hexadecimal, the rest by `str`."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(item) for key, item in value.items()}
    return printable(str(value))


def render_json(event: Mapping[str, Any]) -> str:
    """One JSON object, without line breaks."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), default=str)


def render_text(event: Mapping[str, Any]) -> str:
    """``time level node clock=7 event key=value …``; values with spaces, quotes or `=` in quotes."""
    words = [f"clock={event[key]}" if key == "clock" else str(event[key]) for key in _FIRST if key in event]
    words += [f"{key}={_quoted(value)}" for key, value in event.items() if key not in _FIRST]
    return " ".join(words)


def _quoted(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_quoted(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_quoted(item)}" for key, item in value.items()) + "}"
    text = str(value)
    if text and not any(character in _QUOTED for character in text):
        return text
    return '"' + text.replace('"', '\\"') + '"'
