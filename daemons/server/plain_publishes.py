"""The publishes of one request that nothing is to be said about: appended together, answered together.

Most requests that carry many speak in the name of a user who is known here, to channels that are, under
ids never seen.  What holds for all of them is then asked once: who speaks, whether this server takes
writes, the level; and once for each channel whether the speaker may write there.  Nothing comes in
between, so nothing of that can change before the last of them has its place in the log.

They get places of one origin that follow each other, so whoever has the last of them durably has them all
(R4): one wait for the level, by the last one's key, is the wait of each.
"""

from daemons.server.accounts import Speaker
from daemons.server.bundle import REFUSED_ID, Bundle, Key, Together
from daemons.server.drafts import LEVELS, disk_full
from daemons.server.node import Node
from daemons.server.rationing import RateLimited
from daemons.server.writes import Writes
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import LAMPORT_LIMIT, PUBLISHES_OF_REQUEST_MAX, TEXT_BYTES_MAX
from recado.protocol.messages import Entry, Kind, Level
from storage.replica import StorageFull

_KIND = int(Kind.CHANNEL_MESSAGE)


class PlainPublishes:
    """`take` for each bundle, after it was admitted."""

    def __init__(self, node: Node, writes: Writes) -> None:
        self._node = node
        self._writes = writes
        self._default_level = LEVELS[node.config.server.default_level]

    def take(self, bundle: Bundle) -> int:
        """Append the first ones as far as they are plain; how many that was.

        The one after them, if there is one, is for who knows what is to be answered.
        """
        said = bundle.said
        level = LEVELS.get(said.level) if said.level else self._default_level
        if level is None or not self._has_room(level, len(said.items)):
            return 0
        try:
            speaker = self._node.accounts.speaker(bundle.actor, said.user)
        except Refused:
            return 0
        if not self._node.directory.has_user(speaker.uid):
            return 0
        entries = self._append(bundle, speaker)
        if entries:
            keys = [entry.key for entry in entries]
            self._node.commits.keep_all(entries, lambda full: self._kept(bundle, keys, level, full))
        return len(entries)

    def _has_room(self, level: Level, count: int) -> bool:
        node = self._node
        if node.draining or node.fresh or (level is not Level.LOCAL and node.acks.full):
            return False
        low = node.clock.value < LAMPORT_LIMIT - PUBLISHES_OF_REQUEST_MAX
        return low and node.commits.refusal_of(count) is None

    def _append(self, bundle: Bundle, speaker: Speaker) -> list[Entry]:
        node, pending, found = self._node, self._writes.pending, self._writes.found
        append, tick, now_ms = node.entries.append, node.clock.tick, node.batch_ms
        channels: dict[str, str | None] = {}
        entries: list[Entry] = []
        for (asked, text, _), given in zip(bundle.said.items, bundle.ids, strict=True):
            if asked in channels:
                channel = channels[asked]
            else:
                channel = channels[asked] = self._channel(asked, speaker)
            if channel is None or 4 * len(text) > TEXT_BYTES_MAX or not text.strip():
                break
            if given == REFUSED_ID or given in pending or given in found:
                break
            try:
                node.rationing.message(speaker.uid, node.batch_now, bot=speaker.bot, channel=channel)
            except RateLimited:
                break
            ident = given or names.minted_id(now_ms, node.surroundings.entropy(10))
            entry = append(
                lamport=tick(),
                wall_ms=now_ms,
                kind=_KIND,
                author=speaker.uid,
                id=ident,
                target=channel,
                body=text.encode(),
            )
            pending[ident] = [entry]
            entries.append(entry)
        return entries

    def _channel(self, asked: str, speaker: Speaker) -> str | None:
        """The channel's name, if it is here and the speaker may write there."""
        try:
            channel = names.channel_name(asked)
            self._node.channels.check_say(speaker.uid, channel, operator=speaker.operator)
        except Refused:
            return None
        return channel if self._node.directory.has_channel(channel) else None

    def _kept(self, bundle: Bundle, keys: list[Key], level: Level, full: StorageFull | None) -> None:
        node = self._node
        _, origin, last = keys[-1]
        if full is None:
            node.settle(Together(bundle, keys), self._told(level), origin=origin, seq=last, level=level)
            return
        # An earlier commit may have taken the first ones.
        kept = node.entries.durable.get(origin, 0)
        for part, key in zip(bundle.parts(0), keys, strict=False):
            if key[2] <= kept:
                data = {**self._told(level), "key": key}
                node.settle(part, data, origin=origin, seq=key[2], level=level)
            else:
                part.refuse(disk_full())

    def _told(self, level: Level) -> dict[str, object]:
        return {"status": "OK", "level": level, "server": self._node.name}
