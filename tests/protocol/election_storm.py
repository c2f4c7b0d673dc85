"""A small discrete-event world for `Bully`: seeded faults, and judges that look all along.

A `Storm` is one seed's history: members that crash, pause, forget, and a network that loses, delays,
duplicates and cuts.  After `chaos_seconds` the world heals (or keeps one permanent fault).  A judge's
complaint is a `Violation`; `Storm.record` is the history as text.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from math import inf
from typing import Any

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
from recado.protocol.messages import Epoch

TIMINGS = ElectionTimings()
PERMANENT_FAULTS = ("cut_pair", "half_deaf", "deaf", "down", "flapping")


class Violation(AssertionError):
    """What a judge saw; `kind` says which judge."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Node:
    """A member's process: restarts, remembers its largest epoch, may run at a rate of its own."""

    def __init__(self, storm: "Storm", member: Member) -> None:
        self.storm, self.member, self.name = storm, member, member.name
        self.rate = 1 + storm.random.uniform(-TIMINGS.drift, TIMINGS.drift)
        self.offset = storm.random.uniform(0, 1000)
        self.disk = Epoch(0)
        self.boots: list[float] = []
        self.up, self.paused_until, self.life = False, 0.0, 0
        self.tick_number = 0
        self.machine: Bully

    def now(self) -> float:
        return self.offset + self.storm.time * self.rate

    def start(self) -> None:
        storm = self.storm
        self.up, self.life = True, self.life + 1
        self.boots = [at for at in self.boots if storm.time - at < 120] + [storm.time]
        self.machine = storm.machine(
            self.member,
            storm.members,
            boot=f"{storm.random.getrandbits(32):08x}",
            now=self.now(),
            uniform=storm.random.uniform,
            seen=self.disk,
            timings=TIMINGS,
            boots_recent=len(self.boots),
            fast_start=storm.fast_start and self.disk.n == 0,
        )
        storm.log("start", self.name)
        self.arm()

    def crash(self, *, forget: bool = False) -> None:
        self.storm.log("crash", self.name)
        self.up = False
        if forget:
            self.disk = Epoch(0)

    def arm(self) -> None:
        self.tick_number += 1
        wait = max(0.0, (self.machine.deadline - self.now()) / self.rate)
        if wait != inf:
            self.storm.after(wait + 1e-6, self.tick, self.life, self.tick_number)

    def tick(self, life: int, number: int) -> None:
        if not self.up or life != self.life or number != self.tick_number:
            return
        if self.storm.time < self.paused_until:
            self.storm.after(self.paused_until - self.storm.time, self.tick, life, number)
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
                    self.storm.ask(self, effect)
                case Announce(epoch):
                    self.storm.publish(self, epoch)
                case Lead(epoch):
                    self.storm.led(self, epoch)
                case Follow(epoch):
                    self.storm.log(self.name, "follows", epoch and epoch.name)
                case Note(event, fields):
                    self.storm.log(self.name, event, fields)

    def do(self, life: int, act: Callable[[], list[Effect]]) -> None:
        """An input arrives, unless this life is over; a paused process reads it afterwards."""
        if not self.up or life != self.life:
            return
        if self.storm.time < self.paused_until:
            self.storm.after(self.paused_until - self.storm.time + 1e-3, self.do, life, act)
            return
        self.carry_out(act())
        self.arm()


