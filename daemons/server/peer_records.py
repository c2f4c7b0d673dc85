"""The peers view of the replica: what this server last knew of the others, for people who look."""

from collections.abc import Mapping

from daemons.server.node import Node
from daemons.shared.periodic import every
from recado.protocol.vector import common
from storage.replica import PeerRow


class PeerRecords:
    """Writes the view seldom, and rides along with other commits where it can."""

    def __init__(self, node: Node, *, offsets_ms: Mapping[str, float]) -> None:
        self._node = node
        self._offsets_ms = offsets_ms
        self._heard: dict[str, float] = {}

    async def run(self) -> None:
        """The task."""
        await every(self._node.config.timings.peer_record_seconds, self.record)

    async def record(self) -> None:
        """One row per peer, if anything of it changed."""
        node = self._node
        for peer in node.peers:
            if peer.name not in node.silent:
                self._heard[peer.name] = node.time.time()
            confirmed = common(node.acks.confirmed[peer.name], node.entries.durable)
            row = PeerRow(
                name=peer.name,
                rank=peer.rank,
                address=peer.address,
                confirmed_entries=sum(confirmed.values()),
                heard_ms=int(self._heard.get(peer.name, 0.0) * 1000),
                offset_ms=self._offsets_ms.get(peer.name),
            )
            node.commits.put_peer(row)
        node.commits.flush_peers()
