"""Looking at a cluster that is being tortured: what its replicas hold, whom its servers follow."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import trio
import zmq

from recado.protocol import codec
from tests.torture.fleet import Fleet, Node

ANSWER_SECONDS = 1.0
LOOK_SECONDS = 0.1
# Private tables: a view would read every entry, each time.
_HEADS = """select origin, (select max(seq) from entry where entry.number = origin.number) from origin"""

Heads = dict[str, int]


def heads(replica: Path) -> Heads:
    """How far a replica's logs go.  Raises `sqlite3.Error` if it can't be read now."""
    with closing(sqlite3.connect(f"file:{replica}?mode=ro", uri=True, timeout=5)) as connection:
        return {origin: seq or 0 for origin, seq in connection.execute(_HEADS)}


def union(vectors: Sequence[Heads]) -> Heads:
    """What at least one of them has."""
    origins = {origin for vector in vectors for origin in vector}
    return {origin: max(vector.get(origin, 0) for vector in vectors) for origin in origins}


def covers(vector: Heads, wanted: Heads) -> bool:
    return all(vector.get(origin, 0) >= seq for origin, seq in wanted.items())


async def everywhere(fleet: Fleet, *, seconds: float) -> float | None:
    """Wait until every server has what any has now; the seconds it took, None if it took longer.

    Afterwards whatever was acknowledged before the call is on every disk.
    """
    began = monotonic()
    replicas = [node.member.replica for node in fleet.servers]
    wanted = union(await _look(lambda: [heads(replica) for replica in replicas]))
    while monotonic() - began < seconds:
        found = await _look(lambda: [heads(replica) for replica in replicas])
        if all(covers(vector, wanted) for vector in found):
            return monotonic() - began
        await trio.sleep(LOOK_SECONDS)
    return None


async def _look(look: Callable[[], list[Heads]]) -> list[Heads]:
    for _ in range(50):
        try:
            return look()
        except sqlite3.Error:  # being opened, recovered or put in place
            await trio.sleep(LOOK_SECONDS)
    return look()


async def ask(context: "zmq.Context[Any]", address: str, service: str) -> dict[str, Any] | None:
    """One question to one server, from beyond the cuts; None if there was no answer in time."""
    with context.socket(zmq.REQ) as end:
        end.linger = 0
        end.connect(address)
        end.send(codec.encode(service, {}), zmq.DONTWAIT)
        deadline = monotonic() + ANSWER_SECONDS
        while monotonic() < deadline:
            if end.poll(0):
                return dict(codec.decode_reply(end.recv()).data)
            await trio.sleep(0.01)
    return None


async def statuses(fleet: Fleet, nodes: Iterable[Node] | None = None) -> dict[str, dict[str, Any]]:
    """What every server says of itself, or these only; of those that answer."""
    found: dict[str, dict[str, Any]] = {}

    async def one(context: "zmq.Context[Any]", node: Node) -> None:
        said = await ask(context, node.member.endpoints["listen"], "status")
        if said is not None:
            found[node.name] = said

    with zmq.Context() as context:
        async with trio.open_nursery() as nursery:
            for node in fleet.servers if nodes is None else nodes:
                nursery.start_soon(one, context, node)
    return found


async def coordinator(fleet: Fleet) -> str | None:
    """The server that most servers follow."""
    said = [str(status.get("coordinator") or "") for status in (await statuses(fleet)).values()]
    named = [name for name in said if name]
    return max(named, key=named.count) if named else None
