"""The end of this server's own log, in memory: what a peer that fell behind a little pulls, without the disk.

Under a load that copying does not keep up with, a peer's window overflows and it pulls what was forgotten.
Reading that back, with every hash checked, costs five times what pushing it would have; so the runs that were
pushed last are kept as they were, and pages are cut from them.  What is older comes from the store.
"""

from collections import deque

from recado.protocol.entry import hash16
from recado.protocol.messages import Run

TAIL_ENTRIES_MAX = 16_384
TAIL_BYTES_MAX = 4 * 2**20  # of headers and bodies


class Tail:
    """Durable runs of one origin, each following the one before.  In a secured cluster each is signed."""

    def __init__(self) -> None:
        self._runs: deque[tuple[Run, int]] = deque()  # with their sizes
        self._entries = 0
        self._bytes = 0

    def add(self, run: Run, size: int) -> None:
        """A run that is durable now, with so many bytes of headers and bodies; makes room for it."""
        if self._runs and not _follows(self._runs[-1][0], run):
            self._runs.clear()
            self._entries = self._bytes = 0
        self._runs.append((run, size))
        self._entries += len(run.entries)
        self._bytes += size
        while self._entries > TAIL_ENTRIES_MAX or self._bytes > TAIL_BYTES_MAX:
            old, freed = self._runs.popleft()
            self._entries -= len(old.entries)
            self._bytes -= freed

    def run_after(
        self, origin: str, seq: int, *, entries_max: int, bytes_max: int, signed: bool = False
    ) -> Run | None:
        """The entries of `origin` after `seq`, at most so many, as far as the end of a run that was added.

        `signed`: only with a signature.  None: ask the store, which has all of them.
        """
        parts: list[Run] = []
        for run, size in self._runs:
            if run.origin != origin or run.first + len(run.entries) - 1 <= seq:
                continue
            if not parts and run.first > seq + 1:
                return None  # it begins too late
            part = run if run.first > seq else _without(run, seq + 1 - run.first)
            entries_max -= len(part.entries)
            bytes_max -= size if part is run else size_of(part)
            if entries_max < 0 or bytes_max < 0 or (signed and run.signature is None):
                break
            parts.append(part)
        if not parts:
            return None
        pairs = [pair for part in parts for pair in part.entries]
        return Run(origin, seq + 1, parts[0].previous_hash, pairs, parts[-1].signature if signed else None)


def size_of(run: Run) -> int:
    """Bytes of its headers and bodies."""
    return sum(len(header) + len(body) for header, body in run.entries)


def _follows(before: Run, run: Run) -> bool:
    return (before.origin, before.first + len(before.entries)) == (run.origin, run.first)


def _without(run: Run, count: int) -> Run:
    """The run without its first entries."""
    chained = run.previous_hash
    for header, _ in run.entries[:count]:
        chained = hash16(chained, header)
    return Run(run.origin, run.first + count, chained, run.entries[count:], run.signature)
