"""One request of a client from its beginning to its end: how long it may take, and what it came to."""

from dataclasses import dataclass, field
from typing import Any

import anyio

from recado.failures import BadReply, Busy, ChatError, Indeterminate, NoAnswer, RefusedByServer
from recado.protocol.retry import Outcome, RetryTimings
from recado.protocol.vector import Vector

TRIED_MAX = 16  # attempts that an error tells of


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request waits, in seconds.

    `attempt_seconds` for one server, but no less than `quick_seconds` and little more than it usually
    takes for one that has answered before; `deadline_seconds` in all.  Before each further attempt a random
    pause up to `pause_seconds`, doubled each time up to `pause_seconds_max`.  A subscription that
    heard nothing from its brokers, not even a beacon, for `silence_seconds` looks into the
    history; without brokers it does so every `poll_seconds`.
    """

    attempt_seconds: float = 3.0
    quick_seconds: float = 1.25
    deadline_seconds: float = 15.0
    pause_seconds: float = 0.1
    pause_seconds_max: float = 2.0
    silence_seconds: float = 6.0
    poll_seconds: float = 1.0

    def timings(self, deadline_seconds: float) -> RetryTimings:
        """Those of one request that has so much time left."""
        return RetryTimings(
            attempt_seconds=self.attempt_seconds,
            deadline_seconds=deadline_seconds,
            pause_seconds=self.pause_seconds,
            pause_seconds_max=self.pause_seconds_max,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The data of a reply that succeeded, and the address that gave it.

    `lacking`: what was seen before and this does not cover, as no server that has it answered.
    """

    data: dict[str, Any]
    address: str
    lacking: Vector = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Course:
    """What has become of one request so far.  `deadline` in the event loop's time.

    `session`: what the answer must cover; once nobody does, `lacking`.  `behind`: a server has said so.
    `elsewhere`: how many servers to pass over at first.  `refused` is the latest refusal, `acks` the most
    copies that anybody told of.
    """

    service: str
    data: dict[str, Any]
    span_seconds: float
    deadline: float
    write: bool = False
    elsewhere: int = 0
    session: Vector = field(default_factory=dict)
    lacking: Vector = field(default_factory=dict)
    behind: bool = False
    tried: list[tuple[str, str]] = field(default_factory=list)
    unreadable: bool = False
    possibly_kept: bool = False
    acks: int = 0
    refused: RefusedByServer | None = None
    answer: Answer | None = None

    def kind_at(self, address: str) -> str:
        """Requests that usually take equally long: reads, and writes that wait for as many copies."""
        return f"{address} {self.data.get('level', 'local') if self.write else 'read'}"

    def note(self, address: str, what: str) -> None:
        """Remember what came of an attempt; of many, the last."""
        self.tried.append((address, what))
        del self.tried[:-TRIED_MAX]

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - anyio.current_time())

    def verdict(self, outcome: Outcome, *, members: int | None) -> ChatError:
        """The error to raise for an outcome other than an answer.

        What nobody can have kept is never called indeterminate: then it is a refusal, or no answer.
        """
        tried, span = tuple(self.tried), self.span_seconds
        if outcome is Outcome.REFUSED and self.refused is not None:
            self.refused.certain = not self.possibly_kept
            return self.refused
        if self.write and self.possibly_kept:
            ident = self.data["id"]
            return Indeterminate(
                self.service, id=ident, seconds=span, tried=tried, acks=self.acks, of=members
            )
        if self.refused is not None and (self.write or isinstance(self.refused, Busy)):
            return self.refused
        kind = BadReply if self.unreadable else NoAnswer
        return kind(self.service, seconds=span, tried=tried)
