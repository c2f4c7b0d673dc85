"""Publishes that nothing is to be said about: what many of them share is asked once.

Most publishes speak in the name of a user who is known here, to a channel that is, under an id never seen.
Who speaks is then asked once for all requests that are served together, and so is, for each channel, whether
the speaker may write there.  Nothing comes in between: what can take a right away takes effect with a
commit, and a user or channel that has come since is found by the general way.

The publishes of one request get places of one origin that follow each other, so whoever has the last of
them durably has them all (R4): one wait for the level, by the last one's key, is the wait of each.
"""

from contextlib import suppress

from daemons.server.accounts import Speaker
from daemons.server.bundle import REFUSED_ID, Bundle, Key, Together
from daemons.server.calls import Call
from daemons.server.drafts import LEVELS, disk_full
from daemons.server.node import Node
from daemons.server.rationing import RateLimited
from daemons.server.writes import Writes
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
    LAMPORT_LIMIT,
    PUBLISHES_OF_REQUEST_MAX,
    TEXT_BYTES_MAX,
)
from recado.protocol.messages import Entry, Kind, Level, Publish
from storage.replica import StorageFull

_KIND = int(Kind.CHANNEL_MESSAGE)
_ENTRIES_MAX = DRAIN_MESSAGES_MAX + PUBLISHES_OF_REQUEST_MAX  # of what is served together


class PlainPublishes:
    """`begin`, then `take_one` or `take_many` for each publish or bundle, after it was admitted."""

    def __init__(self, node: Node, writes: Writes) -> None:
        self._node = node
        self._writes = writes
        self._default_level = LEVELS[node.config.server.default_level]
        self._takes = False
        self._speakers: dict[tuple[bytes, str], Speaker | None] = {}
        self._channels: dict[tuple[bytes, str], str | None] = {}

    def begin(self) -> None:
        """What is served together begins."""
        node = self._node
        self._speakers.clear()
        self._channels.clear()
        low = node.clock.value < LAMPORT_LIMIT - 2 * _ENTRIES_MAX
        self._takes = low and not node.draining and not node.fresh
        self._takes = self._takes and node.commits.refusal_of(_ENTRIES_MAX) is None

    def take_one(self, call: Call, asked: Publish) -> bool:
        """Append this publish if it is plain; else another one knows what is to be answered.

        Raises `RateLimited`.
        """
        level = self._level(asked.level)
        speaker = self._speaker(call, asked.user) if level is not None else None
        given = call.id
        if speaker is None or level is None or (given is None and asked.id is not None):
            return False
        entry = self._append(speaker, asked.channel, asked.message, given)
        if entry is None:
            return False
        node = self._node

        def kept(full: StorageFull | None) -> None:
            if full is not None:
                call.refuse(disk_full())
                return
            data = self._told(level, entry.key)
            if asked.id is not None:
                data["id"] = asked.id
            node.settle(call, data, origin=entry.origin, seq=entry.seq, level=level)

        node.commits.keep(entry, kept)
        return True

    def take_many(self, bundle: Bundle) -> int:
        """Append the first ones as far as they are plain; how many that was.

        The one after them, if there is one, is for who knows what is to be answered.
        """
        said = bundle.said
        level = self._level(said.level)
        speaker = self._speaker(bundle, said.user) if level is not None else None
        if speaker is None or level is None:
            return 0
        entries: list[Entry] = []
        with suppress(RateLimited):  # the one that is too much is told so by the general way
            for (channel, text, _), given in zip(said.items, bundle.ids, strict=True):
                entry = self._append(speaker, channel, text, given)
                if entry is None:
                    break
                entries.append(entry)
                self._node.clock.tick()
        if entries:
            keys = [entry.key for entry in entries]
            self._node.commits.keep_all(entries, lambda full: self._kept(bundle, keys, level, full))
        return len(entries)

    def _level(self, asked: str | None) -> Level | None:
        """The level, if there is such a one and writes of it are taken now."""
        level = LEVELS.get(asked) if asked else self._default_level
        if not self._takes or (level is not Level.LOCAL and self._node.acks.full):
            return None
        return level

    def _speaker(self, call: Call, claimed: str) -> Speaker | None:
        """Who speaks, if it is somebody who is registered here and may."""
        key = call.principal.key, claimed
        if key in self._speakers:
            return self._speakers[key]
        speaker = None
        try:
            found = self._node.accounts.speaker(call.actor, claimed)
            speaker = found if self._node.directory.has_user(found.uid) else None
        except Refused:
            pass
        self._speakers[key] = speaker
        return speaker

    def _channel(self, speaker: Speaker, asked: str) -> str | None:
        """The channel's name, if it is here and the speaker may write there."""
        channel = None
        try:
            name = names.channel_name(asked)
            self._node.channels.check_say(speaker.uid, name, operator=speaker.operator)
            channel = name if self._node.directory.has_channel(name) else None
        except Refused:
            pass
        self._channels[speaker.uid, asked] = channel
        return channel

    def _append(self, speaker: Speaker, asked: str, text: str, given: bytes | None) -> Entry | None:
        """Give it its place in the log; None if it is not plain.  `given`: its id, None: one is to be made.

        Raises `RateLimited`.
        """
        node, pending = self._node, self._writes.pending
        uid = speaker.uid
        channel = self._channels.get((uid, asked)) or self._channel(speaker, asked)
        if channel is None or 4 * len(text) > TEXT_BYTES_MAX or not text.strip():
            return None
        if given == REFUSED_ID or given in pending or given in self._writes.found:
            return None
        node.rationing.message(uid, node.batch_now, bot=speaker.bot, channel=channel)
        ident = given or names.minted_id(node.batch_ms, node.surroundings.entropy(10))
        entry = node.entries.append(
            lamport=node.clock.value,
            wall_ms=node.batch_ms,
            kind=_KIND,
            author=uid,
            id=ident,
            target=channel,
            body=text.encode(),
        )
        pending[ident] = [entry]
        return entry

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
                node.settle(part, self._told(level, key), origin=origin, seq=key[2], level=level)
            else:
                part.refuse(disk_full())

    def _told(self, level: Level, key: Key | None = None) -> dict[str, object]:
        """What an answer says, but for the number of copies; of many without their keys."""
        told: dict[str, object] = {"status": "OK", "level": level}
        if key is not None:
            told["key"] = key
        told["server"] = self._node.name
        return told
