"""What a machine can't run is skipped and listed, or fails the run where everything is required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

@pytest.mark.needs("no-such-program-anywhere")
def test_needy():
    raise AssertionError("must not run")

@pytest.mark.needs("python3")
def test_easy():
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(("require", "code"), [("", 0), ("all", 1)])
def test_unmet_needs_are_listed(tmp_path: Path, require: str, code: int) -> None:
    """An unmet need skips its test and is listed; with RECADO_TEST_REQUIRE=all the run fails."""
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_needs.py").write_text(TESTS)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        env={**os.environ, "RECADO_TEST_REQUIRE": require},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stdout
    assert "1 passed, 1 skipped" in ran.stdout
    summary = ran.stdout.partition("could not be run on this machine")[2]
    assert "without no-such-program-anywhere:" in summary
    assert "test_needy" in summary
    assert "test_easy" not in summary
