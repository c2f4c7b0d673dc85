"""Loads that alternate between Recado and its peers, all of them running at once in one directory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import msgspec

from bench import generator
from bench.disk import fdatasync_us
from bench.generator import Load, Shape
from bench.peers import etcd, nats, rabbitmq, recado, redis
from bench.peers.base import Contender, Running
from bench.rounds import Round, Sample, is_steady
from bench.serving import HERE

PUBLISH = (recado.SHORT, recado.LONG, recado.MANY, redis.STREAMS, nats.ONE_COPY, rabbitmq.QUEUE)
REPLICATED = (recado.QUORUM, recado.QUORUM_MANY, recado.LOCAL, recado.SHORT, nats.THREE_COPIES, etcd.QUORUM)
SHAPES = tuple(Shape(*pair) for pair in ((1, 1), (16, 1), (64, 1), (256, 1), (1, 256), (8, 64)))
QUICK_SHAPES = tuple(Shape(*pair) for pair in ((1, 1), (64, 1), (8, 64)))
WARM_SECONDS = 0.2


class Measured(msgspec.Struct, frozen=True):
    """All rounds in one directory.  `contenders`: those that ran, ours first; `versions` and `promises` by
    contender; `left_out`: why others did not run."""

    what: str
    directory: str
    contenders: list[str]
    versions: dict[str, str]
    promises: dict[str, str]
    left_out: list[str]
    rounds: list[Round]


Ask = Callable[[Contender, Running], tuple[Load, int, int]]  # load, messages it cost, deliveries lost


def publish(
    what: str,
    directory: Path,
    *,
    contenders: Sequence[Contender],
    shapes: Sequence[Shape],
    rounds: int,
    seconds: float,
    again: int = 0,
) -> Measured:
    """Closed loops of durable publishes, as `alternate` does them.  Needs the compiled generator."""
    command = generator.build()

    def load(shape: Shape) -> Ask:
        def ask(contender: Contender, running: Running) -> tuple[Load, int, int]:
            words = generator.publish(
                command,
                contender.protocol,
                running.endpoints,
                connections=shape.connections,
                window=shape.window,
                warm=WARM_SECONDS,
                seconds=seconds,
                level=contender.level,
            )
            done = generator.finish(words, timeout_seconds=seconds + 60)
            if done.refused:
                raise RuntimeError(f"{done.refused} of {done.answered} publishes were refused")
            return done, done.answered, 0

        return ask

    with everybody(directory, contenders) as (present, left_out):
        plan = [(str(shape), load(shape), _fitting(present, shape)) for shape in shapes]
        return alternate(
            what, directory, plan=plan, present=present, left_out=left_out, rounds=rounds, again=again
        )


Present = dict[str, tuple[Contender, Running]]
Plan = Sequence[tuple[str, Ask, Sequence[str]]]  # a load's name, how, and who takes part


def alternate(
    what: str,
    directory: Path,
    *,
    plan: Plan,
    present: Present,
    left_out: list[str],
    rounds: int,
    again: int = 0,
) -> Measured:
    """Each load against each contender in turn, forwards in one round and backwards in the next.

    `again`: so many more rounds at most of loads during which the disk changed its state.
    """
    done = []
    steady = dict.fromkeys((shape for shape, _, _ in plan), 0)
    for number in range(rounds + again):
        for shape, ask, names in plan:
            if steady[shape] == rounds:
                continue
            order = list(names)[:: 1 if number % 2 == 0 else -1]
            done.append(_round(shape, directory, ask=ask, members=[present[name] for name in order]))
            steady[shape] += is_steady(done[-1])
    contenders = {name: contender for name, (contender, _) in present.items()}
    return Measured(
        what,
        str(directory.relative_to(HERE) if directory.is_relative_to(HERE) else directory),
        list(present),
        {name: one.peer.version() for name, one in contenders.items()},
        {name: one.promise or one.peer.promise for name, one in contenders.items()},
        left_out,
        done,
    )


@contextmanager
def everybody(directory: Path, contenders: Sequence[Contender]) -> Iterator[tuple[Present, list[str]]]:
    """Those that are installed, running, each peer once; and a line for each that is not."""
    present: Present = {}
    left_out: list[str] = []
    with ExitStack() as stack:
        started: dict[str, Running] = {}
        for contender in contenders:
            peer = contender.peer
            if (why := peer.missing()) is not None:
                left_out.append(why)
                click.echo(f"left out: {why}", err=True)
                continue
            if peer.name not in started:
                started[peer.name] = stack.enter_context(peer.started(directory))
            present[contender.name] = (contender, started[peer.name])
        yield present, left_out


def _fitting(present: Present, shape: Shape) -> list[str]:
    return [name for name, (contender, _) in present.items() if shape.window <= contender.window_max]


def _round(shape: str, directory: Path, *, ask: Ask, members: Sequence[tuple[Contender, Running]]) -> Round:
    samples, failed = [], {}
    before = fdatasync_us(directory)
    for contender, running in members:
        used = running.processor_seconds()
        try:
            load, messages, lost = ask(contender, running)
        except RuntimeError as error:
            failed[contender.name] = str(error)
            click.echo(f"{shape}: {contender.name} failed: {error}", err=True)
            continue
        used = running.processor_seconds() - used
        after = fdatasync_us(directory)
        samples.append(
            Sample(
                contender.name,
                load,
                [before, after],
                used / max(messages, 1) * 1e6,
                running.resident_mib(),
                lost,
            )
        )
        before = after
    return Round(shape, samples, failed)
