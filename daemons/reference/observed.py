"""The reference's metrics: their families, and their values as they are when somebody asks."""

from collections.abc import Iterator
from typing import Final

from daemons.reference.node import Node
from daemons.reference.requests import describe
from daemons.shared.observe import Observer
from daemons.shared.observe_metrics import Family, Sample

FAMILIES: Final = (
    Family("recado_reference_requests_total", "counter", "Requests to the reference.", ("service",)),
    Family("recado_reference_active_servers", "gauge", "Servers in its list."),
    Family("recado_reference_known_servers", "gauge", "Servers that ever got a rank."),
)


def show(observer: Observer, node: Node) -> None:
    """Show this reference."""
    observer.show(FAMILIES, samples=lambda: samples(node), status=lambda: describe(node))


def in_words(node: Node) -> str:
    """The same in one line for people."""
    return f"lists {len(node.registry.active())} of {node.registry.known} known servers"


def samples(node: Node) -> Iterator[Sample]:
    for service, count in sorted(node.asked.items()):
        yield Sample("recado_reference_requests_total", count, (service,))
    yield Sample("recado_reference_active_servers", len(node.registry.active()))
    yield Sample("recado_reference_known_servers", node.registry.known)
