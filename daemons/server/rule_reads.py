"""Reads about users and channels: keys, what is so in a channel, who changed what, whose a key is."""

from typing import Any

from daemons.server.accounts import Speaker
from daemons.server.calls import Call
from daemons.server.drafts import Missing
from daemons.server.node import Node
from recado.protocol import names, rules, ssh_keys
from recado.protocol.errors import Refused
from recado.protocol.identities import HeldKey
from recado.protocol.limits import HISTORY_MESSAGES_DEFAULT, HISTORY_MESSAGES_MAX
from recado.protocol.messages import Entry, Kind
from recado.protocol.policy import Role, actor_of
from recado.protocol.rule_messages import AuditLog, ChannelInfo, UserKeys, Whois
from recado.texts import wire_text
from recado.wire.ports import Principal


class RuleReads:
    """Handlers of the services that read rules."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def user_keys(self, call: Call, asked: UserKeys) -> None:
        """The keys of a user.  They are public; why one was revoked its owner and operators read."""
        node = self._node
        name = names.user_name(asked.user)
        uid = node.accounts.find(name)
        user = None if uid is None else node.accounts.identities.user(uid)
        if user is None:
            raise Missing("user_missing", wire_text("user_missing"))
        own = call.actor.role is Role.OPERATOR or (call.actor.user or user) == user
        keys = [
            {
                "key": held.text,
                "since": held.since_ms // 1000,
                "revoked": None if held.revoked_ms is None else held.revoked_ms // 1000,
                "reason": held.reason if own else None,
                **_of_ssh(held),
            }
            for held in node.accounts.identities.keys(user.uid)
        ]
        told = {"user": user.shown, "role": user.role, "suspended": user.suspended, "uid": user.uid.hex()}
        call.reply({"status": "OK", **told, "since": user.since_ms // 1000, "keys": keys})

    def channel_info(self, call: Call, asked: ChannelInfo) -> None:
        """What is so in a channel, for who may read it."""
        node = self._node
        name = names.channel_name(asked.channel)
        speaker: Speaker | None = None
        if asked.user is not None:
            speaker = node.accounts.ruler(call.actor, asked.user, key=call.principal.key)
        uid = speaker.uid if speaker else call.actor.user and call.actor.user.uid
        channel = node.channels.readable(name, uid, operator=call.actor.role is Role.OPERATOR)
        if channel is None:
            raise Missing("channel_missing", wire_text("channel_missing"))
        topic = channel.topic
        told = {
            "channel": name,
            "since": channel.since_ms // 1000,
            "private": channel.private,
            "moderated": channel.moderated,
            "founder": None if channel.founder is None else self._name(channel.founder),
            "topic": "" if topic is None else topic.text,
            "topic_by": None if topic is None else self._name(topic.by),
            "topic_since": None if topic is None else topic.since_ms // 1000,
            "operators": self._names(channel.operators),
            "members": self._names(channel.members),
            "voices": self._names(channel.voices),
            "muted": self._names(channel.muted),
            "banned": self._names(channel.banned),
        }
        call.reply({"status": "OK", **told})

    def audit_log(self, call: Call, asked: AuditLog) -> None:
        """Who changed what about users and channels, and why: one page, the oldest of it first."""
        node = self._node
        limit = HISTORY_MESSAGES_DEFAULT if asked.limit is None else asked.limit
        limit = max(1, min(limit, HISTORY_MESSAGES_MAX))
        channel = None if asked.channel is None else names.channel_name(asked.channel)
        who = None
        if asked.who is not None:
            who = node.accounts.find(names.user_name(asked.who))
            if who is None:
                raise Missing("user_missing", wire_text("user_missing"))
        if not node.accounts.secured and channel is not None:
            node.channels.readable(channel, None)
        found = node.store.rules_before(asked.before, channel=channel, about=who, limit=limit)
        changes = [self._change(entry) for entry in found]
        call.reply({"status": "OK", "changes": changes, "more": len(found) == limit})

    def _change(self, entry: Entry) -> dict[str, Any]:
        told: dict[str, Any] = {
            "key": list(entry.key),
            "timestamp": entry.wall_ms // 1000,
            "user": self._name(entry.author or b""),
        }
        about_channel = entry.kind == Kind.CHANNEL_RULE
        said: rules.UserDeed | rules.ChannelDeed | None
        said = rules.channel_deed_of(entry.body) if about_channel else rules.user_deed_of(entry.body)
        if about_channel:
            told["channel"] = entry.target
        elif isinstance(entry.target, bytes):
            told["who"] = self._name(entry.target)
        if said is None:
            return {**told, "do": "?"}
        told |= {"do": said.do, "reason": said.reason, "operator": said.by == rules.OPERATOR}
        if isinstance(said, rules.ChannelDeed):
            whom = rules.uid_of_hex(said.who)
            return {**told, "who": None if whom is None else self._name(whom), "text": said.text}
        # Of an invitation the log knows a hash, which is what takes it back.
        ssh = said.ssh if said.ssh_key is None else _fingerprint(said.ssh_key)
        return {**told, "role": said.role, "public_key": said.key or ssh, "token": said.token}

    def whois(self, call: Call, asked: Whois) -> None:
        """A broker asks whose key this is: the name as people see it, under which topics are granted."""
        if len(asked.key) != 32:
            raise Refused("key_invalid", wire_text("key_invalid"))
        identities, security = self._node.accounts.identities, self._node.security
        listed = None if security is None else security.roster.role_of(asked.key)
        user = actor_of(listed or Principal("key", key=asked.key), identities).user
        if user is None or user.suspended:
            if user is not None or identities.is_revoked(asked.key):
                raise Refused("key_revoked", wire_text("key_revoked"))
            raise Missing("key_unknown", wire_text("key_unknown"))
        call.reply({"status": "OK", "name": user.shown, "role": user.role})

    def _name(self, uid: bytes) -> str:
        return self._node.accounts.shown(uid) or self._node.directory.name_of(uid)

    def _names(self, uids: set[bytes]) -> list[str]:
        return sorted(self._name(uid) for uid in uids)


def _of_ssh(held: HeldKey) -> dict[str, str]:
    """What only SSH keys have, and keys that nodes made for logins with one."""
    if held.ssh_key is not None:
        return {"ssh_key": held.ssh_key}
    return {} if held.via is None else {"via": ssh_keys.fingerprint_of(held.via)}


def _fingerprint(text: str) -> str | None:
    key = ssh_keys.key_of(text)
    return None if key is None else key.fingerprint
