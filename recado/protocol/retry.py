"""How a client asks until somebody answers, and what it may say when nobody did.

A request is sent to one server at a time, always with the same id, so that servers recognise it
(A8, A12).  What comes back decides:

    answered      done
    refused       done: another server would refuse it too
    busy          the same server again, after the pause it asked for
    elsewhere     the next server: this one is draining, or behind what the client has seen
    unreachable   the next server: the request never left
    no answer     the next server, after `attempt_seconds` (or less: `recado.protocol.round_trips`)

Before each further attempt the machine pauses for a random time between zero and a bound that doubles
("full jitter": Brooker, Exponential Backoff and Jitter, 2015), so that clients which failed together
do not come back together.

When the deadline is near, honesty: a write of which any attempt went unanswered may have been kept, and
is `indeterminate`.  Only if every attempt is known to have kept nothing is it `busy` or `unanswered`.

    asking ── answered, refused ──> done
      │  ^
      v  │ tick
    pausing ── no time for another attempt ──> done
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from recado.protocol.limits import BUSY_PAUSE_SECONDS_MAX, RETRY_ATTEMPTS_MAX


class RetryTimings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a request waits: for one server, in all, and between attempts (doubling, jittered)."""

    attempt_seconds: float = 3.0
    deadline_seconds: float = 15.0
    pause_seconds: float = 0.1
    pause_seconds_max: float = 2.0


class Outcome(StrEnum):
    """How a request ended.  Only `INDETERMINATE` leaves open whether it was carried out."""

    ANSWERED = "answered"
    REFUSED = "refused"
    BUSY = "busy"
    UNANSWERED = "unanswered"
    INDETERMINATE = "indeterminate"


class Send(msgspec.Struct, frozen=True):
    """Send the request to `server` and report what becomes of it under the number of this attempt."""

    server: str
    attempt: int
    request_id: bytes
    deadline_seconds: float


class Done(msgspec.Struct, frozen=True):
    """The end.  `possibly_kept`: an attempt of a write went unanswered, also if a later one was refused."""

    outcome: Outcome
    possibly_kept: bool


Effect = Send | Done


class Retry:
    """One request's machine.  Times are monotonic seconds; call `tick` at `deadline`.

    `random` gives numbers in [0, 1).  `first` is the index of the server to begin with; `server` is the
    one that the present attempt asks or the next one would: a good one for the next request to begin
    with.  `patience`: how long to wait for a server, if not `attempt_seconds`.  Raises ValueError without
    servers.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        request_id: bytes,
        write: bool,
        now: float,
        random: Callable[[], float],
        timings: RetryTimings | None = None,
        first: int = 0,
        patience: Callable[[str], float] | None = None,
    ) -> None:
        if not servers:
            raise ValueError("no servers to ask")
        self.timings = timings or RetryTimings()
        self.possibly_kept = False
        self.attempt = 0
        self.outcome: Outcome | None = None
        self._servers = tuple(servers)
        self._index = first % len(servers)
        self._request_id = request_id
        self._write = write
        self._random = random
        self._patience = patience
        self._ends_at = now + self.timings.deadline_seconds
        self._wake_at = now
        self._asking = False
        self._told_busy = False  # the last word was `busy`

    @property
    def server(self) -> str:
        return self._servers[self._index]

    @property
    def phase(self) -> str:
        """`asking`, `pausing` or `done`; a machine begins pausing, for no time."""
        if self.outcome is not None:
            return "done"
        return "asking" if self._asking else "pausing"

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next; None once done."""
        return None if self.outcome is not None else self._wake_at

    def tick(self, now: float) -> list[Effect]:
        """Send after a pause; give an attempt up after its time."""
        if self.outcome is not None or now < self._wake_at:
            return []
        if not self._asking:
            return self._send(now)
        self._unanswered()
        return self._again(now, next_server=True)

    def answered(self, attempt: int) -> list[Effect]:
        """The request was carried out.  Counts for an earlier attempt as well: the id is the same."""
        if self.outcome is not None or not 0 < attempt <= self.attempt:
            return []
        self.possibly_kept = False
        return self._done(Outcome.ANSWERED)

    def refused(self, attempt: int) -> list[Effect]:
        """The request is not carried out, and no server would."""
        return self._done(Outcome.REFUSED) if self._current(attempt) else []

    def busy(self, attempt: int, *, retry_after_seconds: float, now: float) -> list[Effect]:
        """Nothing was kept; the server asks for a pause (at most `BUSY_PAUSE_SECONDS_MAX` are granted)."""
        if not self._current(attempt):
            return []
        self._told_busy = True
        wait = min(max(0.0, retry_after_seconds), BUSY_PAUSE_SECONDS_MAX)
        return self._again(now, next_server=False, wait_seconds=wait)

    def elsewhere(self, attempt: int, *, now: float) -> list[Effect]:
        """Nothing was kept, since this server can't at present; another may."""
        return self._again(now, next_server=True) if self._current(attempt) else []

    def unreachable(self, attempt: int, *, now: float) -> list[Effect]:
        """The request never left for this server."""
        return self._again(now, next_server=True) if self._current(attempt) else []

    def no_answer(self, attempt: int, *, now: float) -> list[Effect]:
        """The request left and no readable reply came: as `tick` finds after the attempt's time."""
        if not self._current(attempt):
            return []
        self._unanswered()
        return self._again(now, next_server=True)

    def _current(self, attempt: int) -> bool:
        return self.outcome is None and self._asking and attempt == self.attempt

    def _unanswered(self) -> None:
        self.possibly_kept = self.possibly_kept or self._write

    def _send(self, now: float) -> list[Effect]:
        left = self._ends_at - now
        if left <= 0:
            return self._give_up()
        self.attempt += 1
        self._asking = True
        self._told_busy = False
        patience = self.timings.attempt_seconds if self._patience is None else self._patience(self.server)
        seconds = min(patience, left)
        self._wake_at = now + seconds
        return [Send(self.server, self.attempt, self._request_id, seconds)]

    def _again(self, now: float, *, next_server: bool, wait_seconds: float = 0.0) -> list[Effect]:
        """Pause before the next attempt, or give up at once if the pause would outlast the deadline."""
        self._asking = False
        if next_server:
            self._index = (self._index + 1) % len(self._servers)
        bound = min(
            self.timings.pause_seconds_max, self.timings.pause_seconds * 2.0 ** min(self.attempt - 1, 32)
        )
        self._wake_at = now + wait_seconds + self._random() * bound
        if self._wake_at >= self._ends_at or self.attempt >= RETRY_ATTEMPTS_MAX:
            return self._give_up()
        return []

    def _give_up(self) -> list[Effect]:
        if self.possibly_kept:
            return self._done(Outcome.INDETERMINATE)
        return self._done(Outcome.BUSY if self._told_busy else Outcome.UNANSWERED)

    def _done(self, outcome: Outcome) -> list[Effect]:
        self._asking = False
        self.outcome = outcome
        return [Done(outcome, self.possibly_kept)]
