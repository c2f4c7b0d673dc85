"""What the reference's tasks share: the registry, its store, the clock and the log."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

import trio

from daemons.shared.logging import Logger
from recado.protocol.effects import Note
from recado.protocol.lamport import LamportClock
from recado.protocol.registry import Effect, Keep, Registry
from storage.database import DataLocked, StorageFull
from storage.registry import RegistryStore

Wall = Callable[[], float]
# Nothing was kept and trying later may help: the disk is full, or a shell holds the write lock.
NOT_KEPT = (StorageFull, DataLocked)


class Node:
    """The registry in memory and on disk, in step: what is told of ranks was kept before."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        lamport: LamportClock,
        log: Logger,
        expiry_seconds: float,
        wall: Wall = time.time,
    ) -> None:
        self.lamport = lamport
        self.log = log
        self.wall = wall
        self.started_at = trio.current_time()
        self.asked: Counter[str] = Counter()  # requests by service, of those that are offered
        self._store = store
        self._expiry_seconds = expiry_seconds
        self._seen: dict[str, float] = {}  # by name, so no larger than the registry
        self.registry = self._loaded()

    def _loaded(self) -> Registry:
        return Registry(self._store.known(), now=trio.current_time(), expiry_seconds=self._expiry_seconds)

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Keep and log, in order.

        Raises one of `NOT_KEPT` after going back to what is on disk: a rank that was not kept was never
        given.  Going back grants every active server a fresh period; other storage errors are fatal.
        """
        for effect in effects:
            match effect:
                case Keep(record):
                    try:
                        self._store.keep(record, now_seconds=self.wall())
                    except NOT_KEPT:
                        self.registry = self._loaded()
                        raise
                case Note(event, fields):
                    self.lamport.tick()
                    self.log.info(event, **fields)

    def heard(self, name: str) -> None:
        """Remember when a server was last heard, for the next `record`."""
        self._seen[name] = self.wall()

    def record(self) -> None:
        """Write down what `heard` gathered.  What can't be kept is lost: the next heartbeat tells again."""
        seen, self._seen = self._seen, {}
        try:
            self._store.seen(seen)
        except NOT_KEPT as error:
            self.log.warning("last_seen not kept", reason=str(error))

    def expire(self) -> None:
        """Take silent servers off the list."""
        try:
            self.carry_out(self.registry.tick(trio.current_time()))
        except NOT_KEPT as error:
            self.log.warning("expiry not kept", reason=str(error))
