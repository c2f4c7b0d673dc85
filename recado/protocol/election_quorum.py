"""Bully with leases, as a pure machine: mode `quorum`, in which at most one coordinator acts.

The theory.  Bully (Garcia-Molina 1982) is proved for networks that deliver in bounded time and processes
that never pause; in ours two members can believe that they lead.  A *lease* (Gray & Cheriton 1989) makes
the belief of all but one expire: a coordinator acts only while a majority of the configured members has
promised, each by its own clock, to grant nobody else anything.  Two majorities share a member, and that
member's promise is to one of them.  What has to hold for this:

- A voter keeps its promise (*sticky*, B6), and one that may have forgotten it, having just started,
  grants nothing until it would have run out (*boot silence*).
- The holder's lease ends before the promises do: it counts from before it asked, and a little faster
  than clocks may drift apart (B7).  Its clock goes on while the machine is suspended.
- A majority is counted among the members that the configuration names, however few of them live.

What the promises cost is liveness, and the rest of the rules buys it back.  Phases of one member:

- *listening*: just started; stands for nothing until it would have heard a coordinator (B1).
- *without*: knows no coordinator.  Canvasses when its back-off is over.
- *following*: heard a coordinator within the lease.  Canvasses when the lease ends in silence, or, if the
  coordinator is lower than itself, when its hold-down is over (B2).
- *canvassing* (pre-vote, B3): asks everybody what would become of an election, before it spends an epoch
  or a promise on one.  Goes back if somebody higher lives, if fewer than a majority answer, or if
  the promises that run make a majority impossible.  If a lower coordinator answers:
- *deposing* (B4): asks that coordinator to abdicate, with the nonce of its answer, which proves that
  both directions of the link work.  It releases its promises and keeps quiet; we canvass again.
- *standing* (B5): has a new epoch, kept on disk and promised itself its own vote; asks **all** members.
  A higher one that would stand says ``OK``: stand down.  A majority of grants in time: lead (B7).
- *leading*: renews at every member (B8); each round that a majority answers moves the lease's end.  At its
  end, or when it meets another coordinator of a larger epoch: steps down.
- *standing_again*: leading, and a voter has seen a larger epoch, so that it can't renew the old one: asks for
  a larger one still while it goes on leading, and keeps what it has if that fails (B9).

Whoever gives up an epoch says so (`release`), so that nobody waits for a promise without a purpose.  Whatever
arrives, the first look is at the own lease.  Every public call takes `now`, the caller's seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from math import inf
from typing import Any

from recado.protocol.effects import Note
from recado.protocol.election_answers import Electorate
from recado.protocol.election_lease import Candidacy, Canvass, Deposing, Renewal, Stage
from recado.protocol.election_rules import ALL_RULES, Rules
from recado.protocol.election_state import is_now
from recado.protocol.election_values import Answer, Effect, ElectionTimings, Lead, Member, read_answer
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote

__all__ = ["Phase", "QuorumBully"]

NO_EPOCH = Epoch(0)


class Phase(StrEnum):
    """Where a member is; the module's text says what each means."""

    LISTENING = "listening"
    WITHOUT = "without"
    FOLLOWING = "following"
    CANVASSING = "canvassing"
    DEPOSING = "deposing"
    STANDING = "standing"
    LEADING = "leading"
    STANDING_AGAIN = "standing_again"


