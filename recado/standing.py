"""What the library tells of users, channels and rules: frozen values, read once from what servers say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from recado.values import Key, key_of, optional, texts, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class UserKey:
    """A public key of a user, in Z85.  `since` and `revoked` in UNIX seconds; `revoked` None: it is good.

    Of an SSH key `key` is the fingerprint and `ssh_key` the key, ``TYPE BASE64``.  `via`: the fingerprint of
    the SSH key for whose logins a node made this key, which is good as long as that one is.
    """

    key: str
    since: int
    revoked: int | None = None
    reason: str | None = None
    ssh_key: str | None = None
    via: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """A registered user.  `role`: "user" or "bot"."""

    user: str
    role: str
    suspended: bool
    since: int
    keys: tuple[UserKey, ...]
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInfo:
    """What is so in a channel; people by name, times in UNIX seconds.

    `members` are those invited; the founder and the operators are members besides.
    """

    channel: str
    since: int
    private: bool
    moderated: bool
    founder: str | None
    topic: str
    topic_by: str | None
    topic_since: int | None
    operators: tuple[str, ...]
    members: tuple[str, ...]
    voices: tuple[str, ...]
    muted: tuple[str, ...]
    banned: tuple[str, ...]
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One change about a user or in a channel: `user` did `do`, perhaps to `who`, and why.

    `operator`: of the cluster.  `text`: a channel's topic; `public_key`, `role`: of what is said of a user;
    `token`: the hash of an invitation, with which it is taken back.
    """

    user: str
    do: str
    who: str | None
    channel: str | None
    text: str | None
    reason: str | None
    operator: bool
    role: str | None
    public_key: str | None
    token: str | None
    timestamp: int
    key: Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeedPage:
    """Changes in their order.  Iterable.  `more`: there are earlier ones, before the key `earlier`."""

    deeds: tuple[Deed, ...]
    more: bool

    def __iter__(self) -> Iterator[Deed]:
        return iter(self.deeds)

    def __len__(self) -> int:
        return len(self.deeds)

    @property
    def earlier(self) -> Key | None:
        return next((deed.key for deed in self.deeds if deed.key is not None), None)


def user_info(data: Mapping[str, Any], *, user: str) -> UserInfo:
    found = data.get("keys")
    return UserInfo(
        user=optional(data, "user", str) or user,
        role=optional(data, "role", str) or "user",
        suspended=data.get("suspended") is True,
        since=whole(data.get("since")) or 0,
        keys=tuple(_user_key(item) for item in found if isinstance(item, dict))
        if isinstance(found, list)
        else (),
        fields=data,
    )


def _user_key(data: Mapping[str, Any]) -> UserKey:
    return UserKey(
        key=optional(data, "key", str) or "",
        since=whole(data.get("since")) or 0,
        revoked=whole(data.get("revoked")),
        reason=optional(data, "reason", str),
        ssh_key=optional(data, "ssh_key", str),
        via=optional(data, "via", str),
    )


def channel_info(data: Mapping[str, Any], *, channel: str) -> ChannelInfo:
    return ChannelInfo(
        channel=optional(data, "channel", str) or channel,
        since=whole(data.get("since")) or 0,
        private=data.get("private") is True,
        moderated=data.get("moderated") is True,
        founder=optional(data, "founder", str),
        topic=optional(data, "topic", str) or "",
        topic_by=optional(data, "topic_by", str),
        topic_since=whole(data.get("topic_since")),
        operators=texts(data.get("operators")),
        members=texts(data.get("members")),
        voices=texts(data.get("voices")),
        muted=texts(data.get("muted")),
        banned=texts(data.get("banned")),
        fields=data,
    )


def deeds(data: Mapping[str, Any]) -> DeedPage:
    found = data.get("changes")
    listed = found if isinstance(found, list) else []
    return DeedPage(
        deeds=tuple(_deed(item) for item in listed if isinstance(item, dict)), more=data.get("more") is True
    )


def _deed(data: Mapping[str, Any]) -> Deed:
    return Deed(
        user=optional(data, "user", str) or "?",
        do=optional(data, "do", str) or "?",
        who=optional(data, "who", str),
        channel=optional(data, "channel", str),
        text=optional(data, "text", str),
        reason=optional(data, "reason", str),
        operator=data.get("operator") is True,
        role=optional(data, "role", str),
        token=optional(data, "token", str),
        public_key=optional(data, "public_key", str),
        timestamp=whole(data.get("timestamp")) or 0,
        key=key_of(data.get("key")),
    )
