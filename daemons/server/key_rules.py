"""Which keys a user may have: of the wire, of SSH, and those that a node makes for logins over SSH.

A Unix account whose login is the messenger (`security.ssh_accounts`) asks for one thing: that a key of its
own may speak for the user whose SSH key has opened it.  That is an entry of the log like any other, and
such a *session key* is good at every server as long as the SSH key is.
"""

from typing import Final

from daemons.server.accounts import Speaker
from daemons.server.calls import Call
from daemons.server.drafts import Draft, Missing
from daemons.server.node import Node
from daemons.server.writes import Writes
from recado.protocol import names, ssh_keys
from recado.protocol.errors import Refused
from recado.protocol.identities import HeldKey
from recado.protocol.limits import SESSION_KEYS_MAX, USER_KEYS_MAX
from recado.protocol.messages import Kind
from recado.protocol.rule_messages import SessionKey
from recado.protocol.rules import UserDeed, body_of
from recado.texts import wire_text
from recado.wire.ports import Principal

DONE: Final = "OK"


class Keys:
    """`check` for rules about keys; the service `session_key`."""

    def __init__(self, node: Node, writes: Writes) -> None:
        self._node = node
        self._writes = writes
        self._accounts = node.accounts

    def check(self, speaker: Speaker, about: bytes, said: UserDeed) -> None:
        """Whether a rule about a key may be given.  Raises `Refused`."""
        key = _key_meant(said)
        if key is None:
            return
        held = [one for one in self._accounts.identities.keys(about) if one.revoked_ms is None]
        if said.do in ("revoke_key", "revoke_ssh_key"):
            if not any(one.key == key for one in held):
                raise _refused("key_missing")
            if not speaker.operator and {one.key for one in held if one.via is None} == {key}:
                raise _refused("key_last")
        elif said.do in ("add_key", "add_ssh_key"):
            self._check_addition(key, about)
            if said.do == "add_ssh_key" and not speaker.operator:
                self._check_first(key, about)

    def _check_addition(self, key: bytes, about: bytes) -> None:
        identities, security = self._accounts.identities, self._node.security
        problem = identities.addition_problem(key, about)
        if problem is None and security and self._is_another(security.roster.role_of(key), about):
            problem = "key_taken"
        if problem is not None:
            raise _refused(problem)
        if sum(one.via is None for one in identities.keys(about)) >= USER_KEYS_MAX:
            raise _refused("keys_full")

    def _check_first(self, ssh: bytes, about: bytes) -> None:
        """An SSH key is never proved on the wire: who adds it second would have it in name only."""
        identities = self._accounts.identities
        if identities.is_claimed(ssh) and not any(one.key == ssh for one in identities.keys(about)):
            raise _refused("key_taken")

    def _is_another(self, listed: Principal | None, about: bytes) -> bool:
        """Whether the roster gives a key to a node, or to an operator of another name."""
        if listed is None:
            return False
        user = self._accounts.identities.user(about)
        return listed.role != "operator" or (user is not None and listed.name not in (user.name, user.shown))

    def session_key(self, call: Call, asked: SessionKey) -> None:
        """A key of a node becomes good for whose SSH key this is; again: it is so already."""
        node, identities = self._node, self._accounts.identities
        ssh, key = ssh_keys.ident_of(asked.ssh), names.key_bytes(asked.key)
        if ssh is None or key is None:
            raise _refused("key_invalid")
        user = identities.owner(ssh)
        if user is None:
            if identities.is_revoked(ssh):
                raise _refused("key_revoked")
            raise Missing("ssh_key_unknown", wire_text("ssh_key_unknown"))
        if user.suspended:
            raise _refused("suspended")
        told: dict[str, object] = {"user": user.shown, "role": user.role}
        if ssh in identities.session_of(key):
            owner = identities.owner(key)
            if owner is None or owner.uid != user.uid:
                raise _refused("key_revoked")
            call.reply({"status": DONE, **told})
            return
        self._check_session(key, identities.keys(user.uid))
        said = UserDeed(do="add_session", key=asked.key, ssh=asked.ssh)
        draft = Draft(
            kind=Kind.USER_RULE, author=user.uid, target=user.uid, body=body_of(said), status=DONE, told=told
        )
        if self._writes.known(call, draft, asked):
            return
        node.rationing.message(user.uid, node.batch_now, bot=user.has_bot_rates)
        self._writes.append(call, draft, asked)
        node.log.info("session key", user=user.shown, ssh=asked.ssh)

    def _check_session(self, key: bytes, held: list[HeldKey]) -> None:
        """It is of this one's making: nobody has it, not even one who has not come yet."""
        security = self._node.security
        if self._accounts.identities.is_claimed(key) or (security and security.roster.role_of(key)):
            raise _refused("key_taken")
        if sum(one.via is not None for one in held) >= SESSION_KEYS_MAX:
            raise _refused("keys_full")


def _key_meant(said: UserDeed) -> bytes | None:
    """The key that a rule is about, whichever kind it has."""
    if said.ssh_key is not None:
        ssh_key = ssh_keys.key_of(said.ssh_key)
        return None if ssh_key is None else ssh_key.ident
    if said.ssh is not None:
        return ssh_keys.ident_of(said.ssh)
    return names.key_bytes(said.key or "")


def _refused(code: str) -> Refused:
    return Refused(code, wire_text(code))
