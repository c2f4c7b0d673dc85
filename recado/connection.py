"""Requests that never hang: attempt, deadline, next server, and an honest end.

The decisions are those of a pure machine (`recado.protocol.retry`), carried out here.  An attempt that
runs out of time is cancelled, and the wire drops its reply when it comes late, so an answer always
belongs to the attempt that is under way.  Every attempt carries the same id and timestamp and its own
Lamport stamp (increment before each send, `max` + 1 on receive).
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import anyio

from recado.bundles import Bundles
from recado.copies import KnownCopies
from recado.course import Answer, Course, Patience
from recado.failures import Busy, Closed, refusal
from recado.protocol import codec
from recado.protocol.errors import Malformed, ProtocolError
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import KNOWN_SERVERS_MAX
from recado.protocol.messages import Reply
from recado.protocol.retry import Outcome, Retry, Send
from recado.protocol.round_trips import RoundTrips
from recado.protocol.vector import Vector
from recado.servers import Servers
from recado.session import Audit, Session
from recado.stamps import Stamps
from recado.values import members_told, whole
from recado.wire.ports import WireError

# Refusals that speak of the server and not of the request: another may carry it out.
_ELSEWHERE = frozenset({"draining", "storage_full", "clock_exhausted", "behind"})

_CLOSED = "the connection was closed while a request was under way"
INSIST_SECONDS = 5.0  # between two reads that look everywhere for what nobody covered


class Connection:
    """Requests to whichever server answers.  `clock` is the client's Lamport clock.

    `secured`: the cluster's members are known by their keys, and topics are told by servers.
    """

    def __init__(
        self,
        servers: Servers,
        *,
        patience: Patience,
        random: Random,
        wall_clock: Callable[[], float],
        secured: bool = False,
    ) -> None:
        self.servers = servers
        self.patience = patience
        self.clock = LamportClock()
        self.members: int | None = None  # as the servers say
        self.stamps = Stamps(self.clock)
        self.secured = secured
        self.direct_topic: bytes | None = None  # of this user's direct messages, as a login has told
        self.session = Session()
        self.copies = KnownCopies()
        self._bundles = Bundles(servers.background, self.stamps)
        self._insist_at = 0.0  # when reads insist again on what nobody covered
        self.lacking: Vector = {}  # what the latest read could not cover, though it was seen before
        self._trips = RoundTrips(seconds_min=patience.quick_seconds, seconds_max=patience.attempt_seconds)
        self._open = True
        self._under_way: set[anyio.CancelScope] = set()
        self._random = random
        self._wall_clock = wall_clock

    def now_seconds(self) -> int:
        """The time that requests carry: whole UNIX seconds."""
        return int(self._wall_clock())

    def random_seconds(self, most: float) -> float:
        """A span up to `most`, so that not everybody does the same at once."""
        return self._random.uniform(0.0, most)

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
        elsewhere: int = 0,
    ) -> Answer:
        """A request that changes nothing.  Raises `NoAnswer`, `RefusedByServer`, `Closed`.

        `elsewhere`: begin so many servers after the one that is asked first otherwise.
        """
        course = self._course(service, data, deadline_seconds=deadline_seconds)
        course.elsewhere = elsewhere
        course.session = self.session.vector
        if anyio.current_time() < self._insist_at:
            course.lacking = {o: n for o, n in self.lacking.items() if course.session.pop(o, 0) >= n}
        answer = await self._ask(course)
        self.lacking = answer.lacking
        return answer

    async def write(
        self,
        service: str,
        data: Mapping[str, Any],
        *,
        deadline_seconds: float | None = None,
        waited_seconds: float = 0.0,
    ) -> Answer:
        """A request that appends, under its `id`.  Raises `Indeterminate`, `RefusedByServer`, `Closed`.

        `waited_seconds`: how much of its time is over already.
        """
        course = self._course(service, data, deadline_seconds=deadline_seconds)
        course.deadline -= waited_seconds
        course.write = True
        return await self._ask(course)

    async def audit(self, asked: Mapping[str, int]) -> Vector | None:
        """The most that any member durably has of these origins; None if not all members answered (E8).

        All are asked at once, and each of them now: an answer to an earlier question proves nothing.
        """
        audit, done = Audit(), set[str]()
        while not audit.complete:
            waiting = [a for a in (*self.servers.addresses, *audit.addresses) if a not in done]
            waiting = waiting[: KNOWN_SERVERS_MAX - len(done)]
            if not waiting:
                return None
            done.update(waiting)
            async with anyio.create_task_group() as questions:
                for address in waiting:
                    questions.start_soon(self._question, address, asked, audit)
        return audit.most

    async def _question(self, address: str, asked: Mapping[str, int], audit: Audit) -> None:
        data = {"have": dict(asked), "timestamp": self.now_seconds(), **self.stamps.told()}
        with anyio.move_on_after(self.patience.quick_seconds), suppress(WireError, Malformed):
            asker = await self.servers.asker(address)
            reply = codec.decode_reply(await asker.ask(codec.encode("audit", data)))
            self.stamps.heard(reply.data)
            if not reply.failed:
                audit.answer(reply.data)

    def _course(self, service: str, data: Mapping[str, Any], *, deadline_seconds: float | None) -> Course:
        span = self.patience.deadline_seconds if deadline_seconds is None else deadline_seconds
        fields = {**data, "timestamp": self.now_seconds()}
        deadline = anyio.current_time() + span
        return Course(service=service, data=fields, span_seconds=span, deadline=deadline)

    async def _ask(self, course: Course) -> Answer:
        if not self._open:
            raise Closed("the connection is closed")
        if self.servers.discoverable and not self.servers.addresses:
            await self._while_open(self._find_servers(course))
        while True:
            addresses = self.servers.addresses
            outcome = await self._carry_out(course, addresses) if addresses else Outcome.UNANSWERED
            if course.answer is not None:
                return course.answer
            if outcome is not None:
                raise course.verdict(outcome, members=self.members)

    def _scope(self, deadline: float = math.inf) -> anyio.CancelScope:
        """What `close` cancels; whoever waits in it takes it out of `_under_way`."""
        scope = anyio.CancelScope(deadline=deadline)
        if not self._open:
            scope.cancel()
        self._under_way.add(scope)
        return scope

    async def _while_open(self, wait: Awaitable[None]) -> None:
        """Wait for it, but raise `Closed` as soon as the connection is."""
        scope = self._scope()
        try:
            with scope:
                return await wait
        finally:
            self._under_way.discard(scope)
        raise Closed(_CLOSED)

    async def _find_servers(self, course: Course) -> None:
        """Ask the reference until it has listed some, or the time is up."""
        pause = self.patience.pause_seconds
        while self.servers.discoverable and not self.servers.addresses and course.left() > 0:
            await self._discover(course)
            if not self.servers.addresses:
                await anyio.sleep(min(course.left(), self._random.uniform(0, pause)))
                pause = min(2 * pause, self.patience.pause_seconds_max)

    async def _discover(self, course: Course) -> None:
        with anyio.move_on_after(min(course.left(), self.patience.attempt_seconds)) as scope:
            try:
                await self.servers.discover(self.clock, now_seconds=self.now_seconds())
            except (WireError, ProtocolError) as error:
                course.note("reference", str(error))
        if scope.cancelled_caught:
            course.note("reference", "no answer")

    async def _carry_out(self, course: Course, addresses: list[str]) -> Outcome | None:
        """Do what the machine says; None if the list of servers has changed after a round in vain."""
        now = anyio.current_time()
        retry = Retry(
            addresses,
            request_id=course.data.get("id") or b"",
            write=course.write,
            now=now,
            random=self._random.random,
            timings=self.patience.timings(max(0.0, course.deadline - now)),
            first=course.elsewhere,
            patience=lambda server: self._trips.timeout(course.kind_at(server)),
        )
        while retry.deadline is not None:
            if retry.deadline > now:
                await self._while_open(anyio.sleep_until(retry.deadline))
                now = anyio.current_time()
            for effect in retry.tick(now):
                if isinstance(effect, Send):
                    now = await self._attempt(course, retry, effect, began=now)
            course.possibly_kept |= retry.possibly_kept
            if retry.outcome is None and retry.attempt and retry.attempt % len(addresses) == 0:
                await self._while_open(self._give_in(course))
                if self.servers.discoverable:
                    await self._while_open(self._discover(course))
                    if set(self.servers.addresses) != set(addresses):
                        return None
        if not course.elsewhere:
            self.servers.prefer(retry.server)
        return retry.outcome

    async def _give_in(self, course: Course) -> None:
        """Every server was asked.  What nobody covers may have died with a disk; the rest is away."""
        if not course.behind:
            return
        most = await self.audit(course.session) if course.left() > self.patience.quick_seconds else None
        released = self.session.release(course.session, most or {}) if most is not None else {}
        course.lacking |= {o: n for o, n in course.session.items() if o not in released}
        self._insist_at = anyio.current_time() + INSIST_SECONDS
        course.session.clear()

    async def _attempt(self, course: Course, retry: Retry, send: Send, *, began: float) -> float:
        """Send once, at the time `began`, and tell the machine what came of it.  Gives the time then."""
        reply, scope = None, self._scope(began + send.deadline_seconds)
        try:
            with scope:
                reply = await self._sent(course, send.server)
        except WireError as error:
            now = anyio.current_time()
            course.note(send.server, str(error))
            retry.unreachable(send.attempt, now=now)
            return now
        except Malformed as error:
            now = anyio.current_time()
            course.unreadable = True
            course.note(send.server, f"unreadable reply: {error.reason}")
            retry.no_answer(send.attempt, now=now)
            return now
        finally:
            self._under_way.discard(scope)
        now = anyio.current_time()
        if reply is None and not self._open:
            raise Closed(_CLOSED)
        if reply is None:
            course.note(send.server, "no answer")
            self._trips.silent(course.kind_at(send.server))
            retry.no_answer(send.attempt, now=now)
            return now
        if not reply.failed:
            self._trips.answered(course.kind_at(send.server), now - began)
        self._judge(course, retry, send, reply, now=now)
        return now

    async def _sent(self, course: Course, server: str) -> Reply:
        """The reply, however long it takes."""
        asker = await self.servers.asker(server)
        if course.service == "publish":
            return await self._bundles.publish(asker, course.data)
        data = {**course.data, **self.stamps.told()}
        if not course.write:
            data["session"] = course.session
        return codec.decode_reply(await asker.ask(codec.encode(course.service, data)))

    def _judge(self, course: Course, retry: Retry, send: Send, reply: Reply, *, now: float) -> None:
        data = reply.data
        self.stamps.heard(data)
        self.members = members_told(data) or self.members
        course.acks = max(course.acks, whole(data.get("acks")) or 0)
        if not reply.failed:
            course.answer = Answer(data, send.server, course.lacking)
            retry.answered(send.attempt)
            return
        error = refusal(data, server=send.server)
        course.note(send.server, error.code or error.text)
        if data.get("indeterminate") is True:
            retry.no_answer(send.attempt, now=now)
            return
        course.refused = error
        course.behind |= error.code == "behind"
        if error.code in _ELSEWHERE:
            retry.elsewhere(send.attempt, now=now)
        elif isinstance(error, Busy):
            retry.busy(send.attempt, retry_after_seconds=error.retry_after, now=now)
        else:
            retry.refused(send.attempt)
