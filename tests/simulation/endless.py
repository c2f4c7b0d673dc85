"""``make storm``: storms for as long as one lets them; Ctrl-C ends it, and the next time it goes on.

What was done is kept in ``var/storm/<hash>.json``, one file for each state of the code that the storms
are about: seeds done, seeds failed, virtual time, rare states reached.  A seed that fails is shrunk, its
command printed, and both kept in ``tests/seeds/``.  Also: one seed by hand (``--seed 12 --without 3,5``).
"""

import argparse
import hashlib
import itertools
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from faults import Fault  # noqa: E402
from fleet import Outcome, outcome, replay, smallest, survey, told  # noqa: E402
from plans import Plan, plan  # noqa: E402
from sightings import EXPECTED  # noqa: E402

CODE = ("recado", "storage", "daemons")
FIRST_SEED = 1_000_000  # beyond those of `make test`
SAVE_EVERY = 20


def code_hash() -> str:
    """Of every source file that a storm runs: another hash, another tally."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(path for room in CODE for path in (ROOT / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Tally:
    """What was done with this code, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known = json.loads(path.read_text()) if path.exists() else {}
        self.done: list[list[int]] = known.get("done", [])  # ranges [first, last] of seeds
        self.failed: dict[str, str] = known.get("failed", {})
        self.virtual_seconds: float = known.get("virtual_seconds", 0.0)
        self.acknowledged: int = known.get("acknowledged", 0)
        self.faults: int = known.get("faults", 0)
        self.reached: Counter[str] = Counter(known.get("reached", {}))
        self._seeds = set(itertools.chain.from_iterable(range(a, b + 1) for a, b in self.done))

    @property
    def count(self) -> int:
        """How many seeds were run."""
        return len(self._seeds)

    def todo(self, first: int) -> Iterator[int]:
        """Seeds from `first` on that were not run yet; endless."""
        return (seed for seed in itertools.count(first) if seed not in self._seeds)

    def add(self, result: Outcome) -> None:
        """One more."""
        self._seeds.add(result.seed)
        self.virtual_seconds += result.virtual_seconds
        self.acknowledged += result.acknowledged
        self.faults += result.faults
        self.reached.update(result.reached)
        if result.complaints:
            self.failed[str(result.seed)] = result.complaints[0]

    def save(self) -> None:
        """Write the file anew, in one step."""
        self.done = ranges(self._seeds)
        fields = ("done", "failed", "virtual_seconds", "acknowledged", "faults", "reached")
        text = json.dumps({name: getattr(self, name) for name in fields}, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text + "\n")
        fresh.replace(self.path)

    def __str__(self) -> str:
        hours = self.virtual_seconds / 3600
        return (
            f"{self.count} seeds, {hours:.1f} virtual hours, {self.faults} faults, "
            f"{self.acknowledged} messages acknowledged, {len(self.failed)} seeds failed"
        )


def ranges(seeds: Iterable[int]) -> list[list[int]]:
    """Consecutive numbers as [first, last]."""
    found: list[list[int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1][1] = seed
        else:
            found.append([seed, seed])
    return found


def rage(arguments: argparse.Namespace) -> int:
    """Until Ctrl-C, or so many seeds."""
    code = code_hash() + (f"-{arguments.seconds:g}s" if arguments.seconds else "")
    tally = Tally(arguments.directory / f"{code}.json")
    print(f"{tally.path}: {tally}", flush=True)
    seeds = tally.todo(arguments.first)
    some = itertools.islice(seeds, arguments.seeds) if arguments.seeds else seeds
    plans = (plan(seed, seconds=arguments.seconds) for seed in some)
    try:
        for result in survey(plans, workers=arguments.workers):
            tally.add(result)
            if result.complaints:
                tell_of_failure(result, arguments.seconds, keep_in=arguments.keep)
            if tally.count % SAVE_EVERY == 0:
                tally.save()
                print(f"\r{tally}", end="", flush=True)
    except KeyboardInterrupt:
        print()
    tally.save()
    print(f"\r{tally}")
    for what, one_in in sorted(EXPECTED.items()):
        if max(tally.reached[what], 3) * one_in < tally.count:
            print(f"rare: {what}: {tally.reached[what]} times, expected one in {one_in}")
    return 1 if tally.failed else 0


def tell_of_failure(result: Outcome, seconds: float | None, *, keep_in: Path) -> None:
    """Print it, shrink it, print what is left, keep it."""
    print(f"\n{told(result, seconds=seconds)}", flush=True)
    less, left_out = smallest(plan(result.seed, seconds=seconds))
    print(f"with {len(less.faults)} of its faults it still fails:")
    faults = "\n".join(f"  {fault}" for fault in less.faults)
    command = replay(result.seed, left_out, seconds=seconds)
    print(f"{faults}\n  {command}")
    path = keep_in / f"{stem(result.seed, seconds)}.md"
    if not path.exists():
        found = result.complaints[0].splitlines()[0]
        path.write_text(f"{found}\n\n    {command}\n\n{faults}".rstrip() + "\n")
    print(f"kept in {path}: say there what it found and what mended it", flush=True)


def stem(seed: int, seconds: float | None) -> str:
    """What the file of a kept seed is called: ``12``, or ``12-15s`` for a storm of another length."""
    return f"{seed}" if seconds is None else f"{seed}-{seconds:g}s"


def plan_of(stem: str) -> Plan:
    """The plan of a kept seed, by its file's name."""
    seed, _, seconds = stem.partition("-")
    return plan(int(seed), seconds=float(seconds.removesuffix("s")) if seconds else None)


def again(arguments: argparse.Namespace) -> int:
    """One seed, some of its faults left out."""
    left_out = [int(number) for number in arguments.without.split(",") if number]
    what = plan(arguments.seed, seconds=arguments.seconds).without(left_out)
    print(f"{what.mode}, {what.work}, {what.election}, {what.servers} servers, {what.seconds:.0f} s")
    faults: tuple[Fault, ...] = what.faults
    print("\n".join(f"  {fault}" for fault in faults))
    result = outcome(what)
    print(
        told(result, seconds=arguments.seconds)
        if result.complaints
        else f"no complaints; {result.acknowledged} acknowledged"
    )
    return 1 if result.complaints else 0


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.endless", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many; 0: until Ctrl-C")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    parser.add_argument("--seconds", type=float, default=None, help="of storm, instead of each seed's own")
    parser.add_argument("--workers", type=int, default=None, help="processes; one for each processor")
    parser.add_argument("--directory", type=Path, default=ROOT / "var" / "storm", help="of the tallies")
    parser.add_argument("--keep", type=Path, default=ROOT / "tests" / "seeds", help="failed seeds in here")
    parser.add_argument("--seed", type=int, default=None, help="run this one only, and say what happened")
    parser.add_argument("--without", default="", help="numbers of faults to leave out, with --seed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return rage(arguments) if arguments.seed is None else again(arguments)


if __name__ == "__main__":
    sys.exit(main())
