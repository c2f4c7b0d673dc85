"""``python -m bench [WHAT]``: measure, print tables, write JSON beside them."""

import json
import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
import zmq

from bench import encoding, micro, publish, security, steps
from bench.serving import HERE
from bench.tables import publish_table
from recado import __version__

TMPFS = Path("/dev/shm")
RESULTS = HERE / "build" / "bench.json"


def machine() -> dict[str, Any]:
    """What a reader has to know of where and with what it was measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "trio": trio.__version__,
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "sqlite": sqlite3.sqlite_version,
        "recado": __version__,
    }


@click.command(context_settings={"show_default": True})
@click.argument(
    "what", type=click.Choice(["publish", "steps", "micro", "encoding", "security", "all"]), default="all"
)
@click.option("--quick", is_flag=True, help="Two short rounds: whether it works, not how fast it is.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, help="Alternating rounds.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=1.0, help="Length of each load.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Where the replicas are kept; build and /dev/shm if not given.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout of Recado: its server takes turns with this one's.",
)
@click.option("--json", "to", type=click.Path(path_type=Path), default=RESULTS, help="Where to write JSON.")
def main(
    what: str,
    quick: bool,
    rounds: int,
    seconds: float,
    directory: tuple[Path, ...],
    against: Path | None,
    to: Path,
) -> None:
    """Measure what Recado costs on this machine.  Numbers of different minutes do not compare."""
    if quick:
        rounds, seconds = 2, 0.4
    results: dict[str, Any] = {"machine": machine()}
    click.echo(" ".join(f"{key}={value}" for key, value in results["machine"].items()))
    if what in ("encoding", "all"):
        results["encoding"] = encoding.measure(quick=quick)
        _echo(encoding.table(results["encoding"]))
    if what in ("micro", "all"):
        results["micro"] = micro.measure(quick=quick)
        _echo(micro.table(results["micro"]))
    if what in ("steps", "all"):
        place = TMPFS if TMPFS in _places() else _places()[0]
        found = [steps.measure(place, shape=shape, seconds=2 * seconds) for shape in publish.SHAPES[1:]]
        results["steps"] = found
        _echo(steps.table(found))
    if what in ("security", "all"):
        pairs = security.measure((directory or _places())[-1], rounds=rounds, seconds=seconds)
        results["security"] = pairs
        _echo(security.table(pairs))
    if what in ("publish", "all"):
        trees = (HERE,) if against is None else (HERE, against.resolve())
        results["publish"] = []
        for place in directory or _places():
            result = publish.measure(place, rounds=rounds, seconds=seconds, trees=trees)
            results["publish"].append(msgspec.to_builtins(result))
            _echo(publish_table(result))
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(msgspec.to_builtins(results), indent=1) + "\n", "utf-8")
    click.echo(f"\nJSON in {to}")


def _places() -> list[Path]:
    on_disk = HERE / "build"
    on_disk.mkdir(exist_ok=True)
    if not TMPFS.is_dir() or not os.access(TMPFS, os.W_OK):
        click.echo(f"no {TMPFS}: on disk only", err=True)
        return [on_disk]
    return [on_disk, TMPFS]


def _echo(lines: Any) -> None:
    click.echo()
    for line in lines:
        click.echo(line)


if __name__ == "__main__":
    if Path.cwd() != HERE:
        # The server is started from this checkout; measuring another one's package would mislead.
        sys.path.insert(0, str(HERE))
    main(prog_name="python -m bench")
