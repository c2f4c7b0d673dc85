"""The memories of the election machine: which epochs there were, who holds the office, what is waited for."""

from collections.abc import Iterable
from math import inf
from typing import Any

from recado.protocol.effects import Note
from recado.protocol.election_values import (
    Announce,
    Effect,
    ElectionTimings,
    Follow,
    Member,
    PersistEpoch,
    identity,
    plain,
)
from recado.protocol.errors import Refused
from recado.protocol.limits import EPOCH_LIMIT, EPOCH_STEP_MAX, NODE_NAME_CHARACTERS_MAX
from recado.protocol.messages import Coordinator, Election, Epoch, Release

_REFUSALS = {
    "epoch_invalid": "Época inválida",
    "not_a_member": "A época não é de um membro deste cluster",
    "not_the_sender": "A época é de outro membro",
    "mode_differs": "Os servidores deste cluster têm server.mode diferentes",
}


def refusal(code: str) -> Refused:
    """Why a question about the coordinator is not answered, as an `erro`."""
    return Refused(code, _REFUSALS[code])


class EpochLedger:
    """Which epochs there were: the largest seen, and what each member gave up."""

    def __init__(self, me: Member, members: Iterable[Member], *, boot: str, seen: Epoch) -> None:
        self.me = me
        self.others = {member.name: member for member in members if member.name != me.name}
        self.seen = seen
        self._boot = boot
        self._released: dict[str, Epoch] = {}

    def mint(self) -> Epoch:
        """An epoch larger than all seen, that nobody else can make."""
        return Epoch(self.seen.n + 1, self.me.rank, self.me.name, self._boot)

    def see(self, epoch: Epoch) -> list[Effect]:
        if epoch <= self.seen:
            return []
        self.seen = epoch
        return [PersistEpoch(epoch)]

    def learn(self, epoch: Epoch | None) -> list[Effect]:
        """See an epoch from an answer, which may be an older one of our own."""
        if epoch is None or self.objection(epoch, own=True) is not None:
            return []
        return self.see(epoch)

    def objection(self, epoch: Epoch, *, own: bool = False) -> str | None:
        """Why an epoch from elsewhere is not taken, as an error code; None if it is."""
        fits = 0 < epoch.n < min(EPOCH_LIMIT, self.seen.n + EPOCH_STEP_MAX)
        if not fits or len(epoch.boot) > NODE_NAME_CHARACTERS_MAX:
            return "epoch_invalid"
        whose = identity(epoch)
        known = self.others.get(epoch.name) == whose or (own and whose == self.me)
        return None if known else "not_a_member"

    def problem(
        self, request: Election | Coordinator | Release, sender: str | None, *, leased: bool
    ) -> str | None:
        """Why a request is not answered, as an error code.  `leased`: this member is in mode `quorum`."""
        if request.epoch is None:
            return None
        problem = self.objection(request.epoch)
        if problem is None and sender not in (None, request.epoch.name):
            return "not_the_sender"
        if problem is None and not isinstance(request, Release) and (request.lease is None) is leased:
            return "mode_differs"
        return problem

    def fence(self, epoch: Epoch) -> tuple[str | None, list[Effect]]:
        """B10: the coordinator of `epoch` acts on this member.  Why that is refused, or None; and effects.

        A larger epoch than all seen is to be kept before the action is answered.
        """
        reason = self.objection(epoch) or ("stale_epoch" if epoch < self.seen else None)
        return reason, self.see(epoch) if reason is None else []

    def release(self, epoch: Epoch) -> None:
        """Its candidate gave `epoch` up, and all earlier ones of the same start.

        Of another start it says nothing: if disks were lost, a later one may have smaller epochs.
        """
        known = self._released.get(epoch.name)
        if known is None or known.boot != epoch.boot or known < epoch:
            self._released[epoch.name] = epoch

    def released(self, epoch: Epoch) -> bool:
        """Whether its coordinator gave this epoch up: a late renewal of it says nothing."""
        known = self._released.get(epoch.name)
        return known is not None and known.boot == epoch.boot and epoch <= known


