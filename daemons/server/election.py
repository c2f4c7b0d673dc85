"""The election task: drives the Bully machine and carries its effects out in order.

An epoch is durable before anything that follows it leaves: effects queue behind `PersistEpoch`
until its commit is done, replies included.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.calls import Call
from daemons.server.driving import Bell, drive
from daemons.server.node import EPOCH_KEY, Node
from daemons.server.peer_services import PEER_VERSION
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
from recado.protocol.election_values import plain
from recado.protocol.errors import Malformed
from recado.protocol.messages import Coordinator, Election, Epoch, Release
from recado.wire.ports import Asker
from storage.replica import StorageFull

STARTS_KEY = "starts_ms"
RECENT_STARTS_MS = 120_000  # B2: starts within this lengthen the hold-down
STARTS_KEPT = 16
RESIGN_SECONDS = 0.5
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
        seen = stored_epoch(node)
        self.bully = Bully(
            Member(node.rank, node.name),
            [Member(member.rank, member.name) for member in node.members],
            boot=node.boot,
            now=node.surroundings.now(),
            uniform=node.surroundings.random.uniform,
            seen=seen,
            timings=timings_of(node),
            boots_recent=recent_starts(node),
            fast_start=seen.n == 0,
        )

    async def run(self) -> None:
        """The task."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await drive(self._bell, deadline=lambda: self.bully.deadline, tick=self._tick)
            finally:
                self._nursery = None  # commits that end after the duties must not ask anybody

    def _tick(self) -> None:
        self._carry_out(self.bully.tick(self._now()))

    def asked(self, call: Call, asked: Election | Coordinator | Release) -> None:
        """A member's request; raises `Refused`.  The reply leaves after what it promises is durable."""
        fields, effects = self.bully.asked(asked, asked.sender, self._now())
        self._steps.extend(effects)
        self._carry_out([lambda: self._reply(call, fields)])

    def _reply(self, call: Call, fields: dict[str, Any]) -> None:
        call.reply({"status": "OK", **fields, "from": self._node.name})
        call.replies.flush()

    def heard(self, epoch: Epoch | None) -> None:
        """An announcement on the topic `servers`: a hint."""
        self._carry_out(self.bully.announced(epoch, self._now()))

    async def resign(self) -> None:
        """On the way out: give up the lead, and tell the members without waiting long."""
        asks = [effect for effect in self.bully.resign() if isinstance(effect, Ask)]
        with trio.move_on_after(RESIGN_SECONDS):
            async with trio.open_nursery() as nursery:
                for effect in asks:
                    for member in effect.members:
                        nursery.start_soon(self._ask, effect, member)

    # Effects ----------------------------------------------------------------------------------------

    def _carry_out(self, steps: "list[Effect] | list[Callable[[], None]]") -> None:
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
            # In mode `available` a forgotten epoch costs an election, not safety.
            self._node.log.error("epoch could not be kept: disk full")
        self._persisting = False
        self._carry_out([])

    def _changed(self, epoch: Epoch | None, *, leading: bool) -> None:
        self._node.coordinator = epoch.name if epoch else None
        self._node.epoch_number = epoch.n if epoch else self.bully.epoch.n
        for tell in self.changed:
            tell(epoch, leading)

    def _send(self, effect: Ask) -> None:
        if self._nursery is not None:
            for member in effect.members:
                self._nursery.start_soon(self._ask, effect, member)

    async def _ask(self, effect: Ask, member: str) -> None:
        node = self._node
        fields = {"v": PEER_VERSION, "cluster": node.config.cluster.id, "from": node.name, "boot": node.boot}
        if effect.request.epoch is not None:
            fields["epoch"] = plain(effect.request.epoch)
        try:
            reply = await ask(
                node, self._askers[member], effect.service, fields, deadline_seconds=effect.deadline_seconds
            )
        except Unanswered:
            self._carry_out(self.bully.unanswered(effect.tag, member, self._now()))
        else:
            self._carry_out(self.bully.answered(effect.tag, member, reply, self._now()))

    def _now(self) -> float:
        return self._node.surroundings.now()


def timings_of(node: Node) -> ElectionTimings:
    """The machine's timings from the configuration."""
    timings = node.config.timings
    return ElectionTimings(
        lease_seconds=timings.election_lease_seconds,
        renew_seconds=timings.election_renew_seconds,
        rpc_seconds=timings.election_rpc_seconds,
        hold_seconds=timings.election_hold_seconds,
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
