"""Requests to peers and to the reference: a deadline, the Lamport clock, and replies that are checked."""

from typing import Any

import trio

from daemons.server.node import Node
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.wire.ports import Asker, WireError


class Unanswered(Exception):
    """No usable reply within the deadline."""


async def ask(
    node: Node, asker: Asker, service: str, data: dict[str, Any], *, deadline_seconds: float
) -> dict[str, Any]:
    """One request and its reply's data (`erro` replies too).  Raises `Unanswered`."""
    said = node.clock.tick()
    fields = {**data, "timestamp": int(node.time.time()), "clock": said, **node.tags.told(said)}
    frame = codec.encode(service, fields)
    try:
        with trio.fail_after(deadline_seconds):
            reply = codec.decode_reply(await asker.ask(frame))
        clock = codec.lamport(reply.data.get("clock"), service=service)
    except (trio.TooSlowError, WireError, Malformed) as error:
        raise Unanswered(str(error) or "no answer in time") from None
    node.tags.hear_member(clock, reply.data.get("ctag"), now=node.surroundings.now())
    return reply.data
