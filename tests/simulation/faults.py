"""What goes wrong in a storm, as a list of values: drawn from a seed, kept, replayed, and shrunk.

A fault says everything about itself, so a storm with some of its faults left out is a storm again.
"""

from collections.abc import Callable, Sequence
from random import Random

import msgspec

PAUSE_SECONDS = 3.5  # the mean time between two faults
FAULTS_MIN = 20  # in the mean, however short the storm: a short one is a dense one
LOSSES_MAX = 1  # disks that forget in one storm: more would excuse too much
SETTLING_SECONDS = 4.0  # before the first fault
CLOCK_JUMP_SECONDS = 30.0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """At the time `at` something happens to `node` (and `other`), for so many `seconds`.

    `amount`, from 0 to 1, says how bad it is; each kind reads it in its own way.
    """

    at: float
    kind: str
    node: str = ""
    other: str = ""
    seconds: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        whom = " ".join(name for name in (self.node, self.other) if name)
        return f"{self.at:.2f} {self.kind} {whom} for {self.seconds:.1f} s, {self.amount:.2f}"


# kind: how often, and the longest time that it lasts, in seconds.
KINDS: dict[str, tuple[int, float]] = {
    "kill": (6, 15.0),
    "power": (3, 12.0),  # power off: what was not synced is gone
    "blackout": (1, 6.0),  # the same, of all servers at once
    "stop": (3, 5.0),
    "pause": (4, 8.0),  # SIGSTOP
    "isolate": (3, 20.0),
    "cut pair": (3, 20.0),
    "cut one way": (3, 20.0),
    "weather": (4, 20.0),
    "swizzle": (1, 16.0),  # links clogged one by one, and freed in another order
    "broker": (2, 10.0),
    "reference": (1, 10.0),
    "reference wiped": (1, 5.0),
    "disk full": (2, 8.0),
    "disk slow": (2, 10.0),
    "disk locked": (1, 3.0),  # somebody's shell holds the file's write lock
    "disk fails": (1, 4.0),  # a commit of unknown outcome: the process ends
    "backup": (2, 0.0),
    "forget": (2, 5.0),  # the backup is restored, or the file is gone
    "lonely death": (1, 10.0),  # cut from the other servers, and then its disk is gone
    "cut at ack": (1, 5.0),  # a message is acknowledged: at that moment its server loses its power
    "strike": (1, 5.0),  # a quorum is acknowledged: that disk dies, and all others lose their power
    "clock": (1, 0.0),
    "poison": (1, 0.0),  # an entry that is valid for the log, and makes no sense to people
}
LOSING = frozenset({"forget", "lonely death", "strike"})
# What never ends, in storms about liveness: one server has it, the others must go on.
PERMANENT = ("deaf", "mute", "cut from one", "slow disk", "flapping", "clock liar")


def drawn(random: Random, servers: Sequence[str], *, seconds: float) -> tuple[Fault, ...]:
    """The faults of one storm about safety, in their order."""
    names = list(KINDS)
    weights = [weight for weight, _ in KINDS.values()]
    liar = random.choice(servers)  # with two wrong clocks of three no round can tell who is right
    losses = 0
    faults = []
    rate = max(1 / PAUSE_SECONDS, FAULTS_MIN / seconds)
    at = SETTLING_SECONDS + random.expovariate(rate)
    while at < seconds:
        (kind,) = random.choices(names, weights)
        node, other = random.sample(servers, 2)
        lasts = random.uniform(0.2, max(0.2, KINDS[kind][1]))
        amount = random.random()
        losses += kind in LOSING
        if kind not in LOSING or losses <= LOSSES_MAX:
            node = liar if kind == "clock" else node
            faults.append(Fault(at=at, kind=kind, node=node, other=other, seconds=lasts, amount=amount))
        at += random.expovariate(rate)
    return tuple(faults)


def permanent(random: Random, servers: Sequence[str], *, seconds: float) -> tuple[Fault, ...]:
    """One server is bad for the whole time; nothing else happens."""
    node, other = random.sample(servers, 2)
    kind = random.choice(PERMANENT)
    return (Fault(at=SETTLING_SECONDS, kind=kind, node=node, other=other, seconds=seconds),)


def shrunk(
    faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], *, tries_max: int = 60
) -> tuple[Fault, ...]:
    """A smaller list that still fails: delta debugging (Zeller and Hildebrandt 2002, ddmin).

    `fails` runs the storm with the faults given; it is called at most `tries_max` times.
    """
    kept, parts = list(faults), 2
    while kept and tries_max > 0:
        size = max(1, -(-len(kept) // parts))
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            tries_max -= 1
            if fails(rest):
                kept, parts = rest, max(2, parts - 1)
                break
            if tries_max <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return tuple(kept)
