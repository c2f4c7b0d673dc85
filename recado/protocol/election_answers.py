"""The answering half of the leased election: what a member says as voter, follower and coordinator.

`election_quorum` holds the theory and the other half.  What is here ends nothing but a lead or a
campaign of its own; it never starts one.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from recado.protocol.effects import Note
from recado.protocol.election_lease import Candidacy, Nonces, Promise, Promises, Stage
from recado.protocol.election_rules import Rules
from recado.protocol.election_state import EpochLedger, Office, announcement, refusal
from recado.protocol.election_values import (
    Ask,
    Effect,
    ElectionTimings,
    Member,
    Question,
    identity,
    plain,
)
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote, Release


class Electorate:
    """The voter's memory and manners; `election_quorum.QuorumBully` adds the candidate's."""

    def __init__(
        self,
        me: Member,
        members: Iterable[Member],
        *,
        boot: str,
        now: float,
        uniform: Callable[[float, float], float],
        seen: Epoch,
        timings: ElectionTimings,
        rules: Rules,
    ) -> None:
        self.me = me
        self._epochs = EpochLedger(me, members, boot=boot if rules.unique_epochs else "", seen=seen)
        self._office = Office(me, now=now)
        self._others = tuple(self._epochs.others)
        self._uniform = uniform
        self._timings = timings
        self._rules = rules
        self._promises = Promises(timings, rules, now=now, alone=not self._others)
        self._nonces = Nonces(valid_seconds=timings.nonce_seconds)
        self._stage: Stage | None = None
        self._tag = 0
        self._listening = True
        self._listen_until = self._hold_until = self._next_try = self._next_hint = now
        self._renewed_at = self._renew_at = self._announced_at = now
        self._lease_until = -inf
        self._obstacle = ""  # why there was no election the last time

    # What is known -------------------------------------------------------------------------------

    @property
    def coordinator(self) -> Epoch | None:
        """The epoch of the coordinator that this member follows, or is; None if it knows none."""
        return self._office.holder

    @property
    def leading(self) -> bool:
        """Whether this member was elected and has not stepped down; `acting` says if that still counts."""
        return self._office.leading

    @property
    def epoch(self) -> Epoch:
        """The largest epoch seen; ``n == 0`` if none."""
        return self._epochs.seen

    def acting(self, now: float) -> bool:
        """Whether this member may do now what only the coordinator does (B10)."""
        return self.leading and now < self._lease_until

    def lease_seconds(self, now: float) -> float:
        """What is left of the own lease; 0 if there is none."""
        return max(0.0, self._lease_until - now) if self.leading else 0.0

    def promise(self, now: float) -> Promise | None:
        """The promise that this voter is bound by, if one runs."""
        return self._promises.running(now)

    # Inputs --------------------------------------------------------------------------------------

    def asked(self, request: Question, sender: str | None, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """A member asks: the fields of the reply, to be sent after the effects were carried out.

        `sender` is who the request says or proves to be, if it does.  Raises `Refused` for an epoch out of
        range, or of somebody who is not another member with the rank configured here; for a pre-vote or
        abdication of a stranger; and for the questions of a member in another mode.
        """
        problem = self._problem(request, sender)
        if problem is not None:
            raise refusal(problem)
        lapsed = self._lapse(now)
        fields, effects = self._answer(request, sender or "", now)
        return fields, lapsed + effects

    def _problem(self, request: Question, sender: str | None) -> str | None:
        if isinstance(request, PreVote | Abdicate):
            return None if sender in self._epochs.others else "not_a_member"
        return self._epochs.problem(request, sender, leased=True)

    def _answer(self, request: Question, sender: str, now: float) -> tuple[dict[str, Any], list[Effect]]:
        match request:
            case PreVote():
                return self._sounded(sender, now), []
            case Abdicate():
                return self._abdicate(request, self._epochs.others[sender], now)
            case Election(epoch=None):
                return {"election": "OK"}, self._check(now)
            case Election(epoch=Epoch() as epoch):
                return self._vote(epoch, now)
            case Coordinator():
                return self._told(request.epoch, now)
            case Release():
                return {"release": "OK"}, self._take_release(request.epoch, now)
        raise AssertionError(request)

    def fence(self, epoch: Epoch) -> tuple[str | None, list[Effect]]:
        """A coordinator of `epoch` acts on us (B10): see `EpochLedger.fence`."""
        return self._epochs.fence(epoch)

    # Voting --------------------------------------------------------------------------------------

    def _sounded(self, sender: str, now: float) -> dict[str, Any]:
        """B3: what would become of an election of the sender's."""
        higher = self._objects_to(self._epochs.others[sender], now)
        if higher:
            self._hasten(now)
        held = self._promises.running(now)
        acting = self.coordinator if self.acting(now) else None
        return {
            "prevote": "OK",
            "epoch": plain(self._epochs.seen),
            "higher": higher,
            "silent": self._promises.silent(now),
            "held": held.epoch.name if held else None,
            "held_seconds": held.until - now if held else 0.0,
            "nonce": self._nonces.give(sender, now),
            "acting": plain(acting) if acting else None,
        }

    def _vote(self, epoch: Epoch, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """B6."""
        candidate = identity(epoch)
        if self._objects_to(candidate, now):
            self._hasten(now)
            return self._reply("election", "OK"), []
        if self._promises.silent(now):
            return self._reply("election", "refuse"), []
        if self._promises.granted(epoch):
            return self._granting("election", "grant"), []
        taken = self._promises.binds_against(candidate, now) or (self._rules.sticky and self.acting(now))
        if epoch <= self._epochs.seen or self._epochs.released(epoch) or taken:
            return self._reply("election", "refuse"), []
        effects = self._epochs.see(epoch)
        self._promises.grant(epoch, now)
        if self.leading:
            effects += self._step_down("granted another's election")
        return self._granting("election", "grant"), effects

    def _told(self, epoch: Epoch, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """B8: a coordinator renews.  It is followed if its epoch counts, and promised to if we are free."""
        if self._stale(epoch):
            return self._reply("coordinator", "refused"), []
        effects = self._epochs.see(epoch)
        if self._rules.renew_announces:
            effects += self._follow(epoch, now)
        if self._promises.silent(now) or self._promises.binds_against(identity(epoch), now):
            return self._reply("coordinator", "refused"), effects
        self._promises.grant(epoch, now)
        return self._granting("coordinator", "OK"), effects

    def _follow(self, epoch: Epoch, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if self.leading:
            effects += self._step_down("a larger epoch is at work", releasing=False)
        elif self._stage is not None and identity(epoch) > self.me and self._rules.abort_campaign:
            if isinstance(self._stage, Candidacy):  # B11
                effects += self._release(self._stage.epoch)
            self._back_off(now)
        self._obstacle = ""
        return effects + self._office.follow(epoch, heard=now, direct=True)

    def _abdicate(self, request: Abdicate, rival: Member, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """B4: go, if the higher one proves to hear us."""
        heard = self._nonces.fresh(rival.name, request.nonce, now) or not self._rules.nonce
        if not self.leading or request.epoch != self.coordinator or rival < self.me or not heard:
            return self._reply("abdicate", "refused"), []
        effects = self._step_down(f"abdicating to {rival.name}")
        self._next_try = now + self._timings.nonce_seconds
        return self._reply("abdicate", "OK"), effects

    def _take_release(self, epoch: Epoch, now: float) -> list[Effect]:
        self._epochs.release(epoch)
        self._promises.release(epoch)
        if self.leading or self.coordinator is None or not self._epochs.released(self.coordinator):
            return []
        # Not at once: a pre-vote that overtakes the release elsewhere would find promises that still run.
        self._next_try = now + self._uniform(*self._timings.retry_seconds)
        return self._office.vacate()

    def _reply(self, service: str, words: str) -> dict[str, Any]:
        return {service: words, "epoch": plain(self._epochs.seen)}

    def _granting(self, service: str, words: str) -> dict[str, Any]:
        return {**self._reply(service, words), "lease": self._timings.lease_seconds}

    # Stepping down -------------------------------------------------------------------------------

    def _lapse(self, now: float) -> list[Effect]:
        """B8: a lease that no majority renewed ends, whatever else is to be done."""
        if not self.leading or now < self._lease_until:
            return []
        effects = self._step_down("the lease ran out")
        self._next_try = now + self._uniform(*self._timings.retry_seconds)
        return effects

    def _step_down(self, reason: str, *, releasing: bool = True) -> list[Effect]:
        fields = {"epoch": self.coordinator.n if self.coordinator else 0, "reason": reason}
        effects = self._give_up() if releasing else self._leave()
        return [Note("no longer coordinator", fields), *effects]

    def _give_up(self) -> list[Effect]:
        """Leave whatever is led or stood for, and release it: the epoch asked for last ends all earlier."""
        candidacy = self._stage if isinstance(self._stage, Candidacy) else None
        epoch = candidacy.epoch if candidacy else self.coordinator if self.leading else None
        return self._leave() + (self._release(epoch) if epoch is not None else [])

    def _leave(self) -> list[Effect]:
        self._stage = None
        self._lease_until = -inf
        if not self.leading:
            return []
        self._promises.release_own(self.me)
        return self._office.vacate()

    def _release(self, epoch: Epoch) -> list[Effect]:
        self._promises.release(epoch)
        if not self._others or not self._rules.release:
            return []
        return [self._ask("release", Release(epoch=epoch))]

    # Small words ---------------------------------------------------------------------------------

    def _ask(self, service: str, request: Question, *, members: tuple[str, ...] | None = None) -> Ask:
        self._tag += 1
        return Ask(members or self._others, service, request, self._tag, self._timings.rpc_seconds)

    def _announce(self, epoch: Epoch, now: float) -> list[Effect]:
        self._announced_at = now
        return announcement(epoch)

    def _check(self, now: float) -> list[Effect]:
        """Somebody whose words carry no epoch misses the coordinator, or claims to be one."""
        self._hasten(now)
        due = now >= self._announced_at + self._timings.renew_seconds
        return self._announce(self.coordinator, now) if self.acting(now) and self.coordinator and due else []

    def _may_preempt(self, now: float) -> bool:
        return now >= self._hold_until and not self._promises.silent(now)

    def _objects_to(self, candidate: Member, now: float) -> bool:
        """Bully: a higher one lives and would stand (B2: one in its hold-down would not)."""
        return self.me > candidate and (self._may_preempt(now) or not self._rules.silent_defer)

    def _stale(self, epoch: Epoch) -> bool:
        return epoch < self._epochs.seen or self._epochs.released(epoch)

    def _is_majority(self, besides_me: int, *, heard: int) -> bool:
        size = len(self._others) + 1 if self._rules.static_members else heard + 1
        return besides_me + 1 > size // 2

    def _held_until(self, asked_at: float, now: float) -> float:
        """When a lease that was asked for at `asked_at`, and granted by `now`, ends for its holder."""
        seconds = self._timings.held_seconds if self._rules.margin else self._timings.lease_seconds
        return (asked_at if self._rules.lease_from_send else now) + seconds

    def _back_off(self, now: float) -> None:
        self._stage = None
        self._next_try = max(self._next_try, now + self._uniform(*self._timings.backoff_seconds))

    def _hasten(self, now: float) -> None:
        if self._stage is None and self.coordinator is None:
            self._next_try = min(self._next_try, now + self._timings.check_seconds)
