"""The clock task: Berkeley rounds while this server coordinates (C1-C3)."""

from collections.abc import Mapping
from typing import Any

import trio

from daemons.server.asking import Unanswered, ask
from daemons.server.driving import Bell, drive
from daemons.server.node import Node
from daemons.server.peer_services import adjust
from recado.protocol.adjustment import AdjustmentGate
from recado.protocol.berkeley import Adjust, AdjustSelf, Berkeley, BerkeleyTimings, Effect, Probe
from recado.protocol.election_values import plain
from recado.protocol.messages import Epoch
from recado.wire.ports import Asker


class ClockRounds:
    """Drives the Berkeley machine; `changed` belongs in `Elections.changed`."""

    def __init__(self, node: Node, askers: Mapping[str, Asker], gate: AdjustmentGate) -> None:
        timings = node.config.timings
        self._node = node
        self._askers = askers
        self._gate = gate
        self._bell = Bell()
        self._nursery: trio.Nursery | None = None
        self.offsets_ms: dict[str, float] = {}  # of other clocks from ours, as this coordinator measured
        self._berkeley = Berkeley(
            node.name,
            [member.name for member in node.members],
            BerkeleyTimings(
                operations_per_round=timings.berkeley_operations,
                spacing_seconds=timings.berkeley_min_seconds,
                period_seconds=timings.berkeley_max_seconds,
            ),
        )

    async def run(self) -> None:
        """The task."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await drive(self._bell, deadline=lambda: self._berkeley.deadline, tick=self._tick)
            finally:
                self._nursery = None

    def changed(self, epoch: Epoch | None, leading: bool) -> None:
        """The election has an outcome.  Whom we only follow shows its epoch with what it asks."""
        if leading and epoch is not None:
            self._gate.observe(epoch)
            self._berkeley.lead(epoch)
        else:
            self._carry_out(self._berkeley.follow())
        self._bell.ring()

    def operations(self, count: int) -> None:
        """So many operations of clients were accepted here."""
        if count and self._berkeley.leading:
            self._berkeley.operation(count)
            if self._berkeley.due(self._now()):
                self._bell.ring()

    def _tick(self) -> None:
        self._carry_out(self._berkeley.tick(self._now()))

    def _carry_out(self, effects: list[Effect]) -> None:
        if self._berkeley.leading and not self._node.acting():
            effects = self._berkeley.follow()  # the lease ran out while this waited (B10)
        for effect in effects:
            match effect:
                case Probe():
                    self._start(self._probe, effect)
                case Adjust():
                    self._start(self._adjust, effect)
                case AdjustSelf():
                    adjust(
                        self._node, self._gate, effect.delta_seconds, epoch=effect.epoch, round=effect.round
                    )
                case note:
                    self._node.log.info(note.event, **note.fields)
        self._bell.ring()

    def _start(self, duty: Any, effect: Probe | Adjust) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(duty, effect)

    async def _probe(self, probe: Probe) -> None:
        node = self._node
        sent = self._now()
        try:
            reply = await self._ask(probe.member, "clock", {}, deadline_seconds=probe.deadline_seconds)
        except Unanswered:
            self._carry_out(self._berkeley.failed(probe))
            return
        theirs, own, rtt = reply.get("time"), node.time.probe_time(), self._now() - sent
        if isinstance(theirs, int | float):
            self.offsets_ms[probe.member] = round((theirs + rtt / 2 - own) * 1000, 3)
        effects = self._berkeley.answered(probe, time_seconds=theirs, own_seconds=own, rtt_seconds=rtt)
        self._carry_out(effects)

    async def _adjust(self, effect: Adjust) -> None:
        if not self._node.acting():
            return
        fields = {"adjustment": effect.delta_seconds, "epoch": plain(effect.epoch), "round": effect.round}
        deadline = self._node.config.timings.peer_deadline_seconds
        try:
            reply = await self._ask(effect.member, "adjust", fields, deadline_seconds=deadline)
        except Unanswered:
            self._node.log.warning("clock adjustment not answered", peer=effect.member)
            return
        if reply.get("status") == "erro":
            self._node.log.warning(
                "clock adjustment refused by peer", peer=effect.member, code=reply.get("code")
            )

    async def _ask(
        self, member: str, service: str, fields: dict[str, Any], *, deadline_seconds: float
    ) -> dict[str, Any]:
        node = self._node
        who = node.introduction()
        return await ask(
            node, self._askers[member], service, {**who, **fields}, deadline_seconds=deadline_seconds
        )

    def _now(self) -> float:
        return self._node.surroundings.now()
