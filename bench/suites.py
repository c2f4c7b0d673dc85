"""What `python -m bench` can measure, by name: how long in a quick run and in a full one, and where."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from bench import (
    catchup,
    encoding,
    failover,
    fanout,
    generator,
    history,
    micro,
    paired,
    publish,
    scale,
    security,
    soak,
    steps,
)
from bench.generator import Shape
from bench.peers import recado
from bench.peers.base import Contender
from bench.serving import HERE
from bench.tables import publish_table

TMPFS = Path("/dev/shm")
QUICK_ROUNDS, FULL_ROUNDS = 2, 7
HISTORY_ENTRIES: Final = {"quick": [10_000, 200_000], "full": [10_000, 1_000_000, 10_000_000]}
CATCH_UP_ENTRIES: Final = {"quick": 200_000, "full": 1_000_000}
CATCH_UP_ROUNDS: Final = {"quick": 1, "full": 3}
PART_SECONDS: Final = {"quick": 5.0, "full": soak.PART_SECONDS}
SOAK_PER_SECOND: Final = 500.0
SOAK_SECONDS: Final = {"quick": 20.0, "full": 3600.0}


class Plan(msgspec.Struct, frozen=True):
    """How much.  `against`: another checkout, of `alone`; `soak_seconds` and `rate` of the soak: None for
    the usual; `to`: where the results will be."""

    quick: bool
    rounds: int
    seconds: float
    directories: list[Path]
    to: Path
    against: Path | None = None
    soak_seconds: float | None = None
    rate: float | None = None

    @property
    def size(self) -> str:
        """As the tables of sizes are keyed."""
        return "quick" if self.quick else "full"

    @property
    def disk(self) -> Path:
        """The first directory: by default one on a disk."""
        return self.directories[0]

    @property
    def memory(self) -> Path:
        """The last one: by default one without a disk."""
        return self.directories[-1]


Found = tuple[Any, Iterator[str]]  # for the JSON, and lines that `report` does not write


def run(name: str, plan: Plan) -> Found:
    """Measure that.  Raises `RuntimeError` if it needs the compiled generator and there is none."""
    if name in WITH_PEERS and not generator.speaks_all(generator.build()):
        raise RuntimeError(f"{name} needs the generator in C: install a C compiler")
    return MEASURES[name](plan)


def places() -> list[Path]:
    """Where files are kept if nobody says: on the disk of this checkout, and on tmpfs."""
    on_disk = HERE / "build"
    on_disk.mkdir(exist_ok=True)
    if not TMPFS.is_dir() or not os.access(TMPFS, os.W_OK):
        click.echo(f"no {TMPFS}: on disk only", err=True)
        return [on_disk]
    return [on_disk, TMPFS]


def _publish(plan: Plan) -> Found:
    found = [_paired("publish", plan, place, paired.PUBLISH) for place in plan.directories]
    return found, iter(())


def _replicated(plan: Plan) -> Found:
    return [_paired("replicated", plan, plan.disk, paired.REPLICATED)], iter(())


def _paired(what: str, plan: Plan, place: Path, contenders: Sequence[Contender]) -> paired.Measured:
    shapes = paired.QUICK_SHAPES if plan.quick else paired.SHAPES
    return paired.publish(
        what,
        place,
        contenders=contenders,
        shapes=shapes,
        rounds=plan.rounds,
        seconds=plan.seconds,
        again=0 if plan.quick else plan.rounds,
    )


def _fanout(plan: Plan) -> Found:
    bursts = fanout.QUICK_BURSTS if plan.quick else fanout.BURSTS
    # One round with a thousand subscribers of eight peers takes a minute and more.
    rounds = 1 if plan.quick else plan.rounds
    paced_seconds = 1.0 if plan.quick else 2.0
    measured = fanout.measure(plan.memory, bursts=bursts, rounds=rounds, paced_seconds=paced_seconds)
    return [measured], iter(())


def _failover(plan: Plan) -> Found:
    return failover.measure(plan.disk, kills=1 if plan.quick else 5), iter(())


def _catch_up(plan: Plan) -> Found:
    entries, rounds = CATCH_UP_ENTRIES[plan.size], CATCH_UP_ROUNDS[plan.size]
    return catchup.measure(plan.disk, entries=entries, rounds=rounds), iter(())


def _history(plan: Plan) -> Found:
    return history.measure(plan.disk, sizes=HISTORY_ENTRIES[plan.size]), iter(())


def _soak(plan: Plan) -> Found:
    seconds = plan.soak_seconds or SOAK_SECONDS[plan.size]
    rate = SOAK_PER_SECOND if plan.rate is None else plan.rate
    to = plan.to.with_suffix(".soak.json")
    part_seconds = min(PART_SECONDS[plan.size], max(seconds / 4, 1.0))
    return soak.measure(plan.disk, seconds=seconds, rate=rate, part_seconds=part_seconds, to=to), iter(())


def _alone(plan: Plan) -> Found:
    trees = (HERE,) if plan.against is None else (HERE, plan.against.resolve())
    found = [
        publish.measure(place, rounds=plan.rounds, seconds=plan.seconds, trees=trees)
        for place in plan.directories
    ]
    return found, (line for result in found for line in publish_table(result))


def _steps(plan: Plan) -> Found:
    one, many = recado.SHORT.protocol, recado.MANY.protocol
    found = [
        steps.measure(plan.memory, shape=shape, seconds=2 * plan.seconds, protocol=protocol)
        for shape, protocol in ((Shape(8, 64), one), (Shape(8, 64), many), (Shape(64, 1), one))
    ]
    return found, steps.table(found)


def _micro(plan: Plan) -> Found:
    found = micro.measure(quick=plan.quick)
    return found, iter(micro.table(found))


def _encoding(plan: Plan) -> Found:
    found = encoding.measure(quick=plan.quick)
    return found, iter(encoding.table(found))


def _security(plan: Plan) -> Found:
    pairs = security.measure(plan.memory, rounds=plan.rounds, seconds=plan.seconds)
    return pairs, security.table(pairs)


def _scale(plan: Plan) -> Found:
    found = scale.measure(plan.memory, rounds=plan.rounds, seconds=plan.seconds)
    return found, scale.table(found)


MEASURES: Final[dict[str, Callable[[Plan], Found]]] = {
    "publish": _publish,
    "replicated": _replicated,
    "fanout": _fanout,
    "failover": _failover,
    "catchup": _catch_up,
    "history": _history,
    "micro": _micro,
    "soak": _soak,
    "alone": _alone,
    "steps": _steps,
    "profile": _steps,
    "encoding": _encoding,
    "security": _security,
    "scale": _scale,
}
SUITE: Final = ("publish", "replicated", "fanout", "failover", "catchup", "history", "micro", "soak")
WITH_PEERS: Final = ("publish", "replicated", "fanout", "failover", "catchup", "history")
