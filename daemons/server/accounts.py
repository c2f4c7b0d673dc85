"""Who asks: from the principal that the transport proved to the user in whose name a request acts.

Looked up with each request and never kept by connection, so that a revoked key, a suspension, another
roster or another list of local accounts counts at once.  In open mode nobody proves anything: a user is
whoever claims the name.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from daemons.server.drafts import Missing
from daemons.server.in_force import InForce
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.identities import Identities, User
from recado.protocol.lookalikes import skeleton
from recado.protocol.messages import Entry, Kind
from recado.protocol.policy import Actor, Role, actor_of, speaks_as
from recado.secured import local_account
from recado.texts import wire_text
from recado.wire.ports import Principal
from recado.wire.zap import uid_of

_ABOUT_USERS: Final = frozenset({Kind.LOGIN, Kind.USER_RULE})
_ANYBODY: Final = Actor(Role.OPEN)
_STRANGER: Final = Principal("key")


class Speaker(NamedTuple):
    """In whose name an entry is written; `bot`: at bots' rates; `operator`: an operator acts."""

    uid: bytes
    name: str
    bot: bool = False
    operator: bool = False


class Accounts:
    """The users of a cluster and their keys, folded from the log."""

    def __init__(self, in_force: InForce, entries: Iterable[Entry] = ()) -> None:
        self._in_force = in_force
        self.secured: Final = in_force.security is not None
        self.version = 0  # grows whenever something about users changes
        self.identities = Identities()
        self._actors: dict[bytes, Actor] = {}  # by key: of whom the log or the roster knows at present
        self._shown: dict[bytes, str] = {}  # names as people see them, of those who are registered
        self._pending: dict[bytes, User] = {}  # by key: registered here, not durable yet
        self._inviting: dict[str, bytes] = {}  # invitations used by those, by hash: the user's id
        in_force.on_change.append(self._actors.clear)
        self.committed(entries)

    # What the log says --------------------------------------------------------------------------

    def reload(self, entries: Iterable[Entry]) -> None:
        """Everything anew: the store was exchanged."""
        self.version += 1
        self.identities = Identities()
        self._actors.clear()
        self._shown.clear()
        self.abandoned()
        self.committed(entries)

    def committed(self, entries: Iterable[Entry]) -> None:
        """Entries, own or peers', are durable."""
        for entry in entries:
            if entry.kind in _ABOUT_USERS:
                self.identities.take(entry)
                self.version += 1
                self._actors.clear()
                self._shown.clear()
                if self._pending:
                    self._pending = {k: u for k, u in self._pending.items() if u.uid != entry.author}
                    self._inviting = {t: u for t, u in self._inviting.items() if u != entry.author}

    def registering(self, key: bytes, user: User, *, invited: str | None = None) -> None:
        """A registration has its place in the log; who made it acts from now on.

        `invited`: the hash of the invitation that it uses up.
        """
        self._pending[key] = user
        if invited is not None:
            self._inviting[invited] = user.uid

    def invites_at_present(self, token_hash: str) -> bool:
        """Whether somebody registers with this invitation at this moment."""
        return token_hash in self._inviting

    def is_pending(self, name: str) -> bool:
        """Whether somebody registers this name, or one that reads like it, at this moment."""
        return any(skeleton(user.name) == skeleton(name) for user in self._pending.values())

    def abandoned(self) -> None:
        """What was pending is void."""
        self._pending.clear()
        self._inviting.clear()

    # Who asks -----------------------------------------------------------------------------------

    def actor(self, principal: Principal) -> Actor:
        """Who is behind a connection, at this moment."""
        security = self._in_force.security
        if security is None:
            return _ANYBODY
        if principal.role == "local":
            return actor_of(self._local(principal), self.identities)
        key = principal.key
        listed = security.roster.role_of(key)
        if key in self._pending and listed is None and not self.identities.is_proved(key):
            user = self._pending[key]
            return Actor(Role(user.role), user.shown, user)
        known = self._actors.get(key)
        if known is not None:
            return known
        actor = actor_of(listed or Principal("key", key=key), self.identities)
        if actor.role is not Role.STRANGER:
            self._actors[key] = actor
        return actor

    def _local(self, principal: Principal) -> Principal:
        number = uid_of(principal.address)
        name = principal.name if number is None else local_account(self._in_force.config, number)
        return _STRANGER if name is None else principal._replace(name=name)

    def speaker(self, actor: Actor, claimed: str) -> Speaker:
        """In whose name a request acts that claims this one.

        Raises `Refused`: the name's own faults, `not_you` if it is somebody else's; `Missing`: nobody of
        that name is registered here.
        """
        user = actor.user
        if user is None or claimed != user.shown:
            name = names.user_name(claimed)
            if actor.role is Role.OPEN:
                return Speaker(names.uid(name), name)
            user = speaks_as(actor, name, self.identities)
        if user is not None:
            return Speaker(user.uid, user.shown, user.has_bot_rates, actor.role is Role.OPERATOR)
        if actor.role is Role.GATEWAY or (actor.user is None and name == actor.name):
            raise Missing("sender_missing", wire_text("sender_missing"))
        raise Refused("not_you", wire_text("not_you"))

    def ruler(self, actor: Actor, claimed: str, *, key: bytes) -> Speaker:
        """As `speaker`, for rules: an operator need not be registered to make them."""
        if actor.role is Role.OPERATOR and actor.user is None and names.user_name(claimed) == actor.name:
            return Speaker(names.key_uid(key, actor.name), actor.name, operator=True)
        return self.speaker(actor, claimed)

    # Whom is meant --------------------------------------------------------------------------------

    def find(self, name: str) -> bytes | None:
        """The user id of a name that was checked; None if nobody has it here (in open mode: never)."""
        if not self.secured:
            return names.uid(name)
        user = self.identities.named(name)
        return None if user is None else user.uid

    def shown(self, uid: bytes) -> str | None:
        """The name that people see for a registered user."""
        shown = self._shown.get(uid)
        if shown is None:
            user = self.identities.user(uid)
            if user is None:
                return None
            shown = self._shown[uid] = user.shown
        return shown
