"""Servers as processes of their own, without `recado up`: on a disk of the test's choosing, under strace."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plain_client import PlainClient, plain_world
from processes import free_base_port, until

START_SECONDS = 30.0


class ServerProcess:
    """One server of a cluster without reference and broker; `config` is its file."""

    def __init__(self, name: str, *, home: Path, data: Path, address: str, settings: str) -> None:
        self.name = name
        self.data = data
        self.address = address
        self.log = home / f"{name}.log"
        self.config = home / name / "recado.toml"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'[node]\nname = "{name}"\ndata = "{data}"\n[server]\nlisten = "{address}"\n'
            f'[log]\nfile = "{self.log}"\n{settings}'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, under: Sequence[str] = ()) -> None:
        """Start it; `under` is a command that runs it, such as strace."""
        command = [*under, sys.executable, "-m", "daemons.server", "--config", str(self.config)]
        with self.log.with_suffix(".err").open("ab") as errors:
            self.process = subprocess.Popen(command, stderr=errors, process_group=0, env=dict(os.environ))

    def ready(self) -> None:
        """Wait until it serves."""
        before = self.lines("serving") - 1 if self.process is None else 0
        until(lambda: self.lines("serving") > before, seconds=START_SECONDS, what=f"{self.name} serves")

    def lines(self, event: str) -> int:
        """How often the log says so."""
        if not self.log.exists():
            return 0
        return sum(f" {event}" in line for line in self.log.read_text().splitlines())

    def end(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 15.0) -> int:
        """Stop it and whatever runs it; the exit code."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        return self.ended(seconds=seconds)

    def ended(self, *, seconds: float = 15.0) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        code = self.process.wait(seconds)
        self.process = None
        return code

    def close(self) -> None:
        """Whatever happened, nothing is left."""
        if self.process is not None:
            self.end(signal.SIGKILL)


class Servers:
    """A few servers and a plain client at each."""

    def __init__(self, home: Path, names: Sequence[str], *, disks: Mapping[str, Path], settings: str) -> None:
        base = free_base_port(len(names))
        self.addresses = {name: f"tcp://127.0.0.1:{base + n}" for n, name in enumerate(names)}
        members = "".join(
            f'    {{ name = "{name}", rank = {rank}, address = "{address}" }},\n'
            for rank, (name, address) in enumerate(self.addresses.items(), start=1)
        )
        shared = f'[cluster]\nreference = ""\nbrokers = []\nmembers = [\n{members}]\n{settings}'
        self.by_name = {
            name: ServerProcess(
                name, home=home, data=disks.get(name, home / name / "data"), address=address, settings=shared
            )
            for name, address in self.addresses.items()
        }

    def __getitem__(self, name: str) -> ServerProcess:
        return self.by_name[name]


@contextmanager
def servers(
    home: Path, *names: str, disks: Mapping[str, Path] | None = None, settings: str = ""
) -> Iterator[tuple[Servers, dict[str, PlainClient]]]:
    """Servers that are not started yet, and a client for each; at the end nothing of them runs."""
    made = Servers(home, names, disks=disks or {}, settings=settings)
    with plain_world() as world:
        clients = {name: world.client(address) for name, address in made.addresses.items()}
        try:
            yield made, clients
        finally:
            for one in made.by_name.values():
                one.close()


def asked(client: PlainClient, service: str, **fields: Any) -> dict[str, Any]:
    """A reply that is no error."""
    reply = client.ask(service, **fields)
    assert reply.get("status") != "erro", reply
    return reply
