"""A server that measures its own steps: ``python -m bench.stepped_server FILE …`` runs ``recado-server …``.

Processor time of the thread, read before and after each call of a step; what a step calls that is a
step itself counts for that one only.  All are called once per batch, so that measuring costs next to
nothing.  At the end FILE holds ``{step: [microseconds, calls]}``.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from daemons.server.__main__ import main
from daemons.server.announcements import Announcements
from daemons.server.commit import GroupCommit
from daemons.server.requests import Requests
from daemons.server.writes import Writes
from recado.wire.pubsub import ZeroMQPublisher
from recado.wire.router import Router
from recado.wire.sockets import Socket
from storage.replica import Replica

# In the order of a message's way.
STEPS: dict[str, tuple[type, str]] = {
    "receive: take frames from the ROUTER": (Socket, "receive"),
    "decode and check against the schema": (Requests, "_decode_batch"),
    "derive ids, look them up": (Writes, "prefetch"),
    "check, append to the log, seal": (Requests, "_serve_batch"),
    "stage: insert the rows": (Replica, "stage"),
    "commit (in the worker thread)": (Replica, "commit"),
    "after the commit: make the answers": (GroupCommit, "_committed"),
    "send the answers": (Router, "send"),
    "encode the publications": (Announcements, "_publish_batch"),
    "publish": (ZeroMQPublisher, "publish"),
}

_spent: dict[str, list[float]] = {name: [0.0, 0] for name in STEPS}
_inner = threading.local()  # .stack: time of the steps inside each step that is running


def _measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    spent = _spent[name]

    @wraps(function)
    def measured(*args: Any, **kwargs: Any) -> Any:
        stack: list[float] = _inner.__dict__.setdefault("stack", [])
        stack.append(0.0)
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            whole = time.thread_time() - start
            spent[0] += (whole - stack.pop()) * 1e6
            spent[1] += 1
            if stack:
                stack[-1] += whole

    return measured


def run() -> None:
    """Replace every step by its measured self, then serve."""
    file = Path(sys.argv.pop(1))
    for name, (owner, method) in STEPS.items():
        setattr(owner, method, _measured(name, getattr(owner, method)))
    try:
        main()
    finally:
        file.write_text(json.dumps(_spent), "utf-8")


if __name__ == "__main__":
    run()
