"""The two memories of the election machine: which epochs there were, and who holds the office."""

from collections.abc import Iterable
from typing import Any

from recado.protocol.effects import Note
from recado.protocol.election_values import Effect, Follow, Member, PersistEpoch, identity, plain
from recado.protocol.limits import EPOCH_LIMIT, NODE_NAME_CHARACTERS_MAX
from recado.protocol.messages import Epoch


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
        if not 0 < epoch.n < EPOCH_LIMIT or len(epoch.boot) > NODE_NAME_CHARACTERS_MAX:
            return "epoch_invalid"
        whose = identity(epoch)
        known = self.others.get(epoch.name) == whose or (own and whose == self.me)
        return None if known else "not_a_member"

    def release(self, epoch: Epoch) -> None:
        self._released[epoch.name] = max(epoch, self._released.get(epoch.name, epoch))

    def released(self, epoch: Epoch) -> bool:
        """Whether its coordinator gave this epoch up: a late renewal of it says nothing."""
        return epoch.name in self._released and epoch <= self._released[epoch.name]


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

    @property
    def holder_is_lower(self) -> bool:
        return self.holder is not None and identity(self.holder) < self.me

    def hears_higher(self, candidate: Member) -> bool:
        """Whether this member itself hears, or is, a coordinator above the candidate."""
        return self.direct and self.holder is not None and identity(self.holder) > candidate

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


def is_now(epoch: Epoch) -> Note:
    fields = {"coordinator": epoch.name, "rank": epoch.rank, "epoch": epoch.n}
    return Note(f"coordinator is now {epoch.name}", fields)
