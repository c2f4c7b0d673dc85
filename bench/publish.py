"""Durable publishes: acknowledged after their commit, by one server, beside plain SQLite on the same disk.

Rounds alternate: probe, plain commits, each load against each server.  What is compared was measured
within the same seconds; medians of the rounds are shown.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec

from bench import generator
from bench.disk import Commits, fdatasync_us, plain_commits
from bench.generator import Load, Shape
from bench.serving import HERE, Serving, serving

SHAPES = (Shape(1, 1), Shape(64, 1), Shape(8, 64))
PLAIN_ROWS = (1, 64, 512)


class Measured(msgspec.Struct, frozen=True):
    """One load in one round.  `processor_us`: of the server, all threads, per message answered."""

    tree: str
    shape: Shape
    load: Load
    processor_us: float


class Round(msgspec.Struct, frozen=True):
    """What was measured within the same seconds."""

    fdatasync_us: float
    plain: list[Commits]
    loads: list[Measured]


class Result(msgspec.Struct, frozen=True):
    """All rounds in one directory; `resident_mib` of the servers at the end, by checkout."""

    directory: str
    rounds: list[Round]
    resident_mib: dict[str, float]


def measure(
    directory: Path,
    *,
    rounds: int,
    seconds: float,
    trees: Sequence[Path] = (HERE,),
    shapes: Sequence[Shape] = SHAPES,
    plain: bool = True,
) -> Result:
    """Loads in alternating rounds against a server of each checkout of `trees`, started once."""
    command = generator.build()
    with ExitStack() as stack:
        servers = {str(tree): stack.enter_context(serving(directory, tree=tree)) for tree in trees}
        done = []
        for number in range(rounds):
            order = list(servers.items())[:: 1 if number % 2 == 0 else -1]
            done.append(
                Round(
                    fdatasync_us(directory),
                    [plain_commits(directory, rows=r, seconds=seconds / 2) for r in PLAIN_ROWS * plain],
                    [
                        _load(command, name, server, shape, seconds)
                        for shape in shapes
                        for name, server in order
                    ],
                )
            )
        return Result(str(directory), done, {name: server.resident_mib() for name, server in servers.items()})


def _load(command: list[str], tree: str, server: Serving, shape: Shape, seconds: float) -> Measured:
    before = server.processor_seconds()
    load = generator.run(command, server.address, shape, seconds=seconds)
    used = server.processor_seconds() - before
    if load.refused:
        raise RuntimeError(f"{load.refused} of {load.answered} publishes were refused")
    return Measured(tree, shape, load, used / load.answered * 1e6)


def processor_us(result: Result, shape: Shape, tree: Path = HERE) -> float:
    """Median processor time of the server per message, in microseconds."""
    return median(m.processor_us for m in of(result, shape, str(tree)))


def of(result: Result, shape: Shape, tree: str) -> list[Measured]:
    """The measurements of one load against one checkout, in order of the rounds."""
    return [m for r in result.rounds for m in r.loads if m.shape == shape and m.tree == tree]
