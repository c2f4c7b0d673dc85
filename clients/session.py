"""One command's conversation with the cluster: connect, do, tell, and end with the right exit code."""

import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio

from clients.ending import CANNOT_CREATE, DATA, FAILURE, TEMPORARY, UNAVAILABLE, Ended
from clients.keyring import security_of
from clients.options import Where
from clients.refusals import refusal_text
from clients.words import speaker
from recado.client import (
    Busy,
    Chat,
    ChatError,
    Indeterminate,
    NameRefused,
    NoAnswer,
    Patience,
    Queued,
    RefusedByServer,
    TextRefused,
    connect,
)
from recado.protocol.printable import printable

if TYPE_CHECKING:
    from recado.secured import ClientSecurity

_LISTENING_SECONDS = 1.5  # a restart of the reference takes about one
QUEUED = "queued"  # this program's own code: no server says it
T = TypeVar("T")


def open_chat(
    where: Where,
    user: str | None,
    *,
    level: str | None = None,
    key_of: str | None = None,
    security: "ClientSecurity | None" = None,
) -> AbstractAsyncContextManager[Chat]:
    """The library's connection for these options.  `key_of`: with whose key, if nobody speaks; `security`:
    with this one.

    Raises `Ended` if in a cluster with keys there is none.
    """
    return connect(
        user,
        servers=where.servers,
        brokers=where.brokers,
        reference=where.reference,
        level=level,
        data=where.state,
        security=security or security_of(where, user or key_of),
        patience=Patience(deadline_seconds=where.timeout_seconds),
    )


async def with_brokers(where: Where, user: str | None = None) -> Where:
    """The same with the brokers that the servers name, if none were given; without any one polls."""
    if where.brokers:
        return where
    async with open_chat(where, None, key_of=user) as chat:
        told = (await chat.status()).fields.get("brokers")
    found = tuple(item for item in told if isinstance(item, str)) if isinstance(told, list) else ()
    return replace(where, brokers=found)


def run(
    do: Callable[[], Awaitable[T]], *, where: Where, needs_cluster: bool = True, channel: str | None = None
) -> T:
    """Run one command's coroutine to its end.  Errors become words and `Ended`.

    With `needs_cluster` the command has no use without one, and ends at once if there is none.
    `channel`: what it is about, for the words of a refusal.

    Whoever closes our standard output ends us without a word, as with other filters.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if needs_cluster:
        _await_reference(where)
    try:
        return anyio.run(_caught, do)
    except _Failed as failed:
        raise ended(failed.error, channel=channel) from None


class _Failed(Exception):
    """The one error of a group, taken out of it."""

    def __init__(self, error: ChatError | Ended | OSError) -> None:
        super().__init__(str(error))
        self.error = error


async def _caught(do: Callable[[], Awaitable[T]]) -> T:
    try:
        return await do()
    except (ChatError, Ended, OSError) as error:
        raise _Failed(error) from None
    except ExceptionGroup as group:
        known = _first(group)
        if isinstance(known, ChatError | Ended | OSError):
            raise _Failed(known) from None
        raise


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def ended(error: ChatError | Ended | OSError, *, channel: str | None = None) -> Ended:
    """The end for an error: its words in the reader's language, its exit code, what programs read."""
    say = speaker()
    if isinstance(error, Ended):
        return error
    if isinstance(error, Indeterminate):
        text = say("talk.indeterminate", why=error, id=error.id.hex())
        fields = {"id": error.id.hex(), "acks": error.acks, "of": error.of}
        return Ended(text, TEMPORARY, code="indeterminate", **fields)
    if isinstance(error, Queued):
        text = say("talk.queued", why=error.why, id=error.id.hex())
        return Ended(text, TEMPORARY, code=QUEUED, id=error.id.hex())
    if isinstance(error, NoAnswer):
        return Ended(say("talk.no_answer", why=error), UNAVAILABLE)
    if isinstance(error, RefusedByServer):
        return _refused(error, channel)
    return Ended(printable(str(error)), CANNOT_CREATE if isinstance(error, OSError) else FAILURE)


def _refused(error: RefusedByServer, channel: str | None) -> Ended:
    say = speaker()
    text = refusal_text(error, say, channel=channel)
    code = error.code or "refused"
    if isinstance(error, Busy):
        return Ended(text, TEMPORARY, code=code, retry_after_seconds=error.retry_after)
    return Ended(text, DATA if isinstance(error, NameRefused | TextRefused) else FAILURE, code=code)


def _await_reference(where: Where) -> None:
    """Say at once that nobody is there, in place of waiting for an answer that can't come.

    Only for an address on this host, where a refused connection is certain to mean that.
    """
    host, _, port = (where.reference or "").removeprefix("tcp://").rpartition(":")
    if not host.startswith("127.") and host != "localhost":
        return
    if where.servers:
        return  # they may be there all the same
    deadline = time.monotonic() + min(_LISTENING_SECONDS, where.timeout_seconds)
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        except OSError:
            return
    raise Ended(speaker()("talk.nobody", reference=where.reference), UNAVAILABLE)
