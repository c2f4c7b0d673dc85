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
    48,  # an adjustment refused by a server that had just started: three clocks that disagree
)
FAULTS_TOLD = 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", sorted({*REMEMBERED, *range(FIRST, FIRST + SEEDS)}))
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


def told(verdict: Verdict, replay: str) -> str:
    """What to print of a storm that was not survived."""
    faults = "\n".join(f"  {at:8.2f} {what}" for at, what in verdict.faults[-FAULTS_TOLD:])
    return "\n".join([*verdict.complaints, f"replay: {replay}", "faults:", faults])
