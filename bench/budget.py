"""What a message may cost, told in a unit that slow and crowded machines share.

One unit is the processor time of `unit_of_work`: Python and a hash, about what the hot path is made of.
A machine at half the speed takes twice the time for both, so their ratio is stable where times and
rates are not.  `budget.json` holds the ratios that may not be exceeded, 1.5 to 2 times what was
measured when they were written: a guard against a step that became twice as dear, not against noise.
"""

import hashlib
import json
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import generator
from bench.generator import Shape
from bench.serving import serving

FILE = Path(__file__).with_name("budget.json")
_TURNS = 20_000


class Cost(NamedTuple):
    """Processor time of one message: in microseconds, and in units of work at the same moment."""

    processor_us: float
    units: float


def unit_of_work(number: int) -> int:
    """Names, a small map and a hash, as every message needs them."""
    fields = {"user": f"user-{number}", "text": "x" * 120, "count": number}
    body = "|".join(f"{key}={value}" for key, value in fields.items()).encode()
    return len(hashlib.blake2b(body, digest_size=16).digest()) + len(body)


def unit_us() -> float:
    """Processor time of one unit now, in microseconds."""
    start = time.process_time()
    for number in range(_TURNS):
        unit_of_work(number)
    return (time.process_time() - start) / _TURNS * 1e6


def budgets() -> dict[str, float]:
    """Load → units that one message may cost."""
    found: dict[str, float] = json.loads(FILE.read_text("utf-8"))
    return found


def cost(directory: Path, shape: Shape, *, rounds: int, seconds: float, protocol: str = "recado") -> Cost:
    """The median of a few rounds against one server, the unit measured before and after each."""
    command = generator.build()
    times, units = [], []
    with serving(directory) as server:
        for _ in range(rounds):
            unit = unit_us()
            before = server.processor_seconds()
            load = generator.run(command, server.address, shape, seconds=seconds, protocol=protocol)
            used = (server.processor_seconds() - before) / load.answered * 1e6
            times.append(used)
            units.append(used / ((unit + unit_us()) / 2))
    return Cost(median(times), median(units))
