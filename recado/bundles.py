"""Publishes that concurrent tasks make at the same moment travel in one request (`publish_many`).

Nothing is held back for it.  The first to come lets the other tasks that can run take their turn, one
pass of the event loop, and then one request carries all who came meanwhile; whoever is alone sends a plain
`publish`.  Their answers come in one frame, so these tasks wake in one pass and share the next request as
well: it clocks itself, as the server's group commit does, and no timer is involved.

What is shared is the way there and back, and nothing else.  A publish keeps its id, its deadline and its
own answer, which is what it would have been told alone; what becomes of it then is decided by its own
course (`recado.connection`).  Each of them may leave at any moment, cancelled or out of time: before the
request is made it takes its publish along, afterwards only its interest in the answer.  A task of the
connection asks for all, so that nobody depends on the one who came first; when all have left it is
cancelled, and the request forgotten.

Servers that don't know the request keep nothing of it and say so, or say nothing at all.  Then publishes
go to that address one by one for a minute.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import anyio
import anyio.lowlevel

from recado.background import Background
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import PUBLISHES_OF_REQUEST_MAX, REQUEST_FRAME_BYTES_MAX
from recado.protocol.messages import Reply
from recado.stamps import Stamps
from recado.wire.ports import Asker, WireError

ALONE_SECONDS: Final = 60.0  # so long nothing is bundled for an address that doesn't know how
HEAD_BYTES: Final = 1024  # of a request besides its items: names of fields, the user, the stamp and its tag
ITEM_HEAD_BYTES: Final = 16  # of an item besides its three values
# All that a publish says.  One that says more is not bundled.
_FIELDS: Final = frozenset({"user", "channel", "message", "id", "level", "timestamp"})
# Refusals, and the lack of a code, that say nothing of the publishes in a bundle.
_NOT_OF_PUBLISHES: Final = frozenset({"service_unknown", "service_not_offered", "malformed", None})


class _Key(NamedTuple):
    """Publishes share a request if all this is the same."""

    address: str
    user: str
    level: str


class _Item:
    """One publish in a bundle.  `reply` once answered; None if it has to be sent by itself."""

    __slots__ = ("data", "reply", "size")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.reply: Reply | None = None
        self.size = _bytes(data["channel"]) + _bytes(data["message"]) + len(data["id"]) + ITEM_HEAD_BYTES


class Bundle:
    """Publishes in the order in which they came.  `waiting`: how many tasks still want an answer."""

    def __init__(self, key: _Key, asker: Asker) -> None:
        self.key = key
        self.asker = asker
        self.items: list[_Item] = []
        self.waiting = 0
        self.asked = False
        self.failure: WireError | Malformed | None = None
        self._answered: anyio.Event | None = None  # made for who waits: who is alone does not
        self._scope: anyio.CancelScope | None = None  # while a request is out
        self._room = REQUEST_FRAME_BYTES_MAX - HEAD_BYTES

    def has_room(self, item: _Item) -> bool:
        return len(self.items) < PUBLISHES_OF_REQUEST_MAX and item.size <= self._room

    def join(self, item: _Item) -> None:
        self.items.append(item)
        self.waiting += 1
        self._room -= item.size

    def leave(self, item: _Item) -> None:
        """Its task waits no longer.  What has not been sent will not be."""
        self.waiting -= 1
        if not self.asked:
            self.items.remove(item)
            self._room += item.size
        elif not self.waiting and self._scope is not None:
            self._scope.cancel()

    async def answer(self) -> None:
        """Return when `ask` is done."""
        if self._answered is None:
            self._answered = anyio.Event()
        await self._answered.wait()

    async def ask(self, frame: bytes) -> bool | None:
        """Send the request and give everybody his answer; False if the server's says nothing of them.

        None if there was none, as it could not be sent or read, or all have left.
        """
        understood = None
        with anyio.CancelScope() as self._scope:
            try:
                understood = self._take(codec.decode_reply(await self.asker.ask(frame)))
            except (WireError, Malformed) as error:
                self.failure = error
        self._scope = None
        if self._answered is not None:
            self._answered.set()
        return understood

    def _take(self, reply: Reply) -> bool:
        shared = {name: value for name, value in reply.data.items() if name != "answers"}
        answers = reply.data.get("answers")
        if answers is None and reply.failed and _code(reply) not in _NOT_OF_PUBLISHES:
            answers = [{}] * len(self.items)
        if not isinstance(answers, list) or len(answers) != len(self.items):
            return False
        if not all(isinstance(answer, dict) for answer in answers):
            return False
        for item, answer in zip(self.items, answers, strict=True):
            item.reply = Reply("publish", {**shared, **answer})
        return True


class Bundles:
    """The publishes of one connection on their way.  `stamps` is what its requests tell of the clock."""

    def __init__(self, background: Background, stamps: Stamps) -> None:
        self._background = background
        self._stamps = stamps
        self._gathering: dict[_Key, Bundle] = {}
        self._alone_until: dict[str, float] = {}  # by address
        self._known: set[str] = set()  # addresses that have answered a bundle

    async def publish(self, asker: Asker, data: Mapping[str, Any]) -> Reply:
        """What a `publish` of these fields is answered.  The deadline is the caller's.

        Raises `WireError` if it could not be sent, `Malformed` for a reply that can't be read.
        """
        if not _FIELDS.issuperset(data) or self._goes_alone(asker.address):
            return await self._alone(asker, data)
        item = _Item(data)
        key = _Key(asker.address, data["user"], data["level"])
        bundle = self._gathering.get(key)
        first = bundle is None or not bundle.has_room(item)
        if bundle is None or first:
            bundle = self._gathering[key] = Bundle(key, asker)
        bundle.join(item)
        try:
            if not first or await self._others_came(bundle):
                await bundle.answer()
        finally:
            bundle.leave(item)
        if bundle.failure is not None:
            raise bundle.failure
        return item.reply or await self._alone(asker, data)

    async def _others_came(self, bundle: Bundle) -> bool:
        """Let other tasks have their turn; if some came, they are taken care of, cancelled or not."""
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            others = len(bundle.items) > 1
            if not others:
                self._close(bundle)
            elif self._background.open:  # else the connection is closed, and so is every request
                self._background.start(self._ask, bundle)
        return others

    async def _ask(self, bundle: Bundle) -> None:
        """The task of one bundle: ask for all, and tell all."""
        self._close(bundle)
        bundle.asked = True
        if not bundle.items:
            return
        understood = await bundle.ask(codec.encode("publish_many", self._fields(bundle)))
        address = bundle.key.address
        if understood:
            self._known.add(address)
        elif understood is not None or address not in self._known:
            self._send_alone(address)  # some don't even answer what they don't know

    def _fields(self, bundle: Bundle) -> dict[str, Any]:
        _, user, level = bundle.key
        items = [[item.data["channel"], item.data["message"], item.data["id"]] for item in bundle.items]
        timestamp = bundle.items[0].data["timestamp"]
        return {"user": user, "level": level, "items": items, "timestamp": timestamp, **self._stamps.told()}

    async def _alone(self, asker: Asker, data: Mapping[str, Any]) -> Reply:
        return codec.decode_reply(await asker.ask(codec.encode("publish", {**data, **self._stamps.told()})))

    def _close(self, bundle: Bundle) -> None:
        """Nobody joins it any more."""
        if self._gathering.get(bundle.key) is bundle:
            del self._gathering[bundle.key]

    def _goes_alone(self, address: str) -> bool:
        until = self._alone_until.get(address)
        if until is not None and until <= anyio.current_time():
            del self._alone_until[address]
            return False
        return until is not None

    def _send_alone(self, address: str) -> None:
        self._alone_until[address] = anyio.current_time() + ALONE_SECONDS


def _code(reply: Reply) -> str | None:
    code = reply.data.get("code")
    return code if isinstance(code, str) else None


def _bytes(text: str) -> int:
    """How long it is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
