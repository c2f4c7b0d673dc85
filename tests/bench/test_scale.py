"""What a second server on one machine is said to bring follows from what was measured."""

from pathlib import Path

import pytest

from bench import generator, scale
from bench.scale import Prices, Used


def prices(*, written: float, copied: float, handing_on: float = 0.0) -> Prices:
    return Prices(
        "8x64",
        alone=Used(written, written),
        written=Used(written + handing_on, written + handing_on),
        copied=Used(copied, copied),
    )


def test_free_copies_multiply_and_dear_ones_do_not() -> None:
    """With copies for nothing n servers do n times as much; if they cost what writing does, no more."""
    free, dear = prices(written=40, copied=0), prices(written=40, copied=40)
    assert free.rate(4, 8) == pytest.approx(4 * free.rate(1, 8))
    assert dear.rate(4, 8) == pytest.approx(dear.rate(1, 8))


def test_never_more_than_written_by_copied() -> None:
    """However many members and cores: the bound that the page tells."""
    one = prices(written=30, copied=10, handing_on=2)
    assert all(one.rate(n, 10_000) / one.rate(1, 10_000) < 30 / 12 for n in range(1, 200))


def test_too_few_cores_make_it_worse() -> None:
    """With one core for all servers each further member costs."""
    one = prices(written=30, copied=10)
    assert one.rate(3, 1) < one.rate(2, 1) < one.rate(1, 1)


@pytest.mark.slow
@pytest.mark.system
def test_a_short_run_gives_a_table(tmp_path: Path) -> None:
    """All four layouts are loaded, each server's share is told, and copying is cheaper than writing."""
    if not generator.speaks_all(generator.build()):
        pytest.skip("needs a C compiler")
    result = scale.measure(tmp_path, rounds=1, seconds=0.5, loads=["8x64"])
    assert [len(one.used) for one in result.samples] == [1, 2, 2, 2]
    (found,) = result.prices
    assert 0 < found.copied.whole_us < found.written.whole_us
    assert any("two of one cluster" in line for line in scale.table(result))
