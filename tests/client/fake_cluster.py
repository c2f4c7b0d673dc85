"""Servers that speak the contract on a memory network, small enough to see that they are right.

They share one list of messages, as if replication took no time; what a test wants to go wrong is a
switch on the server (`mute`, `garbage`, `refuse`, `silent_writes`, …) or a `Transit` on the network.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.messages import Asked, CreateChannel, History, Login, Message, Publish, PublishMany
from recado.protocol.searching import Search
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Incoming, Network, Outgoing, Publication, Publisher

XSUB, XPUB = "tcp://broker:5557", "tcp://broker:5558"
REFERENCE = "tcp://reference:5559"
Fields = dict[str, Any]


@dataclass
class Shared:
    """What all fake servers know: the log, as flat maps in the order of arrival."""

    users: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, Any] = field(default_factory=dict)
    messages: list[Fields] = field(default_factory=list)
    replies: dict[bytes, Fields] = field(default_factory=dict)  # by id of the write
    of: int = 3
    brokers: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    clock: int = 0


class FakeServer:
    """One server; `asked` records every request that reached it, `kept` how many writes it kept."""

    def __init__(self, name: str, shared: Shared) -> None:
        self.name = name
        self.address = f"tcp://{name}:5555"
        self.origin = f"{name}.{0xABC:016x}"
        self.shared = shared
        self.asked: list[Asked] = []
        self.mute = False  # reads requests and never answers
        self.lost_replies = 0  # answers to drop, after keeping what was asked
        self.garbage = False  # answers with bytes that are no reply
        self.refuse: Fields | None = None  # answers everything with this error
        self.plain = False  # as another project's server: no history, no fields of ours
        self.sessions: list[Any] = []  # of every request
        self.acks = 2  # told of every write
        self.many = True  # knows requests that carry many publishes
        self.refuse_texts: dict[str, Fields] = {}  # publishes of these texts, with these errors
        self.behind = False  # has not got what readers have seen
        self.names_page: int | None = None  # so many names in one reply
        self.unknown: set[str] = set()  # users whose registration has not arrived: `?` in histories
        self.lag = 0  # entries that the search index lacks
        self.publishing = True
        self.publisher: Publisher | None = None
        self.on_request: Callable[[Asked], None] | None = None
        self._seq = 0
        self._last: dict[str, int] = {}  # target → seq of its last message

    async def serve(self, network: MemoryNetwork) -> None:
        """On a memory network, until cancelled."""
        await self.serve_at(network.host(self.name), self.address, XSUB)

    async def serve_at(
        self,
        network: Network,
        address: str,
        xsub: str,
        *,
        task_status: TaskStatus[str] = TASK_STATUS_IGNORED,
    ) -> None:
        """On any network, until cancelled; started with the address where it listens."""
        async with network.listener(address) as listener, network.publisher([xsub]) as publisher:
            self.publisher = publisher
            task_status.started(listener.address)
            while True:
                for incoming in await listener.receive_batch():
                    reply = self._answer(incoming)
                    if reply is not None:
                        listener.send([Outgoing(incoming.envelope, reply)])

    def _answer(self, incoming: Incoming) -> bytes | None:
        try:
            asked = codec.decode_request(incoming.body or b"")
        except Malformed as error:
            return codec.encode(error.service, {"status": "erro", "message": error.reason, "clock": 1})
        self.asked.append(asked)
        if self.on_request is not None:
            self.on_request(asked)
        if self.mute:
            return None
        self.shared.clock = max(self.shared.clock, asked.clock) + 1
        data = self.refuse or self._serve(asked)
        if self.lost_replies:
            self.lost_replies -= 1
            return None
        if self.garbage:
            return b"\xc1garbage"
        self.shared.clock += 1
        return codec.encode(asked.service, {**data, "timestamp": 1000, "clock": self.shared.clock})

    def _serve(self, asked: Asked) -> Fields:
        self.sessions.append(getattr(asked.data, "session", None))
        if self.behind and self.sessions[-1]:
            return {"status": "erro", "code": "behind", "message": "ainda não"}
        match asked.data:
            case Login() | CreateChannel() | Publish() | Message():
                return self._write(asked)
            case History() if not self.plain:
                return self._history(asked.data)
            case Search() if not self.plain:
                return self._search(asked.data)
        match asked.service:
            case "audit" if not self.plain:
                return self._audit(asked)
            case "users":
                return self._names("users", self.shared.users, asked)
            case "channels":
                return self._names("channels", self.shared.channels, asked)
            case "status" if not self.plain:
                told = {"of": self.shared.of, "coordinator": "server-3", "brokers": self.shared.brokers}
                return {"status": "OK", "server": self.name, **told}
            case "publish_many" if self.many:
                return self._publish_many(asked)
            case "sync":
                logins = [{"username": name, "timestamp": 1} for name in sorted(self.shared.users)]
                return {"logins": logins, "channels": sorted(self.shared.channels), "more": False}
        code = {} if self.plain else {"code": "service_unknown"}
        return {"status": "erro", "message": "serviço desconhecido", **code}

    def _publish_many(self, asked: Asked) -> Fields:
        """Each as if it had come alone; what all answers have alike is told once."""
        many: PublishMany = asked.data  # type: ignore[assignment]
        answers = []
        for channel, text, ident in many.items:
            one = Publish(user=many.user, channel=channel, message=text, id=ident, level=many.level)
            answers.append(dict(self._write(Asked("publish", one, asked.clock))))
        first, *others = answers
        alike = {k: v for k, v in first.items() if all(k in a and a[k] == v for a in others)}
        rest = [{k: v for k, v in answer.items() if k not in alike} for answer in answers]
        return {**alike, "answers": rest}

    def _names(self, what: str, names: Fields, asked: Asked) -> Fields:
        after = getattr(asked.data, "after", None)
        left = [name for name in sorted(names) if after is None or name > after]
        most = self.names_page
        return {what: left[:most], **({"more": True} if most is not None and len(left) > most else {})}

    def _audit(self, asked: Asked) -> Fields:
        have = {}
        for origin in asked.data.have:  # type: ignore[attr-defined]
            have[origin] = max((m["seq"] for m in self.shared.messages if m["origin"] == origin), default=0)
        told = {"have": have, "server": self.name, "boot": "b", "of": self.shared.of}
        return {"status": "OK", **told, "addresses": self.shared.addresses}

    def _write(self, asked: Asked) -> Fields:
        ident = asked.data.id  # type: ignore[attr-defined]
        if ident is not None and ident in self.shared.replies:
            return self.shared.replies[ident]
        refusal = self._refusal(asked)
        if isinstance(refusal, dict):
            return {"status": "erro", **refusal}
        if refusal is not None:
            return {"status": "erro", "message": refusal[1], **({} if self.plain else {"code": refusal[0]})}
        status = self._keep(asked)
        if self.plain:
            return {"status": status}
        key = [self.shared.clock, self.origin, self._seq]
        data = {"status": status, "id": ident, "key": key, "acks": self.acks, "of": self.shared.of}
        data |= {"level": asked.data.level, "server": self.name}  # type: ignore[attr-defined]
        self.shared.replies[ident] = data
        return data

    def _refusal(self, asked: Asked) -> tuple[str, str] | Fields | None:
        shared = self.shared
        match asked.data:
            case Publish(message=text) if text in self.refuse_texts:
                return self.refuse_texts[text]
            case Login(user=user) if user in shared.users:
                return ("user_taken", "Usuário já existe")
            case CreateChannel(channel=channel) if channel in shared.channels:
                return ("channel_taken", "Canal já existe")
            case Publish(channel=channel) if channel not in shared.channels:
                return ("channel_missing", "Canal não existe")
            case Message(dst=dst) if dst not in shared.users:
                return ("user_missing", "Usuário de destino não existe")
        return None

    def _keep(self, asked: Asked) -> str:
        match asked.data:
            case Login(user=user, id=ident):
                self.shared.users[user] = ident
                self._seq += 1
                return "sucesso"
            case CreateChannel(channel=channel, id=ident):
                self.shared.channels[channel] = ident
                self._seq += 1
                return "sucesso"
            case Publish(user=user, channel=channel, message=text, id=ident):
                self.say({"channel": channel, "user": user}, text, ident=ident)
            case Message(src=src, dst=dst, message=text, id=ident):
                self.say({"from": src, "src": src, "dst": dst}, text, ident=ident)
        return "OK"

    def say(self, where: Fields, text: str, *, ident: bytes | None = None, publish: bool = True) -> Fields:
        """Keep a message and publish it, unless told not to."""
        self._seq += 1
        self.shared.clock += 1
        target = where.get("channel") or where["dst"]
        prev, self._last[target] = self._last.get(target, 0), self._seq
        fields = {**where, "message": text, "timestamp": 1000, "clock": self.shared.clock}
        fields |= {"origin": self.origin, "seq": self._seq, "prev": prev, "id": ident}
        self.shared.messages.append(fields)
        if publish and self.publishing and self.publisher is not None:
            self.publisher.publish([Publication(target.encode(), codec.pack(fields))])
        return fields

    def _search(self, asked: Search) -> Fields:
        """What has all the words, letter by letter."""
        whose = History(channel=asked.channel, user=asked.user, peer=asked.peer, before=asked.before)
        here = [m for m in self.shared.messages if ("channel" in m) is not asked.direct]
        if asked.direct or asked.channel:
            here = [m for m in here if _wanted(m, whose)]
        before = asked.before or (2**53, "", 0)
        here = [m for m in here if tuple(_key(m)) < tuple(before)]
        found = sorted((m for m in here if set(asked.text.split()) <= set(m["message"].split())), key=_key)
        limit = asked.limit or 50
        told = {"messages": found[-limit:], "more": len(found) > limit, "partial": False, "lag": self.lag}
        return {"status": "OK", **told, "server": self.name}

    def _history(self, asked: History) -> Fields:
        chosen = [m for m in self.shared.messages if _wanted(m, asked)]
        chosen.sort(key=_key)
        limit = asked.limit or 100
        upto: dict[str, int] = {}
        for m in self.shared.messages:
            upto[m["origin"]] = max(upto.get(m["origin"], 0), m["seq"])
        if asked.since is None:
            page, more = chosen[-limit:], len(chosen) > limit
        else:
            page, more = chosen[:limit], len(chosen) > limit
            if more:
                upto = dict(asked.since)
                for m in page:
                    upto[m["origin"]] = max(upto.get(m["origin"], 0), m["seq"])
        return {
            "status": "OK",
            "messages": [self._named(m) for m in page],
            "upto": upto,
            "more": more,
            "server": self.name,
            "boot": "b",
        }

    def _named(self, message: Fields) -> Fields:
        people = [field for field in ("user", "from", "src", "dst") if message.get(field) in self.unknown]
        return {**message, **dict.fromkeys(people, "?")}


def _key(message: Fields) -> tuple[int, str, int]:
    return (message["clock"], message["origin"], message["seq"])


def _wanted(message: Fields, asked: History) -> bool:
    if asked.channel is not None:
        mine = message.get("channel") == asked.channel
    else:
        mine = "dst" in message and asked.user in (message["src"], message["dst"])
        mine = mine and (asked.peer is None or asked.peer in (message["src"], message["dst"]))
    after = asked.since is None or message["seq"] > asked.since.get(message["origin"], 0)
    earlier = asked.before is None or _key(message) < tuple(asked.before)
    return mine and after and earlier


@dataclass
class Cluster:
    """A broker and servers on one memory network."""

    network: MemoryNetwork
    servers: list[FakeServer]
    shared: Shared
    scopes: dict[str, anyio.CancelScope] = field(default_factory=dict)
    _group: Any = None

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def reaching(self, **more: Any) -> dict[str, Any]:
        """Arguments for `connect`."""
        return {
            "servers": self.addresses,
            "brokers": [XPUB],
            "network": self.network.host("me"),
            **more,
        }

    async def start(self, server: FakeServer) -> None:
        async def run() -> None:
            with anyio.CancelScope() as scope:
                self.scopes[server.name] = scope
                await server.serve(self.network)

        self._group.start_soon(run)
        await anyio.sleep(0.001)

    async def kill(self, server: FakeServer) -> None:
        self.scopes[server.name].cancel()
        await anyio.sleep(0.001)


@asynccontextmanager
async def fake_cluster(count: int = 3, *, network: MemoryNetwork | None = None) -> AsyncIterator[Cluster]:
    """`count` servers and a broker, running."""
    network = network or MemoryNetwork()
    shared = Shared(of=count)
    cluster = Cluster(network, [FakeServer(f"server-{n + 1}", shared) for n in range(count)], shared)
    failure: Exception | None = None
    async with anyio.create_task_group() as group, network.host("broker").forwarder(XSUB, XPUB):
        cluster._group = group
        for server in cluster.servers:
            await cluster.start(server)
        try:
            yield cluster
        except Exception as error:  # noqa: BLE001 (the test's own error, bare instead of in a group)
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def reference_for(cluster: Cluster, listed: list[str]) -> None:
    """A reference that lists addresses; until cancelled."""
    async with cluster.network.host("reference").listener(REFERENCE) as listener:
        while True:
            for incoming in await listener.receive_batch():
                items = [{"name": a, "rank": n, "address": a} for n, a in enumerate(listed)]
                body = codec.encode("list", {"list": items, "timestamp": 1000, "clock": 7})
                listener.send([Outgoing(incoming.envelope, body)])
