"""What a person is told of a server, and of what a search has found."""

from collections.abc import Iterator

from recado.client import Found, Status
from recado.protocol.printable import printable
from recado.texts import Texts


def status_line(told: Status, say: Texts, *, clock: int) -> str:
    """How the server that answered sees itself; `clock`: the reader's own."""
    return say(
        "chat.status",
        server=printable(told.server),
        coordinator=printable(told.coordinator or "?"),
        of="?" if told.of is None else told.of,
        clock=clock,
        offset="?" if told.offset_ms is None else f"{told.offset_ms:g}",
    )


def notes(found: Found, say: Texts) -> Iterator[str]:
    """That nothing was found, that not everything was looked at, that not everything is indexed."""
    if not found.messages:
        yield say("search.none")
    if found.partial:
        yield say("search.partial")
    if found.lag:
        yield say("search.lag", lag=found.lag)
