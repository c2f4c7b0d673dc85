"""What a message costs stays within its budget; the bench measures what it says."""

import sys
from pathlib import Path

import pytest

from bench import encoding, generator
from bench.budget import budgets, cost
from bench.generator import Shape
from bench.serving import serving
from bench.stepped_server import STEPS

TMPFS = Path("/dev/shm")


def place(tmp_path: Path) -> Path:
    """A directory whose commits cost no disk, where there is one."""
    return TMPFS if TMPFS.is_dir() else tmp_path


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize(
    ("shape", "many"), [(Shape(8, 64), False), (Shape(8, 64), True), (Shape(64, 1), False)], ids=str
)
def test_a_message_costs_no_more_than_its_budget(shape: Shape, many: bool, tmp_path: Path) -> None:
    """The server's processor time per durable publish, in units of work, stays within bench/budget.json.

    A neighbour's burst may spoil one measurement, so one of three within the budget is enough.
    """
    if many and not generator.speaks_all(generator.build()):
        pytest.skip("requests of many publishes need the generator in C")
    name, protocol = (f"{shape} many", "recado-many") if many else (str(shape), "recado")
    budget = budgets()[name]
    measured = []
    for _ in range(3):
        measured.append(cost(place(tmp_path), shape, rounds=3, seconds=0.5, protocol=protocol))
        if measured[-1].units <= budget:
            return
    pytest.fail(f"{name}: {[f'{c.units:.0f} units ({c.processor_us:.0f} us)' for c in measured]}, {budget=}")


@pytest.mark.slow
@pytest.mark.system
def test_the_generator_without_a_compiler_brings_a_load_too(tmp_path: Path) -> None:
    """The load in Python is answered without refusals and says the same as the compiled one."""
    command = [sys.executable, "-m", "bench.slow_load"]
    with serving(place(tmp_path)) as server:
        load = generator.run(command, server.address, Shape(2, 4), seconds=0.5)
    assert load.refused == 0
    assert 0 < load.measured <= load.answered
    assert 0 < load.p50_us <= load.p99_us <= load.p999_us


def test_every_step_of_the_path_exists() -> None:
    """The steps that `bench steps` measures are functions of the running program."""
    assert [
        name for name, (owner, method) in STEPS.items() if not callable(getattr(owner, method, None))
    ] == []


def test_the_login_example_takes_47_bytes_instead_of_66() -> None:
    """The login of the course is 66 bytes in compact JSON and 47 in MessagePack, as docs/encoding.md says."""
    assert encoding.sizes(encoding.EXAMPLES["login, as the course shows it"]) == (47, 66)
