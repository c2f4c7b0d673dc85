"""Announcements: own messages to the broker after their commit, beacons, and the topic `servers`.

A publication is a hint (A38): a broker that is down, or a queue that is full, loses it, and
subscribers repair the gap from the history.  Beacons tell them of a gap they can't see.

In secured mode what is private has a topic that changes when somebody loses the right to it.  The old one
gets a last word, repeated for a while, at which those who still may ask the history for the new one.  Beacons
go to everybody, so they call what is private by a name that only its members can make out.

What one commit has published to one topic shares frames (`in_runs`): in secured mode always, in open mode at
topics of their own, beside the single messages that other people's programs subscribe to.  There the server
knows what anybody listens to, and makes nothing else.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import trio

from daemons.server.durability import Durability
from daemons.server.election import Elections, epoch_of
from daemons.server.node import Node
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import PUBLICATIONS_OF_RUN_MAX, RUN_BYTES_MAX, WINDOW_ENTRIES_MAX
from recado.protocol.messages import Entry, Epoch, Kind
from recado.protocol.names import UNKNOWN_NAME
from recado.protocol.publications import (
    BEACON_TOPIC,
    COORDINATOR_TOPIC,
    RUNS_TOPIC,
    SECURED_COORDINATOR_TOPIC,
    beacon,
    channel_message,
    coordinator_announcement,
    in_run,
    is_private,
    moved,
    private_key,
    run_head,
    run_topic,
    target_key,
    topic,
    user_message,
)
from recado.protocol.rules import channel_deed_of, user_deed_of
from recado.wire.ports import Publication, Publisher, Subscriber

QUIET_SECONDS = 0.2  # a beacon follows this long after the last publication
HEADS_MAX = 256  # targets told of in a beacon: those that changed last
HEADS_OF_TARGET_MAX = 4  # and of each the origins that wrote to it last
MESSAGES_LOOKED_AT = 1000  # at the start, for the heads that beacons tell
_RULES = (Kind.USER_RULE, Kind.CHANNEL_RULE)
_SAID = (Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE)
MOVED_SECONDS = 20.0  # so long a topic that was given up tells so
MOVED_MAX = 1024  # topics that do
_TAKES_AWAY = frozenset({"kick", "ban", "leave", "uninvite", "private", "public"})  # ends or begins privacy
_KEYS_ENDED = frozenset({"revoke_key", "revoke_ssh_key"})
QUEUE_MAX = 4 * WINDOW_ENTRIES_MAX


class Audience(NamedTuple):
    """The topics of a target at which somebody listens: its own one, and in open mode that of its runs."""

    single: bytes | None
    runs: bytes | None


NOBODY = Audience(None, None)


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
        self._secured = node.security is not None
        self._coordinator_topic = SECURED_COORDINATOR_TOPIC if self._secured else COORDINATOR_TOPIC
        self._runs = not self._secured  # whether this server publishes runs at topics of their own
        self._moved: dict[bytes, float] = {}  # former topics, until when
        self._heads: dict[str | bytes, dict[str, int]] = {}
        # The last publications before a start may have been lost with it, and with the broker (E3).
        for target, origin, seq in node.store.last_heads(messages_max=MESSAGES_LOOKED_AT):
            self._remember(target, origin, seq)
        self._durability = Durability(node)
        node.commits.followers.append(self._committed)
        elections.announce = self.announce_coordinator
        inward.subscribe(self._coordinator_topic)

    def _committed(self, entries: Sequence[Entry]) -> None:
        if self._secured:
            self._move([entry for entry in entries if entry.kind in _RULES])
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
        targets = {entry.target: entry for entry in batch}
        self._look_who_listens()
        audiences = {target: self._audience(self._heading(target)) for target in targets}
        heard = [entry for entry in batch if audiences[entry.target] is not NOBODY]
        authors = {uid: self._name_of(uid) for uid in {entry.author for entry in heard}}
        spoken = [
            (single, self._body(entry, authors[entry.author]))
            for entry in heard
            if (single := audiences[entry.target].single) is not None
        ]
        if self._secured:
            # The stamps of a batch rise: who believes a topic's last one has followed the others.
            for body in dict(spoken).values():
                self._node.tags.vouch(body, body["clock"])
        made = [Publication(heading, codec.pack(body)) for heading, body in spoken]
        self._out.publish(in_runs(made) if self._secured else made)
        for kind in _SAID:  # a channel and a user of one name share a topic
            shared = [
                (e, to) for e in heard if e.kind == kind and (to := audiences[e.target].runs) is not None
            ]
            self._publish_runs(shared, authors)
        for entry in targets.values():
            self._remember(entry.target or b"", entry.origin, entry.seq)

    def _publish_runs(self, shared: list[tuple[Entry, bytes]], authors: Mapping[bytes | None, str]) -> None:
        """Entries of one kind at the topics of runs, where what a target's have in common is told once."""
        runs: list[tuple[bytes, list[dict[str, Any]]]] = []
        open_runs: dict[bytes, tuple[list[dict[str, Any]], int]] = {}
        for entry, at in shared:
            run, size = open_runs.get(at, ([], 0))
            size += len(entry.header) + len(entry.body)  # about what it will be, since all is packed at once
            if not run or len(run) == PUBLICATIONS_OF_RUN_MAX or size > RUN_BYTES_MAX:
                dst = "" if isinstance(entry.target, str) else self._name_of(entry.target)
                run, size = [run_head(entry, dst=dst)], len(entry.header) + len(entry.body)
                runs.append((at, run))
            run.append(in_run(entry, run[0], author=authors[entry.author]))
            open_runs[at] = run, size
        self._out.publish([Publication(at, codec.pack(run)) for at, run in runs])

    def _look_who_listens(self) -> None:
        """Whether runs may be published; beacons tell, and at once when it has changed.

        Who listens to everything that there is, as other people's programs may, gets no runs: then there are
        none.
        """
        runs = not self._secured and not self._out.wanted(RUNS_TOPIC)
        if runs != self._runs:
            self._runs = runs
            self._tell_beacon()

    def _audience(self, heading: bytes | None) -> "Audience":
        """At which topics somebody listens to what is published under a heading."""
        if heading is None:
            return NOBODY
        if self._secured:
            return Audience(heading, None)
        shared = run_topic(heading)
        single = heading if self._out.wanted(heading) else None
        runs = shared if self._runs and self._out.wanted(shared) else None
        return NOBODY if single is runs is None else Audience(single, runs)

    def _heading(self, target: str | bytes | None) -> bytes | None:
        """The topic; None if it is not known: the receiver, of whom nobody told, has no name yet."""
        if isinstance(target, str):
            return self._node.topics.channel(target)
        dst = self._name_of(target)
        if dst == UNKNOWN_NAME:
            return None
        return self._node.topics.of_user(target or b"") if self._secured else topic(dst)

    def _body(self, entry: Entry, author: str) -> dict[str, Any]:
        if isinstance(entry.target, str):
            return channel_message(entry, user=author)
        return user_message(entry, src=author, dst=self._name_of(entry.target))

    def _name_of(self, uid: bytes | None) -> str:
        shown = self._node.accounts.shown(uid) if self._secured and uid is not None else None
        return shown or self._node.directory.name_of(uid)

    # Topics that change ---------------------------------------------------------------------------

    def _move(self, entries: Sequence[Entry]) -> None:
        """Tell those who listen at the old topics of what has another one now."""
        targets = {entry.target for entry in entries if entry.target and takes_away(entry)}
        fresh = [topic for target in targets for topic in self._node.topics.former(target)]
        until = self._node.surroundings.now() + MOVED_SECONDS
        for former in fresh:
            self._moved.pop(former, None)
            self._moved[former] = until
        while len(self._moved) > MOVED_MAX:
            del self._moved[next(iter(self._moved))]
        if fresh:
            self._tell_moved(fresh)

    def _tell_moved(self, topics: Iterable[bytes]) -> None:
        node, clock = self._node, self._node.clock.tick()
        said = moved(server=node.name, timestamp=int(node.time.time()), clock=clock)
        body = codec.pack(said | node.tags.told(clock))
        self._out.publish([Publication(former, body) for former in topics])

    # Beacons --------------------------------------------------------------------------------------

    def _remember(self, target: str | bytes, origin: str, seq: int) -> None:
        of_target = self._heads.pop(target, {})
        of_target.pop(origin, None)
        of_target[origin] = seq
        if len(of_target) > HEADS_OF_TARGET_MAX:
            del of_target[next(iter(of_target))]
        self._heads[target] = of_target
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
            self._look_who_listens()
            self._tell_beacon()
            if self._moved:
                now = self._node.surroundings.now()
                self._moved = {former: until for former, until in self._moved.items() if until > now}
                self._tell_moved(self._moved)

    def _tell_beacon(self) -> None:
        self._out.publish([Publication(BEACON_TOPIC, codec.pack(self._beacon()))])

    def _beacon(self) -> dict[str, object]:
        node = self._node
        vectors = self._durability.vectors()
        clock = node.clock.tick()
        said = beacon(
            server=node.name,
            boot=node.boot,
            heads={key: seqs for target, seqs in self._heads.items() if (key := self._key(target))},
            vector=vectors["vector"],
            majority=vectors["majority"],
            everywhere=vectors["all"],
            runs=None if self._secured else self._runs,
            timestamp=int(node.time.time()),
            clock=clock,
        )
        return said | node.tags.told(clock)

    def _key(self, target: str | bytes) -> str | None:
        """What a beacon calls a target; None for a user or channel whose beginning is not here."""
        if not self._secured:
            return target_key(target)
        if isinstance(target, str) and not self._node.channels.exists(target):
            return None  # it may be private
        topics = self._node.topics
        found = topics.channel(target) if isinstance(target, str) else topics.of_user(target)
        if found is None or not is_private(found):
            return None if found is None else target_key(target)
        return private_key(found)

    def announce_coordinator(self, epoch: Epoch) -> None:
        """B7: publish on `servers` that this server coordinates."""
        body = coordinator_announcement(
            epoch.name, timestamp=int(self._node.time.time()), clock=self._node.clock.tick(), epoch=epoch
        )
        self._out.publish([Publication(self._coordinator_topic, codec.pack(body))])

    async def listen(self) -> None:
        """The task: announcements of coordinators, ours and other projects'."""
        while True:
            for publication in await self._in.receive_batch():
                if publication.topic == self._coordinator_topic:
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


