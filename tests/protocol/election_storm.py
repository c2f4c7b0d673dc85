"""A small discrete-event world for the election machines: seeded faults, and judges that look all along.

A `World` is what holds for every history: members that crash, pause, forget and have clocks of their own
rate; a network that loses, delays, duplicates and cuts; and the judges.  The stories, weather and
permanent faults, are in `election_weather`.  A judge's complaint is a `Violation`; `World.record` is the
history as text.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from math import inf
from typing import Any, Literal

from recado.protocol.election import (
    Announce,
    Ask,
    Bully,
    Effect,
    ElectionTimings,
    Follow,
    Lead,
    Member,
    Note,
    PersistEpoch,
)
from recado.protocol.election_quorum import QuorumBully
from recado.protocol.election_rules import ALL_RULES, Rules
from recado.protocol.messages import Epoch, Release

TIMINGS = ElectionTimings()
Mode = Literal["available", "quorum"]
Machine = Bully | QuorumBully


class Violation(AssertionError):
    """What a judge saw; `kind` says which judge."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Node:
    """A member's process: restarts, remembers its largest epoch, has a clock of its own rate."""

    def __init__(self, world: "World", member: Member) -> None:
        self.world, self.member, self.name = world, member, member.name
        drift = world.timings.drift
        self.rate = 1 + world.random.uniform(-drift, drift)
        self.offset = world.random.uniform(0, 1000)
        self.disk = Epoch(0)
        self.boots: list[float] = []
        self.up, self.paused_until, self.life = False, 0.0, 0
        self.tick_number = 0
        self.machine: Machine

    def now(self) -> float:
        return self.offset + self.world.time * self.rate

    @property
    def acting(self) -> bool:
        return self.up and self.machine.acting(self.now())

    def start(self) -> None:
        world = self.world
        self.up, self.life = True, self.life + 1
        self.boots = [at for at in self.boots if world.time - at < 120] + [world.time]
        self.machine = world.make(
            self.member,
            world.members,
            boot=f"{world.random.getrandbits(32):08x}",
            now=self.now(),
            uniform=world.random.uniform,
            seen=self.disk,
            timings=world.timings,
            boots_recent=len(self.boots),
        )
        world.log("start", self.name)
        self.arm()

    def crash(self, *, forget: bool = False) -> None:
        self.world.log("crash", self.name)
        self.up = False
        if forget:
            self.disk = Epoch(0)

    def arm(self) -> None:
        self.tick_number += 1
        wait = max(0.0, (self.machine.deadline - self.now()) / self.rate)
        if wait != inf:
            self.world.after(wait + 1e-6, self.tick, self.life, self.tick_number)

    def tick(self, life: int, number: int) -> None:
        if not self.up or life != self.life or number != self.tick_number:
            return
        if self.world.time < self.paused_until:
            self.world.after(self.paused_until - self.world.time + 2e-3, self.tick, life, number)
            return
        for _ in range(3):  # closing a campaign may show a lease that ended meanwhile
            self.carry_out(self.machine.tick(self.now()))
            if self.machine.deadline > self.now():
                break
        else:
            raise Violation("spins", f"{self.name}: a tick in {self.machine.phase} leaves a past deadline")
        self.arm()

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case PersistEpoch(epoch):
                    self.disk = epoch
                case Ask():
                    self.world.ask(self, effect)
                case Announce(epoch):
                    self.world.publish(self, epoch)
                case Lead(epoch):
                    self.world.led(self, epoch)
                case Follow(epoch):
                    self.world.log(self.name, "follows", epoch and epoch.name)
                case Note(event, fields):
                    self.world.log(self.name, event, fields)
        self.world.judge_acting(self)

    def do(self, life: int, act: Callable[[], list[Effect]]) -> None:
        """An input arrives, unless this life is over; a paused process reads it afterwards."""
        if not self.up or life != self.life:
            return
        if self.world.time < self.paused_until:
            self.world.after(self.paused_until - self.world.time + 1e-3, self.do, life, act)
            return
        self.carry_out(act())
        self.arm()


