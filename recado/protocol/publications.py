"""Publications: topics and bodies of what goes from servers through the broker to subscribers.

A publication is two frames, topic and body; the bodies here are maps for `codec.pack`.  `timestamp` is
whole seconds (strict clients can't read a float into an int), `clock` the entry's Lamport stamp, and
origin, seq, prev and id follow as our own fields.  Publications are hints: they may be lost, doubled or
reordered, and `recado.protocol.subscription` makes of them what the log says.

Topics in open mode are bare names, in which user `ana` and channel `ana` share one and `ana` also
receives `anabel`'s frames: subscribers look at the body (`concerns`).  Other people's programs subscribe to
these and expect one message a frame, so what shares frames has topics of its own (`run_topic`).

In secured mode no topic is another's prefix (A39): a letter for the kind, the name, NUL, and for what is
private a *capability* of 16 bytes, which only the cluster's servers can compute and which they tell to
whom it may concern.  It depends on a generation that grows whenever somebody loses the right, so that
old subscriptions, which a broker can't take away, fall silent; and on whose the name is, since two servers
may give one name to two people before they hear of each other.  A capability is a secret (Miller, Yee,
Shapiro, "Capability Myths Demolished", 2003): it stands in no log.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recado.protocol.errors import Malformed
from recado.protocol.limits import NAME_BYTES_MAX
from recado.protocol.messages import Entry, Epoch
from recado.protocol.names import UNKNOWN_NAME

COORDINATOR_TOPIC = b"servers"
BEACON_TOPIC = b"\x00beacon"  # no name begins with NUL
SECURED_COORDINATOR_TOPIC = b"\x00servers"
COMMON_TOPICS = frozenset({BEACON_TOPIC, SECURED_COORDINATOR_TOPIC})  # for everybody who is known
RUNS_TOPIC = b"\x00runs\x00"  # in open mode the beginning of the topics of runs
PUBLIC, PRIVATE, DIRECT = b"c", b"p", b"u"  # kinds of topics in secured mode
CAPABILITY_BYTES = 16

Message = Mapping[str, Any]
Key = tuple[int, str, int]  # (lamport, origin, seq): the order that people see
Ident = tuple[str, bytes | str, bytes]


class Place(NamedTuple):
    """Where a message stands in its origin's log, and its Lamport stamp."""

    origin: str
    seq: int
    prev: int
    clock: int

    @property
    def key(self) -> Key:
        return (self.clock, self.origin, self.seq)


def topic(name: str) -> bytes:
    """The topic of a channel, or of the user to whom direct messages go, in open mode."""
    return name.encode("utf-8")


def run_topic(topic: bytes) -> bytes:
    """In open mode, where runs of what is published at `topic` stand: no name's topic is its beginning."""
    return RUNS_TOPIC + topic + b"\0"


def single_topic(topic: bytes) -> bytes | None:
    """The inverse of `run_topic`; None if it is no run's topic."""
    return topic[len(RUNS_TOPIC) : -1] if topic.startswith(RUNS_TOPIC) else None


class SecuredTopic(NamedTuple):
    """A topic of secured mode in its parts; `capability` is empty for a public channel."""

    kind: bytes
    name: str
    capability: bytes


def public_topic(channel: str) -> bytes:
    """The topic of a public channel in secured mode."""
    return PUBLIC + channel.encode() + b"\0"


def private_topic(cluster_key: bytes, channel: str, *, generation: int, owner: bytes = b"") -> bytes:
    """The topic of a private channel; `generation`: how many memberships have ended; `owner`: its founder."""
    return _capable(cluster_key, PRIVATE, channel, generation=generation, owner=owner)


def direct_topic(cluster_key: bytes, user: str, *, generation: int, owner: bytes = b"") -> bytes:
    """The topic of a user's direct messages in secured mode.

    `generation`: how many keys were revoked; `owner`: the user id.
    """
    return _capable(cluster_key, DIRECT, user, generation=generation, owner=owner)


