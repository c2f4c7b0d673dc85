"""What the bodies of logins, channels and rules say: canonical JSON, so that SQLite reads it too.

Canonical: one flat object of texts, whole numbers and booleans, keys sorted, no spaces, UTF-8, each
key once.  Fields that a later version adds are kept and passed over.  Whether the one who acts had the
right is not decided here but where the rules are folded (`identities`, `channel_rules`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from recado.protocol import names, ssh_keys
from recado.protocol.limits import REASON_BYTES_MAX, RULE_BODY_BYTES_MAX, RULE_TEXT_BYTES_MAX

T = TypeVar("T")

USER_DEEDS: Final[Mapping[str, tuple[str, ...]]] = {  # word → fields that it needs
    "add_key": ("key",),
    "prove_key": ("key",),  # by the server at which a key that was added has logged in
    "revoke_key": ("key",),
    "add_ssh_key": ("ssh_key",),
    "revoke_ssh_key": ("ssh",),
    "add_session": ("key", "ssh"),  # a node's key for logins with that SSH key, good as long as it is
    "role": ("role",),
    "invite": ("token",),
    "revoke_invite": ("token",),
    "suspend": (),
    "restore": (),
}
CHANNEL_DEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "topic": ("text",),
    "private": (),
    "public": (),
    "moderated": (),
    "unmoderated": (),
    "leave": (),
    **dict.fromkeys(
        ("invite", "uninvite", "op", "deop", "voice", "devoice", "mute", "unmute", "ban", "unban", "kick"),
        ("who",),
    ),
}
ROLES: Final = frozenset({"user", "bot"})
OPERATOR: Final = "operator"  # in `by`: the server that accepted the rule saw an operator act


class LoginBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a login: the key in Z85, whether a program's, the hash of the invitation used."""

    key: str | None = None
    bot: bool = False
    invite: str | None = None


class ChannelBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a channel's creation."""

    private: bool = False


class UserDeed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a `Kind.USER_RULE`.  `token`: an invitation's hash; `expires`: milliseconds.

    `ssh_key`: a public key of SSH (`ssh_keys.SshKey.text`); `ssh`: the fingerprint of one.
    """

    do: str
    key: str | None = None
    ssh_key: str | None = None
    ssh: str | None = None
    role: str | None = None
    token: str | None = None
    expires: int | None = None
    reason: str | None = None
    by: str | None = None


class ChannelDeed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a `Kind.CHANNEL_RULE`.  `who`: a user id in hexadecimal."""

    do: str
    who: str | None = None
    text: str | None = None
    reason: str | None = None
    by: str | None = None


Body = LoginBody | ChannelBody | UserDeed | ChannelDeed


def body_of(said: Body) -> bytes:
    """The canonical bytes; empty for a login or channel that says nothing more."""
    raw = msgspec.json.encode(said, order="sorted")
    return b"" if raw == b"{}" else raw


def login_of(body: bytes) -> LoginBody | None:
    """What a login says, nothing if its body is no object; None if it is not in canonical form."""
    return _read(body, LoginBody, _login_problem) if body.startswith(b"{") else LoginBody()


def channel_of(body: bytes) -> ChannelBody | None:
    """What a channel's creation says; as `login_of`."""
    return _read(body, ChannelBody, lambda _: False) if body.startswith(b"{") else ChannelBody()


def user_deed_of(body: bytes) -> UserDeed | None:
    """A rule about a user; None if it is not in canonical form, its word unknown or a field missing."""
    return _read(body, UserDeed, _user_problem)


def channel_deed_of(body: bytes) -> ChannelDeed | None:
    """A rule about a channel; None as for `user_deed_of`."""
    return _read(body, ChannelDeed, _channel_problem)


def uid_of_hex(value: str | None) -> bytes | None:
    """A user id from its hexadecimal form."""
    raw = _hex(value)
    return raw if raw is not None and len(raw) == names.UID_BYTES else None


def _read(body: bytes, schema: type[T], problem: Callable[[T], bool]) -> T | None:
    if len(body) > RULE_BODY_BYTES_MAX:
        return None
    try:
        value = msgspec.json.decode(body)
        if type(value) is not dict or not _is_flat(value.values()):
            return None
        if msgspec.json.encode(value, order="sorted") != body:
            return None
        said = msgspec.convert(value, schema)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    return None if problem(said) else said


def _is_flat(values: Iterable[Any]) -> bool:
    for value in values:
        if type(value) is str:
            if len(value.encode()) > RULE_TEXT_BYTES_MAX or names.has_controls(value):
                return False
        elif type(value) is not bool and (type(value) is not int or not 0 <= value < 2**53):
            return False
    return True


def _hex(value: str | None) -> bytes | None:
    try:
        raw = bytes.fromhex(value or "")
    except ValueError:
        return None
    return raw if raw and raw.hex() == value else None


def _login_problem(said: LoginBody) -> bool:
    return (said.key is not None and names.key_bytes(said.key) is None) or _bad_token(said.invite)


def _bad_token(token: str | None) -> bool:
    return token is not None and uid_of_hex(token) is None


def _lacks(said: UserDeed | ChannelDeed, deeds: Mapping[str, tuple[str, ...]]) -> bool:
    needed = deeds.get(said.do)
    if needed is None or any(getattr(said, field) is None for field in needed):
        return True
    return said.by not in (None, OPERATOR) or len((said.reason or "").encode()) > REASON_BYTES_MAX


def _user_problem(said: UserDeed) -> bool:
    return (
        _lacks(said, USER_DEEDS)
        or (said.key is not None and names.key_bytes(said.key) is None)
        or (said.ssh_key is not None and ssh_keys.key_of(said.ssh_key) is None)
        or (said.ssh is not None and ssh_keys.ident_of(said.ssh) is None)
        or (said.role is not None and said.role not in ROLES)
        or _bad_token(said.token)
    )


def _channel_problem(said: ChannelDeed) -> bool:
    return _lacks(said, CHANNEL_DEEDS) or (said.who is not None and uid_of_hex(said.who) is None)
