"""The stories told of the election machines: chaos that ends, and one fault that never does."""

from typing import Any

from election_storm import Node, Violation, World

PERMANENT_FAULTS = ("cut_pair", "half_deaf", "deaf", "mute", "down", "flapping")
UNIFORM = (
    "split", "one_way", "rejoin", "rejoin", "crash", "crash", "pause", "crash_top", "directed", "directed"
)  # fmt: skip
DIRECTED = ("directed", "directed", "rejoin")
STRANDED = ("stranded", "rejoin")
SPOILT = ("spoilt", "rejoin")
OVERTAKEN = ("overtaken",)
AVAILABLE_SHARE = 0.8  # of the judged minute, with one bad member, in mode `quorum`
CHANGES_A_MINUTE_MAX = 4
LOOK_SECONDS = 0.25


class Storm(World):
    """One history.  `permanent` is a fault that never heals, `faults` what chaos is drawn from."""

    def __init__(
        self, seed: int, *, permanent: str | None = None, faults: tuple[str, ...] = UNIFORM, **options: Any
    ) -> None:
        super().__init__(seed, **options)
        self.permanent, self.faults = permanent, faults
        self.looks = self.looks_acting = 0

    def start_all(self) -> None:
        for node in self.nodes.values():
            self.after(self.random.uniform(0, 1), node.start)

    def chaos(self) -> None:
        """Faults until `chaos_seconds`; then the world is whole, and everybody is up."""
        self.start_all()
        self.after(3, self.fault)
        self.run(self.chaos_seconds)
        self.cut, self.unheard_candidate, self.rival = set(), "", ""
        for node in self.nodes.values():
            node.paused_until = 0.0
            if not node.up:
                node.start()

    # One fault -----------------------------------------------------------------------------------

    def fault(self) -> None:
        if self.time >= self.chaos_seconds:
            return
        kind = self.random.choice(self.faults)
        self.log("fault", kind)
        pause = getattr(self, f"_{kind}")(self.nodes[self.random.choice(list(self.nodes))])
        self.after(pause or self.random.uniform(0.3, 4), self.fault)

    def _split(self, _node: Node) -> None:
        names = list(self.nodes)
        self.random.shuffle(names)
        at = self.random.randint(1, len(names) - 1)
        self.cut = {pair for a in names[:at] for b in names[at:] for pair in ((a, b), (b, a))}

    def _one_way(self, node: Node) -> None:
        other = self.nodes[self.random.choice(list(self.nodes))]
        if other is node:
            self.cut |= {(name, node.name) for name in self.nodes if name != node.name}
        else:
            self.cut |= {(node.name, other.name)}

    def _rejoin(self, _node: Node) -> None:
        self.cut = set()

    def _pause(self, node: Node) -> None:
        node.paused_until = self.time + self.random.uniform(1, 15)

    def _crash_top(self, _node: Node) -> None:
        self._crash(self.nodes[self.top.name])

    def _crash(self, node: Node) -> None:
        if node.up:
            node.crash(forget=self.amnesia)
            self.after(self.random.uniform(0.2, 8), self._return, node, node.life)

    def _return(self, node: Node, life: int) -> None:
        if node.life == life and not node.up:
            node.start()

    def _directed(self, _node: Node) -> float | None:
        """One voter is cut off from the coordinator, another restarts again and again; the rest is down."""
        acting = [node for node in self.nodes.values() if node.acting]
        if not acting:
            return None
        coordinator = acting[0]
        voter, restless = self.random.sample([n for n in self.nodes.values() if n is not coordinator], 2)
        self.cut = {(coordinator.name, voter.name), (voter.name, coordinator.name)}
        self.loss = 0.0
        for node in self.nodes.values():
            if node not in (coordinator, voter, restless) and node.up:
                node.crash()
                self.after(18, self._return, node, node.life)
        self.after(self.random.uniform(2, 6), self._restart, restless, 14)
        return 16.0

    def _restart(self, node: Node, left: int) -> None:
        if self.time >= self.chaos_seconds:
            return
        if node.up:
            node.crash()
        node.start()
        if left:
            self.after(self.random.uniform(0.3, 1.3), self._restart, node, left - 1)

    def _stranded(self, _node: Node) -> float | None:
        """A candidate uses up epochs that nobody hears of; then those above it return, without it."""
        ordered = sorted(self.nodes.values(), key=lambda node: node.member, reverse=True)
        above, candidate = ordered[: (len(ordered) - 1) // 2], ordered[(len(ordered) - 1) // 2]
        self.unheard_candidate, self.cut = candidate.name, set()
        for node in above:
            if node.up:
                node.crash()
            self.after(16, self._return, node, node.life)
        self.after(15, self._isolate, candidate)
        return 30.0

    def _overtaken(self, _node: Node) -> float | None:
        """The highest is away until another leads; it returns, can't reach it, waits for its end."""
        top = self.nodes[self.top.name]
        self.cut = set()
        if top.up:
            top.crash()
        self.after(14, self._return_unheard, top, top.life)
        return 40.0

    def _spoilt(self, node: Node) -> float | None:
        """As `stranded`, and then the new coordinator's attempt to outdo those epochs is spoilt."""
        seconds = self._stranded(node)
        self.rival = self.unheard_candidate
        self.after(25, self._rejoin, node)
        return seconds

    def _return_unheard(self, top: Node, life: int) -> None:
        leading = [node for node in self.nodes.values() if node.acting]
        if leading and self.time < self.chaos_seconds:
            led = leading[0].name
            self.cut = {(led, top.name), (top.name, led)}
            self.after(self.random.uniform(10, 14), self._isolate, leading[0])
        self._return(top, life)

    def _isolate(self, node: Node) -> None:
        self.unheard_candidate = ""
        if self.time < self.chaos_seconds:
            self.cut = {pair for name in self.nodes for pair in ((name, node.name), (node.name, name))}

    # Stories -------------------------------------------------------------------------------------

    def weather(self) -> None:
        """Chaos, healing, and forty calm seconds (or the highest one's hold-down, if longer)."""
        self.chaos()
        top = self.nodes[self.top.name]
        held = self.timings.holding(len(top.boots), fast=False)
        self.run(max(self.time + 40, top.boots[-1] + held * (1 + self.timings.drift) + 12))
        self.judge_healed()
        changes = len(self.changes)
        self.run(self.time + 15)
        self.judge_healed()
        if len(self.changes) != changes:
            raise Violation("unstable", f"{self.changes[changes:]} in a healthy cluster")

    def core(self) -> None:
        """After chaos one fault stays.  The rest has a coordinator, and seldom another one."""
        self.chaos()
        bad = self.nodes[self.random.choice([*self.nodes, self.top.name, self.top.name])]
        good = [node for node in self.nodes.values() if node is not bad]
        other = self.random.choice(good)
        self.log("permanent", self.permanent, bad.name, other.name)
        match self.permanent:
            case "cut_pair":
                self.cut = {(bad.name, other.name), (other.name, bad.name)}
            case "half_deaf":
                self.cut = {(other.name, bad.name)}
            case "deaf":
                self.cut = {(node.name, bad.name) for node in good}
            case "mute":
                self.cut = {(bad.name, node.name) for node in good}
            case "down":
                bad.crash()
            case "flapping":
                self.after(1, self._flap, bad)
        self.run(self.time + 80)
        changes = len(self.changes)
        self._look(self.time + 60)
        self.run(self.time + 60)
        if len(self.changes) - changes > CHANGES_A_MINUTE_MAX:
            raise Violation("restless", f"{self.permanent}: {len(self.changes) - changes} changes in 60 s")
        if self.looks_acting < self.looks * AVAILABLE_SHARE:
            raise Violation("unavailable", f"{self.permanent}: {self.looks_acting} of {self.looks} looks")

    def _look(self, until: float) -> None:
        self.looks += 1
        self.looks_acting += any(node.acting for node in self.nodes.values())
        if self.time < until:
            self.after(LOOK_SECONDS, self._look, until)

    def _flap(self, node: Node) -> None:
        if node.up:
            node.crash()
            self.after(self.random.uniform(1, 3), self._flap, node)
        else:
            node.start()
            self.after(self.random.uniform(5, 14), self._flap, node)