def _capable(cluster_key: bytes, kind: bytes, name: str, *, generation: int, owner: bytes) -> bytes:
    return kind + name.encode() + b"\0" + capability(cluster_key, kind, name, generation, owner=owner)


def capability(cluster_key: bytes, kind: bytes, name: str, generation: int, *, owner: bytes = b"") -> bytes:
    """HMAC-SHA256(cluster key, "topic" ‖ kind ‖ name ‖ NUL ‖ generation (8 bytes) ‖ owner), its first 16."""
    said = b"topic" + kind + name.encode() + b"\0" + generation.to_bytes(8, "big") + owner
    return hmac.digest(cluster_key, said, "sha256")[:CAPABILITY_BYTES]


def parse_topic(topic: bytes) -> SecuredTopic | None:
    """A channel's or user's topic of secured mode; None for anything else, prefixes of topics too."""
    kind, (name, nul, rest) = topic[:1], topic[1:].partition(b"\0")
    if kind not in (PUBLIC, PRIVATE, DIRECT) or not nul or not 0 < len(name) <= NAME_BYTES_MAX:
        return None
    if len(rest) != (0 if kind == PUBLIC else CAPABILITY_BYTES):
        return None
    try:
        return SecuredTopic(kind, name.decode(), rest)
    except UnicodeDecodeError:
        return None


def is_private(topic: bytes) -> bool:
    """Whether a topic of secured mode has a capability."""
    return topic[:1] in (PRIVATE, DIRECT) and parse_topic(topic) is not None


def private_key(topic: bytes) -> str:
    """What is private as a key of a beacon's heads: to who does not know the topic it says nothing."""
    return "~" + hashlib.blake2b(topic, digest_size=16).hexdigest()


def moved(*, server: str, timestamp: int, clock: int) -> dict[str, Any]:
    """The last word on a topic: what was published here has another one, which the history tells."""
    return {"moved": True, "server": server, "timestamp": timestamp, "clock": clock}


def target_key(target: str | bytes) -> str:
    """An entry's target as a key of a beacon's heads: ``#channel`` or ``@`` and the user id in hex."""
    return f"#{target}" if isinstance(target, str) else f"@{target.hex()}"


def channel_message(entry: Entry, *, user: str) -> dict[str, Any]:
    """The body of a channel message.  `user`: the author's name as it is to be shown."""
    return {"channel": entry.target, "user": user, **_common(entry)}


def user_message(entry: Entry, *, src: str, dst: str) -> dict[str, Any]:
    """The body of a direct message; the author stands under `from` and `src`, as clients ask for either."""
    return {"from": src, "src": src, "dst": dst, **_common(entry)}


def _common(entry: Entry) -> dict[str, Any]:
    return {
        "message": entry.body.decode("utf-8"),
        "timestamp": entry.wall_ms // 1000,
        "clock": entry.lamport,
        "origin": entry.origin,
        "seq": entry.seq,
        "prev": entry.prev,
        "id": entry.id,
    }


