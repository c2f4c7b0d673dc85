"""Where two logs part, found by asking for a few chain hashes.

A chain hash stands for the whole log up to its entry, so two logs are equal exactly up to the last seq at
which their hashes are: a binary search, as in a Merkle chain, of log2(n) questions.  All origins are
searched at once, and whoever asks decides over which wire.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

Hashes = Mapping[str, bytes | None]
AT_ONCE: Final = 256  # origins in one question


class Parting(msgspec.Struct, frozen=True):
    """An origin that both sides have: equal up to `common`, and unequal entries behind it if `parted`."""

    common: int
    parted: bool


class Bisection:
    """Ask both sides for `questions`, give the answers to `answered`, until there are no questions.

    `a`, `b`: the logs of each side, origin → last seq.  `found`: origin → where they part.
    """

    def __init__(self, a: Mapping[str, int], b: Mapping[str, int]) -> None:
        self.found: dict[str, Parting] = {}
        # equal up to the first number; unequal at the second, or not known yet (then it is the shorter's end)
        self._open: dict[str, tuple[int, int, bool]] = {}
        for origin in sorted(a.keys() | b.keys()):
            shorter = min(a.get(origin, 0), b.get(origin, 0))
            if shorter:
                self._open[origin] = (0, shorter, False)
            else:
                self.found[origin] = Parting(0, parted=False)

    @property
    def questions(self) -> dict[str, int]:
        """The entries whose hashes are wanted of both sides, at most `AT_ONCE`."""
        wanted = list(self._open.items())[:AT_ONCE]
        return {
            origin: (equal + unequal) // 2 if known else unequal for origin, (equal, unequal, known) in wanted
        }

    def answered(self, a: Hashes, b: Hashes) -> None:
        """The hashes at `questions`; a missing one equals nothing."""
        for origin, seq in self.questions.items():
            equal, unequal, known = self._open[origin]
            if a.get(origin) is not None and a.get(origin) == b.get(origin):
                equal = seq
            else:
                unequal, known = seq, True
            if not known or unequal - equal <= 1:
                del self._open[origin]
                self.found[origin] = Parting(equal, parted=known)
            else:
                self._open[origin] = (equal, unequal, known)
