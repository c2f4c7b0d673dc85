"""Whether a request is served at all: who asks, by the policy, in whose name, how often.

Asked once for each request, before its handler, so that a handler that forgets nothing can leak nothing.
In open mode nobody proves anything and only rates count, if they are to.
"""

from daemons.server.accounts import Accounts
from daemons.server.calls import Call
from daemons.server.drafts import Missing
from daemons.server.node import Node
from daemons.server.rationing import Rationing
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.messages import Login, Peer
from recado.protocol.policy import Role, claimed, refusal
from recado.texts import wire_text


class Admission:
    """`admit` for each request."""

    def __init__(self, node: Node, accounts: Accounts, rationing: Rationing) -> None:
        self._node = node
        self._accounts = accounts
        self._rationing = rationing

    def admit(self, call: Call, *, requests: int = 1) -> None:
        """Find out who asks (`call.actor`), and whether this one may.  It counts as so many requests.

        Raises `Refused` with the policy's code; `Missing` for a key that nobody here knows, since the
        peers may: it may have been registered there a moment ago.
        """
        if not call.paid:
            self._rationing.request(call, self._node.batch_now, requests=requests)
            call.paid = True
        if not self._accounts.secured:
            return
        actor = call.actor = self._accounts.actor(call.principal)
        asked = call.asked
        code = refusal(asked.service, actor.role)
        if actor.role is Role.STRANGER and self._is_revoked(call):
            code = "key_revoked"
        elif code == "key_unknown" and call.principal.key:
            raise Missing(code, wire_text(code))
        if code is not None:
            raise Refused(code, wire_text(code))
        if actor.role is Role.SERVER:
            if isinstance(asked.data, Peer) and asked.data.sender != actor.name:
                self._node.complain_of_stranger(asked.data.sender, asked.data.cluster)
                raise Refused("not_the_sender", wire_text("not_the_sender"))
        elif not isinstance(asked.data, Login):  # who is to become somebody claims a name rightly
            name = claimed(asked.data)
            if name is not None:
                self._named(call, name)

    def _is_revoked(self, call: Call) -> bool:
        """Whether the key was revoked.  One that never proved itself may be somebody else's who comes now."""
        identities, key = self._accounts.identities, call.principal.key
        comes = isinstance(call.asked.data, Login) and not identities.is_proved(key)
        return identities.is_revoked(key) and not comes

    def _named(self, call: Call, name: str) -> None:
        """Refuse who claims another's name, whatever becomes of the request."""
        actor = call.actor
        if name == actor.name:
            return
        if actor.role is Role.GATEWAY or not name.strip():
            return  # the handler finds the user, or refuses the name
        user = actor.user
        known = (actor.name,) if user is None else (user.name, user.shown)
        if names.user_name(name) not in known:
            raise Refused("not_you", wire_text("not_you"))
