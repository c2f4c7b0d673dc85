"""Arbitrary loss, duplication, reordering and lost disks: the display ends as the servers' list.

Nothing is shown twice, unless it was told to be lost in between.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from recado.protocol.nameless import PAGES_PUT_OFF_MAX
from recado.protocol.publications import Key, ident_of, place_of
from recado.protocol.subscription import Audit, Effect, Fetch, Lost, Moved, Show, Subscription

SERVERS = ("a", "b", "c")
PAGE_ENTRIES = 3


class Servers:
    """What all servers have written: per origin a log, some entries of which are for our target."""

    def __init__(self) -> None:
        self.logs: dict[str, list[dict[str, Any] | None]] = {}
        self.starts = dict.fromkeys(SERVERS, 0)  # each start of a server has an origin of its own
        self.clock = 0

    def mine(self, server: str) -> str:
        return f"{server}.{self.starts[server]}"

    def append(self, server: str, *, ours: bool, id: bytes) -> dict[str, Any] | None:
        origin = self.mine(server)
        log = self.logs.setdefault(origin, [])
        self.clock += 1
        prev = max((n for n, entry in enumerate(log, 1) if entry is not None), default=0)
        body = {"user": "u", "channel": "c", "message": "m", "timestamp": 0, "clock": self.clock, "id": id}
        entry = body | {"origin": origin, "seq": len(log) + 1, "prev": prev} if ours else None
        log.append(entry)
        return entry

    def lose_disk(self, server: str, entries: int) -> None:
        """The last `entries` of this server's log were on its disk only, and that is lost."""
        log = self.logs.get(self.mine(server), [])
        del log[max(0, len(log) - entries) :]
        self.starts[server] += 1

    def vector(self) -> dict[str, int]:
        return {origin: len(log) for origin, log in self.logs.items()}

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
        for origin in sorted(self.logs):
            take = min(left, max(0, vector.get(origin, 0) - since.get(origin, 0)))
            if take:
                upto[origin] = since.get(origin, 0) + take
                left -= take
        shown = [
            e for e in self.view(vector) if since.get(e["origin"], 0) < e["seq"] <= upto.get(e["origin"], 0)
        ]
        more = any(vector.get(o, 0) > upto.get(o, 0) for o in self.logs)
        return shown, upto, more


class Subscriber(RuleBasedStateMachine):
    """The machine under test, a network that may do anything, and what a person sees."""

    def __init__(self) -> None:
        super().__init__()
        self.servers = Servers()
        self.flying: list[dict[str, Any]] = []
        self.asked: Fetch | None = None
        self.display: dict[object, Key] = {}
        self.idents: dict[object, object] = {}
        self.now = 0.0
        self.cursor: dict[str, int] = {}
        self.audit: Audit | None = None
        self.rolled_back = False
        self.nameless_pages = 0
        self.machine = Subscription({})

    @initialize(before=st.integers(0, 5), fresh=st.booleans())
    def history_before(self, before: int, fresh: bool) -> None:
        for n in range(before):
            self.servers.append(SERVERS[n % 2], ours=True, id=b"before%d" % n)
        if fresh:
            self.machine = Subscription(backlog=100)

    def see(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Fetch():
                    assert self.asked is None or self.rolled_back, "one request at a time"
                    self.asked = effect
                case Show(message):
                    ident, place = ident_of(message), place_of(message)
                    assert place is not None
                    assert ident not in self.display, "shown twice"
                    self.display[ident] = place.key
                    self.idents[message["id"]] = ident
                case Moved(id_, was, place):
                    assert self.display[self.idents[id_]] == was != place
                    self.display[self.idents[id_]] = place
                case Lost(id_, was):
                    assert self.display.pop(self.idents[id_]) == was
                case Audit():
                    assert self.audit is None, "one audit at a time"
                    self.audit = effect

    @rule(server=st.sampled_from(SERVERS), ours=st.booleans(), retried=st.booleans())
    def append(self, server: str, ours: bool, retried: bool) -> None:
        """Somebody writes at one server; `retried`: with the id of the previous message."""
        number = self.servers.clock - (1 if retried and self.servers.clock else 0)
        entry = self.servers.append(server, ours=ours, id=b"%d" % number)
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

    @rule(server=st.sampled_from(SERVERS), entries=st.integers(0, 3))
    def lose_disk(self, server: str, entries: int) -> None:
        self.servers.lose_disk(server, entries)

    @rule(server=st.sampled_from(SERVERS), lag=st.integers(0, 4))
    def beacon(self, server: str, lag: int) -> None:
        """A server that is `lag` entries behind in everything tells what it has."""
        heads = {o: n - lag for o, n in self.servers.heads().items()}
        boot = str(self.servers.starts[server])
        vector = {o: max(0, n - lag) for o, n in self.servers.vector().items()}
        self.see(self.machine.beacon(heads, now=self.now, server=server, boot=boot, vector=vector))

    @precondition(lambda self: self.audit is not None)
    @rule(all_answer=st.booleans())
    def answer_audit(self, all_answer: bool) -> None:
        assert self.audit is not None
        doubted, self.audit = self.audit.have, None
        most = {o: n for o, n in self.servers.vector().items() if o in doubted}
        self.rolled_back = all_answer
        self.see(self.machine.audited(most if all_answer else None, now=self.now))
        if all_answer and any(most.get(o, 0) < (self.cursor or {}).get(o, 0) for o in doubted):
            self.cursor = {}
        self.rolled_back = False

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 1000))
    def tell_without_name(self, which: int) -> None:
        """A server that does not know the author tells of a message."""
        entry = self.flying[which % len(self.flying)]
        self.see(self.machine.published(entry | {"user": "?"}, now=self.now))

    @precondition(lambda self: self.asked is not None)
    @rule(lag=st.integers(0, 4), names=st.booleans())
    def serve(self, lag: int, names: bool) -> None:
        """A server that is `lag` entries behind answers the request, and perhaps knows no author."""
        self.nameless_pages += not names
        names = names or self.nameless_pages > PAGES_PUT_OFF_MAX
        self.answer({o: max(0, n - lag) for o, n in self.servers.vector().items()}, names=names)

    def answer(self, vector: Mapping[str, int], *, names: bool = True) -> None:
        assert self.asked is not None
        fetch, self.asked = self.asked, None
        if fetch.since is None:
            shown, upto, more = self.servers.view(vector), dict(vector), False
        else:
            shown, upto, more = self.servers.page(fetch.since, vector)
        shown = shown if names else [entry | {"user": "?"} for entry in shown]
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
        if self.machine.phase != "live":
            assert self.asked is not None or self.machine.deadline is not None

    @invariant()
    def cursor_decreases_by_audits_only(self) -> None:
        before, self.cursor = self.cursor, self.machine.cursor or {}
        assert all(self.cursor.get(origin, 0) >= seq for origin, seq in before.items())

    def teardown(self) -> None:
        """Heal: beacons tell the truth, servers have everything, audits are answered; the lists are equal."""
        everything = self.servers.vector()
        for turn in range(80):
            if self.asked is not None:
                self.answer(everything)
            if self.audit is not None:
                self.answer_audit(True)
            self.now += 6.0
            self.see(self.machine.tick(self.now))
            self.beacon(SERVERS[turn % 3], 0)
        want = [(ident_of(e), (e["clock"], e["origin"], e["seq"])) for e in self.servers.view(everything)]
        assert sorted(self.display.items(), key=lambda item: item[1]) == want
        assert self.machine.phase == "live"


TestSubscriber = Subscriber.TestCase
TestSubscriber.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, phases=[Phase.explicit, Phase.generate]
)
