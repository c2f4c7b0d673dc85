"""Where the processor time of a publish goes in a running server, step by step."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench import generator
from bench.generator import Shape
from bench.peers import recado
from bench.serving import serving

LOOP = "event loop, routing frames, everything else"
IO_THREAD = "ZeroMQ's thread: TCP and ZMTP"
OTHERS = "worker thread besides the commit itself"


class Step(msgspec.Struct, frozen=True):
    """Processor time of one step per message, and how many messages one call handled."""

    name: str
    processor_us: float
    messages_per_call: float | None = None


class Steps(msgspec.Struct, frozen=True):
    """All steps under one load, in requests of that form."""

    shape: str
    protocol: str
    rate: float
    total_us: float
    steps: list[Step]


def measure(directory: Path, *, shape: Shape, seconds: float, protocol: str = recado.SHORT.protocol) -> Steps:
    """One load against a server that measures itself; with `recado-many` of requests of many publishes."""
    with TemporaryDirectory(prefix="recado-steps-") as place:
        file = Path(place) / "steps.json"
        with serving(directory, module="bench.stepped_server", arguments=[str(file)]) as server:
            before = threads(server.pid)
            load = generator.run(generator.build(), server.address, shape, seconds=seconds, protocol=protocol)
            used = {n: us - before.get(n, 0.0) for n, us in threads(server.pid).items()}
        spent: dict[str, list[float]] = json.loads(file.read_text("utf-8"))
    count = load.answered
    steps = [Step(name, us / count, count / calls) for name, (us, calls) in spent.items() if calls]
    inside = {step.name: step.processor_us for step in steps}
    commit = sum(us for name, us in inside.items() if name.startswith("commit"))
    main = used.pop("main") / count
    sockets = sum(used.pop(name) for name in list(used) if name.startswith("ZMQ")) / count
    steps.append(Step(LOOP, main - (sum(inside.values()) - commit)))
    steps.append(Step(OTHERS, max(0.0, sum(used.values()) / count - commit)))
    steps.append(Step(IO_THREAD, sockets))
    return Steps(str(shape), protocol, load.rate, sum(step.processor_us for step in steps), steps)


def threads(pid: int) -> dict[str, float]:
    """Processor time of each thread of a process in microseconds: ``main``, others by name and number."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        number = int(task.name)
        name = "main" if number == pid else f"{(task / 'comm').read_text().split('/')[0].strip()} {number}"
        # The worker thread is renamed by its work, so only ZeroMQ's are told by name.
        key = name if name == "main" or name.startswith("ZMQ") else str(number)
        found[key] = int((task / "schedstat").read_text().split()[0]) / 1000
    return found


def table(found: list[Steps]) -> Iterator[str]:
    """One block per load."""
    for steps in found:
        load = f"{steps.protocol} {steps.shape}, {steps.rate:,.0f}/s"
        yield f"Processor time of a publish, {load}: {steps.total_us:.1f} us"
        for step in steps.steps:
            batch = f"{step.messages_per_call:6.0f} a call" if step.messages_per_call else ""
            yield f"  {step.name:46} {step.processor_us:6.2f} {batch}"
