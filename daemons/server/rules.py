"""Rules: keys and standing of users, invitations, and what is so in channels.  Entries of the log.

Whether one had the right is decided here, at acceptance, by what is durable at this server; for channels
every replica decides it again, in the total order, so that rules given at once come out alike everywhere.
"""

import hmac
from typing import Final

from daemons.server.accounts import Speaker
from daemons.server.calls import Call
from daemons.server.drafts import Draft, Missing
from daemons.server.key_rules import Keys
from daemons.server.node import Node
from daemons.server.registration import invitation_hash
from daemons.server.writes import Writes
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.limits import INVITATIONS_MAX
from recado.protocol.messages import Kind, Write
from recado.protocol.policy import Role, may_rule
from recado.protocol.rule_messages import ChannelRule, Invite, UserRule
from recado.protocol.rules import (
    CHANNEL_DEEDS,
    OPERATOR,
    USER_DEEDS,
    ChannelDeed,
    UserDeed,
    body_of,
    channel_deed_of,
    user_deed_of,
)
from recado.texts import wire_text

_NOT_ASKED_FOR: Final = frozenset({"invite", "prove_key", "add_session"})  # a service or a login of their own
_OF_SHARED_ACCOUNTS: Final = frozenset({"revoke_key", "revoke_ssh_key"})  # which make no keys
TOKEN_BYTES: Final = 15  # 20 characters of base 64 would do; in hexadecimal 30


