"""Who gets in: the ZAP handler (RFC 27) of a process, one task of its nursery.

libzmq asks for every handshake at ``inproc://zeromq.zap.01``, over pipes that only this process has.  A
ROUTER answers, so that a handshake which waits for another server's word holds up no other.

Whoever is refused is answered 300, not 400: after a 400 libzmq's clients never come back by themselves,
and the key that is unknown today may be in tomorrow's roster.  After a 300 nothing is said and the
connection ends with the handshake's time-out, so that insisting costs a stranger seconds.
"""

import inspect
import itertools
import time
from collections import deque
from collections.abc import Awaitable
from typing import Final, NamedTuple

import anyio
import zmq

from recado.protocol.limits import (
    DRAIN_MESSAGES_MAX,
    HANDSHAKE_ASK_SECONDS,
    JUNK_BAN_SECONDS,
)
from recado.wire import frames
from recado.wire.allowances import Allowances, Places, sender_of
from recado.wire.frames import RawSocket
from recado.wire.monitor import ACCEPTED, ENDED, Monitor
from recado.wire.ports import Principal, WireError
from recado.wire.security import (
    DOMAINS,
    KEY_BYTES,
    LOCAL_DOMAIN,
    HandshakeLimits,
    NotNow,
    Security,
    encode_user_id,
)
from recado.wire.sockets import Socket

ADDRESS: Final = "inproc://zeromq.zap.01"
VERSION: Final = b"1.0"
HOUSEKEEPING_SECONDS: Final = 1.0
_FIELD_BYTES_MAX: Final = 255
_BEYOND_THE_CAP: Final = frozenset({"server", "broker", "reference", "operator"})


class Question(NamedTuple):
    """One ZAP request: `key` is b"" for the mechanism NULL."""

    envelope: tuple[bytes, ...]
    request_id: bytes
    domain: str
    address: str
    key: bytes


def parse(message: list[bytes]) -> Question | None:
    """A ZAP request as a ROUTER receives it; None if anything about it is not as it must be."""
    if len(message) < 8 or message[1] or message[2] != VERSION:
        return None
    if any(len(field) > _FIELD_BYTES_MAX for field in message):
        return None
    routing_id, delimiter, _, request_id, domain, address, _, mechanism, *credentials = message
    if not (domain.isascii() and address.isascii() and domain.decode() in DOMAINS):
        return None
    expected = (b"NULL", []) if domain.decode() == LOCAL_DOMAIN else (b"CURVE", [KEY_BYTES])
    if (mechanism, [len(field) for field in credentials]) != expected:
        return None
    key = credentials[0] if credentials else b""
    return Question((routing_id, delimiter), request_id, domain.decode(), address.decode(), key)


def uid_of(address: str) -> int | None:
    """The Unix user of ``localhost:uid:gid:pid``."""
    parts = address.split(":")
    if len(parts) == 4 and parts[0] == "localhost" and all(part.isdecimal() for part in parts[1:]):
        return int(parts[1])
    return None


