"""Gap-free subscriptions: publications are hints, history is the truth (rules E1-E7).

One machine follows one channel, or the direct messages of one user.  Its state is `have`: per origin,
the seq up to which every entry for this target was seen.  A published entry names in `prev` the seq of
its origin's previous entry for the same target, so one look tells what it is:

    seq <= have    seen already: drop                                        (E2)
    prev <= have   the next one: show it, have = seq
    otherwise      a gap: hold it back and fetch history since `have`

A gap before a silence shows in no later publication; it shows in the heads that servers' beacons
carry (E3).  `have` is a version vector and means the same at every server, so any may be asked (E7).

    opening ── page ──> live ── gap, beacon ahead ──> fetching ── page ──> live
                          ^                              │ failed, or still something missing
                          └── page ── fetching <── tick ── waiting

Subscribe first, then fetch (E1): what arrives until the first page is held back.  One request is out
at a time, and a page counts only if it answers that one.  After a page that leaves something
missing, or none, the machine waits 0.25, 0.5, ... 5 s and asks for another server.  Heads that five
pages did not reach are forgotten until a beacon repeats them, so a lying beacon costs one request
in five seconds (attack A45: a beacon raises suspicion and proves nothing).

A message that was appended twice, because its client tried again at another server, has two places and
one ident: (author, id, content digest).  The first copy is shown; a later copy with a smaller place
only moves it, as the servers' views do (E5, A8).

`cursor` never decreases.  Lowering it after a server's disk was lost (E8: all members are audited) is
left to a later addition, which has to give this machine one more input and nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from recado.protocol.effects import Note
from recado.protocol.errors import Malformed
from recado.protocol.limits import (
    HISTORY_MESSAGES_DEFAULT,
    SUBSCRIPTION_BUFFER_MAX,
    SUBSCRIPTION_IDENTS_MAX,
    SUBSCRIPTION_ORIGINS_MAX,
)
from recado.protocol.publications import Ident, Key, Message, Place, ident_of, place_of, seqs
from recado.protocol.vector import Vector, ahead, merge

PAUSE_SECONDS = 0.25  # after the first page that left something missing; doubles
PAUSE_SECONDS_MAX = 5.0
PAGES_PER_SUSPICION = 5


class Show(msgspec.Struct, frozen=True):
    """A message to display.  `late`: its place is before one that is displayed already."""

    message: Message
    late: bool


class Moved(msgspec.Struct, frozen=True):
    """A message on display belongs further up: a copy of it was appended earlier.

    `was`: the (lamport, origin, seq) that it was shown or last moved with.
    """

    message: Message
    was: Key


class Fetch(msgspec.Struct, frozen=True):
    """Ask any server for history; answer with `page` or `failed` of the same `request_no`.

    `since`: a vector, or None for the last `limit` messages.  `elsewhere`: the last server asked did
    not have everything, another is preferred.
    """

    since: dict[str, int] | None
    request_no: int
    limit: int | None = None
    elsewhere: bool = False


Effect = Show | Moved | Fetch | Note


class Subscription:
    """One target's machine.  `now`: monotonic seconds.  Call `tick` at `deadline`, first of all at once.

    `cursor`: what an earlier subscription had when it ended; None begins with the last `backlog`
    messages.  A server without history is answered for by an empty, final page.
    """

    def __init__(
        self, cursor: Mapping[str, int] | None = None, *, backlog: int = HISTORY_MESSAGES_DEFAULT
    ) -> None:
        self._have: Vector = dict(cursor or {})
        self._from_cursor = cursor is not None
        self._backlog = backlog
        self._opened = False
        self._request: int | None = None
        self._requests = 0
        self._since: Vector = {}  # of the request that is out; publications may raise `have` meanwhile
        self._held: dict[str, dict[int, Message]] = {}  # origin → seq → what has a gap before it
        self._held_messages = 0
        self._wanted: Vector = {}  # heads that beacons, or publications not held, have named
        self._not_before = 0.0
        self._pages_short = 0  # in a row: none came, or it left something missing
        self._shown: dict[Ident, Key] = {}
        self._newest: Key | None = None

    @property
    def cursor(self) -> dict[str, int] | None:
        """What to continue from, to be kept once the effects were displayed; None before the first page."""
        return dict(self._have) if self._opened or self._from_cursor else None

    @property
    def phase(self) -> str:
        """`opening`, `live`, `fetching` or `waiting`, as in the picture above."""
        if not self._opened:
            return "opening"
        if self._request is not None:
            return "fetching"
        return "waiting" if self._missing() else "live"

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next; None while nothing is missing, or a request is out."""
        return self._not_before if self._request is None and self._missing() else None

    def tick(self, now: float) -> list[Effect]:
        """Fetch, if something is missing, nothing is under way and the pause is over."""
        return self._fetch_if_due(now)

    def published(self, message: Message, *, now: float) -> list[Effect]:
        """A publication of this target.  One without origin and seq is another project's: shown as it is."""
        try:
            place = place_of(message)
        except Malformed as error:
            return [Note("publication refused", {"reason": error.reason})]
        if place is None:
            return [Show(message, late=False)]
        if not self._opened:
            self._hold(place, message)
            return []
        missing = self._missing()
        effects = self._take(place, message)
        if self._have.get(place.origin) == place.seq:
            effects += self._release([place.origin])
            self._fulfil(place.origin)
        if missing and not self._missing():
            self._pages_short, self._not_before = 0, 0.0
        return effects + self._fetch_if_due(now)

    def beacon(self, heads: Mapping[str, int], *, now: float) -> list[Effect]:
        """The heads of this target as a server has them (`publications.beacon_heads`)."""
        if not self._opened:
            return []
        for origin, seq in ahead(heads, self._have).items():
            self._want(origin, seq)
        return self._fetch_if_due(now)

    def page(
        self,
        entries: Iterable[Message],
        *,
        upto: Any,
        more: bool,
        request_no: int,
        now: float,
    ) -> list[Effect]:
        """A page of history.  `upto`: the vector, as it came, of exactly what the page covers (A46)."""
        if request_no != self._request:
            return [Note("history page of another request dropped", {"request": request_no})]
        self._request = None
        effects = self._show_page(entries)
        covered = seqs(upto)
        advanced = bool(ahead(covered, self._since))
        merge(self._have, covered)
        continues = more and advanced and (self._opened or self._from_cursor)
        if continues:
            return effects + self._fetch()
        self._opened = True
        effects += self._release(list(self._held))
        self._wanted = ahead(self._wanted, self._have)
        self._pace(now)
        return effects

    def failed(self, request_no: int, *, now: float) -> list[Effect]:
        """No server answered the request."""
        if request_no != self._request:
            return []
        self._request = None
        self._pages_short += 1
        self._not_before = now + self._pause()
        return [Note("history not available", {"request": request_no, "pause_seconds": self._pause()})]

    def _missing(self) -> bool:
        return not self._opened or bool(self._held) or bool(self._wanted)

    def _pause(self) -> float:
        return float(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** min(self._pages_short - 1, 10)))

    def _pace(self, now: float) -> None:
        """After a final page: rest, or wait before asking for what it did not have."""
        if not self._missing():
            self._pages_short = 0
            return
        self._pages_short += 1
        self._not_before = now + self._pause()
        if self._pages_short >= PAGES_PER_SUSPICION:
            self._wanted.clear()

    def _fetch_if_due(self, now: float) -> list[Effect]:
        if self._request is not None or not self._missing() or now < self._not_before:
            return []
        return self._fetch()

    def _fetch(self) -> list[Effect]:
        self._requests += 1
        self._request = self._requests
        self._since = dict(self._have)
        elsewhere = self._pages_short > 0
        if not self._opened and not self._from_cursor:
            return [Fetch(None, self._requests, self._backlog, elsewhere)]
        return [Fetch(dict(self._since), self._requests, None, elsewhere)]

    def _take(self, place: Place, message: Message) -> list[Effect]:
        """E2."""
        have = self._have.get(place.origin, 0)
        if place.seq <= have:
            return []
        if place.prev > have:
            self._hold(place, message)
            return []
        if have or len(self._have) < SUBSCRIPTION_ORIGINS_MAX:
            self._have[place.origin] = place.seq
        return self._show(place, message)

    def _hold(self, place: Place, message: Message) -> None:
        if self._held_messages >= SUBSCRIPTION_BUFFER_MAX:
            self._want(place.origin, place.seq)
        elif place.seq not in self._held.setdefault(place.origin, {}):
            self._held[place.origin][place.seq] = message
            self._held_messages += 1

    def _want(self, origin: str, seq: int) -> None:
        if origin in self._wanted or len(self._wanted) < SUBSCRIPTION_ORIGINS_MAX:
            self._wanted[origin] = max(seq, self._wanted.get(origin, 0))

    def _fulfil(self, origin: str) -> None:
        """Publications reached what was wanted of this origin: nothing needs fetching for it."""
        if self._wanted.get(origin, 0) <= self._have.get(origin, 0):
            self._wanted.pop(origin, None)

    def _release(self, origins: Iterable[str]) -> list[Effect]:
        """Take again what was held back, in total order; what still has a gap before it stays."""
        held = [message for origin in origins for message in self._held.pop(origin, {}).values()]
        self._held_messages -= len(held)
        effects: list[Effect] = []
        for message in sorted(held, key=_key_of):
            place = place_of(message)
            if place is not None:
                effects += self._take(place, message)
        return effects

    def _show_page(self, entries: Iterable[Message]) -> list[Effect]:
        """E4: all of the page that was not seen, in total order."""
        effects: list[Effect] = []
        placed: list[tuple[Place, Message]] = []
        for message in entries:
            try:
                place = place_of(message)
            except Malformed as error:
                effects.append(Note("history entry refused", {"reason": error.reason}))
                continue
            if place is None:
                effects.append(Show(message, late=False))
            elif place.seq > self._have.get(place.origin, 0):
                placed.append((place, message))
        placed.sort(key=lambda pair: pair[0].key)
        for place, message in placed:
            effects += self._show(place, message)
        return effects

    def _show(self, place: Place, message: Message) -> list[Effect]:
        """E5."""
        ident = ident_of(message)
        if ident is not None:
            was = self._shown.get(ident)
            if was is not None and was <= place.key:
                return []
            self._shown[ident] = place.key
            if was is not None:
                return [Moved(message, was)]
            if len(self._shown) > SUBSCRIPTION_IDENTS_MAX:
                del self._shown[next(iter(self._shown))]
        late = self._newest is not None and place.key < self._newest
        if not late:
            self._newest = place.key
        return [Show(message, late)]


def _key_of(message: Message) -> Key:
    place = place_of(message)
    return place.key if place is not None else (0, "", 0)
