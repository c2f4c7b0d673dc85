"""Storms are lists: drawn from a seed, shrunk to what matters, kept in a tally."""

from pathlib import Path

from endless import Tally, ranges
from faults import KINDS, LOSING, LOSSES_MAX, Fault, shrunk
from fleet import Outcome
from plans import plan
from storm import Storm


def test_a_plan_is_a_function_of_its_seed() -> None:
    """The same seed, the same faults; and each kind has somebody who carries it out."""
    plans = [plan(seed) for seed in range(60)]
    assert plans == [plan(seed) for seed in range(60)]
    kinds = {fault.kind for what in plans for fault in what.faults}
    assert set(KINDS) <= kinds
    assert all(hasattr(Storm, "_" + kind.replace(" ", "_")) for kind in kinds)


def test_a_storm_loses_few_disks() -> None:
    """More disks lost than a level's copies would excuse everything."""
    lost = [sum(fault.kind in LOSING for fault in plan(seed).faults) for seed in range(60)]
    assert max(lost) == LOSSES_MAX


def test_shrinking_keeps_what_matters() -> None:
    """Of thirty faults the two that fail together are left."""
    faults = [Fault(at=float(n), kind="kill") for n in range(30)]

    def fails(some: object) -> bool:
        return {3.0, 22.0} <= {fault.at for fault in some}  # type: ignore[attr-defined]

    assert [fault.at for fault in shrunk(faults, fails)] == [3.0, 22.0]


def test_shrinking_ends() -> None:
    """It asks at most as often as it may, and what it gives still fails."""
    faults = [Fault(at=float(n), kind="kill") for n in range(30)]
    asked = []

    def fails(some: object) -> bool:
        asked.append(some)
        return len(list(some)) > 20  # type: ignore[call-overload]

    assert len(shrunk(faults, fails, tries_max=10)) > 20
    assert len(asked) <= 10


def test_a_tally_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Seeds that were run are not run again, failures are remembered."""
    tally = Tally(tmp_path / "storm" / "abc.json")
    for seed in (5, 6, 8):
        complaints = ("lost",) if seed == 6 else ()
        tally.add(Outcome(seed=seed, complaints=complaints, virtual_seconds=120.0, acknowledged=10))
    tally.save()
    again = Tally(tally.path)
    assert (again.count, again.acknowledged, again.failed) == (3, 30, {"6": "lost"})
    todo = again.todo(5)
    assert [next(todo), next(todo)] == [7, 9]


def test_ranges_are_short() -> None:
    """Consecutive seeds are kept as first and last."""
    assert ranges([3, 1, 2, 7, 9, 8]) == [[1, 3], [7, 9]]
