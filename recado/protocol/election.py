"""Bully (Garcia-Molina 1982) over epochs, as a pure machine: who coordinates this cluster?

The theory.  Members are configured and compared by (rank, name).  The highest that lives shall
coordinate, and everybody shall know.  Bully's proof needs a network that delivers in bounded time
and processes that never pause; ours has neither, so two members can lead at once (each side of a
partition has a coordinator: mode `available`).  What keeps that harmless and short is the *epoch*,
(n, rank, name, boot): n is larger than every n seen before and is kept on disk before it leaves,
the rest names the candidate, so no two elections share an epoch and the larger one wins an argument.

Phases of one member, and what ends them:

- *listening*: just started; stands for nothing until it would have heard a living coordinator (B1).
- *without*: knows no coordinator.  Stands when its back-off is over.
- *following*: heard a coordinator within the lease.  Stands when the lease ends in silence, or, if
  the coordinator is lower than itself, when its hold-down is over (B2): the highest takes over.
  After the `release` of a coordinator that stops the highest stands at once, without either wait.
- *standing*: asked **all** members for `election` with a new epoch (B5).  A higher one that would
  stand itself answers ``OK`` and so does one that hears a living higher coordinator, on its behalf
  (B6): stand down.  The others grant.  No ``OK`` within the deadline: lead, and say so (B7).
- *leading*: renews by request to every member (B8), so a lost announcement heals in one interval.
- *standing_again*: leading, and met a larger epoch than its own: asks for a new one while it goes
  on leading (B9).  An ``OK`` ends both.

Answers carry the largest epoch seen, and the coordinator the answerer hears itself, with the age of
the news, which the asker adopts for what is left of it.  An announcement on the topic `servers` is
a hint, as anybody may publish it: it speeds up, it decides nothing, it is not kept.

Mode `quorum`, with leases and at most one coordinator, is a machine of its own: `election_quorum`.
Times are monotonic seconds of the caller.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from recado.protocol.effects import Note
from recado.protocol.election_state import EpochLedger, Office, Patience, announcement, is_now, refusal
from recado.protocol.election_values import (
    Announce,
    Answer,
    Ask,
    Campaign,
    Effect,
    ElectionTimings,
    Follow,
    Lead,
    Member,
    PersistEpoch,
    Question,
    identity,
    plain,
    read_answer,
)
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote, Release

__all__ = [
    "Announce", "Ask", "Bully", "Effect", "ElectionTimings", "Follow", "Lead", "Member", "Note",
    "PersistEpoch", "Phase",
]  # fmt: skip


class Phase(StrEnum):
    """Where a member is; the module's text says what each means."""

    LISTENING = "listening"
    WITHOUT = "without"
    FOLLOWING = "following"
    STANDING = "standing"
    LEADING = "leading"
    STANDING_AGAIN = "standing_again"