class Storm:
    """One history.  `machine` is the class under test, `permanent` a fault that never heals."""

    def __init__(self, seed: int, *, machine: type[Bully] = Bully, permanent: str | None = None) -> None:
        self.random = random.Random(seed)
        self.machine, self.permanent = machine, permanent
        self.time, self.record = 0.0, []
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
        self.hints_lost = self.random.choice((0.0, 0.5, 1.0))
        self.amnesia = self.random.random() < 0.3
        self.fast_start = self.random.random() < 0.5
        self.chaos_seconds = 30.0
        self.cut: set[tuple[str, str]] = set()
        self.winners: dict[Epoch, tuple[str, int]] = {}
        self.changes: list[tuple[float, str]] = []
        self.nodes = {member.name: Node(self, member) for member in self.members}

    # The world ---------------------------------------------------------------------------------

    def log(self, *words: object) -> None:
        self.record.append(f"{self.time:8.3f} " + " ".join(map(str, words)))

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
        return [self.random.uniform(*((0.5, 9) if slow else (0.002, 0.05))) for _ in range(number)]

    def send(self, source: str, target: str, act: Callable[[], None]) -> None:
        for delay in self.copies():
            self.after(delay, self._arrive, source, target, act)

    def _arrive(self, source: str, target: str, act: Callable[[], None]) -> None:
        if (source, target) not in self.cut:
            act()

    def ask(self, asker: Node, ask: Ask) -> None:
        epoch = ask.request.epoch
        if epoch is not None and asker.disk < epoch:
            raise Violation("not_kept", f"{asker.name} sends {epoch} with {asker.disk} on disk")
        for name in ask.members:
            self._ask_one(asker, self.nodes[name], ask)

    def _ask_one(self, asker: Node, target: Node, ask: Ask) -> None:
        life = asker.life
        answered: list[bool] = []

        def request() -> None:
            target.do(target.life, receive)

        def receive() -> list[Effect]:
            fields, effects = target.machine.asked(ask.request, asker.name, target.now())
            self.after(0.0, self.send, target.name, asker.name, lambda: reply(fields))
            return effects

        def reply(fields: dict[str, Any]) -> None:
            if not answered:
                answered.append(True)
                asker.do(life, lambda: asker.machine.answered(ask.tag, target.name, fields, asker.now()))

        def give_up() -> None:
            if not answered:
                answered.append(True)
                asker.do(life, lambda: asker.machine.unanswered(ask.tag, target.name, asker.now()))

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

    def judge_healed(self) -> None:
        """Exactly one coordinator, the highest, known to all."""
        leading = [node.name for node in self.nodes.values() if node.machine.leading]
        if leading != [self.top.name]:
            raise Violation("not_the_highest", f"{leading} lead, {self.top.name} should")
        own = self.nodes[self.top.name].machine.coordinator
        for node in self.nodes.values():
            if node.machine.coordinator != own:
                raise Violation("disagree", f"{node.name} follows {node.machine.coordinator}, not {own}")

    # Stories -----------------------------------------------------------------------------------

    def heal(self) -> None:
        self.cut = set()
        for node in self.nodes.values():
            node.paused_until = 0.0
            if not node.up:
                node.start()

    def fault(self) -> None:
        if self.time >= self.chaos_seconds:
            return
        names = list(self.nodes)
        node = self.nodes[self.random.choice(names)]
        kind = self.random.choice(("split", "one_way", "rejoin", "rejoin", "crash", "crash_top", "pause"))
        if kind == "split":
            self.random.shuffle(names)
            at = self.random.randint(1, len(names) - 1)
            self.cut = {pair for a in names[:at] for b in names[at:] for pair in ((a, b), (b, a))}
        elif kind == "one_way":
            self.cut |= {(node.name, self.random.choice([n for n in names if n != node.name]))}
        elif kind == "rejoin":
            self.cut = set()
        elif kind == "pause":
            node.paused_until = self.time + self.random.uniform(1, 12)
        else:
            node = self.nodes[self.top.name] if kind == "crash_top" else node
            if node.up:
                node.crash(forget=self.amnesia)
                life = node.life
                self.after(
                    self.random.uniform(0.2, 8), lambda: node.life == life and not node.up and node.start()
                )
        self.after(self.random.uniform(0.3, 4), self.fault)

    def start_all(self) -> None:
        for node in self.nodes.values():
            self.after(self.random.uniform(0, 1), node.start)

    def weather(self) -> None:
        """Chaos, healing, and thirty calm seconds (or the highest one's hold-down, if longer)."""
        self.start_all()
        self.after(3, self.fault)
        self.run(self.chaos_seconds)
        self.heal()
        top = self.nodes[self.top.name]
        self.run(max(self.time + 30, top.boots[-1] + TIMINGS.holding(len(top.boots), fast=False) + 8))
        self.judge_healed()
        changes = len(self.changes)
        self.run(self.time + 15)
        self.judge_healed()
        if len(self.changes) != changes:
            raise Violation("unstable", f"{self.changes[changes:]} in a healthy cluster")

    def core(self) -> None:
        """A permanent fault: the rest keeps a coordinator, with at most four changes in a minute."""
        self.start_all()
        self.chaos_seconds = 0.0
        self.run(12)
        bad = self.nodes[self.random.choice([*self.nodes, self.top.name, self.top.name])]
        good = [node for node in self.nodes.values() if node is not bad]
        other = self.random.choice(good)
        self.log("permanent", self.permanent, bad.name, other.name)
        if self.permanent == "cut_pair":
            self.cut = {(bad.name, other.name), (other.name, bad.name)}
        elif self.permanent == "half_deaf":
            self.cut = {(other.name, bad.name)}
        elif self.permanent == "deaf":
            self.cut = {(node.name, bad.name) for node in good}
        elif self.permanent == "down":
            bad.crash()
        elif self.permanent == "flapping":
            self.after(1, self._flap, bad)
        self.run(72)
        changes = len(self.changes)
        self.run(132)
        if len(self.changes) - changes > 4:
            raise Violation("restless", f"{self.permanent}: {len(self.changes) - changes} changes in 60 s")
        if self.permanent == "down" and not any(node.machine.leading for node in good):
            raise Violation("headless", f"{self.permanent}: nobody leads")

    def _flap(self, node: Node) -> None:
        if node.up:
            node.crash()
            self.after(self.random.uniform(7, 10), self._flap, node)  # long enough for an heir
        else:
            node.start()
            self.after(self.random.uniform(5, 9), self._flap, node)
