"""A secured cluster of real processes, one who publishes, one who listens, and what a message costs there."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import trio
from running_cluster import QUICK, Cluster, local_cluster

from recado.keys import Identity, make_identity
from recado.protocol import codec
from recado.roster import Roster
from recado.secured import AddressBook
from recado.wire.ports import Asker, Subscriber
from recado.wire.security import Security
from recado.wire.zeromq import ZeroMQNetwork
from tests.attacks.crowds import processor_seconds

CHANNEL = "praça"
WINDOW = 16  # requests out at once
WITHOUT_RATES = {
    f"RECADO_LIMITS__{what}_PER_SECOND": "0"
    for what in ("USER_MESSAGES", "BOT_MESSAGES", "CHANNEL_MESSAGES", "ADDRESS_REQUESTS")
}


@dataclass
class Cost:
    """Of a number of messages: processor microseconds a message at each node, milliseconds until answered."""

    server_us: float
    broker_us: float
    p99_ms: float


class Town:
    """The cluster as seen by those who behave."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.roster = Roster.read(Path(cluster.summary["roster"]))
        self._book = AddressBook(self.roster)
        rows = cluster.rows()
        self.server, self.broker = rows["server-1"]["pid"], rows["broker"]["pid"]
        self.address, self.xpub = cluster.servers[0], cluster.summary["broker"]
        self._given: dict[int, dict[Identity, int]] = {}
        self.publisher = make_identity("user", "ana")

    def key_at(self, address: str) -> bytes:
        return self._book.keys_of(address)[0]

    def network(self, who: Identity) -> ZeroMQNetwork:
        """The network as this user reaches it."""
        return ZeroMQNetwork(None, Security(public=who.public, secret=who.secret, keys_of=self._book.keys_of))

    @asynccontextmanager
    async def asker(self, who: Identity) -> AsyncIterator[Asker]:
        async with self.network(who) as network, network.asker(self.address) as asker:
            yield asker

    async def register(self, *people: Identity) -> None:
        for who in people:
            async with self.asker(who) as asker:
                await asked(asker, "login", user=who.name)

    def people(self, count: int, *, again: int) -> list[Identity]:
        """So many registered users, each of whom is given out `again` times: keys have allowances too."""
        used = self._given.setdefault(again, {})
        known = [who for who, times in used.items() if times < again][:count]
        fresh = [make_identity("user", f"ouvinte {again} {len(used) + n}") for n in range(count - len(known))]
        trio.run(self.register, *fresh)
        for who in (*known, *fresh):
            used[who] = used.get(who, 0) + 1
        return [*known, *fresh]

    async def furnish(self) -> bytes:
        """Ana and a channel; its topic."""
        await self.register(self.publisher)
        async with self.asker(self.publisher) as asker:
            await asked(asker, "channel", channel=CHANNEL, user="ana")
            return await self._topic(asker)

    async def topic(self) -> bytes:
        """The channel's, as ana is told."""
        async with self.asker(self.publisher) as asker:
            return await self._topic(asker)

    async def _topic(self, asker: Asker) -> bytes:
        return bytes((await asked(asker, "history", channel=CHANNEL, limit=1))["topic"])

    async def cost(self, count: int, *, text: str = "oi") -> Cost:
        """Publish so many messages and hear all of them."""
        async with self.network(self.publisher) as network, network.asker(self.address) as asker:
            topic = await self._topic(asker)
            async with network.subscriber([self.xpub]) as subscriber:
                subscriber.subscribe(topic)
                await _heard_one(asker, subscriber)
                before = processor_seconds(self.server), processor_seconds(self.broker)
                took = await _published(asker, subscriber, count, text=text)
                used = processor_seconds(self.server) - before[0], processor_seconds(self.broker) - before[1]
        took.sort()
        return Cost(used[0] / count * 1e6, used[1] / count * 1e6, took[int(0.99 * count)] * 1e3)

    def told(self) -> dict[str, Any]:
        """What the server's status says of security."""

        async def ask() -> dict[str, Any]:
            async with self.asker(self.publisher) as asker:
                return dict((await asked(asker, "status"))["security"])

        return trio.run(ask)


async def asked(asker: Asker, service: str, *, seconds: float = 10.0, **fields: Any) -> dict[str, Any]:
    """A reply that is no refusal, within so many seconds."""
    with trio.fail_after(seconds):
        data = dict(codec.decode_reply(await asker.ask(codec.encode(service, fields))).data)
    assert data.get("status") != "erro", data
    return data


async def _say(asker: Asker, text: str) -> float:
    begun = perf_counter()
    await asked(asker, "publish", user="ana", channel=CHANNEL, message=text)
    return perf_counter() - begun


async def _heard_one(asker: Asker, subscriber: Subscriber) -> None:
    """Until the subscription counts."""
    with trio.fail_after(20):
        while True:
            await _say(asker, "?")
            with trio.move_on_after(0.3):
                await subscriber.receive_batch()
                return


async def _published(asker: Asker, subscriber: Subscriber, count: int, *, text: str) -> list[float]:
    took: list[float] = []
    numbers = iter(range(count))
    heard = 0

    async def say() -> None:
        for number in numbers:
            took.append(await _say(asker, f"{text} {number}"))

    async with trio.open_nursery() as nursery:
        for _ in range(WINDOW):
            nursery.start_soon(say)
        with trio.fail_after(30):
            while heard < count:
                batch = await subscriber.receive_batch()
                heard += sum(one.body.count(text.encode()) for one in batch)  # a frame may hold a run
    return took


@contextmanager
def town(home: Path, **env: str) -> Iterator[Town]:
    """One server, a broker and a reference, with keys and without rates for those who behave."""
    with local_cluster(home, "--secure", servers=1, env={**QUICK, **WITHOUT_RATES, **env}) as cluster:
        cluster.wait_for("coordinator", seconds=30)
        made = Town(cluster)
        trio.run(made.furnish)
        yield made


def shown(what: str, costs: dict[str, list[Cost]]) -> None:
    """Print the medians, for people who look at a run's output."""
    for name, all_of_it in costs.items():
        middle = {field: round(median(all_of_it, field), 1) for field in ("server_us", "broker_us", "p99_ms")}
        print(json.dumps({"attack": what, "case": name, **middle}))


def ratio(costs: list[Cost], to: list[Cost], field: str) -> float:
    """The median of what each round's second measurement is to its first."""
    found = sorted(getattr(one, field) / getattr(other, field) for one, other in zip(costs, to, strict=True))
    return float(found[len(found) // 2])


def median(costs: list[Cost], field: str) -> float:
    values = sorted(getattr(cost, field) for cost in costs)
    return float(values[len(values) // 2])
