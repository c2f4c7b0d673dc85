"""Which messages a subscription has shown, and where the copies of each stand (E5, A8, E8).

A message that was appended twice, since its client tried again at another server, has one ident and
several places; people see it once, at the smallest.  All places are remembered, for when a disk is lost
the smallest may go with it: then the message moves to the next one, or, having none, is lost.

Of the idents that an earlier subscription showed (they come with its cursor) no places are known:
copies of them are recognised, and nothing more is said of them.
"""

import hashlib
from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple

from recado.protocol.limits import SUBSCRIPTION_COPIES_MAX, SUBSCRIPTION_IDENTS_MAX
from recado.protocol.publications import Ident, Key

Id = bytes | str


class Standing(NamedTuple):
    """What a copy is: of a message not shown yet (`new`), or a smaller place of one that stood at `was`."""

    new: bool
    was: Key | None


class Change(NamedTuple):
    """A shown message whose smallest place is gone: it stands at `now`, or nowhere any more (None)."""

    id: Id
    was: Key
    now: Key | None
    digest: str


class _Shown(NamedTuple):
    id: Id
    places: list[Key]  # in order; the first is where it is displayed


class Copies:
    """The memory of one subscription; it forgets the message whose first copy came longest ago."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._shown: dict[str, _Shown | None] = dict.fromkeys(known)

    def __len__(self) -> int:
        return len(self._shown)

    def add(self, ident: Ident, place: Key) -> Standing:
        """A copy was met."""
        digest = ident_digest(ident)
        if digest not in self._shown:
            self._shown[digest] = _Shown(ident[1], [place])
            if len(self._shown) > SUBSCRIPTION_IDENTS_MAX:
                del self._shown[next(iter(self._shown))]
            return Standing(True, None)
        shown = self._shown[digest]
        if shown is None or place in shown.places:
            return Standing(False, None)
        was = shown.places[0]
        insort(shown.places, place)
        del shown.places[SUBSCRIPTION_COPIES_MAX:]
        return Standing(False, was if place < was else None)

    def forget_above(self, origin: str, seq: int) -> list[Change]:
        """No server has this origin's entries after `seq` any more; what that changes on display."""
        changes: list[Change] = []
        for digest, shown in list(self._shown.items()):
            if shown is None:
                continue
            left = [place for place in shown.places if place[1] != origin or place[2] <= seq]
            if len(left) == len(shown.places):
                continue
            was = shown.places[0]
            if left:
                self._shown[digest] = _Shown(shown.id, left)
            else:
                del self._shown[digest]
            if not left or left[0] != was:
                changes.append(Change(shown.id, was, left[0] if left else None, digest))
        return changes


def ident_digest(ident: Ident) -> str:
    """Sixteen characters that stand for an ident in memory and in cursors."""
    author, id_, content = ident
    raw = id_ if isinstance(id_, bytes) else id_.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(digest_size=8)
    for part in (author.encode("utf-8", "surrogatepass"), raw, content):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()
