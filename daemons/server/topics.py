"""The topics of secured mode: what a server tells who is entitled, and publishes under.

In open mode a topic is the bare name, and nobody is told.
"""

from daemons.server.accounts import Accounts
from daemons.server.channels import Channels
from daemons.server.in_force import InForce
from recado.protocol.identities import User
from recado.protocol.publications import direct_topic, private_topic, public_topic, topic

FORMER = 4  # generations before the present one: rules arrive a few at a time


REMEMBERED = 4096  # topics, until a rule may have changed one: each publication asks for its own


class Topics:
    """As rules and keys are at this moment: a capability changes whenever somebody loses the right to it."""

    def __init__(self, in_force: InForce, accounts: Accounts, channels: Channels) -> None:
        self._in_force = in_force
        self._accounts = accounts
        self._channels = channels
        self._known: dict[str | bytes, bytes] = {}
        self._known_at = (-1, -1)  # the versions of users and channels that `_known` is of

    def direct(self, user: User) -> bytes:
        """Of direct messages to this user."""
        security = self._in_force.security
        if security is None:
            return topic(user.name)
        return direct_topic(security.cluster_key, user.shown, generation=user.generation, owner=user.uid)

    def of_user(self, uid: bytes) -> bytes | None:
        """The same by user id; None for who is not registered here."""
        known = self._remembered().get(uid)
        if known is not None:
            return known
        user = self._accounts.identities.user(uid)
        return None if user is None else self._remember(uid, self.direct(user))

    def _remembered(self) -> dict[str | bytes, bytes]:
        now = (self._accounts.version, self._channels.version)
        if now != self._known_at or len(self._known) > REMEMBERED:
            self._known.clear()
            self._known_at = now
        return self._known

    def _remember(self, target: str | bytes, topic: bytes) -> bytes:
        self._known[target] = topic
        return topic

    def channel(self, name: str) -> bytes:
        """Of a channel."""
        security = self._in_force.security
        if security is None:
            return topic(name)
        known = self._remembered().get(name)
        if known is not None:
            return known
        if not self._channels.is_private(name):
            return self._remember(name, public_topic(name))
        private = self._private(security.cluster_key, name, self._channels.generation(name))
        return self._remember(name, private)

    def _private(self, cluster_key: bytes, name: str, generation: int) -> bytes:
        owner = self._channels.founder(name) or b""
        return private_topic(cluster_key, name, generation=generation, owner=owner)

    def former(self, target: str | bytes) -> list[bytes]:
        """The topics that a channel's, or by user id a user's, may have had before its latest changes."""
        security = self._in_force.security
        if security is None:
            return []
        key = security.cluster_key
        if isinstance(target, str):
            latest = self._channels.generation(target)
            private = [self._private(key, target, one) for one in range(max(0, latest - FORMER), latest + 1)]
            found, now = [public_topic(target), *private], self.channel(target)
        else:
            user = self._accounts.identities.user(target)
            if user is None:
                return []
            before = range(max(0, user.generation - FORMER), user.generation)
            found = [self.direct(user._replace(generation=one)) for one in before]
            now = self.direct(user)
        return [topic for topic in found if topic != now]