class Bully:
    """One member's part in the election, mode `available`.

    Every input returns effects, to be carried out in order; what follows a `PersistEpoch`, the reply
    included, leaves only after that is durable.  Call `tick` at `deadline` or later.

    `members`: all configured ones, with or without `me`.  `boot`: this process's random token.
    `seen`: the largest epoch kept on disk.  `boots_recent`: starts within the last 120 s, this one
    included; the hold-down doubles with each.  `fast_start`: this may be the cluster's first start:
    listen briefly and, at a first boot, take over without hold-down.  `uniform(a, b)`: random seconds.
    """

    def __init__(
        self,
        me: Member,
        members: Iterable[Member],
        *,
        boot: str,
        now: float,
        uniform: Callable[[float, float], float],
        seen: Epoch = Epoch(0),  # noqa: B008 (frozen)
        timings: ElectionTimings | None = None,
        boots_recent: int = 1,
        fast_start: bool = False,
    ) -> None:
        self.me = me
        self._epochs = EpochLedger(me, members, boot=boot, seen=seen)
        self._office = Office(me, now=now)
        self._others = tuple(self._epochs.others)
        self._uniform = uniform
        self._timings = timings or ElectionTimings()
        alone = not self._others
        self._patience = Patience(
            self._timings, now=now, boots_recent=boots_recent, fast=fast_start, alone=alone
        )
        self._campaign: Campaign | None = None
        self._tag = 0
        self._renew_tag = 0
        self._renew_waiting: set[str] = set()
        self._renewed_at = self._renew_at = self._announced_at = self._next_hint = now
        self._listening = True

    # What is known -------------------------------------------------------------------------------

    @property
    def coordinator(self) -> Epoch | None:
        """The epoch of the coordinator that this member follows, or is; None if it knows none."""
        return self._office.holder

    @property
    def leading(self) -> bool:
        """Whether this member is a coordinator."""
        return self._office.leading

    @property
    def epoch(self) -> Epoch:
        """The largest epoch seen; ``n == 0`` if none."""
        return self._epochs.seen

    def acting(self, _now: float) -> bool:
        """Whether this member may do what a coordinator does: here, whenever it leads."""
        return self.leading

    @property
    def phase(self) -> Phase:
        if self._campaign is not None:
            return Phase.STANDING_AGAIN if self.leading else Phase.STANDING
        if self.leading:
            return Phase.LEADING
        if self.coordinator is not None:
            return Phase.FOLLOWING
        return Phase.LISTENING if self._listening else Phase.WITHOUT

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, in the caller's monotonic seconds; infinity if never."""
        if self._campaign is not None:
            return self._campaign.until
        if self.leading:
            return self._renew_at
        if self.coordinator is None:
            return self._patience.stands_at
        expiry = self._office.heard + self._timings.lease_seconds
        return min(expiry, self._patience.deposes_at) if self._office.holder_is_lower else expiry

    # Inputs --------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Time is now `now`."""
        self._listening = self._listening and self._patience.listening(now)
        if self._campaign is not None:
            return self._close(now) if now >= self._campaign.until else []
        if self.leading:
            return self._renew(now) if now >= self._renew_at else []
        effects: list[Effect] = []
        if self.coordinator is not None and now >= self._office.heard + self._timings.lease_seconds:
            silent = {"coordinator": self.coordinator.name}
            effects.append(Note("coordinator did not answer, starting election", silent))
            effects += self._office.vacate()
        if self._may_stand(now):
            effects += self._stand(now)
        return effects

    def asked(self, request: Question, sender: str | None, now: float) -> tuple[dict[str, Any], list[Effect]]:
        """A member asks: the fields of the reply, to be sent after the effects were carried out.

        `sender` is who the request says or proves to be, if it does.  Raises `Refused` for an epoch
        out of range, or of somebody who is not another member with the rank configured here, and for
        the questions of a member in mode `quorum`.
        """
        if isinstance(request, PreVote | Abdicate):
            raise refusal("mode_differs")
        if request.epoch is None:
            return {"election": "OK"}, self._check(now)
        reason = self._epochs.problem(request, sender, leased=False)
        if reason is not None:
            raise refusal(reason)
        if isinstance(request, Election):
            return self._vote(request.epoch, now)
        if isinstance(request, Coordinator):
            return self._told(request.epoch, now)
        return {"release": "OK"}, self._take_release(request.epoch, now)

    def answered(self, tag: int, member: str, fields: Mapping[str, Any], now: float) -> list[Effect]:
        """`member` answered the `Ask` of that tag.  An answer counts once, and only while awaited."""
        answer = read_answer(fields)
        if answer is None:
            return self.unanswered(tag, member, now)
        if self._campaign is not None and tag == self._campaign.tag and member in self._campaign.waiting:
            effects = self._epochs.learn(answer.epoch)
            return effects + self._count(self._campaign, self._epochs.others[member], answer=answer, now=now)
        if not self.leading or tag != self._renew_tag or member not in self._renew_waiting:
            return []
        self._renew_waiting.discard(member)
        effects = self._epochs.learn(answer.epoch)
        if self._outdated():
            self._renew_at = now
        return effects

    def unanswered(self, tag: int, member: str, now: float) -> list[Effect]:
        """`member` did not answer within the deadline of the `Ask`, or not in our language."""
        if self._campaign is None or tag != self._campaign.tag:
            return []
        self._campaign.waiting.discard(member)
        return [] if self._campaign.waiting else self._close(now)

    def announced(self, epoch: Epoch | None, now: float) -> list[Effect]:
        """Somebody published on `servers` that it coordinates, in `epoch` if it is one of ours."""
        if epoch is None:
            return self._check(now)
        if self._epochs.objection(epoch) is not None or self._stale(epoch):
            return []
        if self.leading:
            # Nobody resigns over a hint; an early renewal meets the rival's epoch in the answers.
            self._renew_at = min(self._renew_at, self._renewed_at + self._timings.rpc_seconds / 2)
            return []
        if self._campaign is not None or self.coordinator is not None or now < self._next_hint:
            return []
        lease = self._timings.lease_seconds
        self._next_hint = now + lease  # forged ones may delay an election, not prevent it
        return self._follow(epoch, now, age=max(0.0, lease - 2 * self._timings.renew_seconds), direct=False)

    def fence(self, epoch: Epoch) -> tuple[str | None, list[Effect]]:
        """A coordinator of `epoch` acts on us (B10): see `EpochLedger.fence`."""
        return self._epochs.fence(epoch)

    def resign(self) -> list[Effect]:
        """Give up what it leads or stands for; stand for nothing and object to nobody until `rejoin`."""
        campaign, self._campaign = self._campaign, None
        epoch = campaign.epoch if campaign is not None else self.coordinator
        gives_up = (campaign is not None or self.leading) and epoch is not None
        self._patience.resign()
        effects = self._office.vacate() if self.leading else []
        if gives_up and epoch is not None and self._others:
            effects.append(self._ask("release", Release(epoch=epoch)))
        return effects

    def rejoin(self, hold_until: float) -> None:
        """Take part again, but depose nobody before then, as after a start (A31, B2)."""
        self._patience.rejoin(hold_until)

    # Standing ------------------------------------------------------------------------------------

    def _ask(self, service: str, request: Election | Coordinator | Release) -> Ask:
        self._tag += 1
        return Ask(self._others, service, request, self._tag, self._timings.rpc_seconds)

    def _may_stand(self, now: float) -> bool:
        if self.coordinator is None:
            return now >= self._patience.stands_at
        return self._office.holder_is_lower and now >= self._patience.deposes_at

    def _stand(self, now: float) -> list[Effect]:
        epoch = self._epochs.mint()
        effects: list[Effect] = [*self._epochs.see(epoch), Note("election started", {"epoch": epoch.n})]
        ask = self._ask("election", Election(epoch=epoch))
        waiting = set(self._others) - {self._patience.leaver}
        self._campaign = Campaign(epoch, ask.tag, now + ask.deadline_seconds, waiting=waiting)
        effects += [ask] if self._others else []
        return effects if waiting else effects + self._close(now)

    def _count(self, campaign: Campaign, member: Member, *, answer: Answer, now: float) -> list[Effect]:
        campaign.waiting.discard(member.name)
        known = answer.known
        if known is not None and (self._epochs.objection(known) is not None or self._epochs.released(known)):
            known = None
        if known is not None and identity(known) > self.me:
            return self._stand_down(now, known=known, age=answer.age)
        if answer.election == "OK" and member > self.me:
            return self._stand_down(now, known=None, age=0.0)
        campaign.granted.append(member.name)
        if known is not None and not self.leading and not self._patience.may_depose(now):
            return self._stand_down(now, known=known, age=answer.age)
        return [] if campaign.waiting else self._close(now)

    def _stand_down(self, now: float, *, known: Epoch | None, age: float) -> list[Effect]:
        """Somebody higher lives, or somebody that we may not depose yet: the campaign is over."""
        self._end_campaign(now)
        age = max(age, self._timings.lease_seconds / 2)
        if known is not None and age < self._timings.lease_seconds:
            return self._follow(known, now, age=age, direct=False)
        return self._office.vacate() if self.leading else []

    def _end_campaign(self, now: float) -> None:
        self._campaign = None
        self._patience.put_off(now + self._uniform(*self._timings.backoff_seconds))

    def _close(self, now: float) -> list[Effect]:
        """Everybody was heard or had their time, and no ``OK`` came."""
        campaign, self._campaign = self._campaign, None
        assert campaign is not None
        if campaign.epoch < self._epochs.seen:
            # A larger epoch is about.  We stay candidates, since nobody higher spoke up.
            soon = now + self._uniform(*self._timings.retry_seconds)
            self._patience.next_try = self._renew_at = soon
            return []
        if self.coordinator is not None and not self.leading and not self._patience.may_depose(now):
            self._end_campaign(now)
            return []
        return self._lead(campaign, now)

    # Leading and following -----------------------------------------------------------------------

    def _lead(self, campaign: Campaign, now: float) -> list[Effect]:
        epoch, again = campaign.epoch, self.leading
        self._office.take(epoch, now)
        self._patience.filled()
        words = "new epoch granted" if again else "nobody answered, becoming coordinator"
        fields = {"epoch": epoch.n, "granted": list(campaign.granted)}
        effects: list[Effect] = [Note(words, fields), Lead(epoch), *self._announce(epoch, now)]
        if not again:
            effects.append(is_now(epoch))
        return effects + self._renew(now)

    def _announce(self, epoch: Epoch, now: float) -> list[Effect]:
        self._announced_at = now
        return announcement(epoch)

    def _outdated(self) -> bool:
        return self.coordinator is not None and self.coordinator < self._epochs.seen

    def _renew(self, now: float) -> list[Effect]:
        if self._outdated():
            return self._stand(now)
        self._renewed_at, self._renew_at = now, now + self._timings.renew_seconds
        if not self._others or self.coordinator is None:
            return []
        ask = self._ask("coordinator", Coordinator(epoch=self.coordinator))
        self._renew_tag, self._renew_waiting = ask.tag, set(self._others)
        return [ask]

    def _follow(self, epoch: Epoch, now: float, *, age: float, direct: bool) -> list[Effect]:
        if self._campaign is not None and identity(epoch) > self.me:
            self._end_campaign(now)  # B11
        self._patience.filled()
        return self._office.follow(epoch, heard=now - age, direct=direct)

    # Answering -----------------------------------------------------------------------------------

    def _reply(self, service: str, words: str, now: float) -> dict[str, Any]:
        return {service: words, "epoch": plain(self._epochs.seen), **self._office.report(now)}

    def _vote(self, epoch: Epoch, now: float) -> tuple[dict[str, Any], list[Effect]]:
        candidate = identity(epoch)
        if candidate < self.me and self._patience.may_object(now):
            self._hasten(now)
            return self._reply("election", "OK", now), []
        if (above := self._office.above(candidate, now)) is not None:
            return self._reply("election", "OK", now) | above, []
        effects = self._epochs.see(epoch)
        self._office.favour(epoch, until=now + 2 * self._timings.rpc_seconds)
        if self.leading and effects:
            # Asking for a still larger epoch now would only spoil the candidate's.
            self._renew_at = max(self._renew_at, now + 2 * self._timings.rpc_seconds)
        return self._reply("election", "grant", now), effects

    def _told(self, epoch: Epoch, now: float) -> tuple[dict[str, Any], list[Effect]]:
        if self._stale(epoch):
            return self._reply("coordinator", "refused", now), []
        effects = self._epochs.see(epoch)
        if self.leading and identity(epoch) < self.me:
            self._renew_at = now  # outdated by a lower one: B9
            return self._reply("coordinator", "refused", now), effects
        effects += self._follow(epoch, now, age=0.0, direct=True)
        return self._reply("coordinator", "OK", now), effects

    def _stale(self, epoch: Epoch) -> bool:
        return epoch < self._epochs.seen or self._epochs.released(epoch)

    def _take_release(self, epoch: Epoch, now: float) -> list[Effect]:
        self._epochs.release(epoch)
        holder = self.coordinator
        vacant = epoch >= self._epochs.seen if holder is None else self._epochs.released(holder)
        if self.leading or not vacant:
            return []
        soon = now + self._uniform(*self._timings.retry_seconds)
        self._patience.vacated(epoch.name, now, at=soon)
        return [] if holder is None else self._office.vacate()

    def _check(self, now: float) -> list[Effect]:
        """Somebody whose words carry no epoch misses the coordinator, or claims to be one."""
        self._hasten(now)
        due = now >= self._announced_at + self._timings.renew_seconds
        return self._announce(self.coordinator, now) if self.leading and self.coordinator and due else []

    def _hasten(self, now: float) -> None:
        if self._campaign is None and self.coordinator is None:
            self._patience.hasten(now + self._timings.check_seconds)
