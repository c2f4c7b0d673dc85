"""The election task: drives the Bully machine and carries its effects out in order.

An epoch is durable before anything that follows it leaves: effects queue behind `PersistEpoch`
until its commit is done, replies included.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.calls import Call
from daemons.server.driving import Bell, drive
from daemons.server.node import EPOCH_KEY, Node
from recado.protocol.codec import convert
from recado.protocol.election import (
    Announce,
    Ask,
    Bully,
    Effect,
    ElectionTimings,
    Follow,
    Lead,
    Member,
    PersistEpoch,
)
from recado.protocol.election_quorum import QuorumBully
from recado.protocol.election_values import Question, plain, request_fields
from recado.protocol.errors import Malformed
from recado.protocol.messages import Epoch
from recado.wire.ports import Asker
from storage.replica import StorageFull

STARTS_KEY = "starts_ms"
RECENT_STARTS_MS = 120_000  # B2: starts within this lengthen the hold-down
STARTS_KEPT = 16
RESIGN_SECONDS = 0.5
LEAST_WAIT_SECONDS = 0.001  # the lease's clock and the event loop's need not agree to the last digit
Step = Effect | Callable[[], None]


class Elections:
    """Who coordinates.  `changed` is told of every change: the epoch and whether it is ours."""

    def __init__(self, node: Node, askers: Mapping[str, Asker]) -> None:
        self._node = node
        self._askers = askers
        self._bell = Bell()
        self._steps: deque[Step] = deque()
        self._persisting = False
        self._nursery: trio.Nursery | None = None
        self.changed: list[Callable[[Epoch | None, bool], None]] = []
        self.announce: Callable[[Epoch], None] = lambda _epoch: None
        self._refusals: dict[str, object] = {}
        self._hung_at: list[float] = []
        self.bully = machine_of(node)
        node.acting = lambda: self.bully.acting(node.lease_now())
        node.election = self.describe
        if isinstance(self.bully, QuorumBully) and len(node.members) == 2:
            node.log.warning("of two members both are needed for a coordinator, server.mode is quorum")

    async def run(self) -> None:
        """The task."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await drive(self._bell, deadline=self._wake_at, tick=self._tick)
            finally:
                self._nursery = None  # commits that end after the duties must not ask anybody

    def _wake_at(self) -> float:
        """The machine's deadline by the event loop's clock, which stops during suspend: look soon again."""
        left = min(self.bully.deadline - self._now(), self._node.config.timings.election_renew_seconds)
        return trio.current_time() + (max(left, LEAST_WAIT_SECONDS) if left > 0 else 0.0)

    def _tick(self) -> None:
        self._carry_out(self.bully.tick(self._now()))

    def asked(self, call: Call, asked: Question) -> None:
        """A member's request; raises `Refused`.  The reply leaves after what it promises is durable."""
        fields, effects = self.bully.asked(asked, asked.sender, self._now())
        self._carry_out([*effects, lambda: self._reply(call, fields)])

    def fenced(self, epoch: Epoch, then: Callable[[str | None], None]) -> None:
        """The coordinator of `epoch` acts on us (B10): calls `then` with the refusal's code, or None.

        A larger epoch than all seen is durable by then.
        """
        refusal, effects = self.bully.fence(epoch)
        self._carry_out([*effects, lambda: then(refusal)])

    def describe(self) -> dict[str, Any]:
        """What `status` says: the mode, the own lease, and to whom this voter is bound.

        In mode `available` there are no leases: only the first two fields.
        """
        now, mode = self._now(), self._node.config.server.mode
        said: dict[str, Any] = {"mode": mode, "election": str(self.bully.phase)}
        if isinstance(self.bully, QuorumBully):
            promise = self.bully.promise(now)
            said["lease_seconds"] = round(self.bully.lease_seconds(now), 3)
            said["granted"] = promise and {
                "to": promise.epoch.name,
                "epoch": promise.epoch.n,
                "seconds": round(promise.until - now, 3),
            }
        return said

    def _reply(self, call: Call, fields: dict[str, Any]) -> None:
        call.reply({"status": "OK", **fields, "from": self._node.name})
        call.replies.flush()

    def heard(self, epoch: Epoch | None) -> None:
        """An announcement on the topic `servers`: a hint."""
        self._carry_out(self.bully.announced(epoch, self._now()))

    def disk_is(self, *, slow: bool) -> None:
        """A31: whose disk hangs can keep no epoch: give up the lead, stand again when the disk is well.

        A disk that hangs again and again is as a server that starts again and again: each time it holds
        back longer (B2), and always longer than it takes to see the next commit hang.
        """
        now = self._now()
        self._hung_at = [at for at in self._hung_at if now - at < RECENT_STARTS_MS / 1000][-STARTS_KEPT:]
        if not slow:
            holding = timings_of(self._node).holding(len(self._hung_at), fast=False)
            self.bully.rejoin(now + max(holding, 2 * self._node.config.disk.slow_seconds))
            self._bell.ring()
            return
        self._hung_at.append(now)
        effects = self.bully.resign()
        # What is given up needs not be durable, and the disk is what everything else waits for.
        for effect in effects:
            if isinstance(effect, Ask):
                self._send(effect)
        self._carry_out([effect for effect in effects if not isinstance(effect, Ask)])

    async def resign(self) -> None:
        """On the way out: give up the lead, and tell the members without waiting long."""
        effects = self.bully.resign()
        asks = [effect for effect in effects if isinstance(effect, Ask)]
        self._carry_out([effect for effect in effects if not isinstance(effect, Ask)])
        with trio.move_on_after(RESIGN_SECONDS):
            async with trio.open_nursery() as nursery:
                for effect in asks:
                    for member in effect.members:
                        nursery.start_soon(self._ask, effect, member)

    # Effects ----------------------------------------------------------------------------------------

    def _carry_out(self, steps: Iterable[Step]) -> None:
        self._steps.extend(steps)
        while self._steps and not self._persisting:
            step = self._steps.popleft()
            match step:
                case PersistEpoch(epoch):
                    self._persisting = True
                    self._node.commits.put_meta(EPOCH_KEY, plain(epoch), self._persisted)
                case Ask():
                    self._send(step)
                case Announce(epoch):
                    self.announce(epoch)
                case Lead(epoch):
                    self._changed(epoch, leading=True)
                case Follow(epoch):
                    self._changed(epoch, leading=False)
                case _ if callable(step):
                    step()
                case note:
                    self._node.log.info(note.event, **note.fields)
        self._bell.ring()

    def _persisted(self, full: StorageFull | None) -> None:
        if full is not None:
            # A forgotten epoch costs an election, not safety: no two have one epoch, and who may have
            # forgotten a promise is silent for a lease.
            self._node.log.error("epoch could not be kept: disk full")
        self._persisting = False
        self._carry_out([])

    def _changed(self, epoch: Epoch | None, *, leading: bool) -> None:
        before, self._node.coordinator = self._node.coordinator, epoch.name if epoch else None
        if self._node.coordinator != before:
            self._node.meters.coordinator_is(known=epoch is not None, wall_ms=self._node.wall_ms())
        self._node.epoch_number = epoch.n if epoch else self.bully.epoch.n
        for tell in self.changed:
            tell(epoch, leading)

    def _send(self, effect: Ask) -> None:
        if self._nursery is not None:
            for member in effect.members:
                self._nursery.start_soon(self._ask, effect, member)

    async def _ask(self, effect: Ask, member: str) -> None:
        node = self._node
        fields = node.introduction()
        fields |= request_fields(effect.request)
        try:
            reply = await ask(
                node, self._askers[member], effect.service, fields, deadline_seconds=effect.deadline_seconds
            )
        except Unanswered:
            self._carry_out(self.bully.unanswered(effect.tag, member, self._now()))
        else:
            self._hear_refusal(member, reply)
            self._carry_out(self.bully.answered(effect.tag, member, reply, self._now()))

    def _hear_refusal(self, member: str, reply: Mapping[str, Any]) -> None:
        """A member that answers `erro` counts as silent; say why, once for each reason."""
        code = reply.get("code") if reply.get("status") == "erro" else None
        if code is not None and self._refusals.get(member) != code:
            self._node.log.warning("member takes no part in our election", peer=member, code=code)
        self._refusals[member] = code

    def _now(self) -> float:
        return self._node.lease_now()


