"""Storms: many seeds, all faults, healing, judgement.

``RECADO_STORM_SEEDS=500`` sets how many seeds; ``RECADO_STORM_FIRST=1234`` the first of them.  A seed
that failed once is kept in `REMEMBERED` and is run for ever.
"""

import os

import pytest
from verdict import Verdict, stormy

SEEDS = int(os.environ.get("RECADO_STORM_SEEDS", "16"))
FIRST = int(os.environ.get("RECADO_STORM_FIRST", "0"))
REMEMBERED = (
    8,  # a full disk: its server pulled the same page in a loop
    12,  # a full disk: a fact whose callback was forgotten stopped the election of its server
    48,  # an adjustment refused by a server that had just started: three clocks that disagree
)
SEEDS_RUN = sorted({*REMEMBERED, *range(FIRST, FIRST + SEEDS)})
FAULTS_TOLD = 60
EXPECTED = {
    "a retry kept by two servers",
    "a write tried again",
    "more origins than servers",
    "a disk that forgot",
    "a coordinator replaced",
    "a clock round aborted",
    "a clock round finished",
    "a peer silent and back",
    "a full disk",
    "a clean stop",
    "entries pulled",
    "a synchronisation with the coordinator",
}
_reached: dict[int, set[str]] = {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS_RUN)
def test_storm(seed: int) -> None:
    """After one to two minutes of all faults and the healing, every judge is content."""
    replay = f"RECADO_STORM_SEEDS=1 RECADO_STORM_FIRST={seed} pytest tests/simulation -k 'test_storm[{seed}]'"
    try:
        verdict = stormy(seed)
    except* Exception as failed:
        failed.add_note(f"replay: {replay}")
        raise
    assert verdict.complaints == [], told(verdict, replay)
    assert verdict.acknowledged > 50, replay
    _reached[seed] = verdict.reached


@pytest.mark.slow
def test_storms_are_not_blind() -> None:
    """Over these seeds everything rare that the storms are to bring about came about."""
    if len(_reached) < len(SEEDS_RUN):
        pytest.skip("not all storms were run and survived")
    assert set().union(*_reached.values()) == EXPECTED


@pytest.mark.slow
def test_a_storm_can_be_replayed() -> None:
    """A storm's seed gives the same trace again, people, faults and all."""
    assert stormy(FIRST).digest == stormy(FIRST).digest


def told(verdict: Verdict, replay: str) -> str:
    """What to print of a storm that was not survived."""
    faults = "\n".join(f"  {at:8.2f} {what}" for at, what in verdict.faults[-FAULTS_TOLD:])
    return "\n".join([*verdict.complaints, f"replay: {replay}", "faults:", faults])
