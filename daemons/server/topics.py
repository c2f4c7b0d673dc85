"""The topics of secured mode: what a server tells who is entitled, and publishes under.

In open mode a topic is the bare name, and nobody is told.
"""

from daemons.server.accounts import Accounts
from daemons.server.channels import Channels
from daemons.server.in_force import InForce
from recado.protocol.identities import User
from recado.protocol.publications import direct_topic, private_topic, public_topic, topic


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
        return direct_topic(security.cluster_key, user.shown, generation=user.generation)

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
        generation = self._channels.generation(name)
        return private_topic(security.cluster_key, name, generation=generation)
