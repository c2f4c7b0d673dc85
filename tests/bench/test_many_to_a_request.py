"""The generator with many publishes in one request, against a server of a few lines that answers as told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import zmq

from bench import generator
from bench.generator import Load

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs("cc")]
Data = dict[str, Any]
Answer = Callable[[Data], Data]
HEAD_BYTES = 9


@contextmanager
def answering(answer: Answer, seen: list[Data]) -> Iterator[str]:
    """A ROUTER that answers each request's data by `answer`, and keeps what it saw; its ``HOST:PORT``."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    end = threading.Event()

    def serve() -> None:
        while not end.is_set():
            if socket.poll(20):
                identity, frame = socket.recv_multipart()
                assert frame[:1] == b"\xc1"
                data = msgspec.msgpack.decode(frame[HEAD_BYTES:])["data"]
                seen.append(data)
                reply = msgspec.msgpack.encode({"service": "publish_many", "data": answer(data)})
                socket.send_multipart([identity, frame[:HEAD_BYTES] + reply])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        end.set()
        thread.join()
        context.destroy(linger=0)


def load(answer: Answer, seen: list[Data], **settings: float) -> Load:
    """Two connections with eight out each, four to a request at most."""
    with answering(answer, seen) as endpoint:
        shape = {"connections": 2, "window": 8, "many": 4, **settings}
        words = generator.publish(generator.build(), "recado-many", [endpoint], warm=0, **shape)
        return generator.finish(words, timeout_seconds=30)


def keys(data: Data, *, status: str = "sucesso") -> Data:
    """All of them accepted; `status` is that of the whole."""
    return {"status": status, "answers": [{"key": [7, "server-1.0", n]} for n in range(len(data["items"]))]}


def test_every_publish_of_a_request_is_answered_by_itself() -> None:
    """Eight hundred publishes travel in two hundred requests of four, each with an id of its own."""
    seen: list[Data] = []
    found = load(keys, seen, count=800, seconds=20)
    assert (found.answered, found.refused, found.measured) == (800, 0, 800)
    assert {len(data["items"]) for data in seen} == {4}
    items = [item for data in seen for item in data["items"]]
    assert len({id_ for _, _, id_ in items}) == len(items) == 800
    assert {(type(c), len(text), len(id_)) for c, text, id_ in items} == {(str, generator.TEXT_BYTES, 16)}
    assert seen[0].keys() == {"user", "timestamp", "clock", "items"}


def test_a_refusal_in_the_middle_counts_for_one() -> None:
    """Of each request the second is refused by an answer of its own, whatever the whole reply says."""

    def second_refused(data: Data) -> Data:
        found = keys(data)
        found["answers"][1] = {"status": "erro", "code": "x" * 40, "description": ["answers", {"status": 1}]}
        return found

    found = load(second_refused, [], count=400, seconds=20)
    assert (found.answered, found.refused) == (400, 100)


def test_a_refused_request_is_a_refusal_of_all_that_it_carried() -> None:
    """A reply without answers says the same of each; one with a status of its own counts by that."""
    refused = {"status": "erro", "code": "too_fast"}

    def every_other(data: Data, turns: list[int] = []) -> Data:  # noqa: B006 - counts the requests
        turns.append(1)
        return refused if len(turns) % 2 else keys(data)

    found = load(every_other, [], count=400, seconds=20)
    assert (found.answered, found.refused) == (400, 200)


def test_paced_publishes_keep_their_pace_over_all_connections() -> None:
    """400 a second for half a second are 200 publishes, give or take, and a slice has a line of its own."""
    seen: list[Data] = []
    found = load(keys, seen, rate=400, seconds=0.5)
    assert 150 <= found.answered <= 210
    assert {data["user"] for data in seen} == {"bench-0", "bench-1"}
