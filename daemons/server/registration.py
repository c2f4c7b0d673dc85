"""Login in a secured cluster: a name is registered once, with a key, and proved from then on.

Which name a key may have is decided by the log; who may register at all by `security.registration`.  Two
servers may register one name at the same time: the smaller entry has it, the other user is shown by
another name and told so (A17).
"""

from typing import Final, Protocol

from daemons.server.accounts import Accounts
from daemons.server.calls import Call
from daemons.server.drafts import Draft, Missing
from daemons.server.node import Node
from daemons.server.topics import Topics
from recado.protocol import names
from recado.protocol.entry import hash16
from recado.protocol.errors import Refused
from recado.protocol.identities import User
from recado.protocol.messages import Kind, Login, Write
from recado.protocol.policy import Role
from recado.protocol.rules import LoginBody, UserDeed, body_of
from recado.texts import wire_text
from storage.replica import StorageFull

SUCCESS: Final = "sucesso"


class Appender(Protocol):
    """What is used here of `writes.Writes`."""

    def known(self, call: Call, draft: Draft, asked: Write) -> bool: ...
    def append(self, call: Call, draft: Draft, asked: Write) -> None: ...
    def settle_at(
        self, call: Call, asked: Write, data: dict[str, object], *, origin: str, seq: int
    ) -> None: ...


class Registration:
    """The service `login` in secured mode."""

    def __init__(self, node: Node, writes: Appender) -> None:
        self._node = node
        self._writes = writes
        self._accounts: Accounts = node.accounts
        self._topics: Topics = node.topics

    def login(self, call: Call, asked: Login) -> None:
        name = names.user_name(asked.user)
        actor = call.actor
        if actor.role is Role.GATEWAY:
            speaker = self._accounts.speaker(actor, name)
            self._prove(call, asked, self._accounts.identities.user(speaker.uid))
        elif actor.user is not None and name in (actor.user.name, actor.user.shown):
            self._come(call, asked, actor.user)
        elif actor.user is not None and not self._is_unproved(call.principal.key):
            raise Refused("not_you", wire_text("not_you"))
        elif actor.role is Role.LOCAL:
            if name != actor.name:
                raise Refused("not_you", wire_text("not_you"))
            self.register(call, asked, name=name, key=b"")
        elif not call.principal.key:
            raise Refused("key_unknown", wire_text("key_unknown"))
        elif (user := self._accounts.identities.added(call.principal.key, name)) is not None:
            if user.suspended:
                raise Refused("suspended", wire_text("suspended"))
            self._come(call, asked, user)
        else:
            self._not_revoked(call.principal.key, name)
            invited = self._allowed(call, asked)
            self.register(
                call, asked, name=name, key=call.principal.key, bot=bool(asked.bot), invited=invited
            )

    def _is_unproved(self, key: bytes) -> bool:
        """Whether the key was added to somebody, who need not have it, and never logged in."""
        identities = self._accounts.identities
        return identities.is_claimed(key) and not identities.is_proved(key)

    def _not_revoked(self, key: bytes, name: str) -> None:
        identities = self._accounts.identities
        user = identities.named(name)
        if user is not None and identities.addition_problem(key, user.uid) == "key_revoked":
            raise Refused("key_revoked", wire_text("key_revoked"))

    def _come(self, call: Call, asked: Login, user: User) -> None:
        """A key of this user logs in; the first time the log is told that it has proved itself."""
        key = call.principal.key
        if self._is_unproved(key) and user.registered is not None:
            said = UserDeed(do="prove_key", key=names.key_text(key))
            proof = Draft(
                kind=Kind.USER_RULE,
                author=user.uid,
                target=user.uid,
                body=body_of(said),
                status=SUCCESS,
                told=self._told(user),
            )
            call.id = None  # that of the request is the registration's
            self._node.rationing.message(user.uid, self._node.batch_now, bot=user.has_bot_rates)
            self._writes.append(call, proof, asked)
        else:
            self._prove(call, asked, user)

    def _prove(self, call: Call, asked: Login, user: User | None) -> None:
        """The name is this one's already: say so, as soon as that is durable."""
        assert user is not None, "who speaks is registered"
        told = {**self._told(user), **({} if asked.id is None else {"id": asked.id})}
        if user.registered is None:
            self._node.commits.after(lambda full: self._once_durable(call, asked, told, full))
            return
        lamport, origin, seq = user.registered
        data = {"key": (lamport, origin, seq), "server": self._node.name, **told}
        self._writes.settle_at(call, asked, {"status": SUCCESS, **data}, origin=origin, seq=seq)

    def _once_durable(
        self, call: Call, asked: Login, told: dict[str, object], full: StorageFull | None
    ) -> None:
        """The registration that was under way when this one asked is durable, or void."""
        user = self._accounts.actor(call.principal).user
        if full is not None:
            call.refuse(Refused("storage_full", wire_text("storage_full")))
        elif user is not None and user.registered is not None:
            self._prove(call, asked, user)
        else:
            call.reply({"status": SUCCESS, **told})

    def _told(self, user: User) -> dict[str, object]:
        """What a user has to know: the name that people see, the topic of direct messages."""
        return {"user": user.shown, "topic": self._topics.direct(user)}

    def _allowed(self, call: Call, asked: Login) -> str | None:
        """Whether a stranger may register here; the hash of the invitation that is used up, if one is."""
        policy = self._node.in_force.config.security.registration
        if call.actor.role is Role.OPERATOR:
            return None
        if policy == "operators":
            raise Refused("registration_closed", wire_text("registration_closed"))
        if asked.invite is None:
            if policy == "invite":
                raise Refused("invite_needed", wire_text("invite_needed"))
            return None
        token_hash = invitation_hash(asked.invite)
        invitation = self._accounts.identities.invitation(token_hash)
        if invitation is None:
            raise Missing("invite_invalid", wire_text("invite_invalid"))
        taken = self._accounts.invites_at_present(token_hash)
        if taken or not invitation.is_open(self._node.batch_ms):
            raise Refused("invite_invalid", wire_text("invite_invalid"))
        return token_hash

    def register(
        self,
        call: Call,
        asked: Write,
        *,
        name: str,
        key: bytes,
        bot: bool = False,
        invited: str | None = None,
    ) -> None:
        """Append a login of a new user, of `key` or, at a local account, of none."""
        node = self._node
        uid = names.key_uid(key, name) if key else names.uid(name)
        body = LoginBody(key=names.key_text(key) if key else None, bot=bot, invite=invited)
        user = User(uid, name, name, Role.BOT if bot else Role.USER, False, 0, node.batch_ms)
        draft = Draft(
            kind=Kind.LOGIN,
            author=uid,
            target=name,
            body=body_of(body),
            status=SUCCESS,
            told=self._told(user),
        )
        if self._writes.known(call, draft, asked):
            return
        self._check_name(name)
        if call.actor.role is not Role.OPERATOR:
            node.rationing.registration(call.principal, node.batch_now)
        self._writes.append(call, draft, asked)
        if key:
            self._accounts.registering(key, user, invited=invited)
        node.log.info("registering user", user=name)

    def _check_name(self, name: str) -> None:
        names.new_name(name)
        identities = self._accounts.identities
        if identities.named(name) is not None or self._accounts.is_pending(name):
            raise Refused("user_taken", wire_text("user_taken"))
        like = identities.name_like(name)
        if like is not None:
            raise Refused("name_confusable", wire_text("name_confusable"))


def invitation_hash(token: str) -> str:
    """What the log knows of an invitation's token."""
    return hash16(b"invite" + token.encode("utf-8", "replace")).hex()
