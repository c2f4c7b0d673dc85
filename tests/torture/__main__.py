"""``python -m tests.torture``: a cluster of real processes, all that can befall it, and the verdict.

Exit code 0: nothing lost, duplicated or diverged; 1: something was; 3: the machine could not run all of
it and ``RECADO_TEST_REQUIRE=all`` asks for all; 130: interrupted.
"""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

import trio

from tests.torture import machine, measures, report
from tests.torture.run import Options, torture
from tests.torture.storm import only

AROUND_SECONDS = 75.0  # start, healing, verdict and control of a short run
EXIT_NOT_ALL = 3
EXIT_INTERRUPTED = 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=5.0, help="of everything together (5)")
    length.add_argument("--hours", type=float, help="instead of minutes")
    parser.add_argument("--seed", default=None, help="of an earlier run, to do the same to the cluster again")
    parser.add_argument("--servers", type=int, default=3, choices=(3, 5))
    parser.add_argument("--rate", type=float, default=60.0, help="operations a second of all people (60)")
    parser.add_argument(
        "--json", type=Path, default=None, help="where to write the report (build/torture.json)"
    )
    parser.add_argument(
        "--keep", type=Path, default=None, help="keep configurations, logs, journals and replicas here"
    )
    parser.add_argument("--only", default=None, help="these faults, and how often: kill=3,pause,partition")
    parser.add_argument("--no-control", action="store_true", help="leave out the negative control")
    parser.add_argument(
        "--measure",
        choices=measures.NAMES,
        action="append",
        help="instead of a storm: measure this; repeatable",
    )
    return parser.parse_args()


def main() -> int:
    """Run it; the exit code."""
    wish = _arguments()
    machine.enter(sys.argv[1:])
    means = machine.survey()
    for kind, reason in means.missing.items():
        _say(f"not run: {kind}: {reason}")
    directory = Path(tempfile.mkdtemp(prefix="recado-torture-"))
    try:
        if wish.measure:
            return trio.run(measures.main, wish.measure, directory, means, _say)
        return _torture(wish, directory, means)
    except (KeyboardInterrupt, BaseExceptionGroup) as error:
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is None:
            raise
        _say("interrupted")
        return EXIT_INTERRUPTED
    finally:
        if wish.keep is not None:
            _keep(directory, wish.keep)
        shutil.rmtree(directory, ignore_errors=True)


def _torture(wish: argparse.Namespace, directory: Path, means: machine.Means) -> int:
    seconds = 3600 * wish.hours if wish.hours else 60 * wish.minutes
    seed = wish.seed or secrets.token_hex(4)
    again = f"--seed {seed} --servers {wish.servers} --rate {wish.rate:g} "
    again += f"--hours {wish.hours:g}" if wish.hours else f"--minutes {wish.minutes:g}"
    if wish.only:
        again += f" --only {wish.only}"
    options = Options(
        seed=seed,
        storm_seconds=max(10.0, seconds - AROUND_SECONDS),
        servers=wish.servers,
        rate=wish.rate,
        control=not wish.no_control,
        directory=directory,
        again=again,
        keep=wish.keep is not None,
        only=only(wish.only) if wish.only else None,
    )
    _say(f"seed {seed}")
    result = trio.run(lambda: torture(options, means, say=_say))
    target = wish.json or Path("build") / "torture.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    report.write(result, target)
    print(report.page(result))
    if not result["passed"]:
        return 1
    if means.missing and os.environ.get("RECADO_TEST_REQUIRE") == "all":
        _say("this machine could not run all of it, and RECADO_TEST_REQUIRE=all asks for all")
        return EXIT_NOT_ALL
    return 0


def _keep(directory: Path, target: Path) -> None:
    shutil.copytree(
        directory,
        target,
        ignore=shutil.ignore_patterns("*.img", "*.sock", "disks", "copies"),
        dirs_exist_ok=True,
    )


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
