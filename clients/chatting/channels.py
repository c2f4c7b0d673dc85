"""What the chat knows of channels: topics, modes, who operates them; and rules that people give there."""

import time
from collections.abc import Iterable

from clients.chatting.faces import Face
from clients.chatting.interpreter import Rule
from clients.render import moment
from clients.rules.deeds import channel_rule
from clients.rules.facts import LISTS
from recado.client import ChannelInfo, Chat, NoAnswer, RefusedByServer
from recado.protocol.printable import printable
from recado.texts import Texts

KNOWN_MAX = 64  # channels looked at again and again


class KnownChannels:
    """Facts by channel as they were told last; of a server that tells none, nothing."""

    def __init__(self, face: Face, say: Texts) -> None:
        self._face = face
        self._say = say
        self._facts: dict[str, ChannelInfo] = {}

    def mark(self, channel: str | None, user: str | None) -> str:
        """``@`` for who operates the channel."""
        facts = self._facts.get(channel or "")
        operates = facts is not None and user is not None and user in (facts.founder, *facts.operators)
        return "@" if operates else ""

    def is_private(self, channel: str) -> bool:
        """Whether it is known to be."""
        facts = self._facts.get(channel)
        return facts is not None and facts.private

    def label(self, channel: str | None, user: str | None) -> str:
        """The channel as the prompt shows it: ``@#conselho private``."""
        if channel is None:
            return "-"
        modes = self._modes(self._facts.get(channel))
        return f"{self.mark(channel, user)}#{printable(channel)}{' ' if modes else ''}{modes}"

    async def look(self, chat: Chat, channels: Iterable[str]) -> None:
        """Learn how the channels are now.  One that can't be read any more is forgotten."""
        chosen = list(channels)[:KNOWN_MAX]
        self._facts = {name: facts for name, facts in self._facts.items() if name in chosen}
        for channel in chosen:
            try:
                self._facts[channel] = await chat.channel_info(channel)
            except RefusedByServer:
                self._facts.pop(channel, None)
            except NoAnswer:
                return

    async def rule(self, chat: Chat, channel: str, rule: Rule) -> None:
        """Give a rule and say that it holds.  Raises what the library does."""
        await channel_rule(chat, rule.do, channel, who=rule.who, text=rule.text, reason=rule.reason)
        key = "rule.no_topic" if rule.do == "topic" and not rule.text else f"rule.{rule.do}"
        self._face.notice(self._say(key, channel=channel, who=rule.who))
        await self.look(chat, {**self._facts, channel: None})

    async def show(self, chat: Chat, channel: str) -> None:
        """All that is so in a channel.  Raises what the library does."""
        facts = await chat.channel_info(channel)
        self._face.message(f"#{printable(channel)}")
        rows = {"topic": self._topic(facts), "modes": self._modes(facts), "founder": facts.founder}
        rows |= {field: ", ".join(getattr(facts, field)) for field in LISTS}
        for field, value in rows.items():
            if value:
                self._face.message(self._say(f"chat.info.{field}", value=value))

    def show_topic(self, channel: str, *, if_none: bool = True) -> None:
        """The topic as it is known; `if_none`: say so if there is none."""
        facts = self._facts.get(channel)
        if facts is not None and facts.topic:
            self._face.notice(f"#{printable(channel)}: {self._topic(facts)}")
        elif if_none:
            self._face.notice(self._say("chat.topic_none", channel=channel))

    def _topic(self, facts: ChannelInfo) -> str:
        if not facts.topic:
            return ""
        when = moment(facts.topic_since or 0, now=time.time())
        return self._say("chat.topic", topic=facts.topic, by=facts.topic_by, when=when)

    def _modes(self, facts: ChannelInfo | None) -> str:
        modes = [name for name in ("private", "moderated") if facts is not None and getattr(facts, name)]
        return " ".join(self._say(f"chat.{name}") for name in modes)
