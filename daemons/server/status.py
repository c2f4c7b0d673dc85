"""How a server sees itself and the cluster: the service `status`, and the page of that name."""

from typing import Any

from daemons.server.node import Node
from recado import __version__
from recado.contradictions import exposed
from recado.protocol.vector import ahead
from recado.settings import Member
from storage.schema import STEPS

INSECURE_TEXT = "Quem alcança estas portas escreve em nome de qualquer um (security.insecure)"


def describe(node: Node) -> dict[str, Any]:
    """All of it; docs/protocol.md says what each is."""
    durable = node.entries.durable
    return {
        "server": node.name,
        "cluster": node.config.cluster.id,
        "version": __version__,
        "wire": node.versions.ours,
        "schema": len(STEPS),
        "boot": node.boot,
        "uptime": max(0, _wall_ms(node) - node.meters.started_ms) // 1000,
        "rank": node.rank,
        "coordinator": node.coordinator or "",
        "coordinator_since": _coordinator_since(node),
        "epoch": node.epoch_number,
        **node.election(),
        "of": node.acks.of,
        "members": [member.name for member in node.members],
        "brokers": [broker.xpub for broker in node.config.cluster.brokers],
        "reference": node.config.cluster.reference,
        "peers": [_peer(node, peer) for peer in node.peers],
        "strangers": [{"name": name, "cluster": cluster} for name, cluster in sorted_strangers(node)],
        "entries": sum(durable.values()),
        "origins": len(durable),
        **_clocks(node),
        "waiting": node.acks.waiting,
        "backlog": node.commits.backlog,
        "bootstrap": node.bootstrap,
        "damaged": node.damage(),
        "outside_writes": node.outside_writes,
        "disk": node.disk_state,
        "room": None if node.meters.room is None else node.meters.room._asdict(),
        "security": _security(node),
        "search": node.search_state(),
    }


def lag_of(node: Node, peer: str) -> int:
    """Entries here that the peer has not confirmed."""
    confirmed = node.acks.confirmed[peer]
    missing = ahead(node.entries.durable, confirmed)
    return sum(seq - confirmed.get(origin, 0) for origin, seq in missing.items())


def sorted_strangers(node: Node) -> list[tuple[str, str]]:
    """(name, cluster id) as they said them; "" for what they did not say."""
    return sorted((str(name or ""), str(cluster or "")) for name, cluster in node.strangers())


def _wall_ms(node: Node) -> int:
    return int(node.surroundings.wall() * 1000)


def _coordinator_since(node: Node) -> int | None:
    since = node.meters.coordinator_since_ms
    return None if since is None else since // 1000


def _clocks(node: Node) -> dict[str, Any]:
    """The offset of the shown time from the system's; of the others' clocks only the coordinator knows."""
    told: dict[str, Any] = {"offset_ms": round(node.time.offset * 1000, 3), "wall_ms": _wall_ms(node)}
    if node.acting():
        told |= {"clocks": dict(node.meters.offsets_ms), "spread_ms": node.spread_ms()}
    return told


def _security(node: Node) -> dict[str, Any]:
    """How protected this server is; `warning` is for people to see."""
    told: dict[str, Any] = {"mode": "open", "rate_limited": node.rationing.refused, **node.doors()}
    if node.security is not None:
        registration = node.in_force.config.security.registration
        return {**told, "mode": "secured", "registration": registration}
    reachable = exposed(node.config)
    if reachable:
        told |= {"mode": "insecure", "warning": INSECURE_TEXT, "exposed": list(reachable)}
    return told


def _peer(node: Node, peer: Member) -> dict[str, Any]:
    return {
        "name": peer.name,
        "address": peer.address,
        "rank": peer.rank,
        "lag": lag_of(node, peer.name),
        "silent": peer.name in node.silent,
        "wire": node.versions.heard.get(peer.name),
    }
