"""The broker's metrics: their families, and their values as they are when somebody asks.

Publications are not counted: in open mode libzmq forwards them in a thread that runs no Python.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from daemons.broker.requests import RoundRobin
from daemons.shared.observe import Observer
from daemons.shared.observe_metrics import Family, Sample
from recado import __version__

FAMILIES: Final = (
    Family("recado_broker_requests_total", "counter", "Requests at the round-robin port."),
    Family("recado_broker_outstanding_requests", "gauge", "Requests taken and not answered yet."),
    Family("recado_broker_servers", "gauge", "Servers behind the round-robin port."),
    Family("recado_broker_servers_answering", "gauge", "Those of them that are not skipped."),
    Family("recado_broker_connections", "gauge", "Only with keys: connections."),
    Family("recado_broker_refused_total", "counter", "Only with keys: what was not let through.", ("why",)),
)
Doors = Callable[[], Mapping[str, Any]]


def show(observer: Observer, port: RoundRobin | None, *, doors: Doors) -> None:
    """Show this broker; `doors`: what it tells of connections."""
    observer.show(FAMILIES, samples=lambda: samples(port, doors()), status=lambda: describe(port, doors()))


def describe(port: RoundRobin | None, doors: Mapping[str, Any]) -> dict[str, Any]:
    """How the broker sees itself."""
    told: dict[str, Any] = {"role": "broker", "version": __version__, **doors}
    if port is not None:
        told |= {"servers": len(port.rotation.servers), "answering": port.rotation.alive}
    return told


def in_words(port: RoundRobin | None) -> str:
    """The same in one line for people."""
    if port is None:
        return "forwards publications; no request port"
    servers = len(port.rotation.servers)
    return f"forwards publications; requests go to {port.rotation.alive} of {servers} servers"


def samples(port: RoundRobin | None, doors: Mapping[str, Any]) -> Iterator[Sample]:
    if port is not None:
        yield Sample("recado_broker_requests_total", port.taken)
        yield Sample("recado_broker_outstanding_requests", port.outstanding)
        yield Sample("recado_broker_servers", len(port.rotation.servers))
        yield Sample("recado_broker_servers_answering", port.rotation.alive)
    if "connections" in doors:
        yield Sample("recado_broker_connections", doors["connections"])
    for why, count in sorted(doors.get("refused", {}).items()):
        yield Sample("recado_broker_refused_total", count, (why,))
