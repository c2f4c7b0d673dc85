"""Hosts for a page of instructions: directories, and `scp`, `ssh`, `systemctl` that know them.

A host is a directory with a home, ``/etc/recado``, ``/etc/credstore`` and ``/var/lib/recado`` in it, and has
a loopback address of its own, so that the usual ports are free.  The daemons are real processes, started as
the units of ``systemd/`` start them, with their keys as credentials; they die with the test process.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

from processes import until
from running_cluster import QUICK, _die_with_the_test

START_SECONDS = 30.0
STOP_SECONDS = 15.0
BLOCK_SECONDS = 120.0
READ_AGAIN = "keys, limits and registration were read again"
NOT_READ = "what was read again can't be used"
DIRECTORIES = ("etc/recado", "etc/credstore", "var/lib/recado")
PORTS = (5555, 5558, 5559, 5560)
_TOOLS = ("scp", "ssh", "systemctl")
_BLOCK = re.compile(r"^```(?P<language>sh|toml) (?P<where>\S+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One block of a page: under which heading, on which host (or for which file), what is typed."""

    heading: str
    language: str
    where: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """The blocks whose fence says where they belong, in the page's order."""
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading = part.partition("\n")[0]
        found += [Block(heading, m["language"], m["where"], m["text"]) for m in _BLOCK.finditer(part)]
    return found


def free_network(hosts: int) -> str:
    """The beginning of a loopback network, ``127.x.y.``, whose first addresses have the usual ports free."""
    while True:
        network = f"127.{SystemRandom().randrange(1, 255)}.{SystemRandom().randrange(1, 255)}."
        try:
            for port in PORTS:
                for number in range(1, hosts + 1):
                    with socket.socket() as probe:
                        probe.bind((f"{network}{number}", port))
        except OSError:
            continue
        return network


