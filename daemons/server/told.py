"""What a server tells whoever runs it as a service: when its start is over, how it is, what hangs.

The start is over when it serves *and* has asked each peer once what is missing here; a peer that is down
counts as asked when its deadline has passed, and a large synchronisation is waited for no longer than
`FIRST_SYNC_SECONDS`.  It serves before that all the same.
"""

from typing import Any, Final

import trio

from daemons.server.node import Node
from daemons.server.status import lag_of
from daemons.shared.process import Life

FIRST_SYNC_SECONDS: Final = 10.0
PEERS_TOLD_MAX: Final = 8


class Told:
    """Made as soon as the node is open; it gives the `life` its words."""

    def __init__(self, node: Node, life: Life) -> None:
        self._node = node
        self._life = life
        life.words = self.words
        life.vital.append(self.hangs)

    async def announce(self) -> None:
        """The task: say that the start is over, when it is."""
        with trio.move_on_after(FIRST_SYNC_SECONDS):
            await self._node.first_tries.all_made.wait()
        await self._life.served.wait()
        self._life.announce()

    def hangs(self) -> str:
        """Whether the writer has waited for the disk for so long that it will not come back."""
        since = self._node.commits.attempt_since
        seconds = 0.0 if since is None else trio.current_time() - since
        if seconds <= self._node.config.disk.hung_seconds:
            return ""
        return f"the disk has not answered a commit for {seconds:.0f} s"

    def words(self) -> str:
        """Role, peers, disk: ``leads in epoch 7; server-2 in step, server-3 silent; 512 entries``."""
        node = self._node
        parts = [self._role(), self._peers()]
        if node.bootstrap is not None:
            parts.append(f"taking a snapshot: {node.bootstrap.get('phase')}")
        if node.disk_state != "ok":
            parts.append(f"the disk is {node.disk_state}, writes are refused")
        parts.append(f"{sum(node.entries.durable.values())} entries")
        return "; ".join(part for part in parts if part)

    def fields(self) -> dict[str, Any]:
        """What every line of the journal bears, unless it says otherwise itself."""
        return {"epoch": self._node.epoch_number}

    def _role(self) -> str:
        node = self._node
        if node.coordinator is None:
            return "no coordinator"
        if node.coordinator == node.name:
            return f"leads in epoch {node.epoch_number}"
        return f"follows {node.coordinator} in epoch {node.epoch_number}"

    def _peers(self) -> str:
        node = self._node
        told = [f"{peer.name} {self._peer(peer.name)}" for peer in node.peers[:PEERS_TOLD_MAX]]
        more = len(node.peers) - len(told)
        return ", ".join([*told, *([f"{more} more"] if more else [])])

    def _peer(self, name: str) -> str:
        if self._node.first_tries.left_for(name):
            return "not asked yet"
        if name in self._node.silent:
            return "silent"
        lag = lag_of(self._node, name)
        return f"{lag} behind" if lag else "in step"
