"""Who may read and write where: the rules of channels as the log says, asked before anything is kept.

In open mode a channel of which nothing more is said is everybody's, also if only messages speak of it.  In
secured mode a channel whose creation has not arrived here is nobody's yet: it may be private.
"""

from collections.abc import Iterable
from typing import Final

from daemons.server.drafts import Missing
from recado.protocol import rules
from recado.protocol.channel_rules import Channel, ChannelRules
from recado.protocol.errors import Refused
from recado.protocol.lookalikes import skeleton
from recado.protocol.messages import Entry, Kind
from recado.texts import wire_text

_ABOUT_CHANNELS: Final = frozenset({Kind.CHANNEL, Kind.CHANNEL_RULE})


class Channels:
    """All channels of a cluster, folded from the log, and those whose creation waits for its commit."""

    def __init__(self, entries: Iterable[Entry] = (), *, secured: bool) -> None:
        self._secured = secured
        self.version = 0  # grows whenever something about channels changes
        self.rules = ChannelRules()
        self._pending: dict[str, tuple[bytes | None, bool]] = {}  # founder, and whether it is private
        self._private: frozenset[str] | None = None  # names, as of the latest entry
        self.committed(entries)

    # What the log says --------------------------------------------------------------------------

    def reload(self, entries: Iterable[Entry]) -> None:
        """Everything anew: the store was exchanged."""
        self.version += 1
        self.rules = ChannelRules()
        self._pending.clear()
        self.committed(entries)

    def appended(self, entry: Entry) -> None:
        """An own entry waits for its commit."""
        if entry.kind == Kind.CHANNEL:
            said = rules.channel_of(entry.body)
            self._pending[str(entry.target)] = (entry.author, said is None or said.private)

    def committed(self, entries: Iterable[Entry]) -> None:
        """Entries, own or peers', are durable."""
        for entry in entries:
            if entry.kind in _ABOUT_CHANNELS:
                self.rules.take(entry)
                self.version += 1
                self._private = None
                self._pending.pop(str(entry.target), None)

    def abandoned(self) -> None:
        """What was pending is void."""
        self._pending.clear()

    # Questions ----------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Whether its creation is here."""
        return name in self._pending or self.rules.channel(name) is not None

    def is_private(self, name: str) -> bool:
        """Whether only its members may read it."""
        channel = self.rules.channel(name)
        return channel is not None and channel.private

    def generation(self, name: str) -> int:
        """How many memberships have ended."""
        channel = self.rules.channel(name)
        return 0 if channel is None else channel.generation

    def founder(self, name: str) -> bytes | None:
        """The user id of who created it."""
        channel = self.rules.channel(name)
        return None if channel is None else channel.founder

    def hidden_from(self, uid: bytes | None, *, operator: bool) -> frozenset[str]:
        """The channels that are not to be listed for somebody."""
        if self._private is None:
            self._private = frozenset(one.name for one in self.rules.channels() if one.private)
        if operator or not self._private:
            return frozenset()
        found = (self.rules.channel(name) for name in self._private)
        return frozenset(one.name for one in found if one is not None and not one.is_member(uid))

    def readable(self, name: str, uid: bytes | None, *, operator: bool = False) -> Channel | None:
        """The channel, for who may read it; None: in open mode, one of which nothing is said.

        Raises `Missing` if it is not here, `Refused` for who may not read it.
        """
        channel = self.rules.channel(name)
        if channel is None:
            if self._secured:
                raise Missing("channel_missing", wire_text("channel_missing"))
            return None
        code = channel.reading_problem(uid, operator=operator)
        _refuse(code, reason=channel.reason_of(code or "", uid))
        return channel

    def check_say(self, uid: bytes, name: str, *, operator: bool = False) -> None:
        """Raises `Missing` or `Refused` for who may not publish there."""
        channel = self.rules.channel(name)
        if channel is not None:
            code = channel.publishing_problem(uid, operator=operator)
            _refuse(code, reason=channel.reason_of(code or "", uid))
        elif self._secured:
            founder, private = self._pending.get(name, (None, True))
            if private and founder != uid:
                raise Missing("channel_missing", wire_text("channel_missing"))

    def check_rule(self, name: str, uid: bytes, said: rules.ChannelDeed) -> None:
        """Raises `Missing` or `Refused` for a rule that is not accepted."""
        code = self.rules.refusal(name, uid, said)
        if code == "channel_missing":
            raise Missing(code, wire_text(code))
        _refuse(code)

    def check_name(self, name: str) -> None:
        """Raises `Refused` if people would take a new channel for another one."""
        pending = any(skeleton(other) == skeleton(name) for other in self._pending)
        if pending or self.rules.name_like(name) is not None:
            raise Refused("name_confusable", wire_text("name_confusable"))


def _refuse(code: str | None, *, reason: str | None = None) -> None:
    if code is not None:
        text = wire_text(code)
        raise Refused(code, f"{text}: {reason}" if reason else text, reason=reason)
