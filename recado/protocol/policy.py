"""Who may ask what: the policy of secured mode, read from top to bottom.

The transport proves a *principal* (a key, a Unix user, a server …); with what the log says of it that is a
*role*.  A row says which roles a service answers; what is not in the table is answered to nobody.  In
open mode nothing is proved and nothing is asked here.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from recado.protocol.identities import Identities, User
from recado.protocol.messages import CreateChannel, History, Login, Message, Publish, PublishMany, Request
from recado.protocol.publications import COMMON_TOPICS, DIRECT, parse_topic
from recado.protocol.rule_messages import AuditLog, ChannelInfo, ChannelRule, Invite, UserRule
from recado.protocol.searching import Search


class Role(StrEnum):
    """What somebody is to the cluster."""

    OPEN = "open"  # open mode: anybody
    STRANGER = "stranger"  # a key that proved itself and is nobody's, or nobody's any more
    SUSPENDED = "suspended"  # a user whom an operator has suspended
    USER = "user"
    BOT = "bot"  # a user that is a program
    LOCAL = "local"  # a Unix user of the node, not registered yet
    GATEWAY = "gateway"  # a Unix user that may speak for any registered one
    SSH = "ssh"  # a Unix user whose login over SSH is the messenger
    OPERATOR = "operator"  # by the roster
    SERVER = "server"
    BROKER = "broker"
    REFERENCE = "reference"


PEOPLE: Final = frozenset({Role.USER, Role.BOT, Role.GATEWAY, Role.OPERATOR})
ANYBODY: Final = frozenset(Role)
_NEW: Final = PEOPLE | {Role.STRANGER, Role.LOCAL}
_SSH: Final = frozenset({Role.SSH})
SSH_ACCOUNT: Final = "*ssh"  # the name of a local principal that is one
_OPERATORS: Final = frozenset({Role.OPERATOR})
_SERVERS: Final = frozenset({Role.SERVER})
_INSPECTORS: Final = PEOPLE | {Role.SERVER, Role.BROKER, Role.REFERENCE}

SERVER_POLICY: Final[Mapping[str, frozenset[Role]]] = {
    # People and their programs
    "login": _NEW,
    "users": PEOPLE,
    "channels": PEOPLE,
    "channel": PEOPLE,
    "publish": PEOPLE,
    "publish_many": PEOPLE,  # each as `publish`
    "message": PEOPLE,
    "history": PEOPLE,
    "get_messages": PEOPLE,
    "get_publications": PEOPLE,
    "history_channel": PEOPLE,
    "history_messages": PEOPLE,
    "search": PEOPLE,  # what `history` would tell
    "audit": PEOPLE,
    "user_rule": PEOPLE,  # one's own keys; others' only operators, see `may_rule`
    "channel_rule": PEOPLE,  # `channel_rules` says who may what in which channel
    "user_keys": PEOPLE,
    "channel_info": PEOPLE,
    # Logins over SSH
    "session_key": _SSH,
    # Operators
    "invite": _OPERATORS,
    "audit_log": _OPERATORS,
    # How the cluster is
    "status": _INSPECTORS,
    "who_coordinator": _INSPECTORS,
    "clock": _INSPECTORS,
    # Brokers
    "whois": frozenset({Role.BROKER}),
    # Servers
    "replicate": _SERVERS,
    "sync": _SERVERS,
    "fetch": _SERVERS,
    "snapshot": _SERVERS,
    "adjust": _SERVERS,
    "prevote": _SERVERS,
    "abdicate": _SERVERS,
    "election": _SERVERS,
    "coordinator": _SERVERS,
    "release": _SERVERS,
}
REFERENCE_POLICY: Final[Mapping[str, frozenset[Role]]] = {
    # The reference knows no users: whoever has a key may find the servers.
    "rank": _SERVERS,
    "heartbeat": _SERVERS,
    "list": ANYBODY,
    "clock": ANYBODY,
    "status": ANYBODY,
}
# Of `user_rule`, about oneself.
_OWN_DEEDS: Final = frozenset({"add_key", "revoke_key", "add_ssh_key", "revoke_ssh_key"})


class Proved(Protocol):
    """What is used here of a principal (`recado.wire.ports.Principal`)."""

    @property
    def role(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> bytes: ...


class Actor(NamedTuple):
    """Who asks: the role, the name as people see it ("" if none), and the user if it is a registered one."""

    role: Role
    name: str = ""
    user: User | None = None


def actor_of(principal: Proved, identities: Identities) -> Actor:
    """Who a principal is by what the log says now; asked at each request, since both may change.

    A roster's operator is registered as a user by the same key, else acts without a user id.
    """
    match principal.role:
        case "open" | "server" | "broker" | "reference":
            return Actor(Role(principal.role), principal.name)
        case "operator":
            user = identities.owner(principal.key)
            if user is not None and principal.name not in (user.name, user.shown):
                # Whoever reads the roster can add this key to himself.
                user = user if identities.is_proved(principal.key) else None
            return Actor(Role.OPERATOR, user.shown if user else principal.name, user)
        case "local" if principal.name == "*":
            return Actor(Role.GATEWAY)
        case "local" if principal.name == SSH_ACCOUNT:
            return Actor(Role.SSH)
        case "local":
            user = identities.named(principal.name) if principal.name else None
            unknown = Role.LOCAL if principal.name else Role.STRANGER
        case "key":
            user, unknown = identities.owner(principal.key), Role.STRANGER
            if user is not None and user.suspended and not identities.is_proved(principal.key):
                user = None  # it may be another's who has not come yet
        case _:
            return Actor(Role.STRANGER)
    if user is None:
        return Actor(unknown, principal.name)
    return Actor(Role.SUSPENDED if user.suspended else Role(user.role), user.shown, user)


def role_of(principal: Proved, identities: Identities) -> Role:
    """The role alone."""
    return actor_of(principal, identities).role


def refusal(service: str, role: Role, *, policy: Mapping[str, frozenset[Role]] = SERVER_POLICY) -> str | None:
    """The code of the error with which this role is refused the service; None: it may ask.

    A service that no row names is nobody's here: its caller says that it is unknown.
    """
    allowed = policy.get(service, ANYBODY)
    if role == Role.OPEN or role in allowed:
        return None
    if not allowed & (_NEW | _SSH):
        return "members_only"
    if role in (Role.STRANGER, Role.LOCAL):
        return "key_unknown"
    if role == Role.SUSPENDED:
        return "suspended"
    return "operators_only" if allowed == _OPERATORS else "not_for_you"


def claimed(data: Request) -> str | None:
    """The name in which a request speaks, as it says itself; None if it names nobody.

    Of a history of direct messages that is whose they are: nobody reads another's, operators neither.
    """
    match data:
        case Login() | Publish() | PublishMany() | CreateChannel() | UserRule() | ChannelRule() | Invite():
            return data.user
        case ChannelInfo() | AuditLog():
            return data.user
        case Message():
            return data.src
        case History() if data.channel is None:
            return data.user if data.user is not None else data.username
        case Search():
            return data.user
    return None


def speaks_as(actor: Actor, name: str, identities: Identities) -> User | None:
    """The user in whose name the actor may speak when it claims `name`; None: not in that one."""
    if actor.role == Role.GATEWAY:
        user = identities.named(name)
        return None if user is None or user.suspended else user
    user = actor.user
    return user if user is not None and name in (user.name, user.shown) else None


def may_rule(actor: Actor, do: str, *, about: bytes) -> bool:
    """Whether a `user_rule` is the actor's to give: one's own keys, or as an operator."""
    if actor.role == Role.OPERATOR:
        return True
    return actor.user is not None and actor.user.uid == about and do in _OWN_DEEDS


def may_subscribe(topic: bytes, *, role: Role, name: str) -> bool:
    """The broker's decision about one subscription in secured mode (A39).

    `name`: of the user as people see it.  Exact topics of channels, one's own of direct messages, and
    what is for everybody.  That a capability is right nobody needs to check: a wrong one is a topic
    on which nothing is published.
    """
    if role not in PEOPLE and role != Role.SERVER:
        return False
    if topic in COMMON_TOPICS:
        return True
    parts = parse_topic(topic)
    return parts is not None and (parts.kind != DIRECT or parts.name == name or role == Role.SERVER)
