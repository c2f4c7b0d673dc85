"""`recado up --detach`: the supervisor as a process of its own, and waiting until it is ready.

It tells over a pipe either the summary or why it does not start; its events go to ``DATA/up.log``.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from clients.cluster.cannot import CannotStart
from clients.cluster.children import READY_FD_VARIABLE
from clients.cluster.events import Event

WAIT_SECONDS = 120.0
_LINE_BYTES_MAX = 2**20


def start_detached(data: Path, arguments: Sequence[str]) -> Event:
    """Start `recado up ARGUMENTS` in the background; its summary.  Raises `CannotStart`."""
    read_end, write_end = os.pipe()
    made = [path for path in (data, *data.parents) if not path.exists()]
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (data / "up.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "clients.cli", "up", *arguments, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                env={**os.environ, READY_FD_VARIABLE: str(write_end)},
                start_new_session=True,
            )
    except OSError as error:
        os.close(read_end)
        raise CannotStart(f"can't write to {data}: {error.strerror}; choose another --data") from None
    finally:
        os.close(write_end)
    said = _first_line(read_end)
    if said is None:
        raise CannotStart(f"the cluster did not start; see {data / 'up.log'}", process.poll() or 75)
    if "error" in said:
        if made:
            process.wait()
            with suppress(OSError):  # it was further than the checks: its log says more
                _remove(data, made)
        raise CannotStart(said["error"], int(said.get("exit_code", 1)))
    return said


def _remove(data: Path, made: Sequence[Path]) -> None:
    """What a refused start has made, if nothing but its log is there.  Raises `OSError`."""
    if [path.name for path in data.iterdir()] == ["up.log"]:
        (data / "up.log").unlink()
    for path in made:
        path.rmdir()


def _first_line(descriptor: int) -> dict[str, Any] | None:
    line = b""
    with open(descriptor, "rb", buffering=0) as end:
        while not line.endswith(b"\n") and len(line) < _LINE_BYTES_MAX:
            if not select.select([end], [], [], WAIT_SECONDS)[0]:
                return None
            piece = end.read(65_536)
            if not piece:
                return None
            line += piece
    said = json.loads(line)
    return said if isinstance(said, dict) else None


def is_detached() -> bool:
    """Whether a parent waits to be told that the cluster is ready.  True until it was told."""
    return os.environ.get(READY_FD_VARIABLE, "").isdigit()


def tell_parent(said: Event) -> None:
    """In the supervisor: the summary, or ``{"error": text, "exit_code": n}``, to whoever detached it."""
    number = os.environ.pop(READY_FD_VARIABLE, "")
    if number.isdigit():
        try:
            with open(int(number), "wb", buffering=0) as end:
                end.write(json.dumps(said).encode() + b"\n")
        except OSError:
            return  # it no longer waits