class World:
    """One history's members, network, time and judges.

    `machine` is the class under test in mode `available`; in mode `quorum` `rules` are what it keeps to.
    """

    def __init__(
        self,
        seed: int,
        *,
        mode: Mode = "available",
        machine: type[Bully] = Bully,
        rules: Rules = ALL_RULES,
        timings: ElectionTimings = TIMINGS,
    ) -> None:
        self.random = random.Random(seed)
        self.mode, self.machine, self.rules, self.timings = mode, machine, rules, timings
        self.time, self._record = 0.0, []
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()
        size = self.random.choice((3, 3, 4, 5))
        ranks = self.random.sample(range(1, size + 1), size)
        if self.random.random() < 0.1:
            ranks[0] = ranks[1]  # a configuration with one rank twice still has one order
        self.members = [Member(rank, f"s{index}") for index, rank in enumerate(ranks)]
        self.top = max(self.members)
        self.loss = self.random.choice((0.0, 0.05, 0.25))
        self.twice = self.random.choice((0.0, 0.1))
        self.slow = self.random.choice((0.0, 0.02, 0.1))
        self.slow_seconds = (0.5, 9.0)
        self.hints_lost = self.random.choice((0.0, 0.5, 1.0))
        self.amnesia = self.random.random() < 0.3
        self.fast_start = self.random.random() < 0.5
        self.chaos_seconds = 30.0
        self.cut: set[tuple[str, str]] = set()
        self.late_seconds = 0.0  # how long the answers to renewals are held up
        self.unheard_candidate = ""  # whose `election` requests are lost, and nothing else
        self.rival = ""  # from whom a coordinator is cut off as soon as it asks for a new epoch, in vain
        self.winners: dict[Epoch, tuple[str, int]] = {}
        self.changes: list[tuple[float, str]] = []
        self.nodes = {member.name: Node(self, member) for member in self.members}

    def make(self, *arguments: Any, **options: Any) -> Machine:
        if self.mode == "quorum":
            return QuorumBully(*arguments, **options, rules=self.rules)
        fast = self.fast_start and options["seen"].n == 0
        return self.machine(*arguments, **options, fast_start=fast)

    # Time and network --------------------------------------------------------------------------

    @property
    def record(self) -> list[str]:
        return [f"{at:8.3f} " + " ".join(map(str, words)) for at, words in self._record]

    def log(self, *words: object) -> None:
        self._record.append((self.time, words))

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._queue, (self.time + seconds, next(self._count), act, arguments))

    def run(self, until: float) -> None:
        while self._queue and self._queue[0][0] <= until:
            self.time, _, act, arguments = heapq.heappop(self._queue)
            act(*arguments)
        self.time = until

    def copies(self) -> list[float]:
        """Delays of the copies of one message that arrive."""
        if self.time >= self.chaos_seconds:
            return [self.random.uniform(0.002, 0.05)]
        if self.random.random() < self.loss:
            return []
        number = 2 if self.random.random() < self.twice else 1
        slow = self.random.random() < self.slow
        return [self.random.uniform(*(self.slow_seconds if slow else (0.002, 0.05))) for _ in range(number)]

    def send(self, source: str, target: str, act: Callable[[], None]) -> None:
        for delay in self.copies():
            self.after(delay, self._arrive, source, target, act)

    def _arrive(self, source: str, target: str, act: Callable[[], None]) -> None:
        if (source, target) not in self.cut:
            act()

    def ask(self, asker: Node, ask: Ask) -> None:
        epoch = getattr(ask.request, "epoch", None)
        own = epoch is not None and epoch.name == asker.name
        if own and asker.disk < epoch and not isinstance(ask.request, Release):
            raise Violation("not_kept", f"{asker.name} sends {epoch} with {asker.disk} on disk")
        lost = ""
        if ask.service == "election" and asker.name == self.unheard_candidate:
            lost = "request"
        elif ask.service == "election" and asker.machine.leading and self.rival:
            lost = "answer"
            self.cut |= {(asker.name, self.rival), (self.rival, asker.name)}
        for name in ask.members:
            self._ask_one(asker, self.nodes[name], ask, lost=lost)

    def _ask_one(self, asker: Node, target: Node, ask: Ask, *, lost: str) -> None:
        life = asker.life
        answered: list[bool] = []

        def request() -> None:
            target.do(target.life, receive)

        def receive() -> list[Effect]:
            fields, effects = target.machine.asked(ask.request, asker.name, target.now())
            if lost == "answer":
                return effects
            held_up = self.late_seconds if ask.service == "coordinator" else 0.0
            self.after(held_up, self.send, target.name, asker.name, lambda: reply(fields))
            return effects

        def reply(fields: dict[str, Any]) -> None:
            if not answered:
                answered.append(True)
                asker.do(life, lambda: asker.machine.answered(ask.tag, target.name, fields, asker.now()))

        def give_up() -> None:
            if not answered:
                answered.append(True)
                asker.do(life, lambda: asker.machine.unanswered(ask.tag, target.name, asker.now()))

        if lost != "request":
            self.send(asker.name, target.name, request)
        self.after(ask.deadline_seconds, give_up)

    def publish(self, source: Node, epoch: Epoch) -> None:
        for node in self.nodes.values():
            if node is not source and self.random.random() >= self.hints_lost:
                self.send(source.name, node.name, lambda node=node: self._hint(node, epoch))

    def _hint(self, node: Node, epoch: Epoch) -> None:
        if node.up:
            node.do(node.life, lambda: node.machine.announced(epoch, node.now()))

    # The judges --------------------------------------------------------------------------------

    def led(self, node: Node, epoch: Epoch) -> None:
        self.log(node.name, "LEADS", epoch)
        if epoch in self.winners:
            raise Violation("epoch_twice", f"{epoch} won by {self.winners[epoch]} and {node.name}")
        self.winners[epoch] = (node.name, node.life)
        if not self.changes or self.changes[-1][1] != node.name:
            self.changes.append((self.time, node.name))

    def judge_acting(self, node: Node) -> None:
        """Never two with running leases; looked at whenever one of them did anything."""
        if self.mode == "available" or not node.machine.leading or not node.acting:
            return
        for other in self.nodes.values():
            if other is not node and other.up and other.machine.leading and other.acting:
                epochs = f"{node.machine.coordinator} and {other.machine.coordinator}"
                raise Violation("two_coordinators", f"{node.name} and {other.name}: {epochs}")

    def judge_healed(self) -> None:
        """Exactly one coordinator, the highest, known to all."""
        leading = [node.name for node in self.nodes.values() if node.acting]
        if leading != [self.top.name]:
            raise Violation("not_the_highest", f"{leading} lead, {self.top.name} should")
        own = self.nodes[self.top.name].machine.coordinator
        for node in self.nodes.values():
            if node.machine.coordinator != own:
                raise Violation("disagree", f"{node.name} follows {node.machine.coordinator}, not {own}")
