"""The publishing and the subscribing end of the in-memory network, and the forwarder between them."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import anyio

from recado.protocol.limits import DRAIN_MESSAGES_MAX, PUBLICATIONS_QUEUED_MAX
from recado.wire.addresses import to_connect
from recado.wire.mailbox import Mailbox
from recado.wire.memory_ends import End
from recado.wire.ports import OPEN, Grant, Principal, Publication, WireError

if TYPE_CHECKING:
    from recado.wire.memory import MemoryNetwork


class _Forwarded(NamedTuple):
    """A publication on its way to a subscriber through `forwarder`, which it reaches `at`."""

    forwarder: "MemoryForwarder"
    at: float
    publication: Publication


class MemoryPublisher(End):
    """`ports.Publisher` in memory."""

    def __init__(
        self,
        network: "MemoryNetwork",
        host: str,
        addresses: Iterable[str],
        *,
        principal: Principal = OPEN,
    ) -> None:
        super().__init__(network, host)
        self.principal = principal
        self._addresses = tuple(dict.fromkeys(addresses))
        for address in self._addresses:
            to_connect(address)

    def wanted(self, topic: bytes) -> bool:
        """Whether a subscription has come to a broker that takes publications from here."""
        now = anyio.current_time()
        return any(forwarder.wants(topic, at=now) for forwarder in self._forwarders())

    def _forwarders(self) -> Iterator["MemoryForwarder"]:
        for address in self._addresses:
            forwarder = self.network.listening.get(address)
            if not isinstance(forwarder, MemoryForwarder) or address != forwarder.addresses[0]:
                continue
            if forwarder.takes(self):
                yield forwarder

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over without waiting.  Raises `WireError` only once closed."""
        if self.muted():
            return
        now = anyio.current_time()
        for publication in publications:
            for forwarder in self._forwarders():
                size = len(publication.body)
                for delay in self.ways(forwarder.host, kind="publication", size=size):
                    forwarder.forward(publication, at=now + delay)


class MemorySubscriber(End):
    """`ports.Subscriber` in memory."""

    def __init__(
        self,
        network: "MemoryNetwork",
        host: str,
        addresses: Iterable[str],
        *,
        principal: Principal = OPEN,
    ) -> None:
        super().__init__(network, host)
        self.principal = principal
        self.addresses = tuple(dict.fromkeys(addresses))
        for address in self.addresses:
            to_connect(address)
        self.topics: dict[bytes, None] = {}  # a set that keeps its order
        self._mailbox: Mailbox[_Forwarded] = Mailbox(PUBLICATIONS_QUEUED_MAX)
        network.subscribers.append(self)

    def subscribe(self, topic: bytes) -> None:
        """Receive what begins with `topic`.  A topic counts once, however often subscribed."""
        if self.muted() or topic in self.topics:
            return
        self.topics[topic] = None
        for forwarder in self._forwarders():
            forwarder.attach(self, topic, at=anyio.current_time())

    def unsubscribe(self, topic: bytes) -> None:
        """Stop receiving `topic`, what has already arrived included; not subscribed is harmless."""
        if self.muted() or topic not in self.topics:
            return
        del self.topics[topic]
        for forwarder in self._forwarders():
            forwarder.detach(self, topic)

    def _forwarders(self) -> list["MemoryForwarder"]:
        ends = (self.network.listening.get(address) for address in self.addresses)
        return [end for end in ends if isinstance(end, MemoryForwarder) and end.serves(self)]

    def deliver(self, forwarded: _Forwarded, *, when: float) -> None:
        """A publication is on its way to here."""
        self._mailbox.post(forwarded, when=when, number=self.network.number())

    async def receive_batch(self, most: int = DRAIN_MESSAGES_MAX) -> list[Publication]:
        """At least one publication, at most `most`.  Raises `WireError` once closed."""
        while True:
            batch = await self._mailbox.receive(most)
            if publications := [f.publication for f in batch if self._wanted(f)]:
                return publications

    def _wanted(self, forwarded: _Forwarded) -> bool:
        arrived = forwarded.at <= forwarded.forwarder.closed_at
        return arrived and any(forwarded.publication.topic.startswith(topic) for topic in self.topics)

    def _leave(self, *, crashed: bool) -> None:
        self.network.subscribers.remove(self)
        for forwarder in self._forwarders():
            for topic in self.topics:
                forwarder.detach(self, topic)
        self._mailbox.shut(crashed=crashed)


