"""Clients written from the contract alone: plain REQ and SUB sockets, MessagePack, a Lamport clock.

They know nothing of Recado's own code, as the clients of other people don't.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

import msgpack
import zmq

REPLY_SECONDS = 10.0
MISSING = object()  # a field that a client leaves out


class PlainClient:
    """A REQ socket and a clock.  Sends what the contract says, checks what it promises of replies."""

    def __init__(self, context: "zmq.Context[Any]", address: str) -> None:
        self.address = address
        self.clock = 0
        self._context = context
        self._socket = self._connected()

    def _connected(self) -> "zmq.Socket[bytes]":
        end: zmq.Socket[bytes] = self._context.socket(zmq.REQ)
        end.linger = 0
        end.rcvtimeo = int(REPLY_SECONDS * 1000)
        end.connect(self.address)
        return end

    def close(self) -> None:
        self._socket.close()

    def ask(self, service: str, *, timestamp: Any = None, clock: Any = None, **fields: Any) -> dict[str, Any]:
        """One request in an envelope; the `data` of its reply.

        `timestamp` and `clock` None: as a good client fills them in; `MISSING`: left out.
        """
        self.clock += 1
        data: dict[str, Any] = dict(fields)
        if timestamp is not MISSING:
            data["timestamp"] = int(time()) if timestamp is None else timestamp
        if clock is not MISSING:
            data["clock"] = self.clock if clock is None else clock
        reply = msgpack.unpackb(self.exchange(msgpack.packb({"service": service, "data": data})))
        assert set(reply) == {"service", "data"}
        assert reply["service"] == service
        check_stamps(reply["data"], asked=data.get("clock", 0))
        self.clock = max(self.clock, reply["data"]["clock"]) + 1
        found: dict[str, Any] = reply["data"]
        return found

    def exchange(self, body: bytes) -> bytes:
        """One frame there and one back.  A socket without its reply is thrown away, as REQ demands."""
        try:
            self._socket.send(body)
            frames = self._socket.recv_multipart()
        except zmq.ZMQError:
            self._socket.close()
            self._socket = self._connected()
            raise
        assert len(frames) == 1
        return frames[0]


def check_stamps(data: dict[str, Any], *, asked: float) -> None:
    """Every reply: whole seconds of the present, and a clock that exceeds the request's."""
    assert type(data["timestamp"]) is int
    assert abs(data["timestamp"] - time()) < 60
    assert type(data["clock"]) is int
    assert data["clock"] > asked


class PlainSubscriber:
    """A SUB socket."""

    def __init__(self, context: "zmq.Context[Any]", address: str, topics: tuple[str, ...]) -> None:
        self._socket = context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.connect(address)
        for topic in topics:
            self._socket.subscribe(topic.encode())

    def close(self) -> None:
        self._socket.close()

    def receive(self, *, seconds: float) -> tuple[str, dict[str, Any]] | None:
        """The next publication, topic and map; None if there is none within `seconds`."""
        if not self._socket.poll(int(seconds * 1000)):
            return None
        frames = self._socket.recv_multipart()
        assert len(frames) == 2
        topic, body = frames[0].decode(), msgpack.unpackb(frames[1])
        assert isinstance(body, dict)
        return topic, body


class World:
    """Sockets of one test, all closed at its end."""

    def __init__(self, context: "zmq.Context[Any]") -> None:
        self.context = context
        self._open: list[PlainClient | PlainSubscriber] = []

    def client(self, address: str) -> PlainClient:
        client = PlainClient(self.context, address)
        self._open.append(client)
        return client

    def subscriber(self, address: str, *topics: str) -> PlainSubscriber:
        subscriber = PlainSubscriber(self.context, address, topics)
        self._open.append(subscriber)
        return subscriber

    def close(self) -> None:
        for end in self._open:
            end.close()


@contextmanager
def plain_world() -> Iterator[World]:
    """A ZeroMQ context of its own, as another program has it."""
    with zmq.Context() as context:
        world = World(context)
        try:
            yield world
        finally:
            world.close()
