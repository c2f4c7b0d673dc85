"""``python -m tests.simulation.mutants``: without any one of its rules the cluster breaks a promise.

Prints for each rule how many seeds it took until a judge noticed, and what it said; exits with 1 if one
was not noticed.  ``dedupe_view session`` as arguments: only these.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from fleet import Outcome, survey  # noqa: E402
from mutations import MUTATIONS, Mutation, applied  # noqa: E402

_kept = ExitStack()  # of a worker: a context that nobody holds would end
FIRST_SEED = 500_000
CHEAP_SEEDS = 25


def first_catch(
    mutation: Mutation, *, seeds: int | None = None, workers: int | None = None
) -> tuple[int, Outcome | None]:
    """(how many seeds were run until a judge complained, that outcome); None: nobody did."""
    tried = 0
    some = (mutation.plan(seed) for seed in range(FIRST_SEED, FIRST_SEED + (seeds or mutation.seeds)))
    for result in survey(some, workers=workers, prepare=lambda: _for_ever(mutation)):
        tried += 1
        if result.complaints:
            if "broken()" in result.complaints[0]:
                raise TypeError(f"the mutant fits the code no longer: {result.complaints[0]}")
            return tried, result
    return tried, None


def _for_ever(mutation: Mutation) -> None:
    _kept.enter_context(applied(mutation))


def main() -> int:
    """The program."""
    missed = 0
    names = sys.argv[1:] or list(MUTATIONS)
    print("| rule off | | seeds to the first catch | what the judge said |\n|---|---|---|---|")
    for name in names:
        mutation = MUTATIONS[name]
        tried, caught = first_catch(mutation)
        said = caught.complaints[0].replace("|", "/").replace("\n", " ")[:90] if caught else "nothing"
        missed += caught is None
        print(
            f"| {name} | {mutation.rule} | {tried if caught else f'none in {tried}'} | {said} |", flush=True
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
