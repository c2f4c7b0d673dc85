"""Faults on order, for daemons on a machine of the laboratory: loaded into their interpreter before them.

SIGUSR1: from now on no commit comes to an end.  SIGUSR2: the event loop stands still.  SIGRTMIN: a gigabyte
is used.
"""

import signal
from typing import Any


def _stand_still(*_arguments: Any) -> None:
    while True:
        signal.pause()


def _no_commit_ends(*_arguments: Any) -> None:
    from storage.replica import Replica

    Replica.commit = _stand_still  # type: ignore[method-assign]


def _eat(*_arguments: Any) -> None:
    eaten.append(b"x" * 2**30)


eaten: list[bytes] = []
signal.signal(signal.SIGRTMIN, _eat)
signal.signal(signal.SIGUSR1, _no_commit_ends)
signal.signal(signal.SIGUSR2, _stand_still)
