"""What a subscription's machine asks for: `recado.protocol.subscription` explains when."""

import msgspec

from recado.protocol.copies import Id
from recado.protocol.effects import Note
from recado.protocol.publications import Key, Message


class Show(msgspec.Struct, frozen=True):
    """A message to display.  `late`: its place is before one that is displayed already."""

    message: Message
    late: bool


class Moved(msgspec.Struct, frozen=True):
    """A message on display belongs elsewhere: a copy of it was appended earlier, or its first was lost.

    `was`, `now`: the (lamport, origin, seq) that it was shown or last moved with, and the new one.
    """

    id: Id
    was: Key
    now: Key


class Lost(msgspec.Struct, frozen=True):
    """A message on display is on no server any more: the disk that had it was lost (E8)."""

    id: Id
    was: Key


class Fetch(msgspec.Struct, frozen=True):
    """Ask any server for history; answer with `page` or `failed` of the same `request_no`.

    `since`: a vector, or None for the last `limit` messages.  `elsewhere`: so many times in a
    row nobody had everything, that many servers are to be passed over.
    """

    since: dict[str, int] | None
    request_no: int
    limit: int | None = None
    elsewhere: int = 0


class Audit(msgspec.Struct, frozen=True):
    """Ask *all* members what they durably have of these origins; answer with `audited`."""

    have: dict[str, int]


Effect = Show | Moved | Lost | Fetch | Audit | Note