class QuorumBully(Electorate):
    """One member's part in the election, mode `quorum`; used as `election.Bully` is, with these additions.

    `now` is to come from a clock that goes on during suspend.  Leading is a belief; what only a coordinator
    may do asks `acting` each time, after every wait.  Raises `ValueError` for timings that let nobody keep a
    lease.
    """

    def __init__(
        self,
        me: Member,
        members: Iterable[Member],
        *,
        boot: str,
        now: float,
        uniform: Callable[[float, float], float],
        seen: Epoch = NO_EPOCH,
        timings: ElectionTimings | None = None,
        boots_recent: int = 1,
        rules: Rules = ALL_RULES,
    ) -> None:
        timings = timings or ElectionTimings()
        if timings.held_seconds <= timings.renew_seconds + timings.rpc_seconds:
            raise ValueError("a lease, less the drift of clocks, must exceed renew_seconds + rpc_seconds")
        super().__init__(
            me, members, boot=boot, now=now, uniform=uniform, seen=seen, timings=timings, rules=rules
        )
        if self._others:
            self._listen_until += timings.listening(fast=False) if rules.boot_listen else 0.0
            self._hold_until += timings.holding(boots_recent, fast=False) if rules.hold_down else 0.0
        self._renewal: Renewal | None = None

    @property
    def phase(self) -> Phase:
        match self._stage:
            case Canvass():
                return Phase.CANVASSING
            case Deposing():
                return Phase.DEPOSING
            case Candidacy():
                return Phase.STANDING_AGAIN if self.leading else Phase.STANDING
        if self.leading:
            return Phase.LEADING
        if self.coordinator is not None:
            return Phase.FOLLOWING
        return Phase.LISTENING if self._listening else Phase.WITHOUT

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, in the caller's seconds; infinity if never."""
        stage = self._stage.until if self._stage is not None else inf
        if self.leading:
            return min(stage, self._renew_at, self._lease_until)
        if self._stage is not None:
            return stage
        if self.coordinator is None:
            return self._ready_at
        expiry = self._office.heard + self._timings.lease_seconds
        return min(expiry, max(self._ready_at, self._hold_until)) if self._office.holder_is_lower else expiry

    @property
    def _ready_at(self) -> float:
        return max(self._next_try, self._listen_until, self._promises.silent_until)

    # Inputs --------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Time is now `now`."""
        self._listening = self._listening and now < self._listen_until
        effects = self._lapse(now)
        if self.leading and now >= self._renew_at:
            effects += self._renew(now)
        if self._stage is not None:
            return effects + self._close(self._stage, now) if now >= self._stage.until else effects
        if self.leading:
            return effects
        if self.coordinator is not None and now >= self._office.heard + self._timings.lease_seconds:
            silent = {"coordinator": self.coordinator.name}
            effects.append(Note("coordinator did not answer, starting election", silent))
            effects += self._office.vacate()
        if self._may_stand(now):
            effects += self._canvass(now)
        return effects

    def answered(self, tag: int, member: str, fields: Mapping[str, Any], now: float) -> list[Effect]:
        """`member` answered the `Ask` of that tag.  An answer counts once, and only while awaited."""
        answer = read_answer(fields)
        if answer is None:
            return self.unanswered(tag, member, now)
        effects = self._lapse(now)
        renewal, stage = self._renewal, self._stage
        if self.leading and renewal is not None and tag == renewal.tag:
            return effects + self._renewed(renewal, member, answer=answer, now=now)
        if stage is None or tag != stage.tag or member not in self._others:
            return effects
        effects += self._epochs.learn(answer.epoch)
        match stage:
            case Canvass():
                stage.answers.setdefault(member, (answer, now))
            case Deposing():
                return effects + (self._deposed(answer, now) if member in stage.waiting else [])
            case Candidacy() if member not in stage.heard:
                stage.heard.add(member)
                if answer.election == "OK" and self._epochs.others[member] > self.me:
                    return effects + self._lose(stage, "a higher member stands", now)
                if answer.election == "grant" and answer.lease >= self._timings.lease_seconds:
                    stage.granted.add(member)
        return effects + self._one_less(stage, member, now)

    def unanswered(self, tag: int, member: str, now: float) -> list[Effect]:
        """`member` did not answer within the deadline of the `Ask`, or not in our language."""
        effects = self._lapse(now)
        if self._stage is None or tag != self._stage.tag:
            return effects
        return effects + self._one_less(self._stage, member, now)

    def _one_less(self, stage: Stage, member: str, now: float) -> list[Effect]:
        if member not in stage.waiting:
            return []
        stage.waiting.discard(member)
        return [] if stage.waiting else self._close(stage, now)

    def _close(self, stage: Stage, now: float) -> list[Effect]:
        """Everybody was heard or had their time."""
        match stage:
            case Canvass():
                return self._canvassed(stage, now)
            case Deposing():
                return self._put_off("the lower coordinator did not abdicate", now)
            case Candidacy():
                return self._elected(stage, now)

    def announced(self, epoch: Epoch | None, now: float) -> list[Effect]:
        """Somebody published on `servers` that it coordinates, in `epoch` if it is one of ours: a hint."""
        effects = self._lapse(now)
        if epoch is None:
            return effects + self._check(now)
        if self._epochs.objection(epoch) is not None or self._stale(epoch):
            return effects
        if self.leading:
            # Nobody resigns over a hint; an early renewal meets the rival's epoch in the answers.
            self._renew_at = min(self._renew_at, self._renewed_at + self._timings.rpc_seconds / 2)
            return effects
        if self._stage is not None or self.coordinator is not None or now < self._next_hint:
            return effects
        lease = self._timings.lease_seconds
        self._next_hint = now + lease  # forged ones may delay an election, not prevent it
        heard = now - max(0.0, lease - 2 * self._timings.renew_seconds)
        return effects + self._office.follow(epoch, heard=heard, direct=False)

    def resign(self) -> list[Effect]:
        """Give up what it leads or stands for; stand for nothing and object to nobody until `rejoin`."""
        self._listen_until = self._hold_until = inf
        return self._give_up()

    def rejoin(self, hold_until: float) -> None:
        """Take part again, but depose nobody before then, as after a start (A31, B2)."""
        self._listen_until, self._hold_until = -inf, hold_until

    # Before an election: canvass, depose ---------------------------------------------------------

    def _may_stand(self, now: float) -> bool:
        if now < self._ready_at:
            return False
        return self.coordinator is None or (self._office.holder_is_lower and self._may_preempt(now))

    def _canvass(self, now: float) -> list[Effect]:
        if not self._rules.prevote or not self._others:
            return self._stand(now, awaited=self._others)
        ask = self._ask("prevote", PreVote())
        self._stage = Canvass(ask.tag, now + ask.deadline_seconds, waiting=set(self._others))
        return [ask]

    def _canvassed(self, canvass: Canvass, now: float) -> list[Effect]:
        others = self._epochs.others
        answers = {others[name]: answer for name, (answer, _) in canvass.answers.items()}
        if any(answer.higher and member > self.me for member, answer in answers.items()):
            return self._put_off("a higher member lives", now)
        if not self._is_majority(len(answers), heard=len(answers)):
            return self._put_off("fewer than a majority of the members answer", now)
        acting = {member: answer for member, answer in answers.items() if answer.acting is not None}
        lower = max(acting, default=None)
        if lower is not None and (lower > self.me or not self._may_preempt(now)):
            return self._put_off("a coordinator is at work", now)
        ours = {None, self.me.name, lower.name if lower is not None else None}
        free = sum(
            not answer.silent and (answer.held in ours or now >= at + answer.held_seconds)
            for answer, at in canvass.answers.values()
        )
        if self._rules.sticky and not self._is_majority(free, heard=len(answers)):
            return self._put_off("the promises that run leave no majority", now)
        if lower is not None:
            return self._depose(lower, acting[lower], now)
        return self._stand(now, awaited=canvass.answers)

    def _depose(self, coordinator: Member, answer: Answer, now: float) -> list[Effect]:
        assert answer.acting is not None
        request = Abdicate(epoch=answer.acting, nonce=answer.nonce)
        ask = self._ask("abdicate", request, members=(coordinator.name,))
        self._stage = Deposing(ask.tag, now + ask.deadline_seconds, waiting={coordinator.name})
        return [Note("asking the lower coordinator to abdicate", {"coordinator": coordinator.name}), ask]

    def _deposed(self, answer: Answer, now: float) -> list[Effect]:
        if answer.abdicate != "OK":
            return self._put_off("the lower coordinator did not abdicate", now)
        self._stage = None
        # The releases are on their way to the voters; then the canvass is repeated.
        self._next_try = now + self._timings.retry_seconds[0] + self._timings.check_seconds
        return self._office.vacate() if self.coordinator is not None else []

    def _put_off(self, obstacle: str, now: float) -> list[Effect]:
        """No election now.  Each new reason is said once, since it may hold for days."""
        self._back_off(now)
        known, self._obstacle = self._obstacle, obstacle
        return [] if known == obstacle else [Note("no election for now", {"reason": obstacle})]

    # The election --------------------------------------------------------------------------------

    def _stand(self, now: float, *, awaited: Iterable[str]) -> list[Effect]:
        """Ask everybody; wait for those only that gave a sign of life a moment ago."""
        if self._promises.binds_against(self.me, now):
            return self._put_off("our own promise to another still runs", now)
        epoch = self._epochs.mint()
        effects: list[Effect] = [*self._epochs.see(epoch), Note("election started", {"epoch": epoch.n})]
        self._promises.grant(epoch, now)
        ask = self._ask("election", Election(epoch=epoch, lease=self._timings.lease_seconds))
        candidacy = Candidacy(epoch, ask.tag, now, now + ask.deadline_seconds, waiting=set(awaited))
        self._stage = candidacy
        return [*effects, ask] if candidacy.waiting else effects + self._elected(candidacy, now)

    def _elected(self, candidacy: Candidacy, now: float) -> list[Effect]:
        if not self._is_majority(len(candidacy.granted), heard=len(candidacy.heard)):
            return self._lose(candidacy, "no majority granted it", now)
        until = self._held_until(candidacy.asked_at, now)
        if now >= until:
            return self._lose(candidacy, "the grants came too late", now)
        return self._lead(candidacy, until, now)

    def _lose(self, candidacy: Candidacy, reason: str, now: float) -> list[Effect]:
        effects: list[Effect] = [Note("election lost", {"epoch": candidacy.epoch.n, "reason": reason})]
        if not (self.leading and self._rules.re_epoch_keep):
            effects += self._release(candidacy.epoch)
        self._back_off(now)
        return effects

    def _lead(self, candidacy: Candidacy, until: float, now: float) -> list[Effect]:
        epoch, again = candidacy.epoch, self.leading
        self._stage, self._obstacle = None, ""
        self._lease_until = max(until, self._lease_until) if again else until
        self._office.take(epoch, now)
        words = "new epoch granted" if again else "elected by a majority, becoming coordinator"
        fields = {"epoch": epoch.n, "granted": sorted(candidacy.granted), "lease_seconds": until - now}
        effects: list[Effect] = [Note(words, fields), Lead(epoch), *self._announce(epoch, now)]
        if not again:
            effects.append(is_now(epoch))
        return effects + self._renew(now)

    # Leading -------------------------------------------------------------------------------------

    def _renew(self, now: float) -> list[Effect]:
        assert self.coordinator is not None
        self._renewed_at, self._renew_at = now, now + self._timings.renew_seconds
        self._promises.grant(self.coordinator, now)
        if not self._others:
            self._lease_until = self._held_until(now, now)
            return []
        request = Coordinator(epoch=self.coordinator, lease=self._timings.lease_seconds)
        ask = self._ask("coordinator", request)
        self._renewal = Renewal(ask.tag, now)
        return [ask, *self._reclaim(now)]

    def _renewed(self, renewal: Renewal, member: str, *, answer: Answer, now: float) -> list[Effect]:
        effects = self._epochs.learn(answer.epoch)
        if member not in self._others or member in renewal.heard:
            return effects
        renewal.heard.add(member)
        if answer.coordinator == "OK" and answer.lease >= self._timings.lease_seconds:
            renewal.granted.add(member)
            if self._is_majority(len(renewal.granted), heard=len(renewal.heard)):
                self._lease_until = max(self._lease_until, self._held_until(renewal.asked_at, now))
        return effects + self._reclaim(now)

    def _reclaim(self, now: float) -> list[Effect]:
        """B9: a larger epoch than our own is about; ask for one larger still while the lease runs."""
        if self.coordinator is None or self.coordinator >= self._epochs.seen or not self._rules.re_epoch:
            return []
        if self._stage is not None or now < self._next_try:
            return []
        return self._stand(now, awaited=self._others)
