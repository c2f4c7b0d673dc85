"""Runs loads: `bench/load/` built with the system's C compiler, or for ours alone a slower one in Python."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from recado.wire.addresses import to_connect

SOURCES = Path(__file__).with_name("load")
USERS, CHANNELS = 64, 16  # as the generator names them: bench-0 …
SATURATED_CORES = 0.9  # a generator that used more was the limit itself; such a round says nothing
TEXT_BYTES = 120
START_SECONDS = 60.0  # to connect a thousand subscribers on a busy machine


class Load(msgspec.Struct, frozen=True):
    """What one load brought.  `answered` counts from the first request on, `measured` after the warm-up.

    Of subscribers `measured` and `rate` are deliveries, and `least_delivered` those of the worst off.
    """

    answered: int
    measured: int
    refused: int
    seconds: float
    rate: float
    p50_us: int
    p99_us: int
    p999_us: int
    generator_cores: float
    max_us: int = 0
    longest_gap_us: int = 0
    repeated: int = 0
    redialled: int = 0
    least_delivered: int = 0

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
    """The generator's command line, compiled once per version of its sources; without a compiler, Python."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return [sys.executable, "-m", "bench.slow_load"]
    sources = sorted(SOURCES.glob("*.[ch]"))
    version = hashlib.blake2b(b"".join(file.read_bytes() for file in sources), digest_size=6).hexdigest()
    binary = Path(tempfile.gettempdir()) / f"recado-load-{version}" / "load"
    if not binary.exists():
        binary.parent.mkdir(exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=binary.parent)) / "load"
        units = [str(file) for file in sources if file.suffix == ".c"]
        subprocess.run([compiler, "-O2", "-o", str(fresh), *units], check=True)
        fresh.rename(binary)
        fresh.parent.rmdir()
    return [str(binary)]


def speaks_all(command: Sequence[str]) -> bool:
    """Whether this is the compiled generator, which speaks the peers' protocols too."""
    return len(command) == 1


def publish(
    command: Sequence[str], protocol: str, endpoints: Sequence[str], **settings: float | str
) -> list[str]:
    """The words of a load of publishes to `endpoints`, ``HOST:PORT`` each; `settings` as in `loop.c`."""
    return [*command, "publish", protocol, ",".join(endpoints), *_words({"bytes": TEXT_BYTES, **settings})]


def finish(words: Sequence[str], *, timeout_seconds: float) -> Load:
    """Run a load to its end.  Raises `RuntimeError` with what the generator said if it could not be run."""
    done = subprocess.run(
        words,
        cwd=SOURCES.parents[1],  # where the generator in Python finds its modules
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words[1:])}: {done.stderr.strip() or 'nothing was answered'}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """The line of JSON that a generator ends with."""
    return msgspec.convert(json.loads(output.splitlines()[-1]), Load)


def run(
    command: Sequence[str],
    address: str,
    shape: Shape,
    *,
    seconds: float,
    warm_seconds: float = 0.2,
    text_bytes: int = TEXT_BYTES,
    protocol: str = "recado",
) -> Load:
    """One closed loop against one of our servers, by its address.  Raises `RuntimeError` as `finish` does."""
    parts = to_connect(address)
    words = publish(
        command,
        protocol,
        [f"{parts.host}:{parts.port}"],
        connections=shape.connections,
        window=shape.window,
        warm=warm_seconds,
        seconds=seconds,
        bytes=text_bytes,
    )
    return finish(words, timeout_seconds=seconds + 30)


class Subscribers:
    """So many connections that listen, counted by the same generator; a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        protocol: str,
        endpoints: Sequence[str],
        *,
        connections: int,
        count: int,
        patience: float = 3.0,
    ) -> None:
        words = _words({"connections": connections, "count": count, "patience": patience})
        self._words = [*command, "subscribe", protocol, ",".join(endpoints), *words]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._expect("connected")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.communicate()

    def hearing(self) -> None:
        """Wait until every connection has heard something."""
        self._expect("hearing")

    def finish(self, *, timeout_seconds: float = 120.0) -> Load:
        """Wait until all is there, or nothing comes any more."""
        output, errors = self._process.communicate(timeout=timeout_seconds)
        if not output:
            raise RuntimeError(f"{' '.join(self._words[1:])}: {errors.strip()}")
        return parse(output)

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        if (line := self._process.stdout.readline().strip()) != word:
            errors = self._process.communicate()[1].strip()
            raise RuntimeError(f"{' '.join(self._words[1:])}: {line or errors}, {word} expected")


def _words(settings: dict[str, float | str]) -> list[str]:
    return [f"{name}={value}" for name, value in settings.items() if value != ""]
