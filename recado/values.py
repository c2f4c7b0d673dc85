"""What the library hands out: frozen values, read once from what servers say.

Servers of other projects say less than ours; what they leave out is None here, never invented.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from recado.protocol import names
from recado.protocol.limits import LAMPORT_LIMIT

T = TypeVar("T")


class Key(NamedTuple):
    """Where something stands in the order that everybody sees: compare keys to compare places."""

    lamport: int
    origin: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A write that was carried out.

    `acks` durable copies `of` as many members (None: the server does not say) were known when it was
    answered; `level` is the acknowledgement level reached.  `id` is what a repetition must carry.
    """

    id: bytes
    key: Key | None
    acks: int
    of: int | None
    level: str
    server: str
    clock: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: on a `channel`, or (None) a direct one from `user` to `dst`.

    `timestamp` is in whole UNIX seconds and for display; order is `key` (None from servers of other
    projects).  `late`: it belongs above something already shown, because its server was cut off.
    """

    channel: str | None
    user: str
    dst: str | None
    text: str
    timestamp: int
    clock: int
    id: bytes | str | None = None
    origin: str | None = None
    seq: int | None = None
    late: bool = False

    @property
    def src(self) -> str:
        """The author of a direct message, as the wire calls it."""
        return self.user

    @property
    def direct(self) -> bool:
        return self.channel is None

    @property
    def key(self) -> Key | None:
        if self.origin is None or self.seq is None:
            return None
        return Key(self.clock, self.origin, self.seq)


class Change(NamedTuple):
    """What became of a message that was shown before, by its `id`.

    It stood at `was` and belongs at `now`, since it was sent to two servers; or nowhere any more (None):
    it was lost with a server's disk.
    """

    id: bytes | str
    was: Key
    now: Key | None

    @property
    def lost(self) -> bool:
        return self.now is None


class Listed:
    """What holds some messages, in their order.  Iterable."""

    __slots__ = ()
    messages: tuple[Message, ...]

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def earlier(self) -> Key | None:
        """The key of the first message here: give it as `before` for those before it."""
        return next((m.key for m in self.messages if m.key is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Listed):
    """Messages in their order, as one server had them.  Iterable.

    `more`: there are others beyond `limit`; `earlier` asks for those before (`history(before=…)`),
    `upto` for those after (`since=…`).  `behind`: it may lack what was shown or written here before, as no
    server that has it answered; ask again later.
    """

    messages: tuple[Message, ...]
    more: bool
    upto: Mapping[str, int]
    server: str
    behind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a server sees itself and the cluster.  `fields` holds all that it said, but for its clock's tag.

    `offset_ms` is what its disciplined clock adds to the system's, `entries` how many log entries it
    durably has, `brokers` where to subscribe (XPUB addresses).
    """

    server: str
    rank: int | None
    coordinator: str | None
    members: tuple[str, ...]
    of: int | None
    clock: int
    offset_ms: float | None
    entries: int | None
    brokers: tuple[str, ...]
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPage:
    """One page of the on-demand `sync`, in the contract's plain maps.

    `more`: ask again with ``sync(last_sync=page.next_sync)``; our servers give a text to be handed back.
    """

    logins: tuple[Mapping[str, Any], ...]
    channels: tuple[str, ...]
    channel_messages: tuple[Mapping[str, Any], ...]
    user_messages: tuple[Mapping[str, Any], ...]
    more: bool
    next_sync: int | float | str | None
    server: str


class Unreadable(ValueError):
    """A reply or publication whose fields are not of the shape that the contract names."""


def message(fields: Mapping[str, Any], *, late: bool = False) -> Message:
    """A message from a publication or a history page.  Raises `Unreadable`."""
    channel = optional(fields, "channel", str)
    user = optional(fields, "user", str) or optional(fields, "src", str) or optional(fields, "from", str)
    text = optional(fields, "message", str)
    dst = optional(fields, "dst", str)
    if user is None or text is None or (channel is None and dst is None):
        raise Unreadable("a message has user, message, and channel or dst")
    ident = fields.get("id")
    return Message(
        channel=channel,
        user=user,
        dst=None if channel is not None else dst,
        text=text,
        timestamp=(names.wall_ms(fields.get("timestamp")) or 0) // 1000,
        clock=clock_of(fields),
        id=ident if isinstance(ident, bytes | str) else None,
        origin=optional(fields, "origin", str),
        seq=whole(fields.get("seq")),
        late=late,
    )