class Unit:
    """A daemon of a host, as systemd would run it."""

    def __init__(self, name: str, *, root: Path, environment: dict[str, str]) -> None:
        program, _, instance = name.removesuffix(".service").partition("@")
        node = instance or program.removeprefix("recado-")
        data = root / "var/lib/recado" / node
        words = ["--config", str(root / "etc/recado/recado.toml"), "--set", f"node.data={data}"]
        words += ["--set", f"node.name={instance}"] if instance else []
        self.name = name
        self.log = root / f"{name}.log"
        reading, writing = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"daemons.{program.removeprefix('recado-')}", *words],
                stderr=log,
                env={
                    **environment,
                    **QUICK,
                    "RECADO_READY_FD": str(writing),
                    "CREDENTIALS_DIRECTORY": str(_credentials(root, node, server=bool(instance))),
                },
                pass_fds=[writing],
                preexec_fn=_die_with_the_test,  # noqa: PLW1509  # one call, looked up before the fork
            )
        os.close(writing)
        with open(reading) as ready:
            if not (select.select([ready], [], [], START_SECONDS)[0] and ready.readline()):
                self._process.kill()
                self._process.wait()
                raise RuntimeError(f"{name} did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(STOP_SECONDS)
        if code:
            raise RuntimeError(f"{self.name} ended with {code}:\n{self.log.read_text()[-2000:]}")

    def kill(self, *, wait: bool = True) -> None:
        self._process.kill()
        if wait:
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def reload(self) -> None:
        """SIGHUP; returns when it has been heeded."""
        before = self.log.read_text().count(READ_AGAIN)
        self._process.send_signal(signal.SIGHUP)
        until(
            lambda: self.log.read_text().count(READ_AGAIN) > before or NOT_READ in self.log.read_text(),
            seconds=STOP_SECONDS,
            what=f"{self.name} reads its files again",
        )
        if NOT_READ in self.log.read_text():
            raise RuntimeError(f"{self.name} did not take what it read:\n{self.log.read_text()[-2000:]}")


def _drop_ins(root: Path, name: str) -> dict[str, str]:
    """The environment that the drop-ins of a unit give it."""
    files = (root / f"etc/systemd/system/{name.removesuffix('.service')}.service.d").glob("*.conf")
    lines = [line for file in files for line in file.read_text().splitlines()]
    pairs = [line.removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def _credentials(root: Path, node: str, *, server: bool) -> Path:
    """What the unit's `LoadCredential` lines hand to the daemon."""
    directory = root / "run" / node
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    store = root / "etc/credstore"
    if not (store / "recado.cluster.key").exists():
        return directory  # an open laboratory
    shutil.copy2(store / f"recado.{node}.key", directory / "node.key")
    if server:
        shutil.copy2(store / "recado.cluster.key", directory / "cluster.key")
    return directory


class Hosts:
    """All hosts of a page, below `root`; `run` types a block at one of them."""

    def __init__(self, root: Path, names: list[str], *, network: str) -> None:
        self._root = root
        self._network = network
        self._units: dict[tuple[str, str], Unit] = {}
        self._tools = root / "tools"
        self._tools.mkdir()
        for tool in _TOOLS:
            script = self._tools / tool
            script.write_text(f"#!{sys.executable} -E\n{_CALL}")
            script.chmod(0o755)
        for name in names:
            for directory in ("home", *DIRECTORIES):
                (root / name / directory).mkdir(parents=True)
        self._server = socketserver.UnixStreamServer(str(root / "hosts"), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def environment(self, host: str) -> dict[str, str]:
        """What a shell at this host has."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECADO_", "XDG_"))}
        path = os.pathsep.join([str(self._tools), str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {
            **kept,
            "HOME": str(self._root / host / "home"),
            "HOST": host,
            "HOSTS": str(self._root / "hosts"),
            "PATH": path,
            "RECADO_LANG": "en",
            "RECADO_CONFIG": str(self._root / host / "etc/recado/recado.toml"),
            "RECADO_REFERENCE": f"tcp://{self._network}1:5559",
            "RECADO_SECURITY__ROSTER": str(self._root / host / "etc/recado/roster.toml"),
        }

    def here(self, host: str, text: str) -> str:
        """A text of the page with this host's paths and our addresses."""
        for directory in DIRECTORIES:
            text = text.replace(f"/{directory}", f"{self._root}/{host}/{directory}")
        return text.replace("10.0.0.", self._network)

    def write(self, host: str, name: str, text: str) -> None:
        """A file of the page in somebody's home; paths in it are those of the host that will read it."""
        (self._root / host / "home" / name).write_text(text.replace("10.0.0.", self._network))

    def run(self, host: str, text: str) -> subprocess.CompletedProcess[str]:
        """Type a block at a host."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(host, text)],
            cwd=self._root / host / "home",
            env=self.environment(host),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )

    def burn(self, host: str) -> None:
        """The host is gone, with all that was on it."""
        gone = [self._units.pop(place) for place in list(self._units) if place[0] == host]
        for unit in gone:
            unit.kill(wait=False)
        for unit in gone:
            unit.kill()
        shutil.rmtree(self._root / host)

    def freeze(self, host: str) -> None:
        """Every daemon of the host stands still (SIGSTOP), as if cut off."""
        for unit in self._of(host):
            unit.send(signal.SIGSTOP)

    def thaw(self, host: str) -> None:
        """They go on where they were."""
        for unit in self._of(host):
            unit.send(signal.SIGCONT)

    def _of(self, host: str) -> list[Unit]:
        return [unit for (there, _), unit in self._units.items() if there == host]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for unit in self._units.values():
            unit.kill()

    # What the tools ask for -----------------------------------------------------------------------

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        hosts = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                host, tool, words = json.loads(self.rfile.readline())
                try:
                    said: list[str] | str = hosts._serve(host, tool, words)
                except (OSError, RuntimeError, subprocess.SubprocessError, AssertionError) as error:
                    said = str(error)
                self.wfile.write(json.dumps(said).encode() + b"\n")

        return Handler

    def _serve(self, host: str, tool: str, words: list[str]) -> list[str]:
        """Do it; for `ssh`, the command to run and its environment's changes come back."""
        if tool == "ssh":
            there, *command = words
            moved = [word.replace(f"{self._root}/{host}/", f"{self._root}/{there}/") for word in command]
            changed = self.environment(there)
            names = ("HOME", "HOST", "RECADO_CONFIG", "RECADO_SECURITY__ROSTER")
            return [f"{name}={changed[name]}" for name in names] + moved
        if tool == "scp":
            self._copy(host, [word for word in words if word != "-p"])
        else:
            self._control(host, words[0], words[1:])
        return []

    def _copy(self, host: str, words: list[str]) -> None:
        *sources, target = [self._place(host, word) for word in words]
        for source in sources:
            shutil.copy2(source, target)

    def _place(self, host: str, word: str) -> Path:
        there, colon, path = word.partition(":")
        if not colon:
            return self._root / host / "home" / word
        path = path.replace(f"{self._root}/{host}/", f"{self._root}/{there}/")
        return self._root / there / "home" / path

    def _control(self, host: str, verb: str, patterns: list[str]) -> None:
        if verb == "start":
            for name in patterns:
                self._start(host, name)
            return
        running = [name for there, name in self._units if there == host]
        for name in [name for name in running if any(fnmatch(name, pattern) for pattern in patterns)]:
            if verb == "reload":
                self._units[host, name].reload()
                continue
            self._units.pop((host, name)).stop()
            if verb == "restart":
                self._start(host, name)

    def _start(self, host: str, name: str) -> None:
        root = self._root / host
        environment = {**_drop_ins(root, name), **self.environment(host)}
        self._units[host, name] = Unit(name, root=root, environment=environment)


# What each tool is: it asks the test, and carries out what `ssh` has to.
_CALL = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as end:
    end.connect(os.environ["HOSTS"])
    words = [os.environ["HOST"], os.path.basename(sys.argv[0]), sys.argv[1:]]
    end.sendall(json.dumps(words).encode() + b"\\n")
    said = json.loads(end.makefile().readline())
if isinstance(said, str):
    sys.exit(said)
if said:
    os.execvp("env", ["env", *said])
"""
