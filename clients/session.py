"""One command's conversation with the cluster: connect, do, tell, and end with the right exit code."""

import json
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
import click

from clients.ending import CANNOT_CREATE, DATA, FAILURE, TEMPORARY, UNAVAILABLE, Ended
from clients.options import Where
from clients.words import speaker
from recado.client import (
    Busy,
    Chat,
    ChatError,
    Indeterminate,
    NameRefused,
    NoAnswer,
    Patience,
    RefusedByServer,
    TextRefused,
    connect,
)
from recado.texts import error_text

SCHEMA_VERSION = 1
INTERRUPTED = 130
_LISTENING_SECONDS = 1.5  # a restart of the reference takes about one
T = TypeVar("T")


def document(**fields: Any) -> None:
    """One JSON document, or one line of a stream of them, on standard output."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, ensure_ascii=False), flush=True)


def words(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True)


def open_chat(
    where: Where, user: str | None, *, level: str | None = None
) -> AbstractAsyncContextManager[Chat]:
    """The library's connection for these options."""
    return connect(
        user,
        servers=where.servers,
        brokers=where.brokers,
        reference=where.reference,
        level=level,
        data=where.state,
        patience=Patience(deadline_seconds=where.timeout_seconds),
    )


async def with_brokers(where: Where) -> Where:
    """The same with the brokers that the servers name, if none were given; without any one polls."""
    if where.brokers:
        return where
    async with open_chat(where, None) as chat:
        told = (await chat.status()).fields.get("brokers")
    found = tuple(item for item in told if isinstance(item, str)) if isinstance(told, list) else ()
    return replace(where, brokers=found)


def run(do: Callable[[], Awaitable[T]], *, where: Where, as_json: bool, needs_cluster: bool = True) -> T:
    """Run one command's coroutine to its end.  Errors become words and `Ended`.

    With `needs_cluster` the command has no use without one, and ends at once if there is none.

    Whoever closes our standard output ends us without a word, as with other filters.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if needs_cluster:
        _await_reference(where, as_json=as_json)
    try:
        return anyio.run(_caught, do)
    except _Failed as failed:
        raise tell(failed.error, as_json=as_json) from None
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


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


@dataclass(frozen=True)
class _Told:
    code: str
    text: str
    exit_code: int


def tell(error: ChatError | Ended | OSError, *, as_json: bool) -> Ended:
    """The end for an error; with `as_json` it is told on standard output too, for programs."""
    told = _told(error)
    if as_json:
        fields: dict[str, Any] = {"code": told.code, "text": told.text}
        if isinstance(error, Indeterminate):
            fields |= {"id": error.id.hex(), "acks": error.acks, "of": error.of}
        if isinstance(error, Busy):
            fields["retry_after_seconds"] = error.retry_after
        document(error=fields, exit_code=told.exit_code)
    return Ended(told.text, told.exit_code)


def _told(error: ChatError | Ended | OSError) -> _Told:
    say = speaker()
    if isinstance(error, Ended):
        return _Told("failed", error.message, error.exit_code)
    if isinstance(error, Indeterminate):
        return _Told("indeterminate", say("talk.indeterminate", why=error, id=error.id.hex()), TEMPORARY)
    if isinstance(error, NoAnswer):
        return _Told("unavailable", say("talk.no_answer", why=error), UNAVAILABLE)
    if isinstance(error, RefusedByServer):
        text = error_text(error.code, say.language, given=error.text)
        if error.code == "sender_missing":
            text += say("talk.login_first")
        code = (
            TEMPORARY if isinstance(error, Busy) else
            DATA if isinstance(error, NameRefused | TextRefused) else FAILURE
        )  # fmt: skip
        return _Told(error.code or "refused", text, code)
    if isinstance(error, OSError):
        return _Told("cannot_create", str(error), CANNOT_CREATE)
    return _Told("failed", str(error), FAILURE)


def _await_reference(where: Where, *, as_json: bool) -> None:
    """Say at once that nobody is there, in place of waiting for an answer that can't come.

    Only for an address on this host, where a refused connection is certain to mean that.
    """
    host, _, port = (where.reference or "").removeprefix("tcp://").rpartition(":")
    if not host.startswith("127.") and host != "localhost":
        return
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
    text = speaker()("talk.nobody", reference=where.reference)
    raise tell(Ended(text, UNAVAILABLE), as_json=as_json)
