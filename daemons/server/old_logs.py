"""What a server wrote before its cluster was secured is signed, once, at its first secured start.

Until then no peer is given it.  A log whose node had left by then nobody can sign: who has it keeps it,
who lacks it never gets it, so a cluster is secured while all its members are there.
"""

from typing import Final

import trio

from daemons.server.node import Node
from daemons.server.signing import Proofs
from storage.replica import Damaged

RETRY_SECONDS: Final = 60.0  # before a log that could not be signed is looked at again


class OldLogs:
    """The task `run`."""

    def __init__(self, proofs: Proofs, *, node: Node) -> None:
        self._proofs = proofs
        self._node = node

    async def run(self) -> None:
        """The task: ends when every log of this node is signed to its end."""
        node = self._node
        while True:
            # The origin of this start is not among them: its signatures are in its own commits.
            unsigned = node.store.unsigned_origins(node.name)
            left = [origin for origin in unsigned if not await self._sign(origin)]
            if not left:
                return
            await trio.sleep(RETRY_SECONDS)

    async def _sign(self, origin: str) -> bool:
        """Whether it is signed to its end now."""
        node, count = self._node, 0
        try:
            for seq, chained in node.store.signing_points(origin):
                node.commits.put_signature(origin, seq, self._proofs.sign(origin, seq, chained))
                if not await node.commits.durable():
                    return False
                count += 1
        except Damaged as damaged:
            node.log.error("an old log is damaged, its rest is not signed", origin=origin, seq=damaged.seq)
            node.damaged(damaged.origin, damaged.seq)
            return False
        node.log.info("an old log of this server is signed", origin=origin, signatures=count)
        node.nudge(None)
        return True
