"""Rules of users and channels, as the library writes and reads them: who may do what, and who said so.

Each rule is an entry of the log like a message, with an id and a level, and stands in the audit log with its
reason.  What one has no right to raises a kind of `Forbidden`; in a cluster without keys the same rules hold,
and go by the names that people claim.
"""

from typing import Any, Literal, Unpack

from recado import standing
from recado.failures import checked
from recado.protocol import names
from recado.standing import ChannelInfo, DeedPage, UserInfo, UserKey
from recado.values import Key, Receipt
from recado.writing import How, Writing


class Community(Writing):
    """The methods of `Chat` about users and channels."""

    # Keys and users --------------------------------------------------------------------------------

    async def user_info(self, user: str | None = None) -> UserInfo:
        """A user, or oneself.  Raises `UserMissing`."""
        name = self.user if user is None else checked(names.user_name, user)
        return standing.user_info((await self._connection.read("user_keys", {"user": name})).data, user=name)

    async def keys(self, user: str | None = None) -> tuple[UserKey, ...]:
        """The public keys of a user, revoked ones too; without a name one's own."""
        return (await self.user_info(user)).keys

    async def add_key(
        self, key: str, *, user: str | None = None, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """One more key (Z85) of oneself; of another `user` only operators add one."""
        return await self._about_user("add_key", user, key=key, reason=reason, how=how)

    async def revoke_key(
        self, key: str, *, user: str | None = None, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """End a key for ever: whoever has it is a stranger from now on, and its subscriptions fall silent."""
        return await self._about_user("revoke_key", user, key=key, reason=reason, how=how)

    async def add_ssh_key(
        self, ssh_key: str, *, user: str | None = None, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """A public key of SSH (``TYPE BASE64``) opens nodes' accounts for this user; as `add_key`."""
        return await self._about_user("add_ssh_key", user, ssh_key=ssh_key, reason=reason, how=how)

    async def revoke_ssh_key(
        self, fingerprint: str, *, user: str | None = None, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """End an SSH key for ever, and with it what nodes do for who has come with it."""
        return await self._about_user("revoke_ssh_key", user, ssh=fingerprint, reason=reason, how=how)

    async def register(self, user: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """For operators: a user without a key on our wire, for who is to come with one of SSH.

        Raises `NameTaken`.
        """
        return await self._about_user("register", user, reason=reason, how=how)

    async def session_key(self, key: str, *, fingerprint: str, **how: Unpack[How]) -> str:
        """For a node's account for logins over SSH: `key` (Z85) is good for whose SSH key has opened it, as
        long as that one is.  The user's name.  Raises `KeyUnknown`.
        """
        _, told = await self._write_and_hear("session_key", {"ssh": fingerprint, "key": key}, **how)
        return str(told.get("user", ""))

    async def suspend(self, user: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """For operators: no request of this user is served until `restore`."""
        return await self._about_user("suspend", user, reason=reason, how=how)

    async def restore(self, user: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """For operators: end a suspension."""
        return await self._about_user("restore", user, reason=reason, how=how)

    async def set_role(
        self, user: str, role: Literal["user", "bot"], *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """For operators: whether a user is a program."""
        return await self._about_user("role", user, role=role, reason=reason, how=how)

    async def invitation(
        self, *, expires: int | None = None, reason: str | None = None, **how: Unpack[How]
    ) -> str:
        """For operators: the token of an invitation to register, good once, until `expires` (UNIX seconds).

        It can't be had again, except with the same `id`.
        """
        fields: dict[str, Any] = {"user": self.user, **_given(expires=expires, reason=reason)}
        _, told = await self._write_and_hear("invite", fields, **how)
        return str(told.get("token", ""))

    async def revoke_invitation(
        self, token: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """For operators: take an invitation back, by the hash of its token as the audit log has it."""
        return await self._about_user("revoke_invite", None, token=token, reason=reason, how=how)

    # Channels --------------------------------------------------------------------------------------

    async def channel_info(self, channel: str) -> ChannelInfo:
        """What is so in a channel.  Raises `ChannelMissing`, `NotMember`."""
        name = checked(names.channel_name, channel)
        fields = {"channel": name, **_given(user=self._user)}
        return standing.channel_info((await self._connection.read("channel_info", fields)).data, channel=name)

    async def set_topic(
        self, channel: str, text: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """What a channel is about."""
        return await self._in_channel(channel, "topic", text=text, reason=reason, how=how)

    async def set_private(
        self, channel: str, private: bool, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Whether only who is invited finds, reads and writes it."""
        return await self._in_channel(channel, "private" if private else "public", reason=reason, how=how)

    async def set_moderated(
        self, channel: str, moderated: bool, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Whether only who has a voice speaks."""
        do = "moderated" if moderated else "unmoderated"
        return await self._in_channel(channel, do, reason=reason, how=how)

    async def invite(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Let somebody into a private channel."""
        return await self._in_channel(channel, "invite", who=who, reason=reason, how=how)

    async def uninvite(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Take an invitation back: no member any more, but may be invited again."""
        return await self._in_channel(channel, "uninvite", who=who, reason=reason, how=how)

    async def kick(self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Put somebody out of a private channel."""
        return await self._in_channel(channel, "kick", who=who, reason=reason, how=how)

    async def ban(self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Put somebody out for good: not read, if the channel is private, and not speak."""
        return await self._in_channel(channel, "ban", who=who, reason=reason, how=how)

    async def unban(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Take a ban back."""
        return await self._in_channel(channel, "unban", who=who, reason=reason, how=how)

    async def mute(self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Let somebody read and not speak."""
        return await self._in_channel(channel, "mute", who=who, reason=reason, how=how)

    async def unmute(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Take that back."""
        return await self._in_channel(channel, "unmute", who=who, reason=reason, how=how)

    async def op(self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Make somebody an operator of the channel."""
        return await self._in_channel(channel, "op", who=who, reason=reason, how=how)

    async def deop(self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Take that back."""
        return await self._in_channel(channel, "deop", who=who, reason=reason, how=how)

    async def voice(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Let somebody speak in a moderated channel."""
        return await self._in_channel(channel, "voice", who=who, reason=reason, how=how)

    async def devoice(
        self, channel: str, who: str, *, reason: str | None = None, **how: Unpack[How]
    ) -> Receipt:
        """Take that back."""
        return await self._in_channel(channel, "devoice", who=who, reason=reason, how=how)

    async def leave(self, channel: str, *, reason: str | None = None, **how: Unpack[How]) -> Receipt:
        """Be no member of a private channel any more."""
        return await self._in_channel(channel, "leave", reason=reason, how=how)

    # Who did what ----------------------------------------------------------------------------------

    async def audit_log(
        self,
        *,
        channel: str | None = None,
        who: str | None = None,
        before: Key | None = None,
        limit: int | None = None,
    ) -> DeedPage:
        """The last changes about users and channels: of one `channel`, by or about `who`, `before` a key.

        For operators.

        page = await chat.audit_log(channel="geral")
        for deed in page:
            print(deed.user, deed.do, deed.who, deed.reason)
        """
        fields = _given(
            user=self._user,
            channel=None if channel is None else checked(names.channel_name, channel),
            who=None if who is None else checked(names.user_name, who),
            before=None if before is None else list(before),
            limit=limit,
        )
        return standing.deeds((await self._connection.read("audit_log", fields)).data)

    async def _about_user(
        self,
        do: str,
        user: str | None,
        *,
        reason: str | None,
        how: How,
        **fields: str,
    ) -> Receipt:
        whom = _given(who=None if user is None else checked(names.user_name, user), reason=reason)
        receipt, _ = await self._write_and_hear(
            "user_rule", {"user": self.user, "do": do, **whom, **fields}, **how
        )
        return receipt

    async def _in_channel(
        self,
        channel: str,
        do: str,
        *,
        who: str | None = None,
        text: str | None = None,
        reason: str | None,
        how: How,
    ) -> Receipt:
        whom = None if who is None else checked(names.user_name, who)
        fields = {"user": self.user, "channel": checked(names.channel_name, channel), "do": do}
        given = _given(who=whom, text=text, reason=reason)
        receipt, _ = await self._write_and_hear("channel_rule", {**fields, **given}, **how)
        return receipt


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
