"""One node under supervision: its process, whether it is wanted, how it has fared."""

import anyio

from clients.cluster.children import Child
from clients.cluster.events import Event
from clients.cluster.plan import Node


class Keeper:
    """One node's present state: its process, whether it is wanted, how often it was restarted."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.child: Child | None = None
        self.ready = False
        self.restarts = 0
        self.exit_code: int | None = None
        self._wanted = anyio.Event()
        self.gone = anyio.Event()

    @property
    def wanted(self) -> bool:
        return self._wanted.is_set()

    def want(self) -> None:
        self._wanted.set()

    def unwant(self) -> None:
        self._wanted = anyio.Event()

    async def until_wanted(self) -> None:
        await self._wanted.wait()

    def begin(self, child: Child) -> None:
        self.child, self.ready, self.exit_code, self.gone = child, False, None, anyio.Event()

    def end(self, code: int) -> None:
        if self.child is not None:
            self.child.close()
        self.child, self.ready, self.exit_code = None, False, code
        self.gone.set()

    def row(self) -> Event:
        """One line of `recado ps`."""
        child = self.child
        state = "stopped" if child is None else "ready" if self.ready else "starting"
        return {
            "node": self.node.name,
            "role": str(self.node.role),
            "state": state,
            "pid": None if child is None else child.pid,
            "since": None if child is None else round(child.started_at, 3),
            "restarts": self.restarts,
            "exit_code": self.exit_code,
            "endpoints": self.node.endpoints,
        }
