"""Ours, in the same form as the peers: one server, three, one with a broker."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from bench.members import Members
from bench.peers.base import Contender, Peer, Running
from recado import __version__


class _Recado(Peer, frozen=True):
    def missing(self) -> None:
        """It is always here."""

    def version(self) -> str:
        return __version__


@contextmanager
def _start(servers: int, broker: bool, directory: Path) -> Iterator[Running]:
    with Members(directory, servers=servers, broker=broker) as members:
        yield members.running()


@contextmanager
def _start_bus(directory: Path) -> Iterator[Running]:
    """The same, publishing past the server: what the broker alone spreads."""
    with Members(directory, servers=1, broker=True) as members:
        running = members.running()
        yield Running([members.endpoint(0, "xsub")], running.sessions, running.listening)


def _peer(
    name: str, promise: str, start: Callable[[Path], AbstractContextManager[Running]] | None = None
) -> Peer:
    return _Recado(name, promise, "this checkout", "python", [], start or _start_bus)


ONE_SERVER = _peer("Recado", "answered after its commit is fsynced; one copy", partial(_start, 1, False))
THREE_SERVERS = _peer(
    "Recado, 3 servers", "quorum: answered after two of three have fsynced it", partial(_start, 3, False)
)
WITH_BROKER = _peer("Recado with a broker", "published after its commit is fsynced", partial(_start, 1, True))
BUS_ONLY = _peer("Recado's broker alone", "nothing is kept: publications past the server")

LONG = Contender("Recado", ONE_SERVER, "recado")
SHORT = Contender(
    "Recado, short form",
    ONE_SERVER,
    "recado-short",
    promise="the same, requests in one frame instead of two, as between programs of ours",
)
MANY = Contender(
    "Recado, many to a request",
    ONE_SERVER,
    "recado-many",
    promise="the same, what a connection has to ask goes out as one request; each publish has its answer",
)
QUORUM = Contender("Recado, quorum of 3", THREE_SERVERS, "recado-short", level="quorum")
QUORUM_MANY = Contender(
    "Recado, quorum of 3, many to a request", THREE_SERVERS, "recado-many", level="quorum"
)
LOCAL = Contender(
    "Recado, 3 servers, local",
    THREE_SERVERS,
    "recado-short",
    level="local",
    promise="local: answered after one has fsynced it, the others follow",
)
SPREAD = Contender("Recado, through the server", WITH_BROKER, "recado-short")
SPREAD_IN_RUNS = Contender(
    "Recado, through the server, our clients",
    WITH_BROKER,
    "recado-many",
    promise="the same, many to a request and to a publication, as between programs of ours",
)
BUS = Contender("Recado's broker alone", BUS_ONLY, "recado-pub")