class Authenticator:
    """The handler and the caps of one network; `run` it before anybody is to get in."""

    def __init__(
        self, context: "zmq.Context[RawSocket]", security: Security, *, handshake_seconds: float = 5.0
    ) -> None:
        self._security = security
        self._handshake_seconds = handshake_seconds
        self._context = context
        self.limits: HandshakeLimits = security.limits
        self._serials = itertools.count(1)
        self._addresses = Allowances()
        self._keys = Allowances()
        self._banned: dict[bytes, float] = {}
        self._monitors: dict[RawSocket, Monitor] = {}
        self._connections: dict[tuple[int, int], float] = {}  # since when, in order of time
        self._admitted: deque[float] = deque()  # when handshakes ended well, of late
        self._asked = Places()  # of handshakes that wait for somebody's word
        raw = context.socket(zmq.ROUTER)
        raw.setsockopt(zmq.LINGER, 0)
        raw.setsockopt(zmq.ROUTER_MANDATORY, 1)
        raw.bind(ADDRESS)
        self._socket = Socket(raw)

    @property
    def connections(self) -> int:
        """How many connections the sockets that listen have, unfinished ones included."""
        self.count()
        return len(self._connections)

    @property
    def established(self) -> int:
        """How many of them have proved a key, about: what has not within the handshake's time is cut off.

        Whoever only connects takes no place from those who have a key.
        """
        self.count()
        now = time.monotonic()
        while self._admitted and self._admitted[0] < now - self._handshake_seconds - HOUSEKEEPING_SECONDS:
            self._admitted.popleft()
        young = 0
        for since in reversed(self._connections.values()):
            if since < now - self._handshake_seconds:
                break
            young += 1
        return min(len(self._connections), len(self._connections) - young + len(self._admitted))

    def watch(self, raw: RawSocket) -> None:
        """Count the connections of a socket that listens."""
        self._monitors[raw] = Monitor(self._context, raw, ACCEPTED | ENDED)

    def forget(self, raw: RawSocket) -> None:
        """The socket is about to be closed."""
        if (monitor := self._monitors.pop(raw, None)) is not None:
            monitor.close()
            kept = {known: at for known, at in self._connections.items() if known[0] != id(raw)}
            self._connections = kept

    def count(self) -> None:
        """Take note of connections made and ended."""
        now = time.monotonic()
        for raw, monitor in self._monitors.items():
            for event in monitor.events():
                self._connections.pop((id(raw), event.value), None)
                if event.kind == ACCEPTED:
                    self._connections[id(raw), event.value] = now

    def ban(self, key: bytes) -> None:
        """Do not let this key in for a while."""
        self._banned[key] = time.monotonic() + JUNK_BAN_SECONDS

    async def run(self) -> None:
        """Answer for ever."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_house)
            while True:
                for message in await self._socket.receive_batch(DRAIN_MESSAGES_MAX):
                    self._answer(message, tasks)

    async def _keep_house(self) -> None:
        while True:
            self.count()
            now = time.monotonic()
            self._banned = {key: until for key, until in self._banned.items() if until > now}
            await anyio.sleep(HOUSEKEEPING_SECONDS)

    def _answer(self, message: list[bytes], tasks: anyio.abc.TaskGroup) -> None:
        question = parse(message)
        if question is None:
            self._security.refusals.malformed += 1
            if len(message) > 3:
                self._reply((message[0], b""), message[3], status=b"500", user_id=b"")
            return
        if not self._allowed(question):
            self._security.refusals.too_often += 1
            self._decide(question, None)
            return
        verdict = self._ask(question)
        if not inspect.isawaitable(verdict):
            self._conclude(question, verdict)
        elif self._security.is_listed(question.key):
            tasks.start_soon(self._wait, question, verdict)  # so many keys, so often: that is bounded
        elif self._asked.take(sender := sender_of(question.address), most=self.limits.asked_max):
            tasks.start_soon(self._wait_in_place, question, verdict, sender)
        else:
            self._security.refusals.too_many += 1
            if inspect.iscoroutine(verdict):
                verdict.close()
            self._decide(question, None)

    def _allowed(self, question: Question) -> bool:
        """Whether address and key have not used up their handshakes."""
        if question.domain == LOCAL_DOMAIN:
            return True
        now, limits = time.monotonic(), self.limits
        if self._banned.get(question.key, now) > now:
            return False
        return self._addresses.take(
            sender_of(question.address).encode(),
            now,
            rate=limits.address_per_second,
            burst=limits.address_burst,
        ) and self._keys.take(question.key, now, rate=limits.key_per_second, burst=limits.key_burst)

    def _ask(self, question: Question) -> Principal | Awaitable[Principal | None] | None:
        if question.domain == LOCAL_DOMAIN:
            uid = uid_of(question.address)
            return None if uid is None else self._security.local(uid)
        if self._security.authenticate is None:
            return None
        try:
            return self._security.authenticate(question.key, question.domain, question.address)
        except NotNow:
            return None

    async def _wait_in_place(
        self, question: Question, verdict: Awaitable[Principal | None], sender: str
    ) -> None:
        try:
            await self._wait(question, verdict)
        finally:
            self._asked.leave(sender)

    async def _wait(self, question: Question, verdict: Awaitable[Principal | None]) -> None:
        principal = None
        try:
            with anyio.move_on_after(HANDSHAKE_ASK_SECONDS):
                principal = await verdict
        except NotNow:
            pass
        self._conclude(question, principal)

    def _conclude(self, question: Question, principal: Principal | None) -> None:
        refusals = self._security.refusals
        if principal is None:
            refusals.not_admitted += 1
        elif principal.role not in _BEYOND_THE_CAP and self.established >= self.limits.connections_max:
            refusals.too_many += 1
            principal = None
        self._decide(question, principal)

    def _decide(self, question: Question, principal: Principal | None) -> None:
        user_id = b""
        if principal is not None:
            told = principal._replace(key=question.key, address=question.address)
            try:
                user_id = encode_user_id(told, next(self._serials))
            except ValueError:
                self._security.refusals.malformed += 1
        if user_id:
            self._admitted.append(time.monotonic())
        status = b"200" if user_id else b"300"
        self._reply(question.envelope, question.request_id, status=status, user_id=user_id)

    def _reply(
        self, envelope: tuple[bytes, ...], request_id: bytes, *, status: bytes, user_id: bytes
    ) -> None:
        try:
            raw = self._socket.raw
        except WireError:
            return  # closed while a verdict was waited for
        frames.send(raw, (*envelope, VERSION, request_id, status, b"", user_id), b"")
        self._socket.recheck()

    def close(self) -> None:
        for raw in list(self._monitors):
            self.forget(raw)
        self._socket.close()
