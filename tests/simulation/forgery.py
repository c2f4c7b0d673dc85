"""Entries that no server of ours would make, told by somebody who speaks as a member."""

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import secured_world
import trio
from faults import Fault

from recado.protocol import codec, names
from recado.protocol.entry import EMPTY, Head, origin_name, run_fields, run_of, seal
from recado.protocol.messages import Kind, Run

if TYPE_CHECKING:
    from world import World

UNKNOWN_KIND = 77


async def poison(world: "World", fault: Fault) -> None:
    """A new origin's log of two entries, neither of which can be shown: it is kept and relayed (A35, A36).

    Every second time another log of the same origin is told to the same server, which has the first: a
    fork (A2).  A server that has neither would take the second, and then no two replicas could agree.
    """
    dice = Random(fault.amount)
    origin = origin_name(fault.other, dice.randbytes(8))
    id_ = dice.randbytes(16)
    await _tell(world, fault, _log(origin, id_, body=b"\xff\xfe"))
    if dice.random() < 0.5:
        return
    await trio.sleep(dice.uniform(0.1, 3.0))
    node = world.servers[fault.node]
    if node.alive and node.store.heads().get(origin, EMPTY).seq == 2:
        await _tell(world, fault, _log(origin, id_, body=b"\xff\xfd"))


def _log(origin: str, id_: bytes, *, body: bytes) -> Run:
    common = {
        "origin": origin,
        "wall_ms": 1,
        "author": names.uid("nobody"),
        "id": id_,
        "target": "geral",
        "prev": 0,
    }
    one = seal(EMPTY, lamport=1, kind=Kind.CHANNEL_MESSAGE, body=body, **common)  # type: ignore[arg-type]
    head = Head(one.seq, one.lamport, one.hash)
    two = seal(head, lamport=2, kind=UNKNOWN_KIND, body=b"later", **common)  # type: ignore[arg-type]
    return run_of([one, two], EMPTY.hash)


def _proved(world: "World", name: str, run: Run) -> list[Any]:
    """As it goes on the wire; where logs are signed, by the member itself, which may say what it likes."""
    if world.roster is not None:
        run = msgspec.structs.replace(run, signature=secured_world.over(run, by=name))
    return run_fields(run)


async def _tell(world: "World", fault: Fault, run: Run) -> None:
    fields = {
        "v": 2,
        "cluster": world.config.cluster.id,
        "from": fault.other,
        "boot": "forged",
        "runs": [_proved(world, fault.other, run)],
        "timestamp": int(trio.current_time()),
        "clock": 0,
    }
    host = "observer" if world.roster is None else fault.other
    async with world.network.host(host).asker(world.servers[fault.node].member.address) as asker:
        await asker.ask(codec.encode("replicate", fields))
