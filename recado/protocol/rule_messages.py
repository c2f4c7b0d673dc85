"""Requests about users and channels: who may do what.  `services.REQUESTS` names their services."""

from recado.protocol.messages import Number, Read, Request, Timestamp, Write


class UserRule(Write, frozen=True, kw_only=True):
    """Something about the user `who` (without it: about `user`, who asks): `do` is a word of `identities`."""

    user: str
    do: str
    who: str | None = None
    key: str | None = None  # a public key, Z85
    ssh_key: str | None = None  # a public key of SSH, ``TYPE BASE64``
    ssh: str | None = None  # the fingerprint of one, ``SHA256:…``
    role: str | None = None
    token: str | None = None  # of an invitation to be taken back: its hash in hexadecimal
    reason: str | None = None


class SessionKey(Write, frozen=True, kw_only=True):
    """A Unix account for logins over SSH asks for a `key` (Z85) of its own to be good for whose SSH key has
    the fingerprint `ssh`; the reply carries that `user`.
    """

    ssh: str
    key: str


class Invite(Write, frozen=True, kw_only=True):
    """Asks for an invitation to register, good once; the reply carries its `token`."""

    user: str
    expires: Timestamp = None
    reason: str | None = None


class ChannelRule(Write, frozen=True, kw_only=True):
    """Something about a channel, perhaps about the user `who` in it: `do` is a word of `channel_rules`."""

    user: str
    channel: str
    do: str
    who: str | None = None
    text: str | None = None
    reason: str | None = None


class UserKeys(Read, frozen=True, kw_only=True):
    """The keys of `user`, revoked ones too."""

    user: str


class ChannelInfo(Read, frozen=True, kw_only=True):
    """A channel's topic, modes, operators, members; `user` asks."""

    channel: str
    user: str | None = None


class AuditLog(Read, frozen=True, kw_only=True):
    """Who changed what about users and channels, why: the last `limit` before the key `before`.

    `channel`: of that channel only.  `who`: about or by that user only.  `user` asks.
    """

    user: str | None = None
    channel: str | None = None
    who: str | None = None
    before: tuple[Number, str, Number] | None = None
    limit: int | None = None


class Whois(Request, frozen=True, kw_only=True):
    """A broker asks whose key this is (32 bytes): answered `name` and `role`, or nothing known."""

    key: bytes
