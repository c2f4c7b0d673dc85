"""Pages of history on which a name is missing are put off for a while (E4).

An author whose registration has not arrived at a server is shown there as `?`: after a lost disk, say, a
server may have what was said at another one while it still lacks who registered at itself.  A reader to
whom that were displayed would see `?` for ever, as nothing is shown twice, and a copy of the message that
bears the name would count as another message, since the author is part of what tells messages apart.  And
a direct message to `?` is nobody's.  Other servers mostly know the name, and this one will soon.

So such a page counts as if no server had answered, `PAGES_PUT_OFF_MAX` times in a row, which takes about
four seconds.  Then the name is lost with a disk, for all we know, and `?` is what there is to show.
"""

from collections.abc import Iterable, Mapping

from recado.protocol.errors import Malformed
from recado.protocol.publications import Message, is_nameless, place_of

PAGES_PUT_OFF_MAX = 4


class Nameless:
    """How often one subscription has put pages off since it last missed nothing."""

    def __init__(self) -> None:
        self._pages = 0

    def puts_off(self, entries: Iterable[Message], *, have: Mapping[str, int]) -> bool:
        """Whether to ask again, since something on this page after `have` lacks a name."""
        if self._pages >= PAGES_PUT_OFF_MAX:
            return False
        if not any(is_nameless(entry) and _is_new(entry, have) for entry in entries):
            return False
        self._pages += 1
        return True

    def rest(self) -> None:
        """Nothing is missing."""
        self._pages = 0


def _is_new(entry: Message, have: Mapping[str, int]) -> bool:
    try:
        place = place_of(entry)
    except Malformed:
        return False
    return place is not None and place.seq > have.get(place.origin, 0)
