"""What the leased election remembers beside the office: promises given, and questions that are out.

A *promise* is what a voter gave: until it has run out on the voter's clock, nobody else is granted
anything by this voter.  A *lease* is what a candidate made of a majority's promises: it ends earlier
than each of them, because it is counted from before the question was sent and is shorter by the drift
of two clocks (Gray & Cheriton 1989).  Promises live in memory only; a voter that has just started may
have forgotten one and therefore keeps silent for as long as one could still run.
"""

from typing import NamedTuple

import msgspec

from recado.protocol.election_rules import Rules
from recado.protocol.election_values import Answer, ElectionTimings, Member, identity
from recado.protocol.messages import Epoch


class Promise(NamedTuple):
    """Granted to the candidate of `epoch`, until `until` (the caller's seconds)."""

    epoch: Epoch
    until: float


class Promises:
    """One voter's promise, if one runs, and its silence after a start."""

    def __init__(self, timings: ElectionTimings, rules: Rules, *, now: float, alone: bool) -> None:
        self._timings = timings
        self._rules = rules
        self._given: Promise | None = None
        silence = timings.listening(fast=False) if rules.boot_silence and not alone else 0.0
        self.silent_until = now + silence

    def silent(self, now: float) -> bool:
        """Whether this voter may have forgotten a promise that still runs."""
        return now < self.silent_until

    def running(self, now: float) -> Promise | None:
        """The promise that binds this voter; None if none does."""
        return self._given if self._given is not None and now < self._given.until else None

    def binds_against(self, candidate: Member, now: float) -> bool:
        """Whether a promise to somebody else forbids to grant this candidate anything.

        A further epoch of the same member is no danger: its earlier start, if it was one, is dead.
        """
        running = self.running(now)
        return self._rules.sticky and running is not None and identity(running.epoch) != candidate

    def granted(self, epoch: Epoch) -> bool:
        """Whether the latest promise was given to this very epoch: the question came twice."""
        return self._given is not None and self._given.epoch == epoch

    def grant(self, epoch: Epoch, now: float) -> None:
        self._given = Promise(epoch, now + self._timings.lease_seconds)

    def release(self, epoch: Epoch) -> None:
        """Its candidate gave up `epoch`, and with it all earlier ones of the same start."""
        given = self._given.epoch if self._given is not None else None
        if given is not None and (given.name, given.boot) == (epoch.name, epoch.boot) and given <= epoch:
            self._given = None

    def release_own(self, me: Member) -> None:
        """This voter leads no more: what it promised itself protects nobody."""
        if self._given is not None and identity(self._given.epoch) == me:
            self._given = None


class Canvass(msgspec.Struct):
    """A pre-vote in progress; `answers`: what each member said, and when it arrived."""

    tag: int
    until: float
    waiting: set[str]
    answers: dict[str, tuple[Answer, float]] = {}


class Deposing(msgspec.Struct):
    """A lower coordinator was asked to abdicate."""

    tag: int
    until: float
    waiting: set[str]


class Candidacy(msgspec.Struct):
    """An election of our own in progress; `asked_at` is from before anything was sent."""

    epoch: Epoch
    tag: int
    asked_at: float
    until: float
    waiting: set[str]
    granted: set[str] = set()
    heard: set[str] = set()


class Renewal(msgspec.Struct):
    """One round of renewals; a majority that agrees extends the lease, counted from `asked_at`."""

    tag: int
    asked_at: float
    granted: set[str] = set()
    heard: set[str] = set()


Stage = Canvass | Deposing | Candidacy


class Nonces:
    """Tokens handed out in pre-vote answers: who brings the latest back soon has heard the answer."""

    def __init__(self, *, valid_seconds: float) -> None:
        self._valid_seconds = valid_seconds
        self._count = 0
        self._given: dict[str, tuple[int, float]] = {}

    def give(self, member: str, now: float) -> int:
        self._count += 1
        self._given[member] = (self._count, now)
        return self._count

    def fresh(self, member: str, nonce: int | None, now: float) -> bool:
        given, at = self._given.get(member, (0, now))
        return nonce is not None and nonce == given and now < at + self._valid_seconds
