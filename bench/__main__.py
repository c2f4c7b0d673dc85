"""``python -m bench [WHAT ...]``: measure, print tables, write JSON beside them."""

import json
import os
import platform
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
import zmq

from bench import plots, report, suites, targets
from bench.serving import HERE
from bench.suites import FULL_ROUNDS, MEASURES, QUICK_ROUNDS, SUITE, Plan
from recado import __version__

RESULTS = HERE / "build" / "bench.json"
SIDE_BY_SIDE = ("publish", "replicated", "fanout", "failover", "catchup", "history", "soak")


def machine() -> dict[str, Any]:
    """What a reader has to know of where and with what it was measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "trio": trio.__version__,
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "sqlite": sqlite3.sqlite_version,
        "recado": __version__,
    }


@click.command(context_settings={"show_default": True})
@click.argument("what", type=click.Choice([*MEASURES, "all", "report", "targets"]), nargs=-1)
@click.option("--quick", is_flag=True, help="Few and short rounds: all of it in less than ten minutes.")
@click.option("--rounds", type=click.IntRange(1, 100), help=f"{FULL_ROUNDS}, or {QUICK_ROUNDS} if quick.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), help="Of each load: 1.0, or 0.8 if quick.")
@click.option("--soak-seconds", type=click.FloatRange(1, 100_000), help="3600, or 20 if quick.")
@click.option(
    "--rate", type=click.FloatRange(0, 100_000), help="Of the soak: 500 a second; 0: a closed loop."
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Where files are kept; build and /dev/shm if not given.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout of Recado: its server takes turns with this one's, without peers.",
)
@click.option("--json", "to", type=click.Path(path_type=Path), default=RESULTS, help="Where the JSON is.")
@click.option(
    "--also",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="More JSON for `report` and `targets`: what it has and the first has not.",
)
@click.option("--add", is_flag=True, help="What else was measured before stays in the JSON.")
@click.option("--plots", "pictures", type=click.Path(path_type=Path), help="Draw PNGs there.")
def main(
    what: tuple[str, ...],
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    soak_seconds: float | None,
    rate: float | None,
    directory: tuple[Path, ...],
    against: Path | None,
    to: Path,
    also: tuple[Path, ...],
    add: bool,
    pictures: Path | None,
) -> None:
    """Measure Recado beside its peers on this machine.  Numbers of different minutes do not compare.

    `report` and `targets` measure nothing: they write the tables, and draw, from the JSON of earlier runs.
    """
    # Ended by `kill`, detached or not, it stops what it has started as it does for Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if what in (("report",), ("targets",)):
        results = _read(to, *also)
        click.echo(report.machine(results))
        _lines((report if what == ("report",) else targets).markdown(results))
    else:
        plan = Plan(
            quick=quick,
            rounds=rounds or (QUICK_ROUNDS if quick else FULL_ROUNDS),
            seconds=seconds or (0.8 if quick else 1.0),
            directories=list(directory) or suites.places(),
            against=against,
            soak_seconds=soak_seconds,
            rate=rate,
            to=to,
        )
        results = _measure(_names(what, against), plan, _read(to) if add and to.exists() else {})
    if pictures is not None:
        for file in plots.draw(results, pictures):
            click.echo(f"drawn: {file}")


def _names(what: tuple[str, ...], against: Path | None) -> list[str]:
    if against is not None:
        return ["alone"]
    named = [name for name in what if name not in ("all", "report", "targets")]
    return list(dict.fromkeys([*SUITE, *named])) if not named or "all" in what else named


def _read(*files: Path) -> dict[str, Any]:
    """The results of all of them; of what several have, the first one's."""
    found: dict[str, Any] = {}
    for file in files:
        found = json.loads(file.read_text("utf-8")) | found
    return found


def _measure(names: list[str], plan: Plan, before: dict[str, Any]) -> dict[str, Any]:
    """One after the other; what was measured is written as it comes, so that nothing is lost by Ctrl-C."""
    results = {**before, "machine": machine()}
    click.echo(report.machine(results))
    to = plan.to
    to.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        click.echo(f"measuring: {name}", err=True)
        found, lines = suites.run(name, plan)
        results[name] = msgspec.to_builtins(found)
        to.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        if name in SIDE_BY_SIDE:
            lines = report.markdown({name: results[name]})
        _lines(lines)
    click.echo(f"\nJSON in {to}")
    return results


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")


def _lines(lines: Any) -> None:
    click.echo()
    for line in lines:
        click.echo(line)


if __name__ == "__main__":
    if Path.cwd() != HERE:
        # The server is started from this checkout; measuring another one's package would mislead.
        sys.path.insert(0, str(HERE))
    main(prog_name="python -m bench")
