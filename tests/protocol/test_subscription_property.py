"""Arbitrary loss, duplication and reordering: the display ends as the servers' list, nothing twice."""

from collections.abc import Mapping
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from recado.protocol.publications import Key, ident_of, place_of
from recado.protocol.subscription import Effect, Fetch, Moved, Show, Subscription

ORIGINS = ("a", "b", "c")
PAGE_ENTRIES = 3


class Servers:
    """What all servers have written: per origin a log, some entries of which are for our target."""

    def __init__(self) -> None:
        self.logs: dict[str, list[dict[str, Any] | None]] = {origin: [] for origin in ORIGINS}
        self.clock = 0

    def append(self, origin: str, *, ours: bool, id: bytes) -> dict[str, Any] | None:
        log = self.logs[origin]
        self.clock += 1
        prev = max((n for n, entry in enumerate(log, 1) if entry is not None), default=0)
        body = {"user": "u", "channel": "c", "message": "m", "timestamp": 0, "clock": self.clock, "id": id}
        entry = body | {"origin": origin, "seq": len(log) + 1, "prev": prev} if ours else None
        log.append(entry)
        return entry

    def heads(self) -> dict[str, int]:
        heads = {o: max((e["seq"] for e in log if e is not None), default=0) for o, log in self.logs.items()}
        return {origin: seq for origin, seq in heads.items() if seq}

    def view(self, vector: Mapping[str, int]) -> list[dict[str, Any]]:
        """The messages of a server that has `vector`: each ident at its smallest place, in order."""
        entries = [e for o, log in self.logs.items() for e in log[: vector.get(o, 0)] if e is not None]
        entries.sort(key=lambda e: (e["clock"], e["origin"], e["seq"]))
        seen: set[bytes] = set()
        return [e for e in entries if e["id"] not in seen and not seen.add(e["id"])]

    def page(
        self, since: Mapping[str, int], vector: Mapping[str, int]
    ) -> tuple[list[Any], dict[str, int], bool]:
        """At most `PAGE_ENTRIES` log entries after `since`: (messages, upto, more)."""
        upto, left = dict(since), PAGE_ENTRIES
        for origin in ORIGINS:
            take = min(left, max(0, vector.get(origin, 0) - since.get(origin, 0)))
            if take:
                upto[origin] = since.get(origin, 0) + take
                left -= take
        shown = [
            e for e in self.view(vector) if since.get(e["origin"], 0) < e["seq"] <= upto.get(e["origin"], 0)
        ]
        more = any(vector.get(o, 0) > upto.get(o, 0) for o in ORIGINS)
        return shown, upto, more


class Subscriber(RuleBasedStateMachine):
    """The machine under test, a network that may do anything, and what a person sees."""

    def __init__(self) -> None:
        super().__init__()
        self.servers = Servers()
        self.flying: list[dict[str, Any]] = []
        self.asked: Fetch | None = None
        self.display: dict[object, Key] = {}
        self.now = 0.0
        self.cursor: dict[str, int] = {}
        self.machine = Subscription({})

    @initialize(before=st.integers(0, 5), fresh=st.booleans())
    def history_before(self, before: int, fresh: bool) -> None:
        for n in range(before):
            self.servers.append(ORIGINS[n % 2], ours=True, id=b"before%d" % n)
        if fresh:
            self.machine = Subscription(backlog=100)

    def see(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Fetch():
                    assert self.asked is None, "one request at a time"
                    self.asked = effect
                case Show(message):
                    ident, place = ident_of(message), place_of(message)
                    assert place is not None
                    assert ident not in self.display, "shown twice"
                    self.display[ident] = place.key
                case Moved(message, was):
                    ident, place = ident_of(message), place_of(message)
                    assert place is not None
                    assert self.display[ident] == was > place.key
                    self.display[ident] = place.key

    @rule(origin=st.sampled_from(ORIGINS), ours=st.booleans(), retried=st.booleans())
    def append(self, origin: str, ours: bool, retried: bool) -> None:
        """Somebody writes at one server; `retried`: with the id of the previous message."""
        number = self.servers.clock - (1 if retried and self.servers.clock else 0)
        entry = self.servers.append(origin, ours=ours, id=b"%d" % number)
        if entry is not None:
            self.flying.append(entry)

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 1000), again=st.booleans())
    def deliver(self, which: int, again: bool) -> None:
        index = which % len(self.flying)
        entry = self.flying[index] if again else self.flying.pop(index)
        self.see(self.machine.published(entry, now=self.now))

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 1000))
    def lose(self, which: int) -> None:
        self.flying.pop(which % len(self.flying))

    @rule(lag=st.dictionaries(st.sampled_from(ORIGINS), st.integers(0, 4)))
    def beacon(self, lag: dict[str, int]) -> None:
        heads = {o: n - lag.get(o, 0) for o, n in self.servers.heads().items()}
        self.see(self.machine.beacon(heads, now=self.now))

    @precondition(lambda self: self.asked is not None)
    @rule(lag=st.dictionaries(st.sampled_from(ORIGINS), st.integers(0, 4)))
    def serve(self, lag: dict[str, int]) -> None:
        """A server that is `lag` entries behind answers the request."""
        self.answer({o: max(0, len(log) - lag.get(o, 0)) for o, log in self.servers.logs.items()})

    def answer(self, vector: Mapping[str, int]) -> None:
        assert self.asked is not None
        fetch, self.asked = self.asked, None
        if fetch.since is None:
            shown, upto, more = self.servers.view(vector), dict(vector), False
        else:
            shown, upto, more = self.servers.page(fetch.since, vector)
        effects = self.machine.page(shown, upto=upto, more=more, request_no=fetch.request_no, now=self.now)
        self.see(effects)

    @precondition(lambda self: self.asked is not None)
    @rule()
    def fail(self) -> None:
        assert self.asked is not None
        request_no, self.asked = self.asked.request_no, None
        self.see(self.machine.failed(request_no, now=self.now))

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.see(self.machine.tick(self.now))

    @invariant()
    def somebody_acts(self) -> None:
        """The machine never forgets what is missing: it has asked, or knows when it will."""
        missing = self.machine.phase != "live"
        assert (self.asked is not None or self.machine.deadline is not None) == missing

    @invariant()
    def cursor_never_decreases(self) -> None:
        before, self.cursor = self.cursor, self.machine.cursor or {}
        assert all(self.cursor.get(origin, 0) >= seq for origin, seq in before.items())

    def teardown(self) -> None:
        """Heal: beacons tell the true heads, servers have everything; then the lists are equal."""
        everything = {origin: len(log) for origin, log in self.servers.logs.items()}
        for _ in range(60):
            if self.asked is not None:
                self.answer(everything)
            self.now += 6.0
            self.see(self.machine.tick(self.now))
            if self.asked is None:
                self.see(self.machine.beacon(self.servers.heads(), now=self.now))
        want = [(ident_of(e), (e["clock"], e["origin"], e["seq"])) for e in self.servers.view(everything)]
        assert sorted(self.display.items(), key=lambda item: item[1]) == want
        assert self.machine.phase == "live"


TestSubscriber = Subscriber.TestCase
TestSubscriber.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
