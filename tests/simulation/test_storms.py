"""Storms: many seeds, all faults, healing, judgement.

``RECADO_STORM_SEEDS=500`` sets how many seeds; ``RECADO_STORM_FIRST=1234`` the first of them.  Seeds that
have found something are kept in ``tests/seeds/``, one file each that says what, and are run for ever.
"""

import os
from pathlib import Path

import pytest
from endless import plan_of
from fleet import Outcome, outcome, survey, told
from plans import plan
from sightings import EXPECTED
from verdict import stormy

SEEDS = int(os.environ.get("RECADO_STORM_SEEDS", "300"))
FIRST = int(os.environ.get("RECADO_STORM_FIRST", "0"))
KEPT = Path(__file__).parents[1] / "seeds"
VIRTUAL_SECONDS_MEAN = 110.0


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Each seed's history, on all processors."""
    return list(survey(plan(seed) for seed in range(FIRST, FIRST + SEEDS)))


@pytest.mark.slow
def test_no_storm_breaks_a_promise(outcomes: list[Outcome]) -> None:
    """After two minutes of all faults and the healing every judge is content with every seed."""
    assert [told(result) for result in outcomes if result.complaints] == []


@pytest.mark.slow
def test_storms_are_long_and_busy(outcomes: list[Outcome]) -> None:
    """The histories are what they are called: two minutes each, with people in them who get answers."""
    assert sum(result.virtual_seconds for result in outcomes) > VIRTUAL_SECONDS_MEAN * len(outcomes)
    assert min(result.acknowledged for result in outcomes) > 50


@pytest.mark.slow
def test_storms_are_not_blind(outcomes: list[Outcome]) -> None:
    """Every rare state that the storms are to bring about came about, if there were enough of them."""
    expected = {what for what, one_in in EXPECTED.items() if one_in * 3 <= len(outcomes)}
    assert expected - frozenset().union(*(result.reached for result in outcomes)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in KEPT.glob("[0-9]*.md")))
def test_a_seed_that_once_found_something(name: str) -> None:
    """What was found once stays mended."""
    result = outcome(plan_of(name))
    assert result.complaints == (), told(result)


@pytest.mark.slow
def test_a_storm_can_be_replayed() -> None:
    """A storm's seed gives the same trace again, people, faults and all."""
    assert stormy(FIRST).digest == stormy(FIRST).digest
