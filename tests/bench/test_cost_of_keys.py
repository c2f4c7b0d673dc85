"""The measurement of what keys cost can be made: each load runs, without and with keys."""

from pathlib import Path

import pytest

from bench import security


@pytest.mark.slow
@pytest.mark.system
def test_every_load_runs_in_both_modes(tmp_path: Path) -> None:
    """Each load is answered or heard without keys and with, costs something, and has a line in the table."""
    found = security.measure(tmp_path, rounds=1, seconds=0.05)
    assert len(found) == 7
    assert all(one.processor_us > 0 and one.rate > 0 for pairs in found for one in pairs.open + pairs.secured)
    assert len(list(security.table(found))) == 1 + len(found)
