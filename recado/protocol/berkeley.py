"""Berkeley clock synchronisation (Gusella & Zatti 1989), hardened: rules C1-C3 of the protocol.

The coordinator probes every member several times and keeps the answer with the smallest round-trip
time, since that one says most about the clock and least about the network (Cristian 1989).  The
member's offset is ``answer + round-trip/2 - own clock``, wrong by at most half the round trip.

A plain average lets one lying clock move the whole cluster.  So only the largest set of clocks that
agree, within the *spread*, is averaged, and only if it is a majority of the configured members (A30).
Every member that answered, in the set or not, is told its difference to the average; a difference may
arrive late without harm, a time may not.

Spread: 10 s in the first round of a coordinator, when clocks may differ by what machines boot with;
afterwards 50 ms, or twice the error of the worst measurement in the set.  It doubles after each
aborted round, at most to 10 s again, so that clocks which drifted apart during a partition meet again.

Probes answer and compare wall clock + target (`recado.protocol.disciplined`), never shown time.

    idle ── due ──> collecting ── all answered or failed, or time is up ──> finished | aborted ──> idle
      any ── follow ──> idle, not leading

Rounds are due after every 10 accepted client operations, yet at most every 10 s, and at least once a
minute.  An aborted round is repeated after 10 s, until the spread has grown as far as
it may; then after 20, 40 s, then every minute.  Alone in its
cluster a server has nobody to agree with and runs no rounds; of two, both must agree.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from recado.protocol.agreement import Sample, largest_agreeing
from recado.protocol.effects import Note
from recado.protocol.limits import TIME_SECONDS_LIMIT
from recado.protocol.messages import Epoch

SPREAD_DOUBLINGS = 8  # from 50 ms to 10 s


class BerkeleyTimings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a coordinator's rounds; the defaults are the mission's and rule C1's figures."""

    operations_per_round: int = 10
    spacing_seconds: float = 10.0  # at most one round in this time
    period_seconds: float = 60.0  # at least one
    probes_per_member: int = 5
    rtt_seconds_max: float = 0.5  # slower answers say too little
    collecting_seconds: float = 3.0
    spread_seconds: float = 0.05
    first_spread_seconds: float = 10.0


class Probe(msgspec.Struct, frozen=True):
    """Ask `member` for `clock`; give the answer, or that there was none in time, back with this probe."""

    member: str
    round: int
    number: int  # 1, 2, ... of this member in this round
    deadline_seconds: float


class Adjust(msgspec.Struct, frozen=True):
    """Send `adjust` to `member`."""

    member: str
    delta_seconds: float
    epoch: Epoch
    round: int


class AdjustSelf(msgspec.Struct, frozen=True):
    """The coordinator's own adjustment; it passes its own `AdjustmentGate` as everybody's does."""

    delta_seconds: float
    epoch: Epoch
    round: int


Effect = Probe | Adjust | AdjustSelf | Note


class _Round:
    """One open round: what was measured so far, and the probe that is out to each member."""

    def __init__(self, number: int, *, ends_at: float) -> None:
        self.number = number
        self.ends_at = ends_at
        self.out: dict[str, Probe] = {}
        self.samples: dict[str, Sample] = {}
        self.own_seconds: float | None = None  # own clock when it last looked: for log lines only


