"""Many histories at once, one process for each processor.

A history is a pure function of its plan, so it matters to none of them who runs beside it.
"""

import gc
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

import msgspec
from faults import shrunk
from plans import Plan
from verdict import carried_out

REAL_SECONDS_MAX = 300  # of one history, which takes one or two
COMPLAINTS_TOLD = 12
FAULTS_TOLD = 60


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one history.  `complaints` is empty if all is well.  Seconds are virtual."""

    seed: int
    complaints: tuple[str, ...]
    digest: str = ""
    acknowledged: int = 0
    messages: int = 0
    reads: int = 0
    faults: int = 0
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    reached: frozenset[str] = frozenset()
    record: tuple[tuple[float, str], ...] = ()  # of the faults, if there are complaints


def outcome(what: Plan) -> Outcome:
    """Run a plan to its end; whatever it raises is a complaint."""
    start = time.monotonic()
    if signal.getsignal(signal.SIGALRM) is _too_long:
        signal.alarm(REAL_SECONDS_MAX)
    try:
        verdict = carried_out(what)
    except Exception as error:  # noqa: BLE001 - a fault of the cluster is what is being looked for
        text = "".join(traceback.format_exception(error))
        return Outcome(
            seed=what.seed,
            complaints=(_cause(error), text[-6000:]),
            faults=len(what.faults),
            real_seconds=time.monotonic() - start,
        )
    finally:
        signal.alarm(0)
        if not gc.isenabled():
            gc.collect()
    return Outcome(
        seed=what.seed,
        complaints=tuple(verdict.complaints),
        digest=verdict.digest,
        acknowledged=verdict.acknowledged,
        messages=verdict.messages,
        reads=verdict.reads,
        faults=len(what.faults),
        virtual_seconds=verdict.virtual_seconds,
        real_seconds=time.monotonic() - start,
        reached=frozenset(verdict.reached),
        record=tuple(verdict.faults) if verdict.complaints else (),
    )


def _cause(error: BaseException) -> str:
    """The innermost of nested groups, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def survey(
    plans: Iterable[Plan], *, workers: int | None = None, prepare: Callable[[], None] = lambda: None
) -> Iterator[Outcome]:
    """The outcome of each plan, in the order in which they end.  Closing the iterator ends the workers.

    `prepare` is called once in each worker, which is a copy of this process.
    """
    workers = workers or len(os.sched_getaffinity(0))
    waiting: set[Future[Outcome]] = set()
    fork = get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=fork, initializer=_begin, initargs=(prepare,)) as pool:
        try:
            for what in plans:
                waiting.add(pool.submit(outcome, what))
                if len(waiting) >= 2 * workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers
    signal.signal(signal.SIGALRM, _too_long)
    gc.freeze()
    gc.disable()  # a history is short: its garbage is collected at its end, which saves a fifth of all
    prepare()


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"no end after {REAL_SECONDS_MAX} real seconds")


def smallest(what: Plan, *, tries_max: int = 40) -> tuple[Plan, list[int]]:
    """A failing plan with as few faults as `tries_max` runs can find; and the numbers of those left out."""

    def fails(faults: object) -> bool:
        return bool(outcome(msgspec.structs.replace(what, faults=tuple(faults))).complaints)  # type: ignore[call-overload]

    if what.mode == "liveness":
        return what, []  # its one fault is what it is about
    kept = shrunk(what.faults, fails, tries_max=tries_max)
    return (
        msgspec.structs.replace(what, faults=kept),
        [number for number, fault in enumerate(what.faults) if fault not in kept],
    )


def replay(seed: int, left_out: Iterable[int] = (), *, seconds: float | None = None) -> str:
    """The command that runs one history again."""
    without = ",".join(map(str, left_out))
    return (
        f"python -m tests.simulation.endless --seed {seed}"
        + (f" --seconds {seconds:g}" if seconds is not None else "")
        + (f" --without {without}" if without else "")
    )


def told(result: Outcome, *, seconds: float | None = None) -> str:
    """What to print of a history that ended badly."""
    record = [f"  {at:8.2f} {what}" for at, what in result.record[-FAULTS_TOLD:]]
    return "\n".join(
        [
            f"seed {result.seed}:",
            *result.complaints[:COMPLAINTS_TOLD],
            f"replay: {replay(result.seed, seconds=seconds)}",
            *record,
        ]
    )
