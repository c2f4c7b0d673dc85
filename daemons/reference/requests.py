"""The reference's services: rank, list, heartbeat; clock and status.  Every frame gets an envelope."""

from collections.abc import Callable
from typing import Any, cast

import trio

from daemons.reference.node import NOT_KEPT, Node
from daemons.shared.replies import error_reply, malformed_text, reply
from daemons.shared.tally import Tallies
from recado import __version__
from recado.protocol.codec import decode_request
from recado.protocol.errors import Malformed, Refused
from recado.protocol.messages import Asked, Heartbeat, Rank, Request
from recado.wire.ports import Listener, Outgoing
from storage.database import StorageFull

Handler = Callable[[Request], dict[str, Any]]


class Requests:
    """Answers requests, one after the other; none of them waits for anybody but the disk."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.tallies = Tallies(node.log)
        self._junk = self.tallies.of("malformed request", level="warning")
        self._unknown = self.tallies.of("unknown service", level="warning")
        self._refused = self.tallies.of("refused", level="warning")
        self._handlers: dict[str, Handler] = {
            "rank": self._rank,
            "list": self._list,
            "heartbeat": self._heartbeat,
            "clock": self._clock,
            "status": self._status,
        }

    async def serve(self, listener: Listener) -> None:
        """Serve a listener until cancelled."""
        while True:
            batch = await listener.receive_batch()
            listener.send([Outgoing(one.envelope, self.answer(one.body)) for one in batch])

    def answer(self, body: bytes | None) -> bytes:
        """The reply to one body frame; None stands for frames that were no request."""
        try:
            if body is None:
                raise Malformed("a request is one frame")
            asked = decode_request(body)
        except Malformed as error:
            self._junk.add({"service": error.service, "reason": error.reason}, requests=1)
            text = malformed_text(error.reason)
            return self._error(error.service, code="malformed", clock=error.clock, text=text)
        node = self._node
        node.lamport.receive_unsigned(asked.clock, now=trio.current_time())
        handler = self._handlers.get(asked.service)
        if handler is None:
            self._unknown.add({"service": asked.service}, requests=1)
            code = "service_not_offered" if asked.known else "service_unknown"
            return self._error(asked.service, code=code, clock=asked.clock)
        return self._handled(asked, handler)

    def _handled(self, asked: Asked, handler: Handler) -> bytes:
        node = self._node
        try:
            data = handler(asked.data)
        except Refused as error:
            self._refused.add({"service": asked.service}, requests=1, code=error.code)
            return self._error(asked.service, code=error.code, clock=asked.clock, text=error.text)
        except NOT_KEPT as error:
            node.log.error("not kept", service=asked.service, reason=str(error))
            code = "storage_full" if isinstance(error, StorageFull) else "busy"
            return self._error(asked.service, code=code, clock=asked.clock)
        clock = node.lamport.reply_to(asked.clock)
        node.log.debug("answered", service=asked.service, request_clock=asked.clock, reply_clock=clock)
        return reply(asked.service, data, clock=clock, now_seconds=node.wall())

    def _error(self, service: str, *, code: str, clock: int, text: str | None = None) -> bytes:
        node = self._node
        stamp = node.lamport.reply_to(clock)
        return error_reply(service, code=code, clock=stamp, now_seconds=node.wall(), text=text)

    # Services --------------------------------------------------------------------------------------

    def _rank(self, data: Request) -> dict[str, Any]:
        asked = cast(Rank, data)
        rank, effects = self._node.registry.rank(
            asked.user, now=trio.current_time(), address=asked.address, rank_hint=asked.rank_hint
        )
        self._node.carry_out(effects)
        self._node.heard(asked.user.strip())
        return {"rank": rank}

    def _heartbeat(self, data: Request) -> dict[str, Any]:
        asked = cast(Heartbeat, data)
        rank, effects = self._node.registry.heartbeat(
            asked.user,
            now=trio.current_time(),
            address=asked.address,
            rank_hint=asked.rank_hint,
            load=asked.load,
        )
        self._node.carry_out(effects)
        self._node.heard(asked.user.strip())
        return {"status": "OK", "rank": rank}

    def _list(self, _: Request) -> dict[str, Any]:
        servers = []
        for server in self._node.registry.active():
            line: dict[str, Any] = {"name": server.name, "rank": server.rank}
            if server.address is not None:
                line["address"] = server.address
            if server.load is not None:
                line["load"] = server.load
            servers.append(line)
        return {"list": servers}

    def _clock(self, _: Request) -> dict[str, Any]:
        return {"time": self._node.wall()}

    def _status(self, _: Request) -> dict[str, Any]:
        registry = self._node.registry
        return {
            "status": "OK",
            "role": "reference",
            "version": __version__,
            "active": len(registry.active()),
            "known": registry.known,
            "uptime": int(trio.current_time() - self._node.started_at),
        }
