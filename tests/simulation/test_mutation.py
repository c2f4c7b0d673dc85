"""Without its rules the cluster breaks its promises, and the judges notice."""

import pytest
from mutants import CHEAP_SEEDS, first_catch
from mutations import MUTATIONS

CHEAP = [name for name, mutation in MUTATIONS.items() if mutation.cheap]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_a_rule_switched_off_is_noticed(name: str) -> None:
    """A judge complains within a few seeds; all rules: ``python -m tests.simulation.mutants``."""
    tried, caught = first_catch(MUTATIONS[name], seeds=CHEAP_SEEDS)
    assert caught is not None, f"nobody noticed in {tried} storms"
