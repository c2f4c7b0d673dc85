"""Gap-free subscriptions: publications are hints, history is the truth (rules E1-E9).

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

Subscribe first, then fetch (E1): what arrives until the first page is held back.  A machine without a
cursor begins with the last messages; where an origin's first publication met before that page says
what came before it, and everything after that place counts as new, however much of it could be held.
One request is out at a time, and a page counts only if it answers that one.  After a page that leaves
something missing, or none, the machine waits 0.25, 0.5, ... 5 s and asks for another server.  Heads that
five pages did not reach are forgotten until a beacon repeats them, so a lying beacon costs one request
in five seconds (attack A45: a beacon raises suspicion and proves nothing).  A page that lacks the name of an
author counts as none for a while: another server knows it (`recado.protocol.nameless`).

The first copy of a message is shown; a later copy with a smaller place only moves it, as the servers'
views do (E5, A8: `recado.protocol.copies`).

`cursor` decreases in one case only (E8): all members were asked, and none has what a lost disk had
(`recado.protocol.suspicion`).  Then what is gone is told (`Lost`), the request that is out is forgotten,
since its page was made for the old cursor, and history is asked anew.  First for its last messages: pages
hold each message at its smallest place only, so a lost one may have a copy that was never met.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from recado.protocol.copies import Copies, ident_digest
from recado.protocol.effects import Note
from recado.protocol.errors import Malformed
from recado.protocol.held import Held
from recado.protocol.limits import (
    HISTORY_MESSAGES_DEFAULT,
    HISTORY_MESSAGES_MAX,
    SUBSCRIPTION_ORIGINS_MAX,
)
from recado.protocol.nameless import Nameless
from recado.protocol.publications import Key, Message, Place, ident_of, is_nameless, place_of, seqs
from recado.protocol.subscription_values import Audit, Effect, Fetch, Lost, Moved, Show
from recado.protocol.suspicion import Suspicions
from recado.protocol.vector import Vector, ahead, merge

__all__ = ["Audit", "Effect", "Fetch", "Lost", "Moved", "Show", "Subscription"]

PAUSE_SECONDS = 0.25  # after the first page that left something missing; doubles
PAUSE_SECONDS_MAX = 5.0
PAGES_PER_SUSPICION = 5


class Subscription:
    """One target's machine.  `now`: monotonic seconds.  Call `tick` at `deadline`, first of all at once.

    `cursor`: what an earlier subscription had when it ended; None begins with the last `backlog`
    messages, of which those that `seen`, a vector, covers are left out.  `known`: the digests of idents
    that were shown before (`copies.ident_digest`).  A server without history is answered for by an
    empty, final page.
    """

    def __init__(
        self,
        cursor: Mapping[str, int] | None = None,
        *,
        backlog: int = HISTORY_MESSAGES_DEFAULT,
        seen: Mapping[str, int] | None = None,
        known: Iterable[str] = (),
    ) -> None:
        self._have: Vector = dict(cursor or {})
        self._from_cursor = cursor is not None
        self._backlog = backlog
        self._seen = dict(seen or {})
        self._opened = False
        self._request: int | None = None
        self._requests = 0
        self._since: Vector = {}  # of the request that is out; publications may raise `have` meanwhile
        self._before: Vector = {}  # origin → the last seq before its first publication met while opening
        self._held = Held()
        self._wanted: Vector = {}  # heads that beacons, or publications not held, have named
        self._not_before = 0.0
        self._pages_short = 0  # in a row: none came, or it left something missing
        self._copies = Copies(known)
        self._nameless = Nameless()
        self._suspicions = Suspicions(resumed=cursor is not None or seen is not None)
        self._lost: set[str] = set()  # idents to look for among the last messages
        self._again = False  # history is to be asked although nothing is known to be missing
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
        """When `tick` wants to be called next; None: nothing is missing or doubted, or it is asked for."""
        fetch = self._not_before if self._request is None and self._missing() else None
        audit = self._suspicions.deadline
        return min((at for at in (fetch, audit) if at is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Fetch, if something is missing, nothing is under way and the pause is over; likewise audit."""
        return self._fetch_if_due(now) + self._audit_if_due(now)

    def published(self, message: Message, *, now: float) -> list[Effect]:
        """A publication of this target.  One without origin and seq is another project's: shown as it is."""
        try:
            place = place_of(message)
        except Malformed as error:
            return [Note("publication refused", {"reason": error.reason})]
        if place is None:
            return [Show(message, late=False)]
        self._suspicions.published(place.origin)
        if not self._opened:
            if place.origin in self._before or len(self._before) < SUBSCRIPTION_ORIGINS_MAX:
                before = self._before.get(place.origin, place.prev)
                self._before[place.origin] = min(before, place.prev)
            self._hold(place, message)
            return []
        missing = self._missing()
        effects = self._take(place, message)
        if self._have.get(place.origin) == place.seq:
            effects += self._release([place.origin])
            self._fulfil(place.origin)
        if missing and not self._missing():
            self._rest()
            self._not_before = 0.0
        return effects + self._fetch_if_due(now)

    def beacon(
        self,
        heads: Mapping[str, int],
        *,
        now: float,
        server: str = "",
        boot: str = "",
        vector: Mapping[str, int] | None = None,
    ) -> list[Effect]:
        """A server's beacon: the heads of this target, which start it is, parts of its durable vector.

        The `server` and `boot` of any other reply may be told as well, without heads and vector.
        """
        if not self._opened:
            return []
        for origin, seq in ahead(heads, self._have).items():
            self._want(origin, seq)
        self._suspicions.heard(vector or {}, server=server, boot=boot, have=self._met(), now=now)
        return self._fetch_if_due(now) + self._audit_if_due(now)

    def audited(self, most: Mapping[str, int] | None, *, now: float) -> list[Effect]:
        """The most that any member has of the origins asked about; None if not all have answered (E8).

        Each member must have been asked after the `Audit`.
        """
        gone = self._suspicions.answered(most, have=self._met(), now=now)
        if not gone:
            return []
        effects: list[Effect] = [Note("entries lost with a server's disk", {"left": dict(gone)})]
        for origin, left in gone.items():
            self._held.drop(origin, after=left)
            self._wanted.pop(origin, None)
            if left >= self._have.get(origin, 0):
                continue
            self._have[origin] = left
            if not left:
                del self._have[origin]
            for id_, was, place, digest in self._copies.forget_above(origin, left):
                effects.append(Lost(id_, was) if place is None else Moved(id_, was, place))
                if place is None:
                    self._lost.add(digest)
        self._request = None
        self._again = True
        return effects + self._fetch()

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
        entries = list(entries)
        if self._nameless.puts_off(entries, have={} if self._lost else self._have):
            return self.failed(request_no, now=now)
        self._request = None
        if self._lost:
            return self._show_found(entries) + self._fetch()
        covered = seqs(upto)
        if not self._opened and not self._from_cursor:
            effects = self._show_last(entries)
            covered |= {o: min(n, covered.get(o, 0)) for o, n in self._before.items()}
            more = False
        else:
            effects = self._show_page(entries)
        advanced = bool(ahead(covered, self._since))
        merge(self._have, covered)
        if more and advanced:
            return effects + self._fetch()
        self._opened, self._again = True, False
        self._before.clear()
        effects += self._release(self._held.origins)
        self._wanted = ahead(self._wanted, self._have)
        self._pace(now)
        return effects

    def failed(self, request_no: int, *, now: float) -> list[Effect]:
        """No server answered the request, or none of use."""
        if request_no != self._request:
            return []
        self._request = None
        self._pages_short += 1
        self._not_before = now + self._pause()
        return [Note("history not available", {"request": request_no, "pause_seconds": self._pause()})]

    def _met(self) -> Mapping[str, int]:
        """How far each origin was met: what was seen, and what is held behind a gap."""
        tops = self._held.tops
        return {**self._have, **tops} if tops else self._have

    def _missing(self) -> bool:
        return not self._opened or self._again or bool(self._held) or bool(self._wanted)

    def _pause(self) -> float:
        return float(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** min(self._pages_short - 1, 10)))

    def _pace(self, now: float) -> None:
        """After a final page: rest, or wait before asking for what it did not have."""
        if not self._missing():
            self._rest()
            return
        self._pages_short += 1
        self._not_before = now + self._pause()
        if self._pages_short >= PAGES_PER_SUSPICION:
            self._wanted.clear()

    def _rest(self) -> None:
        """Nothing is missing any more: what it took is forgotten."""
        self._pages_short = 0
        self._nameless.rest()

    def _fetch_if_due(self, now: float) -> list[Effect]:
        if self._request is not None or not self._missing() or now < self._not_before:
            return []
        return self._fetch()

    def _audit_if_due(self, now: float) -> list[Effect]:
        doubted = self._suspicions.audit(have=self._met(), now=now)
        return [Audit(doubted)] if doubted else []

    def _fetch(self) -> list[Effect]:
        self._requests += 1
        self._request = self._requests
        self._since = dict(self._have)
        elsewhere = self._pages_short
        if self._lost:
            return [Fetch(None, self._requests, HISTORY_MESSAGES_MAX, elsewhere)]
        if not self._opened and not self._from_cursor:
            # More than are shown: copies of those are recognised later on.
            limit = min(max(self._backlog, HISTORY_MESSAGES_DEFAULT), HISTORY_MESSAGES_MAX)
            return [Fetch(None, self._requests, limit, elsewhere)]
        return [Fetch(dict(self._since), self._requests, None, elsewhere)]

    def _take(self, place: Place, message: Message) -> list[Effect]:
        """E2."""
        have = self._have.get(place.origin, 0)
        if place.seq <= have:
            return []
        if place.prev > have or is_nameless(message):
            self._hold(place, message)
            return []
        if have or len(self._have) < SUBSCRIPTION_ORIGINS_MAX:
            self._have[place.origin] = place.seq
        return self._show(place, message)

    def _hold(self, place: Place, message: Message) -> None:
        if is_nameless(message) or not self._held.keep(place, message):
            self._want(place.origin, place.seq)

    def _want(self, origin: str, seq: int) -> None:
        if origin in self._wanted or len(self._wanted) < SUBSCRIPTION_ORIGINS_MAX:
            self._wanted[origin] = max(seq, self._wanted.get(origin, 0))

    def _fulfil(self, origin: str) -> None:
        """Publications reached what was wanted of this origin: nothing needs fetching for it."""
        if self._wanted.get(origin, 0) <= self._have.get(origin, 0):
            self._wanted.pop(origin, None)

    def _release(self, origins: Iterable[str]) -> list[Effect]:
        """Take again what was held back, in total order; what still has a gap before it stays."""
        effects: list[Effect] = []
        for message in sorted(self._held.take(origins), key=_key_of):
            place = place_of(message)
            if place is not None:
                effects += self._take(place, message)
        return effects

    def _show_last(self, entries: Iterable[Message]) -> list[Effect]:
        """E1, the first page without a cursor: its last `backlog` messages from before the subscription.

        What was published since follows from what is held, or from the history after it.
        """
        effects, placed = self._in_order(entries)
        before = [
            (place, message)
            for place, message in placed
            if place.seq <= self._before.get(place.origin, place.seq)
        ]
        first_shown = max(0, len(before) - self._backlog)
        for index, (place, message) in enumerate(before):
            shown = self._show(place, message)
            if index >= first_shown and place.seq > self._seen.get(place.origin, 0):
                effects += shown
        return effects

    def _show_found(self, entries: Iterable[Message]) -> list[Effect]:
        """E8: of the last messages those that were thought lost and have another copy."""
        effects: list[Effect] = []
        for message in entries:
            ident = ident_of(message)
            if ident is None or ident_digest(ident) not in self._lost:
                continue
            place = place_of(message)
            if place is not None and place.seq <= self._have.get(place.origin, 0):
                effects += self._show(place, message)
        self._lost.clear()
        return effects

    def _show_page(self, entries: Iterable[Message]) -> list[Effect]:
        """E4: all of the page that was not seen, in total order."""
        effects, placed = self._in_order(entries)
        for place, message in placed:
            effects += self._show(place, message)
        return effects

    def _in_order(self, entries: Iterable[Message]) -> tuple[list[Effect], list[tuple[Place, Message]]]:
        """What of a page was not seen yet, in total order; what has no place is shown, junk is refused."""
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
        return effects, placed

    def _show(self, place: Place, message: Message) -> list[Effect]:
        """E5."""
        ident = ident_of(message)
        if ident is not None:
            standing = self._copies.add(ident, place.key)
            if standing.was is not None:
                return [Moved(ident[1], standing.was, place.key)]
            if not standing.new:
                return []
        late = self._newest is not None and place.key < self._newest
        if not late:
            self._newest = place.key
        return [Show(message, late)]


def _key_of(message: Message) -> Key:
    place = place_of(message)
    return place.key if place is not None else (0, "", 0)