class Berkeley:
    """One member's part as coordinator.  Times are monotonic seconds unless they say otherwise.

    `members`: all configured names, `own` among them.  Between `lead` and `follow` it runs rounds;
    carry out the effects of `tick`, `answered` and `failed` in their order, and call `tick` at
    `deadline`.
    """

    def __init__(self, own: str, members: Collection[str], timings: BerkeleyTimings | None = None) -> None:
        self.timings = timings or BerkeleyTimings()
        self.spread_seconds = self.timings.first_spread_seconds
        self._own = own
        self._others = sorted(set(members) - {own})
        self._epoch: Epoch | None = None
        self._round: _Round | None = None
        self._number = 0
        self._operations = 0
        self._started_at: float | None = None
        self._fresh = False  # no round has begun since this member became coordinator
        self._aborted = 0  # rounds in a row

    @property
    def leading(self) -> bool:
        return self._epoch is not None

    @property
    def collecting(self) -> bool:
        return self._round is not None

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next; None while there is nothing to wait for."""
        if self._epoch is None or not self._others:
            return None
        return self._round.ends_at if self._round is not None else self._next_at()

    def lead(self, epoch: Epoch) -> None:
        """This member is coordinator, or goes on being it under a higher epoch."""
        if self._epoch is None:
            self.spread_seconds = self.timings.first_spread_seconds
            self._fresh = True
            self._aborted = 0
            self._operations = 0
        self._epoch = epoch

    def follow(self) -> list[Effect]:
        """This member is no longer coordinator: nothing of an open round goes out any more."""
        self._epoch = None
        if self._round is None:
            return []
        number, self._round = self._round.number, None
        return [Note("berkeley round aborted", {"round": number, "reason": "no longer coordinator"})]

    def operation(self, count: int = 1) -> None:
        """Client operations were accepted here; enough of them bring the next round nearer."""
        if self._epoch is not None:
            self._operations += count

    def due(self, now: float) -> bool:
        """Whether a round is to begin."""
        next_at = self.deadline
        return self._round is None and next_at is not None and now >= next_at

    def tick(self, now: float) -> list[Effect]:
        """Begin the round that is due, or end the one whose time is up."""
        if self._round is not None:
            return self._finish(self._round) if now >= self._round.ends_at else []
        return self._begin(now) if self.due(now) else []

    def answered(
        self, probe: Probe, *, time_seconds: Any, own_seconds: float, rtt_seconds: float
    ) -> list[Effect]:
        """The answer to a probe.

        `time_seconds`: the `time` of the reply, as it came; junk counts as no answer.  `own_seconds`:
        own `probe_time()` when the reply arrived.  `rtt_seconds`: monotonic, from sending to arrival.
        """
        current = self._round
        if current is None or current.out.get(probe.member) != probe:
            return []
        if _is_time(time_seconds) and 0.0 <= rtt_seconds <= self.timings.rtt_seconds_max:
            known = current.samples.get(probe.member)
            if known is None or rtt_seconds < known.rtt_seconds:
                offset = time_seconds + rtt_seconds / 2 - own_seconds
                current.samples[probe.member] = Sample(offset, rtt_seconds)
                current.own_seconds = own_seconds
        return self._next_probe(current, probe)

    def failed(self, probe: Probe) -> list[Effect]:
        """No answer to a probe within its deadline."""
        current = self._round
        if current is None or current.out.get(probe.member) != probe:
            return []
        return self._next_probe(current, probe)

    def _next_at(self) -> float:
        t = self.timings
        if self._started_at is None:
            return -math.inf
        pause = t.period_seconds
        if self._fresh or self._operations >= t.operations_per_round:
            pause = t.spacing_seconds
        elif self._aborted:
            late = max(0, self._aborted - SPREAD_DOUBLINGS)
            pause = min(pause, t.spacing_seconds * 2.0 ** min(late, 16))
        return self._started_at + pause

    def _begin(self, now: float) -> list[Effect]:
        self._number += 1
        self._operations = 0
        self._started_at = now
        self._fresh = False
        self._round = _Round(self._number, ends_at=now + self.timings.collecting_seconds)
        effects: list[Effect] = [
            Note(
                "berkeley round as coordinator: collecting clocks",
                {"round": self._number, "servers": len(self._others), "spread_seconds": self.spread_seconds},
            )
        ]
        return effects + [self._probe(self._round, member, 1) for member in self._others]

    def _probe(self, current: _Round, member: str, number: int) -> Probe:
        probe = Probe(member, current.number, number, self.timings.rtt_seconds_max)
        current.out[member] = probe
        return probe

    def _next_probe(self, current: _Round, probe: Probe) -> list[Effect]:
        if probe.number < self.timings.probes_per_member:
            return [self._probe(current, probe.member, probe.number + 1)]
        del current.out[probe.member]
        return [] if current.out else self._finish(current)

    def _finish(self, current: _Round) -> list[Effect]:
        epoch = self._epoch
        if epoch is None:  # `follow` has dropped the round
            return []
        self._round = None
        samples = {self._own: Sample(0.0, 0.0), **current.samples}
        effects: list[Effect] = [_clock_note(current, member, samples.get(member)) for member in self._all()]
        agreeing = largest_agreeing(samples, self.spread_seconds)
        needed = len(self._all()) // 2 + 1
        if len(agreeing) < needed:
            return effects + self._abort(current, answers=len(samples), agreeing=agreeing)
        average = sum(samples[member].offset_seconds for member in agreeing) / len(agreeing)
        effects.append(
            Note(
                "berkeley average",
                {
                    "round": current.number,
                    "average_seconds": (current.own_seconds or 0.0) + average,
                    "agreeing": agreeing,
                    "of": len(self._all()),
                },
            )
        )
        for member, sample in sorted(samples.items()):
            effects += self._adjustment(member, average - sample.offset_seconds, epoch, current.number)
        self._aborted = 0
        self.spread_seconds = self.timings.spread_seconds
        effects.append(Note("berkeley round finished", {"round": current.number, "adjusted": len(samples)}))
        return effects

    def _all(self) -> list[str]:
        return sorted([self._own, *self._others])

    def _adjustment(self, member: str, delta_seconds: float, epoch: Epoch, number: int) -> list[Effect]:
        note = Note(
            "berkeley adjustment sent",
            {"round": number, "server": member, "adjustment_seconds": delta_seconds},
        )
        if member == self._own:
            return [note, AdjustSelf(delta_seconds, epoch, number)]
        return [note, Adjust(member, delta_seconds, epoch, number)]

    def _abort(self, current: _Round, *, answers: int, agreeing: list[str]) -> list[Effect]:
        self._aborted += 1
        self.spread_seconds = min(self.timings.first_spread_seconds, 2 * self.spread_seconds)
        of = len(self._all())
        few = answers <= of // 2
        fields: Mapping[str, Any] = {
            "round": current.number,
            "reason": "too few servers answered" if few else "no majority of clocks agrees",
            "answers": answers,
            "agreeing": agreeing,
            "needed": of // 2 + 1,
            "next_spread_seconds": self.spread_seconds,
        }
        return [Note("berkeley round aborted", fields)]


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -TIME_SECONDS_LIMIT < value < TIME_SECONDS_LIMIT


def _clock_note(current: _Round, member: str, sample: Sample | None) -> Note:
    fields: dict[str, Any] = {"round": current.number, "server": member}
    if sample is None:
        return Note("berkeley clock unknown: no answer", fields)
    if current.own_seconds is not None:
        fields["time_seconds"] = current.own_seconds + sample.offset_seconds
    fields |= {"offset_seconds": sample.offset_seconds, "rtt_seconds": sample.rtt_seconds}
    return Note("berkeley clock", fields)
