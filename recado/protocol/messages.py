"""The whole language: what a request may carry, what a log entry is, what replies are made of.

An envelope is ``{"service": str, "data": map}``; `data` carries ``timestamp`` and ``clock`` beside
the fields below.  Unknown fields are ignored, wrong types refused.  Everything optional here is
ours; clients of the plain contract send none of it.  `recado.protocol.services` says which service
takes which, `recado.protocol.codec` turns bytes into these and back.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import msgspec

from recado.protocol.limits import PUBLISHES_OF_REQUEST_MAX

Timestamp = int | float | str | None  # seconds, milliseconds, ISO 8601, or missing
Identifier = Any  # bytes, str or None; `names.identifier` checks (msgspec has no such union)
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # a seq or a stamp: exact in a double and in SQLite
VectorField = dict[str, Number]  # a version vector from the wire


class Kind(IntEnum):
    """What a log entry says.  Unknown kinds are kept, relayed and not shown (A36)."""

    LOGIN = 1
    CHANNEL = 2
    CHANNEL_MESSAGE = 3
    USER_MESSAGE = 4
    USER_RULE = 5  # about a user: keys, role, invitations, suspension; see `identities`
    CHANNEL_RULE = 6  # about a channel: topic, who may do what; see `channel_rules`


KIND_NAMES: Mapping[str, Kind] = {k.name.lower(): k for k in Kind}


class Level(StrEnum):
    """Acknowledgement levels: how many durable copies an answer stands for."""

    LOCAL = "local"
    QUORUM = "quorum"
    ALL = "all"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of one origin's log; immutable, the same bytes on every replica.

    The order that people see is ``key``: (lamport, origin, seq).  `author` is a user id (16 bytes),
    `target` a channel name (str) or a user id (bytes), `prev` the seq of this origin's previous
    entry of the same kind with the same target (0: none), `header` the canonical MessagePack bytes
    and `hash` the chain hash ``blake2b16(hash of seq-1 ‖ header)``.
    """

    origin: str
    seq: int
    lamport: int
    wall_ms: int
    kind: int
    author: bytes | None
    id: bytes | None
    target: str | bytes | None
    prev: int
    body: bytes
    extra: bytes | None
    header: bytes
    hash: bytes

    @property
    def key(self) -> tuple[int, str, int]:
        return (self.lamport, self.origin, self.seq)


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive entries of one origin on the wire: first seq, hash before it, (header, body) pairs.

    `signature`: the origin's node over the last entry (`proof`), 64 bytes; in open mode there is none,
    and `entry.run_fields` then leaves the place out.
    """

    origin: str
    first: int
    previous_hash: bytes
    entries: list[tuple[bytes, bytes]]
    signature: bytes | None = None


# Requests of clients ---------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every request may carry.  `ctag`: a server's tag of `clock`, which makes it believed (A14)."""

    timestamp: Timestamp = None
    clock: int | float | None = None
    ctag: bytes | None = None


class Write(Request, frozen=True, kw_only=True):
    """A request that appends: its id makes a retry harmless, its level says when to answer."""

    id: Identifier = None
    level: str | None = None


class Login(Write, frozen=True, kw_only=True):
    """Registers a name, in secured mode with the key that the transport proved.

    `bot`: it is a program's; `invite`: the token of an invitation.
    """

    user: str
    bot: bool | None = None
    invite: str | None = None


class CreateChannel(Write, frozen=True, kw_only=True):
    channel: str
    user: str | None = None
    private: bool | None = None  # only for who is invited


class Publish(Write, frozen=True, kw_only=True):
    user: str
    channel: str
    message: str


class PublishMany(Request, frozen=True, kw_only=True):
    """Many publishes of one user: (channel, text, id) each, kept in this order, at one level.

    Each is accepted or refused by itself and has its own answer in the reply's `answers`, in this order: a
    map that, laid over the reply's other fields, is what the publish alone would have been answered.
    """

    user: str
    level: str | None = None
    items: Annotated[
        list[tuple[str, str, Identifier]],
        msgspec.Meta(min_length=1, max_length=PUBLISHES_OF_REQUEST_MAX),
    ]


class Message(Write, frozen=True, kw_only=True):
    src: str
    dst: str
    message: str


class Read(Request, frozen=True, kw_only=True):
    """A request that only reads.  `session`: a vector the answer must cover, or it says `behind`."""

    session: VectorField | None = None


