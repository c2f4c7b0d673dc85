"""``make test`` is two runs side by side: together they are everything, and a failure of either counts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import halves

CASES = {
    "passes": "def test_it() -> None:\n    pass\n",
    "fails": "def test_it() -> None:\n    assert False\n",
}


def test_every_room_is_in_one_of_both() -> None:
    """What one run is told to take the other is told to leave out, and all of it is there."""
    behind, ahead = halves.commands([])
    taken = [word for word in behind if word.startswith("tests/")]
    left_out = [word.removeprefix("--ignore=") for word in ahead if word.startswith("--ignore=")]
    assert taken == left_out
    assert all((halves.ROOT / path).is_dir() for path in taken)
    assert "tests" in ahead


@pytest.mark.parametrize(
    ("behind", "ahead"), [("passes", "passes"), ("fails", "passes"), ("passes", "fails")]
)
def test_either_one_s_failure_is_the_whole_s(behind: str, ahead: str, tmp_path: Path) -> None:
    """The exit code, and both runs' words."""
    for room in ("other", *halves.BESIDE):
        (tmp_path / "tests" / room).mkdir(parents=True)
    (tmp_path / "tests" / halves.BESIDE[0] / "test_behind.py").write_text(CASES[behind])
    (tmp_path / "tests" / "other" / "test_ahead.py").write_text(CASES[ahead])
    script = f"from pathlib import Path; from tests import halves; halves.ROOT = Path({str(tmp_path)!r}); "
    words = [sys.executable, "-c", f"{script}raise SystemExit(halves.main(['-q', '-p', 'no:cacheprovider']))"]
    done = subprocess.run(words, cwd=halves.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (behind == ahead == "passes"), done.stdout + done.stderr
    assert done.stdout.index("tests of simulation") > 0
    assert sum(line.startswith("1 ") for line in done.stdout.splitlines()) == 2, done.stdout
