"""The outbox as programs use it: `chat.outbox`.

Messages leave it in the order in which they were written down, each with its id, until a server
confirms them.  What a server refuses stays, marked, and keeps nothing else back; what has waited for 7
days is given up and told.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from recado.failures import Busy, Closed, Indeterminate, NoAnswer, Queued, RefusedByServer
from recado.outbox import OutboxFile, Unsent
from recado.values import Receipt

Write = Callable[[Unsent, float | None], Awaitable[Receipt]]  # and within how many seconds
PAUSE_SECONDS = 1.0  # before the next try of what is waiting; doubles
PAUSE_SECONDS_MAX = 30.0
# Refusals that end by themselves or are one server's.
ELSEWHERE = frozenset({"draining", "storage_full", "clock_exhausted", "busy", "internal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that has left the outbox: confirmed (`receipt`), refused (`refused`), or given up."""

    message: Unsent
    receipt: Receipt | None = None
    refused: RefusedByServer | None = None

    @property
    def given_up(self) -> bool:
        """It has waited for 7 days and is not sent any more."""
        return self.receipt is None and self.refused is None


class Outbox:
    """Messages of this user that no server has confirmed yet; see `Chat.publish` with `outbox`."""

    def __init__(self, file: OutboxFile, write: Write) -> None:
        self._file = file
        self._write = write
        self._turn = anyio.Lock()
        self._fresh = anyio.Event()

    @property
    def unsent(self) -> tuple[Unsent, ...]:
        """What waits, oldest first.  Raises `OSError`."""
        return self._file.unsent()

    def drop(self, id: bytes) -> bool:
        """Give a message up; False if it was not there.  It may have been kept by a server."""
        return self._file.done(id)

    async def post(self, message: Unsent, deadline_seconds: float | None = None) -> Receipt:
        """Write a message down, then send it, after those that wait before it, each within the deadline.

        Raises `Queued` if it has to wait, `RefusedByServer` if it was refused (then it is not kept),
        `OSError` if it could not be written down (then it was not sent).
        """
        self._file.add(message)
        self._fresh.set()
        async with self._turn:
            for waiting in self._file.unsent():
                if waiting.refused and waiting.id != message.id:
                    continue
                try:
                    receipt = await self._send(waiting, deadline_seconds)
                except (NoAnswer, Indeterminate, Busy) as error:
                    raise Queued(message.id, why=error) from error
                except RefusedByServer as refused:
                    if waiting.id != message.id:
                        self._file.refuse(waiting.id, refused.code or "refused")
                        continue
                    self._file.done(message.id)
                    raise
                if waiting.id == message.id:
                    return receipt
        raise Queued(message.id, why=Closed("another process has sent or dropped it"))

    async def send(self, *, refused: bool = False) -> list[Sent]:
        """Send what waits, once; what became of each that is waiting no longer.

        `refused`: try those again that a server has refused.  It ends early if nobody answers, and
        sends nothing while another process does.  Raises `OSError`.
        """
        found = [Sent(message=message) for message in self._file.expire()]
        async with self._turn:
            with self._file.sending() as mine:
                for message in self._file.unsent() if mine else ():
                    if message.refused and not refused:
                        continue
                    try:
                        found.append(Sent(message=message, receipt=await self._send(message)))
                    except (NoAnswer, Indeterminate, Busy):
                        break
                    except RefusedByServer as error:
                        self._file.refuse(message.id, error.code or "refused")
                        found.append(Sent(message=message, refused=error))
        return found

    async def keep_sending(self, tell: Callable[[Sent], None] | None = None) -> None:
        """Send what waits until cancelled, with pauses up to 30 s while nobody answers.

        `tell` is called for each message that leaves, and for each that is refused.

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(chat.outbox.keep_sending)
        """
        pause = PAUSE_SECONDS
        while True:
            self._fresh = anyio.Event()
            for sent in await self.send():
                if tell is not None:
                    tell(sent)
            waiting = any(not message.refused for message in self._file.unsent())
            pause = min(2 * pause, PAUSE_SECONDS_MAX) if waiting else PAUSE_SECONDS
            with anyio.move_on_after(pause if waiting else PAUSE_SECONDS_MAX):
                await self._fresh.wait()
                pause = PAUSE_SECONDS
                await anyio.sleep(pause)  # whoever has written something down sends it first

    async def _send(self, message: Unsent, deadline_seconds: float | None = None) -> Receipt:
        """One try.  Raises what writes raise; a refusal that ends by itself is `Busy`."""
        try:
            receipt = await self._write(message, deadline_seconds)
        except RefusedByServer as error:
            if error.code in ELSEWHERE and not isinstance(error, Busy):
                raise Busy(error.code, error.text, server=error.server) from error
            raise
        self._file.done(message.id)
        return receipt
