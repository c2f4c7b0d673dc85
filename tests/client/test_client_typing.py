"""The library's types, as a strict type checker of its callers sees them."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]
CALLERS = ROOT / "tests" / "typing" / "client_api.py"


@pytest.mark.slow
def test_callers_get_the_types_that_are_promised() -> None:
    """The file of typical calls passes mypy --strict, and what it marks as mistakes is found to be one."""
    said, problems, code = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(CALLERS)])
    assert (code, problems) == (0, ""), said
