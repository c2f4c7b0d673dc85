"""What a cluster tells: one event a line, as JSON for programs or as words for people."""

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from clients.cluster.plan import Plan
from clients.output import SCHEMA_VERSION, json_line, stream_line

Event = dict[str, Any]
Sink = Callable[[Event], None]


class OutputGone(Exception):
    """Nobody reads what we print any more."""


def event(kind: str, **fields: Any) -> Event:
    """An event: its kind, when (seconds since 1970), and what belongs to it."""
    return {"schema_version": SCHEMA_VERSION, "event": kind, "time": round(time.time(), 3), **fields}


def summary(plan: Plan, pids: dict[str, int], supervisor: int) -> Event:
    """The first line of `recado up --json`: everything one needs to use the cluster."""
    nodes = [
        {
            "node": node.name,
            "role": str(node.role),
            "pid": pids.get(node.name),
            "directory": str(node.directory),
            "log": str(node.log_path),
            "config": str(node.config_path) if node.config else None,
            "store": str(node.store_path) if node.store_path else None,
            "rank": node.rank,
            "endpoints": node.endpoints,
        }
        for node in plan.nodes
    ]
    return {
        **event("up"),
        "pid": supervisor,
        "data": str(plan.wish.data),
        "control": str(plan.control_path),
        "servers": list(plan.servers),
        "broker": plan.xpub,
        "xsub": plan.xsub,
        "request": plan.request or None,
        "reference": plan.reference,
        "roster": str(plan.keys.roster) if plan.keys else None,
        "key": str(plan.keys.operator) if plan.keys else None,
        "nodes": nodes,
    }


def json_sink(stream: TextIO) -> Sink:
    """One JSON object a line, flushed.  Raises `OutputGone` when nobody reads."""

    def write(happened: Event) -> None:
        _print(stream, json_line(happened))

    return write


def words_sink(stream: TextIO, words: Callable[[Event], str | None]) -> Sink:
    """The events as words, one or more lines each; those without words are not shown."""

    def write(happened: Event) -> None:
        text = words(happened)
        if text is not None:
            _print(stream, text)

    return write


def _print(stream: TextIO, text: str) -> None:
    try:
        stream_line(text, stream)
    except BrokenPipeError:
        if stream is sys.stdout:
            # Python would complain about the pipe once more when it ends.
            sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115
        raise OutputGone from None
