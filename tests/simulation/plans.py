"""The plan of one history: everything that its seed decides before it begins."""

from collections.abc import Sequence
from random import Random
from typing import Literal

import msgspec
from faults import Fault, drawn, permanent

Mode = Literal["safety", "liveness"]
Work = Literal["chat", "adversary"]
LIVENESS_ONE_IN = 6
FAR_ONE_IN = 3  # a server that lacks a few entries takes a peer's whole file
FAR_ENTRIES = (10, 80)
STORM_SECONDS = (85.0, 115.0)  # with the healing after it about two minutes


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Servers, faults, people.  `seconds`: how long it storms, in virtual time, before the healing.
    `snapshot_entries`: what is so far behind that a snapshot is taken; None: nothing in a storm is.

    Safety: everything goes wrong at once, heals, and all must be there once.  Liveness: one server is bad
    all the time, and the others must go on as if it were not there.
    """

    seed: int
    mode: Mode
    work: Work
    election: Literal["available", "quorum"]
    servers: int
    seconds: float
    faults: tuple[Fault, ...]
    snapshot_entries: int | None = None
    secured: bool = False  # everybody has a key; no seed decides it

    def without(self, left_out: Sequence[int]) -> "Plan":
        """The same with the faults of these numbers left out."""
        kept = tuple(fault for n, fault in enumerate(self.faults) if n not in set(left_out))
        return msgspec.structs.replace(self, faults=kept)


def plan(seed: int, *, seconds: float | None = None) -> Plan:
    """The plan of a seed.  `seconds` overrules how long it storms."""
    dice = Random(f"{seed} storm")
    servers = dice.choice([3, 3, 5])
    mode: Mode = "liveness" if dice.randrange(LIVENESS_ONE_IN) == 0 else "safety"
    work: Work = dice.choice(("chat", "adversary"))
    election = dice.choice(("available", "quorum"))
    lasts = dice.uniform(*STORM_SECONDS)
    lasts = lasts if seconds is None else seconds
    names = [f"server-{n}" for n in range(1, servers + 1)]
    far = Random(f"{seed} far")
    draw = drawn if mode == "safety" else permanent
    return Plan(
        seed=seed,
        mode=mode,
        work="chat" if mode == "liveness" else work,
        election=election,
        servers=servers,
        seconds=lasts,
        faults=draw(dice, names, seconds=lasts),
        snapshot_entries=far.randint(*FAR_ENTRIES) if far.randrange(FAR_ONE_IN) == 0 else None,
    )
