"""Runs a load against one server: `load.c` built with the system's C compiler, or a slower one in Python."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from recado.wire.addresses import to_connect

SOURCE = Path(__file__).with_name("load.c")
USERS, CHANNELS = 64, 16  # as `load.c` names them: bench-0 …
SATURATED_CORES = 0.9  # a generator that used more was the limit itself; such a round says nothing


class Load(msgspec.Struct, frozen=True):
    """What one load brought.  `answered` counts from the first request on, `measured` after the warm-up."""

    answered: int
    measured: int
    refused: int
    seconds: float
    rate: float
    p50_us: int
    p99_us: int
    p999_us: int
    generator_cores: float

    @property
    def saturated(self) -> bool:
        """Whether the generator, not the server, may have been the limit."""
        return self.generator_cores > SATURATED_CORES


class Shape(msgspec.Struct, frozen=True):
    """`connections` closed loops, each with `window` requests out."""

    connections: int
    window: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.window}"


def build() -> list[str]:
    """The generator's command line, compiled once per version of its source; without a compiler, Python."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return [sys.executable, "-m", "bench.slow_load"]
    name = f"recado-load-{hashlib.blake2b(SOURCE.read_bytes(), digest_size=6).hexdigest()}"
    binary = Path(tempfile.gettempdir()) / name / "load"
    if not binary.exists():
        binary.parent.mkdir(exist_ok=True)
        fresh = binary.with_suffix(".new")
        subprocess.run([compiler, "-O2", "-o", str(fresh), str(SOURCE)], check=True)
        fresh.rename(binary)
    return [str(binary)]


def run(
    command: Sequence[str],
    address: str,
    shape: Shape,
    *,
    seconds: float,
    warm_seconds: float = 0.2,
    text_bytes: int = 120,
) -> Load:
    """One load.  Raises `RuntimeError` with what the generator said if it could not be run."""
    parts = to_connect(address)
    words = [parts.host, parts.port, shape.connections, shape.window, warm_seconds, seconds, text_bytes]
    done = subprocess.run(
        [*command, *map(str, words)],
        cwd=SOURCE.parents[1],  # where the generator in Python finds its modules
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 30,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{shape} against {address}: {done.stderr.strip() or 'nothing was answered'}")
    return msgspec.convert(json.loads(done.stdout), Load)
