"""One request on its way to its reply, and the replies on their way out."""

from collections.abc import Callable, Mapping
from typing import Any

from daemons.server.clock_tags import ClockTags
from daemons.server.meters import Meters
from recado.protocol import codec
from recado.protocol.disciplined import DisciplinedClock
from recado.protocol.errors import Refused
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import ID_BYTES_MAX
from recado.protocol.messages import Asked, Write
from recado.protocol.policy import Actor, Role
from recado.wire.ports import OPEN, Listener, Outgoing, Principal

_ANYBODY = Actor(Role.OPEN)


class Replies:
    """Collects replies and hands them to the listener in batches: one look at the socket each."""

    def __init__(self, clock: LamportClock, time: DisciplinedClock, tags: ClockTags) -> None:
        self.clock = clock
        self.tags = tags
        self.time = time
        self.meters = Meters()
        self.listener: Listener | None = None
        self.unreachable = 0  # replies whose client was gone
        self.timestamp = 0  # seconds, as of the latest `refresh`
        self.accepted = 0  # operations of clients answered with success since the latest `flush`
        self.operations: Callable[[int], None] = lambda _accepted: None  # told of them
        self._out: list[Outgoing] = []

    def add(
        self, envelope: tuple[bytes, ...], service: str, data: dict[str, Any], *, asked_clock: int
    ) -> None:
        """Queue a reply; its clock exceeds the request's."""
        data["timestamp"] = self.timestamp
        data["clock"] = clock = self.clock.reply_to(asked_clock)
        self.tags.vouch(data, clock)
        self._out.append(Outgoing(envelope, codec.encode(service, data)))

    def refresh(self) -> None:
        """Look at the time: once per batch of replies, not once per reply."""
        self.timestamp = int(self.time.time())

    def flush(self) -> None:
        """Send what has gathered."""
        if self.accepted:
            accepted, self.accepted = self.accepted, 0
            self.operations(accepted)
        if self._out and self.listener is not None:
            out, self._out = self._out, []
            self.unreachable += len(out) - self.listener.send(out)


class Call:
    """A request and where its reply goes.  Exactly one of `reply` and `refuse` is called, once."""

    __slots__ = (
        "actor",
        "asked",
        "checked",
        "counted",
        "envelope",
        "id",
        "paid",
        "principal",
        "replies",
        "since",
    )

    def __init__(
        self, asked: Asked, envelope: tuple[bytes, ...], replies: Replies, principal: Principal = OPEN
    ) -> None:
        self.asked = asked
        self.principal = principal  # who asks, as far as the transport could prove it,
        self.actor = _ANYBODY  # and who that is at this moment
        self.envelope = envelope
        self.replies = replies
        self.since = replies.meters.now  # when it came, monotonic seconds
        self.id: bytes | None = None  # of a write: as given or derived; None: to be minted
        self.counted = False  # as an operation of a client, if it is answered with success
        self.paid = False  # the rates of who asks know of it
        self.checked = False  # the peers were asked before this is refused as missing

    def reply(self, data: dict[str, Any]) -> None:
        """Answer; anything but an `erro` is success."""
        if self.counted and data.get("status") != "erro":
            self.replies.accepted += 1
        self.replies.meters.answered(self.asked.service, data.get("code"), since=self.since)
        self.send(data)

    def send(self, data: dict[str, Any]) -> None:
        """Let the answer go to who asked."""
        self.replies.add(self.envelope, self.asked.service, data, asked_clock=self.asked.clock)

    @property
    def request(self) -> object:
        """What came in one frame: this, or the bundle that it is a part of."""
        return self

    def refuse(self, refused: Refused, more: Mapping[str, Any] | None = None) -> None:
        """Answer `erro`: nothing of the request was kept, unless `more` says otherwise."""
        data = {**error_data(refused.code, refused.text), **(more or {})}
        given = self.asked.data.id if isinstance(self.asked.data, Write) else None
        if isinstance(given, bytes | str) and len(given) <= ID_BYTES_MAX:
            data["id"] = given  # clients with many requests out look for it
        self.reply(data)


def error_data(code: str, text: str) -> dict[str, Any]:
    """The data of an error envelope; the text under both names that clients look at."""
    return {"status": "erro", "description": text, "message": text, "code": code}
