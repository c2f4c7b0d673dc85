"""What is followed: a channel, or somebody's direct messages; and where an earlier subscription ended."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from recado.protocol import names
from recado.protocol.publications import public_topic, target_key, topic


class Target(NamedTuple):
    """What is followed: a channel, or the direct messages that come to `user`."""

    channel: str | None
    user: str | None

    @property
    def key(self) -> str:
        """As beacons and cursors call it."""
        return target_key(self.channel if self.channel is not None else names.uid(self.user or ""))

    @property
    def topic(self) -> bytes:
        """In open mode."""
        return topic(self.channel if self.channel is not None else self.user or "")

    def first_topic(self, told: bytes | None, *, secured: bool) -> bytes | None:
        """What to subscribe to before the first page, so that it leaves no gap; None if that is not known."""
        if not secured:
            return self.topic
        return told if self.channel is None else public_topic(self.channel)

    @property
    def whose(self) -> dict[str, str]:
        """The fields of a history request."""
        return {"channel": self.channel} if self.channel is not None else {"user": self.user or ""}

    def concerns(self, body: Mapping[str, Any]) -> bool:
        """A subscription matches prefixes, and users share topics with channels: look at the body."""
        if self.channel is not None:
            return "dst" not in body and body.get("channel", self.channel) == self.channel
        return body.get("dst") == self.user and "channel" not in body

    def contains(self, body: Mapping[str, Any]) -> bool:
        """Whether a message of the history asked for belongs here: a server may not know the user's name yet.

        What the user sent to somebody it knows no name of is told apart by its author.
        """
        if self.channel is not None or body.get("dst") != names.UNKNOWN_NAME:
            return self.concerns(body)
        return "channel" not in body and body.get("src", body.get("from")) != self.user


class Resumed(NamedTuple):
    """Where an earlier subscription to a target ended, and the idents it showed last (digest → stamp)."""

    cursor: Mapping[str, int]
    idents: Mapping[str, int]