def in_runs(made: Sequence[Publication]) -> list[Publication]:
    """Publications of one topic in frames that they share, each topic's in their order.

    A frame costs the broker and each subscriber about the same whatever its size (CURVE encrypts each by
    itself): what was committed together costs once.  Only where no subscriber is somebody else's program that
    expects one a frame.
    """
    runs: list[tuple[bytes, list[bytes]]] = []
    open_runs: dict[bytes, tuple[list[bytes], int]] = {}
    for heading, body in made:
        run, size = open_runs.get(heading, ([], 0))
        size += len(body)
        if not run or len(run) == PUBLICATIONS_OF_RUN_MAX or size > RUN_BYTES_MAX:
            run, size = [], len(body)
            runs.append((heading, run))
        run.append(body)
        open_runs[heading] = run, size
    return [Publication(heading, run[0] if len(run) == 1 else codec.pack_run(run)) for heading, run in runs]


def takes_away(entry: Entry) -> bool:
    """Whether a rule may take from somebody the right to what is private, and so change its topic."""
    if entry.kind == Kind.CHANNEL_RULE:
        rule = channel_deed_of(entry.body)
        return rule is not None and rule.do in _TAKES_AWAY
    deed = user_deed_of(entry.body)
    return deed is not None and deed.do in _KEYS_ENDED