class Office:
    """Who coordinates, as far as this member knows, and how fresh and first-hand that is.

    `holder` is None if nobody known does.  `heard`: when the holder was last heard, or would have
    been (news from others are older than they look).  `direct`: heard by ourselves, so that others
    may be told.
    """

    def __init__(self, me: Member, *, now: float) -> None:
        self.me = me
        self.holder: Epoch | None = None
        self.heard = now
        self.direct = False
        self.leading = False
        self._favoured: tuple[Epoch, float] | None = None

    @property
    def holder_is_lower(self) -> bool:
        return self.holder is not None and identity(self.holder) < self.me

    def favour(self, candidate: Epoch, *, until: float) -> None:
        """A candidate was granted its election; until then it may be about to lead."""
        self._favoured = candidate, until

    def above(self, candidate: Member, now: float) -> dict[str, Any] | None:
        """What to tell a candidate of somebody above it that this member itself hears; None: of nobody.

        Beside a coordinator (or itself) that is one that it has just granted an election: else two who
        can't hear each other would outdate each other's epochs through it without end.
        """
        if self.direct and self.holder is not None and identity(self.holder) > candidate:
            return self.report(now)
        if self._favoured is not None and now < self._favoured[1] and identity(self._favoured[0]) > candidate:
            return {"known": plain(self._favoured[0]), "age": 0.0}
        return None

    def take(self, epoch: Epoch, now: float) -> None:
        self.holder, self.leading, self.direct, self.heard = epoch, True, True, now

    def follow(self, epoch: Epoch, *, heard: float, direct: bool) -> list[Effect]:
        before, led = self.holder, self.leading
        self.holder, self.leading, self.heard, self.direct = epoch, False, heard, direct
        effects: list[Effect] = [] if before == epoch and not led else [Follow(epoch)]
        if before is None or before.name != epoch.name:
            effects.append(is_now(epoch))
        return effects

    def vacate(self) -> list[Effect]:
        self.holder, self.leading, self.direct = None, False, False
        return [Follow(None)]

    def report(self, now: float) -> dict[str, Any]:
        """What a reply tells of the coordinator: `known` and `age`, or nothing."""
        if self.holder is None or not self.direct:
            return {}
        return {"known": plain(self.holder), "age": 0.0 if self.leading else max(0.0, now - self.heard)}


class Patience:
    """What a member waits for before it stands, deposes or objects.  Times are the caller's seconds.

    After a start it listens (B1) and holds back from deposing a lower one (B2), after an ``OK`` it backs
    off.  A coordinator that stops and says so leaves a *vacancy*: nobody is to be heard by listening, and
    nobody is deposed by the next one, so the highest that lives takes over without either wait, and for
    the `leaver`'s answer nobody waits.  A vacancy ends with the next coordinator.
    """

    def __init__(
        self, timings: ElectionTimings, *, now: float, boots_recent: int, fast: bool, alone: bool
    ) -> None:
        self.next_try = now
        self.leaver: str | None = None
        self._listen_until = now + (0.0 if alone else timings.listening(fast=fast))
        self._hold_until = now + (0.0 if alone else timings.holding(boots_recent, fast=fast))

    @property
    def stands_at(self) -> float:
        """When it may stand for an office that nobody holds."""
        return max(self.next_try, self._listen_until)

    @property
    def deposes_at(self) -> float:
        """When it may stand against a lower coordinator."""
        return max(self.stands_at, self._hold_until)

    def listening(self, now: float) -> bool:
        return now < self._listen_until

    def may_depose(self, now: float) -> bool:
        return now >= self._hold_until

    def may_object(self, now: float) -> bool:
        """Whether a lower candidate is told ``OK``: this one would stand itself."""
        return self.leaver is not None or self.may_depose(now)

    def put_off(self, until: float) -> None:
        self.next_try = max(self.next_try, until)

    def hasten(self, at: float) -> None:
        self.next_try = min(self.next_try, at)

    def vacated(self, leaver: str, now: float, *, at: float) -> None:
        """The coordinator stops: stand at `at`.  Said again, it puts nothing off."""
        if self._hold_until == inf:
            return
        self.next_try = at if self.leaver is None else min(self.next_try, at)
        self._listen_until = min(self._listen_until, now)
        self.leaver = leaver

    def filled(self) -> None:
        """Somebody coordinates again."""
        self.leaver = None

    def resign(self) -> None:
        """Stand for nothing and object to nobody from now on."""
        self._listen_until = self._hold_until = inf
        self.leaver = None

    def rejoin(self, hold_until: float) -> None:
        """After `resign`: stand again, but depose nobody before then."""
        self._listen_until, self._hold_until = -inf, hold_until


def announcement(epoch: Epoch) -> list[Effect]:
    """What tells everybody that `epoch` has its coordinator."""
    fields = {"coordinator": epoch.name, "epoch": epoch.n}
    return [Announce(epoch), Note("announced on `servers`", fields)]


def is_now(epoch: Epoch) -> Note:
    fields = {"coordinator": epoch.name, "rank": epoch.rank, "epoch": epoch.n}
    return Note(f"coordinator is now {epoch.name}", fields)
