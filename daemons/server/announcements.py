"""Announcements: own messages to the broker after their commit, beacons, and the topic `servers`.

A publication is a hint (A38): a broker that is down, or a queue that is full, loses it, and
subscribers repair the gap from the history.  Beacons tell them of a gap they can't see.
"""

from collections import deque
from collections.abc import Sequence

import trio

from daemons.server.durability import Durability
from daemons.server.election import Elections, epoch_of
from daemons.server.node import Node
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import WINDOW_ENTRIES_MAX
from recado.protocol.messages import Entry, Epoch, Kind
from recado.protocol.names import UNKNOWN_NAME
from recado.protocol.publications import (
    BEACON_TOPIC,
    COORDINATOR_TOPIC,
    beacon,
    channel_message,
    coordinator_announcement,
    target_key,
    topic,
    user_message,
)
from recado.wire.ports import Publication, Publisher, Subscriber

QUIET_SECONDS = 0.2  # a beacon follows this long after the last publication
HEADS_MAX = 256  # targets told of in a beacon: those that changed last
HEADS_OF_TARGET_MAX = 4  # and of each the origins that wrote to it last
MESSAGES_LOOKED_AT = 1000  # at the start, for the heads that beacons tell
_SAID = (Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE)
QUEUE_MAX = 4 * WINDOW_ENTRIES_MAX


class Announcements:
    """The tasks `publish`, `beacons` and `listen`."""

    def __init__(self, node: Node, elections: Elections, *, out: Publisher, inward: Subscriber) -> None:
        self._node = node
        self._elections = elections
        self._out = out
        self._in = inward
        self._queue: deque[Entry] = deque(maxlen=QUEUE_MAX)
        self._fresh = trio.Event()
        self._published = trio.Event()
        self._heads: dict[str, dict[str, int]] = {}
        # The last publications before a start may have been lost with it, and with the broker (E3).
        for target, origin, seq in node.store.last_heads(messages_max=MESSAGES_LOOKED_AT):
            self._remember(target, origin, seq)
        self._durability = Durability(node)
        node.commits.followers.append(self._committed)
        elections.announce = self.announce_coordinator
        inward.subscribe(COORDINATOR_TOPIC)

    def _committed(self, entries: Sequence[Entry]) -> None:
        mine = self._node.entries.mine
        fresh = [e for e in entries if e.origin == mine and e.kind in _SAID]
        if fresh:
            self._queue.extend(fresh)
            self._fresh.set()
        if len(fresh) < len(entries):
            # Of others too: who has died after an answer may not have published what was answered.
            others = {(e.origin, e.target): e for e in entries if e.origin != mine and e.kind in _SAID}
            for entry in others.values():
                self._remember(entry.target or b"", entry.origin, entry.seq)

    async def publish(self) -> None:
        """The task: what is committed goes to the broker, a batch at a time."""
        while True:
            if not self._queue:
                self._fresh = trio.Event()
                await self._fresh.wait()
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            self._publish_batch(batch)
            self._published.set()
            if self._queue:
                await trio.lowlevel.checkpoint()

    async def published(self) -> None:
        """Wait until nothing is left to publish."""
        while self._queue:
            await trio.lowlevel.checkpoint()

    def _publish_batch(self, batch: list[Entry]) -> None:
        # Own entries were checked before they were appended: each of them can be shown.
        made = [self._publication(entry) for entry in batch]
        self._out.publish([publication for publication in made if publication is not None])
        for entry in {entry.target: entry for entry in batch}.values():
            self._remember(entry.target or b"", entry.origin, entry.seq)

    def _publication(self, entry: Entry) -> Publication | None:
        """None if the topic is not known: the receiver, of whom nobody told, has no name yet."""
        name_of = self._node.directory.name_of
        author = name_of(entry.author)
        if isinstance(entry.target, str):
            body = channel_message(entry, user=author)
            return Publication(topic(entry.target), codec.pack(body))
        dst = name_of(entry.target)
        if dst == UNKNOWN_NAME:
            return None
        return Publication(topic(dst), codec.pack(user_message(entry, src=author, dst=dst)))

    def _remember(self, target: str | bytes, origin: str, seq: int) -> None:
        key = target_key(target)
        of_target = self._heads.pop(key, {})
        of_target.pop(origin, None)
        of_target[origin] = seq
        if len(of_target) > HEADS_OF_TARGET_MAX:
            del of_target[next(iter(of_target))]
        self._heads[key] = of_target
        if len(self._heads) > HEADS_MAX:
            del self._heads[next(iter(self._heads))]

    async def beacons(self) -> None:
        """The task: every `beacon_seconds`, and soon after a burst of publications has ended."""
        period = self._node.config.timings.beacon_seconds
        while True:
            with trio.move_on_after(period):
                await self._published.wait()
                while self._published.is_set():
                    self._published = trio.Event()
                    await trio.sleep(QUIET_SECONDS)
            self._published = trio.Event()
            self._out.publish([Publication(BEACON_TOPIC, codec.pack(self._beacon()))])

    def _beacon(self) -> dict[str, object]:
        node = self._node
        vectors = self._durability.vectors()
        return beacon(
            server=node.name,
            boot=node.boot,
            heads=self._heads,
            vector=vectors["vector"],
            majority=vectors["majority"],
            everywhere=vectors["all"],
            timestamp=int(node.time.time()),
            clock=node.clock.tick(),
        )

    def announce_coordinator(self, epoch: Epoch) -> None:
        """B7: publish on `servers` that this server coordinates."""
        body = coordinator_announcement(
            epoch.name, timestamp=int(self._node.time.time()), clock=self._node.clock.tick(), epoch=epoch
        )
        self._out.publish([Publication(COORDINATOR_TOPIC, codec.pack(body))])

    async def listen(self) -> None:
        """The task: announcements of coordinators, ours and other projects'."""
        while True:
            for publication in await self._in.receive_batch():
                if publication.topic == COORDINATOR_TOPIC:
                    self._hear(publication.body)

    def _hear(self, body: bytes) -> None:
        try:
            said = codec.decode_reply(body)
            self._node.clock.receive_unsigned(
                codec.lamport(said.data.get("clock")), now=self._node.surroundings.now()
            )
        except Malformed as error:
            self._node.log.warning("announcement not understood", reason=error.reason)
            return
        if said.data.get("coordinator") != self._node.name:
            self._elections.heard(epoch_of(said.data.get("epoch")))
