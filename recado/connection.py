"""Requests that never hang: attempt, deadline, next server, and an honest end.

An attempt that runs out of time is cancelled, and the wire drops its reply when it comes late, so an
answer always belongs to the attempt that is under way.  Every attempt of one request carries the same
id and timestamp and its own Lamport stamp (increment before each send, `max` + 1 on receive).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from recado.failures import (
    BadReply,
    Busy,
    ChatError,
    Closed,
    Indeterminate,
    NoAnswer,
    RefusedByServer,
    refusal,
)
from recado.protocol import codec
from recado.protocol.errors import Malformed, ProtocolError
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import SESSION_ORIGINS_MAX
from recado.protocol.messages import Reply
from recado.servers import Servers
from recado.values import clock_of, members_told, whole
from recado.wire.ports import WireError

# Refusals that speak of the server and not of the request: another may carry it out.
_ELSEWHERE = frozenset({"draining", "storage_full", "behind"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request waits, in seconds.

    `attempt_seconds` for one server, `deadline_seconds` in all; between two rounds through the
    servers a random pause up to `pause_seconds`, doubled each time up to `pause_seconds_max`.  A
    subscription that heard nothing from its brokers, not even a beacon, for `silence_seconds` looks into
    the history; without brokers it does so every `poll_seconds`.
    """

    attempt_seconds: float = 3.0
    deadline_seconds: float = 15.0
    pause_seconds: float = 0.1
    pause_seconds_max: float = 2.0
    silence_seconds: float = 6.0
    poll_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The data of a reply that succeeded, and the address that gave it."""

    data: dict[str, Any]
    address: str


@dataclass(slots=True)
class _Course:
    """What has become of one request so far."""

    service: str
    data: Mapping[str, Any]
    span_seconds: float
    deadline: float
    write: bool = False
    elsewhere: bool = False
    unanswered: bool = False
    session: dict[str, int] = field(default_factory=dict)
    tried: list[tuple[str, str]] = field(default_factory=list)
    unreadable: bool = False
    acks: int = 0
    of: int | None = None
    busy: RefusedByServer | None = None

    def failed(self, address: str, what: str) -> None:
        self.tried.append((address, what))
        del self.tried[:-16]

    def left(self) -> float:
        return self.deadline - anyio.current_time()


class Connection:
    """Requests to whichever server answers.  `clock` is the client's Lamport clock."""

    def __init__(
        self,
        servers: Servers,
        *,
        patience: Patience,
        random: Random,
        wall_clock: Callable[[], float],
    ) -> None:
        self.servers = servers
        self.patience = patience
        self.clock = LamportClock()
        self.members: int | None = None  # as the servers say
        self._session: dict[str, int] = {}  # what reads must cover: the own confirmed writes
        self._open = True
        self._under_way: set[anyio.CancelScope] = set()
        self._random = random
        self._wall_clock = wall_clock

    def now_seconds(self) -> int:
        """The time that requests carry: whole UNIX seconds."""
        return int(self._wall_clock())

    def close(self) -> None:
        """Requests under way, and later ones, raise `Closed`."""
        self._open = False
        for scope in self._under_way:
            scope.cancel()

    async def read(
        self,
        service: str,
        data: Mapping[str, Any],
        *,
        deadline_seconds: float | None = None,
        elsewhere: bool = False,
    ) -> Answer:
        """A request that changes nothing.  Raises `NoAnswer`, `RefusedByServer`, `Closed`.

        `elsewhere`: begin with the server after the one that is asked first otherwise.
        """
        course = self._course(service, data, deadline_seconds=deadline_seconds)
        course.elsewhere = elsewhere
        course.session = dict(self._session)
        return await self._ask(course)

    async def write(
        self, service: str, data: Mapping[str, Any], *, deadline_seconds: float | None = None
    ) -> Answer:
        """A request that appends, under its `id`.  Raises `Indeterminate`, `RefusedByServer`, `Closed`."""
        course = self._course(service, data, deadline_seconds=deadline_seconds)
        course.write = True
        return await self._ask(course)

    def wrote(self, origin: str, seq: int) -> None:
        """A write was confirmed: from now on servers that do not have it are passed over for reads.

        Read your writes (Terry et al., "Session guarantees", 1994), as long as any server that has
        them answers; after one round through the servers in vain reads take what there is.
        """
        self._session[origin] = max(seq, self._session.pop(origin, 0))
        if len(self._session) > SESSION_ORIGINS_MAX:
            del self._session[next(iter(self._session))]

    def _course(self, service: str, data: Mapping[str, Any], *, deadline_seconds: float | None) -> _Course:
        span = self.patience.deadline_seconds if deadline_seconds is None else deadline_seconds
        fields = {**data, "timestamp": self.now_seconds()}
        return _Course(service, fields, span, anyio.current_time() + span)

    async def _ask(self, course: _Course) -> Answer:
        if not self._open:
            raise Closed("the connection is closed")
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                return await self._pursue(course)
            finally:
                self._under_way.discard(scope)
        raise Closed("the connection was closed while a request was under way")

    async def _pursue(self, course: _Course) -> Answer:
        pause = self.patience.pause_seconds
        while course.left() > 0:
            for address in await self._round(course):
                answer = await self._attempt(course, address)
                if answer is not None:
                    return answer
            course.session.clear()
            await anyio.sleep(max(0.0, min(course.left(), self._random.uniform(0, pause))))
            pause = min(2 * pause, self.patience.pause_seconds_max)
        raise self._verdict(course)

    async def _round(self, course: _Course) -> list[str]:
        """The servers to ask next, in order; those that the reference lists now."""
        servers = self.servers
        if servers.discoverable and (course.tried or not servers.addresses):
            with anyio.move_on_after(min(course.left(), self.patience.attempt_seconds)) as scope:
                try:
                    await servers.discover(self.clock, now_seconds=self.now_seconds())
                except (WireError, ProtocolError) as error:
                    course.failed("reference", str(error))
            if scope.cancelled_caught:
                course.failed("reference", "no answer")
        addresses = servers.addresses
        return addresses[1:] + addresses[:1] if course.elsewhere else addresses

    async def _attempt(self, course: _Course, address: str) -> Answer | None:
        """Ask one server.  Raises what no other server would change."""
        left = course.left()
        if left <= 0:
            return None
        reply = None
        with anyio.move_on_after(min(left, self.patience.attempt_seconds)):
            try:
                asker = await self.servers.asker(address)
                data = {**course.data, "clock": self.clock.tick()}
                if course.session:
                    data["session"] = course.session
                reply = codec.decode_reply(await asker.ask(codec.encode(course.service, data)))
            except WireError as error:
                course.failed(address, str(error))
                return None
            except Malformed as error:
                course.unanswered = course.unreadable = True
                course.failed(address, f"unreadable reply: {error.reason}")
                return None
        if reply is not None:
            return await self._judge(course, address, reply)
        course.unanswered = True
        course.failed(address, "no answer")
        return None

    async def _judge(self, course: _Course, address: str, reply: Reply) -> Answer | None:
        data = reply.data
        self.clock.receive(clock_of(data))
        self.members = members_told(data) or self.members
        course.acks = max(course.acks, whole(data.get("acks")) or 0)
        course.of = self.members
        if not reply.failed:
            self._answered(course, address)
            return Answer(data, address)
        error = refusal(data, server=address)
        if data.get("indeterminate") is True or error.code in _ELSEWHERE:
            course.unanswered |= data.get("indeterminate") is True
            course.failed(address, error.text)
            return None
        if isinstance(error, Busy):
            course.busy = error
            course.failed(address, "busy")
            await anyio.sleep(min(error.retry_after, max(0.0, course.left())))
            return None
        self._answered(course, address)
        error.certain = not (course.write and course.unanswered)
        raise error

    def _answered(self, course: _Course, address: str) -> None:
        if not course.elsewhere:
            self.servers.answered(address)

    def _verdict(self, course: _Course) -> ChatError:
        tried, span = tuple(course.tried), course.span_seconds
        if course.busy is not None and not (course.write and course.unanswered):
            return course.busy
        if course.write:
            return Indeterminate(
                course.service,
                id=course.data["id"],
                seconds=span,
                tried=tried,
                acks=course.acks,
                of=course.of,
            )
        kind = BadReply if course.unreadable else NoAnswer
        return kind(course.service, seconds=span, tried=tried)