class MemoryForwarder(End):
    """A broker: what publishers send is passed on to the subscribers of its topic.

    There is no task in it: the way to the subscribers is decided when something is published, as of
    the time `at` which it arrives here, and counts only if this broker still exists then.
    """

    def __init__(
        self, network: "MemoryNetwork", host: str, *, xsub: str, xpub: str, grant: Grant | None = None
    ) -> None:
        super().__init__(network, host)
        self.closed_at = float("inf")
        self._grant = grant
        self._refused: set[tuple[MemorySubscriber, bytes]] = set()
        self._effective: dict[tuple[MemorySubscriber, bytes], float] = {}
        first = network.bind(xsub, host=host, end=self)
        try:
            self.addresses = (first, network.bind(xpub, host=host, end=self))
        except WireError:
            del network.listening[first]
            raise
        for subscriber in network.subscribers:
            if self.serves(subscriber):
                for topic in subscriber.topics:
                    self.attach(subscriber, topic, at=anyio.current_time())

    def serves(self, subscriber: MemorySubscriber) -> bool:
        """Whether the subscriber is connected to this broker's XPUB."""
        return self.addresses[1] in subscriber.addresses

    def takes(self, publisher: MemoryPublisher) -> bool:
        """Whether the publisher may publish here: anybody, or where subscriptions are granted, servers."""
        return self._grant is None or publisher.principal.role == "server"

    def wants(self, topic: bytes, *, at: float) -> bool:
        """Whether somebody here has subscribed to the topic; where that is granted servers are not told."""
        return self._grant is not None or any(
            self.serves(subscriber) and self._subscribed(subscriber, topic, at=at)
            for subscriber in self.network.subscribers
        )

    def attach(self, subscriber: MemorySubscriber, topic: bytes, *, at: float) -> None:
        """A subscription sets out at the time `at`; if it is lost or not granted, nothing changes."""
        if (subscriber, topic) in self._refused:
            return
        if self._grant is not None and not self._grant(subscriber.principal, topic):
            self._refused.add((subscriber, topic))
            return
        delays = subscriber.ways(self.host, kind="subscription", size=len(topic))
        if delays:
            self._effective[subscriber, topic] = at + min(delays)

    def detach(self, subscriber: MemorySubscriber, topic: bytes) -> None:
        """A subscription ended."""
        self._effective.pop((subscriber, topic), None)
        self._refused.discard((subscriber, topic))

    def forward(self, publication: Publication, *, at: float) -> None:
        """Pass a publication on that arrives at the time `at`."""
        for subscriber in self.network.subscribers:
            if self.serves(subscriber) and self._subscribed(subscriber, publication.topic, at=at):
                forwarded = _Forwarded(self, at, publication)
                size = len(publication.body)
                for delay in self.ways(subscriber.host, kind="publication", size=size):
                    subscriber.deliver(forwarded, when=at + delay)

    def _subscribed(self, subscriber: MemorySubscriber, topic: bytes, *, at: float) -> bool:
        for subscribed in subscriber.topics:
            if topic.startswith(subscribed):
                if (subscriber, subscribed) not in self._effective:
                    self.attach(subscriber, subscribed, at=at)
                if self._effective.get((subscriber, subscribed), float("inf")) <= at:
                    return True
        return False

    def _leave(self, *, crashed: bool) -> None:  # noqa: ARG002
        self.closed_at = anyio.current_time()
        for address in self.addresses:
            self.network.listening.pop(address, None)
