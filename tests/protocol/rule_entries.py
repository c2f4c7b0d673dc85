"""Entries about users and channels, made by hand and drawn at random, for the tests of the folds."""

from collections.abc import Sequence

from hypothesis import strategies as st

from recado.protocol import names, rules
from recado.protocol.entry import EMPTY, seal
from recado.protocol.messages import Entry, Kind

KEYS = [bytes([number]) * 32 for number in (1, 2, 3, 4)]
ORIGINS = [f"server-{number}.{number:016x}" for number in (1, 2, 3)]
NAMES = ["ana", "bia", "caio"]
PEOPLE = [names.key_uid(KEYS[0], "ana"), names.key_uid(KEYS[1], "ana"), names.key_uid(KEYS[2], "bia")]


def entry(
    kind: Kind,
    target: str | bytes,
    body: rules.Body | bytes = b"",
    *,
    author: bytes | None,
    at: int,
    origin: str = ORIGINS[0],
) -> Entry:
    """An entry with the stamp `at`; which seq it has is nothing to the folds."""
    return seal(
        EMPTY,
        origin=origin,
        lamport=at,
        wall_ms=1_000 * at,
        kind=kind,
        author=author,
        id=None,
        target=target,
        prev=0,
        body=body if isinstance(body, bytes) else rules.body_of(body),
    )


def login(name: str, key: bytes, *, at: int, origin: str = ORIGINS[0], **said: object) -> Entry:
    """A registration with a key."""
    body = rules.LoginBody(key=names.key_text(key), **said)  # type: ignore[arg-type]
    return entry(Kind.LOGIN, name, body, author=names.key_uid(key, name), at=at, origin=origin)


def about_user(
    uid: bytes, do: str, *, at: int, by: bytes | None = None, origin: str = ORIGINS[0], **said: str | int
) -> Entry:
    """A rule about a user, by that user, or by an operator if `by` is given."""
    if by is not None:
        said["by"] = rules.OPERATOR
    deed = rules.UserDeed(do=do, **said)  # type: ignore[arg-type]
    return entry(Kind.USER_RULE, uid, deed, author=by or uid, at=at, origin=origin)


def about_channel(
    actor: bytes, do: str, who: bytes | None = None, *, at: int, origin: str = ORIGINS[0], **said: str
) -> Entry:
    """A rule about the channel `geral`."""
    deed = rules.ChannelDeed(do=do, who=None if who is None else who.hex(), **said)
    return entry(Kind.CHANNEL_RULE, "geral", deed, author=actor, at=at, origin=origin)


def creation(founder: bytes, *, at: int = 1, private: bool = False, origin: str = ORIGINS[0]) -> Entry:
    """The channel `geral`."""
    return entry(
        Kind.CHANNEL, "geral", rules.ChannelBody(private=private), author=founder, at=at, origin=origin
    )


_AT, _ORIGIN = st.integers(1, 12), st.sampled_from(ORIGINS)
_WHO = st.sampled_from(PEOPLE)
_LOGINS = st.builds(
    lambda name, key, at, origin, bot, invite: login(name, key, at=at, origin=origin, bot=bot, invite=invite),
    st.sampled_from(NAMES),
    st.sampled_from(KEYS),
    _AT,
    _ORIGIN,
    st.booleans(),
    st.sampled_from([None, "0" * 32, "1" * 32]),
)
_USER_RULES = st.builds(
    lambda uid, do, at, by, origin, key, token: about_user(
        uid, do, at=at, by=by, origin=origin, key=names.key_text(key), role="bot", token=token
    ),
    _WHO,
    st.sampled_from(sorted(rules.USER_DEEDS)),
    _AT,
    st.none() | _WHO,
    _ORIGIN,
    st.sampled_from(KEYS),
    st.sampled_from(["0" * 32, "1" * 32]),
)
_CHANNEL_RULES = st.builds(
    lambda actor, do, who, at, origin, by: about_channel(
        actor, do, who, at=at, origin=origin, text=f"{at}", **by
    ),
    _WHO,
    st.sampled_from(sorted(rules.CHANNEL_DEEDS)),
    _WHO,
    _AT,
    _ORIGIN,
    st.sampled_from([{}, {}, {}, {"by": rules.OPERATOR}]),
)
_CREATIONS = st.builds(
    lambda founder, at, private, origin: creation(founder, at=at, private=private, origin=origin),
    _WHO,
    st.integers(1, 3),
    st.booleans(),
    _ORIGIN,
)


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """No two with one key: each origin gives each stamp once."""
    return list({one.key: one for one in entries}.values())


about_users = st.lists(_LOGINS | _USER_RULES, max_size=16).map(_distinct)
about_channels = st.lists(_CREATIONS | _CHANNEL_RULES, min_size=1, max_size=16).map(_distinct)