class Names(Read, frozen=True, kw_only=True):
    """A list of names, whole or in pages: at most `limit` of them that follow the name `after`."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


class History(Read, frozen=True, kw_only=True):
    """Messages of a channel, or the direct messages of `user` (with `peer` only, if given).

    Without `since`: the last `limit` before `before` ([lamport, origin, seq]).  With `since`
    (a vector): everything after it, paged; the reply's `upto` covers exactly what was sent.
    """

    channel: str | None = None
    user: str | None = None
    peer: str | None = None
    username: str | None = None  # as other projects call `user` in get_messages
    since: VectorField | None = None
    before: tuple[Number, str, Number] | None = None
    limit: int | None = None


class Audit(Request, frozen=True, kw_only=True):
    """What the server durably has of the named origins (E8).

    `origins`: of all.  `hashes`: the chain hashes of these entries, to find where two servers' logs part.
    """

    have: VectorField = {}
    origins: bool | None = None
    hashes: VectorField = {}


# Requests to the reference -----------------------------------------------------------------------


class Rank(Request, frozen=True, kw_only=True):
    """A server asks for its rank; sticky by name for ever.  `rank_hint` is honoured if free."""

    user: str
    address: str | None = None
    rank_hint: int | None = None


class Heartbeat(Request, frozen=True, kw_only=True):
    """A server lives.  One that the reference does not know gets a rank as by `rank`."""

    user: str
    address: str | None = None
    rank_hint: int | None = None
    load: float | None = None
    coordinator: str | None = None


# Requests between servers ------------------------------------------------------------------------


class Peer(Request, frozen=True, kw_only=True):
    """What a member says of itself; all empty in the plain form of other projects' servers."""

    v: int | None = None
    cluster: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    boot: str | None = None


class Replicate(Peer, frozen=True, kw_only=True):
    """Plain form: `type` and `content`.  Ours: `runs`; the reply's `have` confirms durable entries."""

    type: str | None = None
    content: Any = None
    runs: list[Run] | None = None


class Sync(Peer, frozen=True, kw_only=True):
    """Plain form: `last_sync`.  Ours: `vector` (the asker's durable vector, as `vector.VectorLink`
    tells it), `digest` of the whole, `belief` about the receiver's, `heads` of the chain hashes,
    `pull` if a page of what is missing is wanted (of origins not `stopped`), and
    `confirmed`, {member: [boot, vector]}, as the asker knows it.
    """

    last_sync: Timestamp = None
    vector: VectorField | None = None
    digest: bytes | None = None
    belief: bytes | None = None
    heads: bytes | None = None
    pull: bool = True
    stopped: list[str] = []
    confirmed: dict[str, tuple[str, VectorField]] | None = None


class SyncPage(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to our form of `sync`: the answerer's side of the vector exchange, and one page."""

    boot: str
    vector: VectorField
    digest: bytes
    belief: bytes
    heads: bytes
    runs: list[Run] = []
    more: bool = False
    confirmed: dict[str, tuple[str, VectorField]] | None = None


class Fetch(Peer, frozen=True, kw_only=True):
    """Entries `first` to `last` of one origin, to put in the place of damaged ones; answered `runs`."""

    origin: str
    first: Number
    last: Number


class Snapshot(Peer, frozen=True, kw_only=True):
    """A part of a file that holds the answerer's whole log.

    Without a `token` one is made or found: the reply tells `token`, `size` and `hash`, or `ready: false`.
    With it the reply's `pieces` are the file's bytes from `offset` on.
    """

    token: str | None = None
    offset: Number = 0


class ClockRequest(Peer, frozen=True, kw_only=True):
    """Berkeley probe: answered with `time`, the disciplined clock in seconds."""


class Adjust(Peer, frozen=True, kw_only=True):
    """Berkeley correction in seconds; ours adds the coordinator's epoch and the round."""

    adjustment: int | float
    epoch: "Epoch | None" = None
    round: int | None = None


class Epoch(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A coordinator's term: compared by (n, rank, name, boot), so no two elections share one."""

    n: int
    rank: int = 0
    name: str = ""
    boot: str = ""


class PreVote(Peer, frozen=True, kw_only=True):
    """A member in mode `quorum` asks what would become of an election of its own, before any (B3)."""


class Abdicate(Peer, frozen=True, kw_only=True):
    """A higher member asks the coordinator of `epoch` to go, with the nonce of its pre-vote answer (B4)."""

    epoch: Epoch
    nonce: int | None = None


class Election(Peer, frozen=True, kw_only=True):
    """Bully's `election`.  The plain form carries nothing and is answered `election: "OK"`.

    `lease`: in mode `quorum`, for how many seconds the candidate wants the voters' promises.
    """

    epoch: Epoch | None = None
    lease: float | None = None


class Coordinator(Peer, frozen=True, kw_only=True):
    """Announcement and renewal by request: the coordinator of `epoch` says that it leads (B7, B8)."""

    epoch: Epoch
    lease: float | None = None


class Release(Peer, frozen=True, kw_only=True):
    """The coordinator of `epoch`, or its failed candidate, no longer claims it."""

    epoch: Epoch


class Asked(msgspec.Struct, frozen=True):
    """A decoded request: the service as named, its fields, and the two that every server needs."""

    service: str
    data: Request
    clock: int  # 0 if the request had none
    known: bool = True  # False: no such service; `data` holds only the common fields


class Reply(msgspec.Struct, frozen=True):
    """A decoded reply."""

    service: str
    data: dict[str, Any]

    @property
    def failed(self) -> bool:
        return self.data.get("status") == "erro"
