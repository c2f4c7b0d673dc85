"""The heartbeat task: asks the reference for the rank once, then beats.  Nothing waits for it."""

from daemons.server.asking import Unanswered, ask
from daemons.server.node import Node
from daemons.shared.periodic import every
from recado.wire.ports import Asker


class Heartbeat:
    """Keeps this server in the reference's list; a dead reference is only logged."""

    def __init__(self, node: Node, reference: Asker) -> None:
        self._node = node
        self._reference = reference
        self._registered = False
        self._silent = False

    async def run(self) -> None:
        """The task."""
        await every(self._node.config.timings.heartbeat_seconds, self.beat, at_once=True)

    async def beat(self) -> None:
        """One heartbeat, registering first if the reference has not given the rank yet."""
        try:
            if not self._registered:
                await self._register()
            await self._ask("heartbeat", load=self._node.commits.backlog)
        except Unanswered:
            if not self._silent:
                self._node.log.warning("reference is silent, going on without it")
            self._silent = True
            return
        if self._silent:
            self._node.log.info("reference answers again")
        self._silent = False

    async def _register(self) -> None:
        node = self._node
        reply = await self._ask("rank")
        rank = reply.get("rank")
        node.log.info("rank assigned", rank=rank)
        if rank != node.rank:
            node.log.warning("the reference's rank differs from the members' list", configured=node.rank)
        self._registered = True

    async def _ask(self, service: str, **fields: object) -> dict[str, object]:
        node = self._node
        member = node.config.member(node.name)
        address = node.config.node.advertise or (member.address if member else node.config.server.listen)
        return await ask(
            node,
            self._reference,
            service,
            {
                "user": node.name,
                "address": address,
                # With each heartbeat: a reference that lost its file gives the old rank back.
                "rank_hint": node.config.server.rank or node.rank,
                "coordinator": node.coordinator,
                **fields,
            },
            deadline_seconds=node.config.timings.peer_deadline_seconds,
        )
