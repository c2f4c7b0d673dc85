"""The topics of secured mode: what a server tells who is entitled, and publishes under.

In open mode a topic is the bare name, and nobody is told.
"""

from daemons.server.accounts import Accounts
from daemons.server.channels import Channels
from daemons.server.in_force import InForce
from recado.protocol.identities import User
from recado.protocol.publications import direct_topic, private_topic, public_topic, topic

FORMER = 4  # generations before the present one: rules arrive a few at a time


class Topics:
    """Computed anew each time: a capability changes whenever somebody loses the right to it."""

    def __init__(self, in_force: InForce, accounts: Accounts, channels: Channels) -> None:
        self._in_force = in_force
        self._accounts = accounts
        self._channels = channels

    def direct(self, user: User) -> bytes:
        """Of direct messages to this user."""
        security = self._in_force.security
        if security is None:
            return topic(user.name)
        return direct_topic(security.cluster_key, user.shown, generation=user.generation, owner=user.uid)

    def of_user(self, uid: bytes) -> bytes | None:
        """The same by user id; None for who is not registered here."""
        user = self._accounts.identities.user(uid)
        return None if user is None else self.direct(user)

    def channel(self, name: str) -> bytes:
        """Of a channel."""
        security = self._in_force.security
        if security is None:
            return topic(name)
        if not self._channels.is_private(name):
            return public_topic(name)
        return self._private(security.cluster_key, name, self._channels.generation(name))

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