class Rules:
    """The services `user_rule`, `invite` and `channel_rule`."""

    def __init__(self, node: Node, writes: Writes) -> None:
        self._node = node
        self._writes = writes
        self._accounts = node.accounts
        self.keys = Keys(node, writes)

    # Users --------------------------------------------------------------------------------------

    def user_rule(self, call: Call, asked: UserRule) -> None:
        speaker = self._accounts.ruler(call.actor, asked.user, key=call.principal.key)
        name = names.user_name(asked.user if asked.who is None else asked.who)
        if asked.do == "register":
            self._register(call, asked, speaker, name)
            return
        if asked.do not in USER_DEEDS or asked.do in _NOT_ASKED_FOR:
            raise _refused("rule_invalid")
        about = self._accounts.find(name)
        if about is None or self._accounts.identities.user(about) is None:
            about = self._unknown(call, asked, speaker, name)
            if about is None:
                return
        if not self._may(call, asked, speaker, about):
            raise _refused("operators_only")
        said = UserDeed(
            do=asked.do,
            key=asked.key,
            ssh_key=asked.ssh_key,
            ssh=asked.ssh,
            role=asked.role,
            token=asked.token,
            reason=asked.reason or None,
            by=OPERATOR if speaker.operator else None,
        )
        body = body_of(said)
        if user_deed_of(body) is None:
            raise _refused("rule_invalid")
        draft = Draft(kind=Kind.USER_RULE, author=speaker.uid, target=about, body=body)
        if self._writes.known(call, draft, asked):
            return
        self.keys.check(speaker, about, said)
        self._keep(call, draft, asked, speaker)
        self._node.log.info("user rule", user=speaker.name, rule=said.do, about=name)

    def _unknown(self, call: Call, asked: UserRule, speaker: Speaker, name: str) -> bytes | None:
        """Somebody who is not registered: an operator's `add_key` registers them, which is all done here."""
        if not self._accounts.secured:
            return names.uid(name)
        if not speaker.operator or asked.do != "add_key":
            raise Missing("user_missing", wire_text("user_missing"))
        key = names.key_bytes(asked.key or "")
        if key is None:
            raise _refused("key_invalid")
        uid = names.key_uid(key, name)
        self.keys.check(speaker, uid, UserDeed(do="add_key", key=asked.key))
        self._writes.registration.register(call, asked, name=name, key=key, bot=asked.role == Role.BOT)
        return None

    def _register(self, call: Call, asked: UserRule, speaker: Speaker, name: str) -> None:
        """An operator registers somebody who has no key on our wire, and perhaps one of SSH."""
        if not speaker.operator:
            raise _refused("operators_only")
        bot = asked.role == Role.BOT
        self._writes.registration.register(call, asked, name=name, key=b"", bot=bot)

    def _may(self, call: Call, asked: UserRule, speaker: Speaker, about: bytes) -> bool:
        if not self._accounts.secured:
            return about == speaker.uid and asked.do in ("add_key", "revoke_key")
        if call.actor.role is Role.GATEWAY:
            return about == speaker.uid and asked.do in _OF_SHARED_ACCOUNTS
        if self._accounts.identities.session_of(call.principal.key):
            return about == speaker.uid and self._of_ssh(asked)
        return may_rule(call.actor, asked.do, about=about)

    def _of_ssh(self, asked: UserRule) -> bool:
        """Whether it ends a key of SSH or of a node: whoever takes a node leaves devices alone."""
        key = names.key_bytes(asked.key or "")
        ends_session = key is not None and bool(self._accounts.identities.session_of(key))
        return asked.do == "revoke_ssh_key" or (asked.do == "revoke_key" and ends_session)

    def invite(self, call: Call, asked: Invite) -> None:
        """A token for one registration; a repetition of the request gets the same one."""
        node = self._node
        speaker = self._accounts.ruler(call.actor, asked.user, key=call.principal.key)
        if not speaker.operator or node.security is None:
            raise _refused("operators_only")
        if call.id is None:
            call.id = names.minted_id(node.batch_ms, node.surroundings.entropy(10))
        made_of = b"invite" + speaker.uid + call.id
        token = hmac.digest(node.security.cluster_key, made_of, "sha256")[:TOKEN_BYTES].hex()
        said = UserDeed(
            do="invite",
            token=invitation_hash(token),
            expires=names.wall_ms(asked.expires),
            reason=asked.reason or None,
            by=OPERATOR,
        )
        body = body_of(said)
        if user_deed_of(body) is None:
            raise _refused("rule_invalid")
        draft = Draft(
            kind=Kind.USER_RULE, author=speaker.uid, target=speaker.uid, body=body, told={"token": token}
        )
        if self._writes.known(call, draft, asked):
            return
        if len(self._accounts.identities.open_invitations(node.batch_ms)) >= INVITATIONS_MAX:
            raise _refused("invitations_full")
        self._keep(call, draft, asked, speaker)

    # Channels -----------------------------------------------------------------------------------

    def channel_rule(self, call: Call, asked: ChannelRule) -> None:
        speaker = self._accounts.ruler(call.actor, asked.user, key=call.principal.key)
        channel = names.channel_name(asked.channel)
        if asked.do not in CHANNEL_DEEDS:
            raise _refused("rule_invalid")
        who = None
        if asked.who is not None:
            who = self._accounts.find(names.user_name(asked.who))
            if who is None:
                raise Missing("user_missing", wire_text("user_missing"))
        said = ChannelDeed(
            do=asked.do,
            who=None if who is None else who.hex(),
            text=asked.text,
            reason=asked.reason or None,
            by=OPERATOR if speaker.operator else None,
        )
        body = body_of(said)
        if channel_deed_of(body) is None:
            raise _refused("rule_invalid")
        draft = Draft(kind=Kind.CHANNEL_RULE, author=speaker.uid, target=channel, body=body)
        if self._writes.known(call, draft, asked):
            return
        self._node.channels.check_rule(channel, speaker.uid, said)
        self._keep(call, draft, asked, speaker)
        self._node.log.info("channel rule", user=speaker.name, channel=channel, rule=said.do)

    def _keep(self, call: Call, draft: Draft, asked: Write, speaker: Speaker) -> None:
        self._node.rationing.message(speaker.uid, self._node.batch_now, bot=speaker.bot)
        self._writes.append(call, draft, asked)


def _refused(code: str) -> Refused:
    return Refused(code, wire_text(code))
