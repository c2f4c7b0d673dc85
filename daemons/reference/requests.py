"""The reference's services: rank, list, heartbeat; clock and status.  Every frame gets an envelope.

In secured mode the policy says who may ask what, and a server speaks for itself alone: a rank is sticky for
ever, and an address is what clients dial.
"""

from collections.abc import Callable
from typing import Any, cast

import trio

from daemons.reference.node import NOT_KEPT, Node
from daemons.shared.replies import error_reply, malformed_text, reply
from daemons.shared.secured import Listed, as_proved
from daemons.shared.tally import Tallies
from recado import __version__
from recado.protocol.buckets import Buckets
from recado.protocol.codec import decode_request
from recado.protocol.errors import Malformed, Refused
from recado.protocol.limits import BUCKETS_MAX
from recado.protocol.messages import Asked, Heartbeat, Rank, Request
from recado.protocol.policy import REFERENCE_POLICY, Role, refusal
from recado.secured import UNLIMITED, Rates
from recado.texts import wire_text
from recado.wire.allowances import sender_of
from recado.wire.ports import OPEN, Listener, Outgoing, Principal
from storage.database import StorageFull

Handler = Callable[[Request], dict[str, Any]]
OTHER = "other"  # services that are not offered here, by whatever name
_MAY_BE_SERVERS = frozenset({"server", "open"})
_ROLES = {"key": Role.STRANGER}  # a key is nobody's here: users are known at the servers


class Requests:
    """Answers requests, one after the other; none of them waits for anybody but the disk.

    `listed`: a principal as the roster says at this moment; one that asks may have been let in long ago.
    `rates`: those in force; what one address asks, junk too, is held to its rate.
    """

    def __init__(
        self, node: Node, *, listed: Listed = as_proved, rates: Callable[[], Rates] = lambda: UNLIMITED
    ) -> None:
        self._node = node
        self._listed = listed
        self._rates, self._rates_known = rates, UNLIMITED
        self._addresses = Buckets(rate=0.0, burst=1, most=BUCKETS_MAX)
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
            listener.send([Outgoing(one.envelope, self.answer(one.body, one.principal)) for one in batch])

    def answer(self, body: bytes | None, principal: Principal = OPEN) -> bytes:
        """The reply to one body frame; None stands for frames that were no request."""
        principal = self._listed(principal)
        wait = self._wait(principal)
        if wait:
            self._refused.add({"service": "error"}, requests=1, code="rate_limited")
            return self._error("error", code="rate_limited", clock=0, extra={"retry_after": round(wait, 3)})
        try:
            if body is None:
                raise Malformed("a request is one frame")
            asked = decode_request(body, client=principal.role not in _MAY_BE_SERVERS)
        except Malformed as error:
            self._junk.add({"service": error.service, "reason": error.reason}, requests=1)
            text = malformed_text(error.reason)
            return self._error(error.service, code="malformed", clock=error.clock, text=text)
        node = self._node
        node.lamport.receive_unsigned(asked.clock, now=trio.current_time())
        handler = self._handlers.get(asked.service)
        node.asked[asked.service if handler else OTHER] += 1
        if handler is None:
            self._unknown.add({"service": asked.service}, requests=1)
            code = "service_not_offered" if asked.known else "service_unknown"
            return self._error(asked.service, code=code, clock=asked.clock)
        refused = self._not_allowed(asked, principal)
        if refused is not None:
            self._refused.add({"service": asked.service}, requests=1, code=refused)
            return self._error(asked.service, code=refused, clock=asked.clock, text=wire_text(refused))
        return self._handled(asked, handler)

    def _wait(self, principal: Principal) -> float:
        """Seconds until the address may ask again; 0.0: now.  Servers ask seldom, and are known."""
        rates = self._rates()
        if rates is not self._rates_known:
            self._rates_known = rates
            self._addresses.configure(rate=rates.address.per_second, burst=rates.address.burst)
        if principal.role == "server" or not principal.address:
            return 0.0
        return self._addresses.take(sender_of(principal.address), now=trio.current_time())

    def _not_allowed(self, asked: Asked, principal: Principal) -> str | None:
        """The code of the refusal by the policy, or of a server that speaks for another one."""
        role = _ROLES.get(principal.role) or Role(principal.role)
        code = refusal(asked.service, role, policy=REFERENCE_POLICY)
        if code is None and role is Role.SERVER and isinstance(asked.data, Rank | Heartbeat):
            code = None if asked.data.user.strip() == principal.name else "not_you"
        return code

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

    def _error(
        self,
        service: str,
        *,
        code: str,
        clock: int,
        text: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bytes:
        node = self._node
        stamp = node.lamport.reply_to(clock)
        return error_reply(service, code=code, clock=stamp, now_seconds=node.wall(), text=text, extra=extra)

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
        return {"status": "OK", **describe(self._node)}


def describe(node: Node) -> dict[str, Any]:
    """How the reference sees itself."""
    return {
        "role": "reference",
        "version": __version__,
        "active": len(node.registry.active()),
        "known": node.registry.known,
        "uptime": int(trio.current_time() - node.started_at),
    }
