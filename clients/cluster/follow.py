"""Reading the nodes' logs, as they are and as they grow."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

LOOK_SECONDS = 0.25
_TAIL_BYTES_MAX = 4 * 2**20  # what is looked at for the last lines of one log
_PIECE_BYTES = 64 * 1024
Named = tuple[str, Path]


def log_files(data: Path, node: str | None) -> list[Named]:
    """(node, file) of every log under `data`, or of one node; sorted by name."""
    found = sorted(data.glob("*/*.log"))
    return [
        (path.stem, path) for path in found if path.parent.name == path.stem and node in (None, path.stem)
    ]


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines of a file; a file that is gone has none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES_MAX))
            lines = deque(file, maxlen=count) if count else ()
            return [line.decode("utf-8", "replace").rstrip("\n") for line in lines]
    except OSError:
        return []


class _Growing:
    """One file read from its present end; begun anew when it is replaced or cut."""

    def __init__(self, path: Path, *, from_end: bool) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._open(from_end=from_end)

    def _open(self, *, from_end: bool) -> None:
        try:
            self._file = self._path.open("rb")
        except OSError:
            return
        if from_end:
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> Iterator[str]:
        """The complete lines written since."""
        if self._file is not None:
            while piece := self._file.read(_PIECE_BYTES):
                *whole, self._rest = (self._rest + piece).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace")
        self._look_again()

    def _look_again(self) -> None:
        try:
            there = self._path.stat()
        except OSError:
            return
        if self._file is not None:
            here = os.fstat(self._file.fileno())
            if here.st_ino == there.st_ino and there.st_size >= self._file.tell():
                return
            self._file.close()
        self._rest = b""
        self._open(from_end=False)


def follow(data: Path, node: str | None, files: Sequence[Named]) -> Iterator[tuple[str, str]]:
    """(node, line) for ever, new nodes' logs included.  Ends with KeyboardInterrupt."""
    growing = {name: _Growing(path, from_end=True) for name, path in files}
    while True:
        for name, path in log_files(data, node):
            if name not in growing:
                growing[name] = _Growing(path, from_end=False)
        for name, file in growing.items():
            for line in file.lines():
                yield name, line
        time.sleep(LOOK_SECONDS)