def receipt(
    data: Mapping[str, Any], *, id: bytes, server: str, asked_level: str, members: int | None
) -> Receipt:
    """A receipt from the data of a write's reply.

    A server of another project says nothing of copies: one, its own, at level `local`.
    """
    acks = whole(data.get("acks"))
    level = optional(data, "level", str)
    if level is None:
        level = asked_level if acks is not None else "local"
    return Receipt(
        id=id,
        key=key_of(data.get("key")),
        acks=1 if acks is None else acks,
        of=members if (of := whole(data.get("of"))) is None else of,
        level=level,
        server=optional(data, "server", str) or server,
        clock=clock_of(data),
    )


def page(data: Mapping[str, Any], *, server: str, behind: bool = False) -> Page:
    """A page from the data of a history reply.  Raises `Unreadable`."""
    found = data.get("messages")
    if not isinstance(found, list):
        raise Unreadable("no list of messages")
    return Page(
        messages=tuple(message(item) for item in found if isinstance(item, dict)),
        more=data.get("more") is True,
        upto=vector(data.get("upto")),
        server=optional(data, "server", str) or server,
        behind=behind,
    )


def status(data: Mapping[str, Any], *, server: str) -> Status:
    members = data.get("members")
    names_of = [
        m.get("name") if isinstance(m, dict) else m for m in members or () if isinstance(members, list)
    ]
    offset = data.get("offset_ms")
    return Status(
        server=optional(data, "server", str) or server,
        rank=whole(data.get("rank")),
        coordinator=optional(data, "coordinator", str),
        members=tuple(name for name in names_of if isinstance(name, str)),
        of=members_told(data),
        clock=clock_of(data),
        offset_ms=float(offset) if isinstance(offset, int | float) else None,
        entries=whole(data.get("entries")),
        brokers=texts(data.get("brokers")),
        fields={name: value for name, value in data.items() if name != "ctag"},  # bytes, for servers only
    )


def sync_page(data: Mapping[str, Any], *, server: str) -> SyncPage:
    next_sync = data.get("next_sync")
    return SyncPage(
        logins=_maps(data.get("logins")),
        channels=texts(data.get("channels")),
        channel_messages=_maps(data.get("channel_messages")),
        user_messages=_maps(data.get("user_messages")),
        more=data.get("more") is True,
        next_sync=next_sync if isinstance(next_sync, int | float | str) else None,
        server=optional(data, "server", str) or server,
    )


def members_told(data: Mapping[str, Any]) -> int | None:
    """How many members the cluster has, if this reply says so."""
    of, members = whole(data.get("of")), data.get("members")
    if of is not None:
        return of
    return len(members) if isinstance(members, list) else None


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts; anything else in it, or instead of it, is left out."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def vector(value: Any) -> dict[str, int]:
    """A version vector; components that are none are left out."""
    if not isinstance(value, dict):
        return {}
    return {o: n for o, n in value.items() if isinstance(o, str) and whole(n) is not None}


def clock_of(data: Mapping[str, Any]) -> int:
    """The Lamport stamp of a reply or publication; 0 if it has none that is allowed."""
    value = data.get("clock")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    number = whole(value)
    return number if number is not None and number < LAMPORT_LIMIT else 0


def whole(value: Any) -> int | None:
    """A number that is whole and not negative, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def optional(fields: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """A field if it is there and of its kind, else None."""
    value = fields.get(name)
    return value if isinstance(value, kind) else None


def key_of(value: Any) -> Key | None:
    """A key from the wire, else None."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    lamport, origin, seq = value
    if whole(lamport) is None or not isinstance(origin, str) or whole(seq) is None:
        return None
    return Key(lamport, origin, seq)


def _maps(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
