"""Audits of one subscription (E8): several targets' questions in one, asked of all members at once."""

import anyio

from recado.connection import Connection
from recado.follower import Follower
from recado.protocol.subscription import Audit
from recado.protocol.vector import Vector, merge

GATHER_SECONDS = 0.1  # a server that comes back concerns all targets within a moment


class Auditor:
    """Its task `run` answers every follower that asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Follower, Audit]] = []
        self._wake = anyio.Event()

    def ask(self, follower: Follower, audit: Audit) -> None:
        self._waiting.append((follower, audit))
        self._wake.set()

    async def run(self) -> None:
        """The task: ends with the connection (`Closed`)."""
        while True:
            await self._wake.wait()
            await anyio.sleep(GATHER_SECONDS)
            self._wake = anyio.Event()
            waiting, self._waiting = self._waiting, []
            asked: Vector = {}
            for _, audit in waiting:
                merge(asked, audit.have)
            most = await self._connection.audit(asked)
            if most is not None:
                session = self._connection.session
                session.release({o: n for o, n in session.vector.items() if o in asked}, most)
            for follower, _ in waiting:
                follower.audited(most)
