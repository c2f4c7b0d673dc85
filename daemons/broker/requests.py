"""The round-robin port: clients' requests spread over the servers, each answered in bounded time.

A request goes to a server as the bytes it came in, and so does the reply; the broker reads it only
to know whether it may be asked twice.  Every request gets exactly one reply from here: the
server's, or an `erro` envelope.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import trio

from daemons.broker.rotation import Rotation
from daemons.shared.logging import Logger
from daemons.shared.replies import error_reply, malformed_text, reply
from daemons.shared.tally import Tallies
from recado.protocol.codec import decode_request
from recado.protocol.errors import Malformed
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import BROKER_OUTSTANDING_BYTES_MAX, BROKER_OUTSTANDING_MAX
from recado.protocol.messages import Asked, Audit, PublishMany, Read, Write
from recado.settings import Broker
from recado.wire.ports import Asker, Incoming, Listener, Outgoing, WireError

# Meant for one certain server: spread over all of them they would only do harm.
_NOT_OFFERED = frozenset(
    ["adjust", "prevote", "abdicate", "election", "coordinator", "release", "replicate", "fetch", "snapshot"]
)
_READ_ONLY = frozenset({"status", "who_coordinator", "clock", "list", "sync"})
_RETRY_AFTER_SECONDS = 0.5
# What some codes tell besides: when to come again, that it may have been kept.
_EXTRA: dict[str, dict[str, Any]] = {
    "busy": {"retry_after": _RETRY_AFTER_SECONDS},
    "indeterminate": {"indeterminate": True},
}


def may_repeat(asked: Asked) -> bool:
    """Whether asking a second server can do no harm: it only reads, or its retry is recognised.

    A write is recognised by its id; a server derives the same one for the same request if it has
    both a clock and a timestamp (A12).  Of many publishes each needs an id.
    """
    data = asked.data
    if isinstance(data, PublishMany):
        return all(ident is not None for _, _, ident in data.items)
    if isinstance(data, Write):
        return data.id is not None or (data.clock is not None and data.timestamp is not None)
    return isinstance(data, Read | Audit) or asked.service in _READ_ONLY


class RoundRobin:
    """Serves one listener from several askers.

    `serve` takes requests until cancelled. They are answered in the nursery `followers`, which
    outlives it, so that what was taken is answered on the way down too; skipped servers are called
    back in `probes`, which outlives both.
    """

    def __init__(
        self,
        *,
        listener: Listener,
        askers: Sequence[Asker],
        followers: trio.Nursery,
        probes: trio.Nursery,
        lamport: LamportClock,
        log: Logger,
        settings: Broker,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._listener = listener
        self._askers = askers
        self._followers = followers
        self._probes = probes
        self._lamport = lamport
        self._log = log
        self.tallies = Tallies(log)
        self._junk = self.tallies.of("malformed request", level="warning")
        self._refused = self.tallies.of("refused", level="warning")
        self._unanswered = self.tallies.of("request not answered", level="warning")
        self._deadline_seconds = settings.deadline_seconds
        self._skip_seconds = settings.skip_seconds
        self._wall = wall
        self.taken = 0  # requests, since the start
        self._outstanding = 0
        self._outstanding_bytes = 0
        self.rotation = Rotation([asker.address for asker in askers])

    @property
    def outstanding(self) -> int:
        """Requests that were taken and are not answered yet."""
        return self._outstanding

    async def serve(self) -> None:
        """Take requests for ever."""
        while True:
            for incoming in await self._listener.receive_batch():
                self._take(incoming)

    def _take(self, incoming: Incoming) -> None:
        self.taken += 1
        try:
            if incoming.body is None:
                raise Malformed("a request is one frame")
            asked = decode_request(incoming.body)
        except Malformed as error:
            self._junk.add({"service": error.service, "reason": error.reason}, requests=1)
            text = malformed_text(error.reason)
            self._refuse(incoming, error.service, code="malformed", clock=error.clock, text=text)
            return
        self._lamport.receive_unsigned(asked.clock, now=trio.current_time())
        if asked.service in _NOT_OFFERED:
            self._refused.add({"service": asked.service}, requests=1, code="service_not_offered")
            self._refuse(incoming, asked.service, code="service_not_offered", clock=asked.clock)
        elif (
            self._outstanding >= BROKER_OUTSTANDING_MAX
            or self._outstanding_bytes + len(incoming.body) > BROKER_OUTSTANDING_BYTES_MAX
        ):
            self._refused.add({"service": asked.service}, requests=1, code="busy")
            self._refuse(incoming, asked.service, code="busy", clock=asked.clock)
        else:
            self._outstanding += 1
            self._outstanding_bytes += len(incoming.body)
            self._followers.start_soon(self._answer, incoming.envelope, incoming.body, asked)

    def _refuse(
        self, incoming: Incoming, service: str, *, code: str, clock: int, text: str | None = None
    ) -> None:
        self._listener.send(
            [Outgoing(incoming.envelope, self._error(service, code=code, clock=clock, text=text))]
        )

    def _error(self, service: str, *, code: str, clock: int, text: str | None = None) -> bytes:
        return error_reply(
            service,
            code=code,
            clock=self._lamport.reply_to(clock),
            now_seconds=self._wall(),
            text=text,
            extra=_EXTRA.get(code),
        )

    async def _answer(self, envelope: tuple[bytes, ...], body: bytes, asked: Asked) -> None:
        try:
            answer = await self._ask_around(body, asked)
        finally:
            self._outstanding -= 1
            self._outstanding_bytes -= len(body)
        self._listener.send([Outgoing(envelope, answer)])

    async def _ask_around(self, body: bytes, asked: Asked) -> bytes:
        """The first server's reply; an error envelope if there is none to be had."""
        tried: list[int] = []
        perhaps_done = full = False
        while (place := self.rotation.pick(tried)) is not None:
            tried.append(place)
            try:
                with trio.move_on_after(self._deadline_seconds):
                    return await self._askers[place].ask(body)
            except WireError:  # its queue is full: the request never left, so the next may have it
                full = True
                continue
            self._missed(place)
            perhaps_done = True
            if not may_repeat(asked):
                break
        if perhaps_done and isinstance(asked.data, Write | PublishMany):
            code = "indeterminate"
        else:
            code = "busy" if full else "unavailable"
        self._unanswered.add({"service": asked.service, "tried": len(tried)}, requests=1, code=code)
        return self._error(asked.service, code=code, clock=asked.clock)

    def _missed(self, place: int) -> None:
        if self.rotation.missed(place):
            self._log.warning("server skipped", server=self._askers[place].address, alive=self.rotation.alive)
            self._probes.start_soon(self._call_back, place)

    async def _call_back(self, place: int) -> None:
        """Ask a skipped server for the time until it answers; then it is in again."""
        asker = self._askers[place]
        while True:
            await trio.sleep(self._skip_seconds)
            probe = reply("clock", {}, clock=self._lamport.tick(), now_seconds=self._wall())
            try:
                with trio.move_on_after(self._deadline_seconds):
                    await asker.ask(probe)
                    self.rotation.answered(place)
                    self._log.info("server back", server=asker.address, alive=self.rotation.alive)
                    return
            except WireError:
                continue  # still full of what it never took