def run_head(entry: Entry, *, dst: str = "") -> dict[str, Any]:
    """What the messages of a run at `run_topic` have in common: its first map, under each of the others."""
    whose = {"channel": entry.target} if isinstance(entry.target, str) else {"dst": dst}
    return {**whose, "origin": entry.origin, "timestamp": entry.wall_ms // 1000}


def in_run(entry: Entry, head: Mapping[str, Any], *, author: str) -> dict[str, Any]:
    """The body of a message, a channel's or a direct one, without what stands in the head of its run."""
    who = {"user": author} if isinstance(entry.target, str) else {"from": author, "src": author}
    body = {
        **who,
        "message": entry.body.decode("utf-8"),
        "clock": entry.lamport,
        "seq": entry.seq,
        "prev": entry.prev,
        "id": entry.id,
    }
    if entry.wall_ms // 1000 != head["timestamp"]:
        body["timestamp"] = entry.wall_ms // 1000
    return body


def out_of_run(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a run at `run_topic`, each as it is published by itself."""
    return [{**bodies[0], **body} for body in bodies[1:]] if bodies else []


def coordinator_announcement(
    coordinator: str, *, timestamp: int, clock: int, epoch: Epoch | None = None
) -> dict[str, Any]:
    """The one publication that is an envelope, on `COORDINATOR_TOPIC`; `epoch` is ours."""
    data: dict[str, Any] = {"coordinator": coordinator, "timestamp": timestamp, "clock": clock}
    if epoch is not None:
        data["epoch"] = [epoch.n, epoch.rank, epoch.name, epoch.boot]
    return {"service": "election", "data": data}


def beacon(
    *,
    server: str,
    boot: str,
    heads: Mapping[str, Mapping[str, int]],
    vector: Mapping[str, int],
    majority: Mapping[str, int] | None = None,
    everywhere: Mapping[str, int] | None = None,
    runs: bool | None = None,
    timestamp: int,
    clock: int,
) -> dict[str, Any]:
    """What a server durably has, so that the last message before a silence is missed too (E3).

    `heads`: `target_key` → origin → seq of its last entry for that target, of the targets that
    changed lately.  `vector`: components of the durable vector that changed lately, and always that of
    the origin this server writes to; `majority` and `everywhere` likewise of what most and all of the
    configured members have confirmed (3d).  `runs`: whether it publishes runs at `run_topic`; None where
    there are none of these topics.
    """
    return {
        "server": server,
        "boot": boot,
        "heads": {key: dict(seqs) for key, seqs in heads.items()},
        "vector": dict(vector),
        "majority": dict(majority or {}),
        "all": dict(everywhere or {}),
        "timestamp": timestamp,
        "clock": clock,
        **({} if runs is None else {"runs": runs}),
    }


def beacon_heads(body: Mapping[str, Any], key: str) -> dict[str, int]:
    """The heads of one target (`target_key`) in a beacon from the wire."""
    heads = body.get("heads")
    return seqs(heads.get(key)) if isinstance(heads, dict) else {}


def seqs(value: Any) -> dict[str, int]:
    """Origin → seq from the wire; what is not is left out."""
    if not isinstance(value, Mapping):
        return {}
    return {o: n for o, n in value.items() if isinstance(o, str) and type(n) is int and n > 0}


def concerns(body: Mapping[str, Any], *, channel: str | None = None, user: str | None = None) -> bool:
    """Whether a publication is a message of `channel`, or a direct message to or from `user`."""
    if channel is not None:
        return "dst" not in body and body.get("channel", channel) == channel
    return user is not None and "dst" in body and user in (body["dst"], body.get("src", body.get("from")))


def place_of(message: Message) -> Place | None:
    """A message's place; None if it names neither origin nor seq.  Raises `Malformed` if it names junk."""
    origin, seq = message.get("origin"), message.get("seq")
    if origin is None and seq is None:
        return None
    prev, clock = message.get("prev", 0), message.get("clock")
    if not isinstance(origin, str) or not origin:
        raise Malformed("origin is not a text")
    if type(seq) is not int or type(prev) is not int or type(clock) is not int:
        raise Malformed("seq, prev or clock is not a whole number")
    if not 0 <= prev < seq or clock < 1:
        raise Malformed("seq, prev or clock out of range")
    return Place(origin, seq, prev, clock)


def ident_of(message: Message) -> Ident | None:
    """What makes two copies the same message (A8, A10); None without a client-made id."""
    id_ = message.get("id")
    if not isinstance(id_, bytes | str) or not id_:
        return None
    author = _author(message)
    to = message.get("channel", message.get("dst"))
    digest = hashlib.blake2b(digest_size=16)
    for part in (to, message.get("message")):
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else repr(part).encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return (author if isinstance(author, str) else repr(author), id_, digest.digest())


def is_nameless(message: Message) -> bool:
    """Whether its server had not heard of the author, or of the receiver, and shows `?` in their stead."""
    return _author(message) == UNKNOWN_NAME or message.get("dst") == UNKNOWN_NAME


def _author(message: Message) -> Any:
    return message.get("user", message.get("src", message.get("from")))