def machine_of(node: Node) -> Bully | QuorumBully:
    """The election machine of the configured mode, with what this node remembers."""
    me, seen = Member(node.rank, node.name), stored_epoch(node)
    members = [Member(member.rank, member.name) for member in node.members]
    timings, boots_recent = timings_of(node), recent_starts(node)
    now, uniform = node.lease_now(), node.surroundings.random.uniform
    if node.config.server.mode == "quorum":
        return QuorumBully(
            me,
            members,
            boot=node.boot,
            now=now,
            uniform=uniform,
            seen=seen,
            timings=timings,
            boots_recent=boots_recent,
        )
    return Bully(
        me,
        members,
        boot=node.boot,
        now=now,
        uniform=uniform,
        seen=seen,
        timings=timings,
        boots_recent=boots_recent,
        fast_start=seen.n == 0,
    )


def timings_of(node: Node) -> ElectionTimings:
    """The machine's timings from the configuration.

    Back-offs are multiples of the time that members have to answer, so that a cluster on a fast network,
    which sets that low, is as quick in everything.
    """
    timings = node.config.timings
    rpc = timings.election_rpc_seconds
    usual = ElectionTimings()
    return ElectionTimings(
        lease_seconds=timings.election_lease_seconds,
        renew_seconds=timings.election_renew_seconds,
        rpc_seconds=rpc,
        hold_seconds=timings.election_hold_seconds,
        hold_seconds_max=max(usual.hold_seconds_max, timings.election_hold_seconds),
        backoff_seconds=(usual.backoff_seconds[0] * rpc, usual.backoff_seconds[1] * rpc),
        retry_seconds=(usual.retry_seconds[0] * rpc, usual.retry_seconds[1] * rpc),
        check_seconds=usual.check_seconds * rpc,
    )


def stored_epoch(node: Node) -> Epoch:
    """The largest epoch that this node has kept; n = 0 if none."""
    try:
        return convert(node.store.meta(EPOCH_KEY), Epoch)
    except Malformed:
        return Epoch(0)


def recent_starts(node: Node) -> int:
    """How often this node has started lately, this time included; remembered for the next."""
    now_ms = int(node.surroundings.wall() * 1000)
    stored = node.store.meta(STARTS_KEY)
    earlier = [ms for ms in stored if isinstance(ms, int)] if isinstance(stored, list) else []
    recent = [ms for ms in earlier if abs(now_ms - ms) < RECENT_STARTS_MS][-STARTS_KEPT:]
    node.commits.put_meta(STARTS_KEY, [*recent, now_ms])
    return len(recent) + 1


def epoch_of(value: object) -> Epoch | None:
    """An epoch from an announcement's body; None if there is none, or not one of ours."""
    try:
        return msgspec.convert(value, Epoch)
    except msgspec.ValidationError:
        return None
