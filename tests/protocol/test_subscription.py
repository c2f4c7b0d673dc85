"""Gap-free subscriptions: single cases, bad input, bounds; and the table."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from recado.protocol.copies import ident_digest
from recado.protocol.effects import Note
from recado.protocol.limits import SUBSCRIPTION_BUFFER_MAX, SUBSCRIPTION_IDENTS_MAX
from recado.protocol.publications import ident_of
from recado.protocol.subscription import Effect, Fetch, Moved, Show, Subscription


def message(
    seq: int, *, prev: int | None = None, origin: str = "a", clock: int | None = None, **fields: Any
) -> dict[str, Any]:
    """A channel message; by default each follows the one before it and has an id of its own."""
    body = {
        "channel": "geral",
        "user": "ana",
        "message": f"{origin}{seq}",
        "timestamp": 1,
        "clock": clock or 10 * seq,
        "origin": origin,
        "seq": seq,
        "prev": seq - 1 if prev is None else prev,
        "id": f"{origin}{seq}".encode(),
    }
    return body | fields


def live(have: Mapping[str, int] | None = None) -> Subscription:
    """A subscription whose first page was empty and covered `have`."""
    machine = Subscription()
    machine.tick(0.0)
    machine.page([], upto=have or {}, more=False, request_no=1, now=0.0)
    return machine


def texts(effects: Iterable[Effect]) -> list[str]:
    return [e.message["message"] for e in effects if isinstance(e, Show)]


def fetches(effects: Iterable[Effect]) -> list[Fetch]:
    return [e for e in effects if isinstance(e, Fetch)]


def test_publications_wait_for_the_first_page() -> None:
    """What arrives while the first page is out is shown after it, once, in order (E1)."""
    machine = Subscription()
    assert fetches(machine.tick(0.0)) == [Fetch(None, 1, 100)]
    assert machine.published(message(3), now=0.0) == []
    assert machine.published(message(2), now=0.0) == []
    effects = machine.page([message(1), message(2)], upto={"a": 2}, more=False, request_no=1, now=0.0)
    assert texts(effects) == ["a1", "a2", "a3"]
    assert machine.cursor == {"a": 3}


def test_next_is_shown_and_known_is_dropped() -> None:
    """A publication whose predecessor was seen is shown at once; a second copy of it is not (E2, E6)."""
    machine = live()
    assert texts(machine.published(message(1, id=None), now=0.0)) == ["a1"]
    assert texts(machine.published(message(2), now=0.0)) == ["a2"]
    assert machine.published(message(1, id=None), now=0.0) == []
    assert machine.cursor == {"a": 2}
    assert machine.deadline is None


def test_gap_is_filled_from_history() -> None:
    """A publication with a gap before it is held back until history brings what is between (E2, E4)."""
    machine = live()
    machine.published(message(1), now=0.0)
    assert machine.published(message(4), now=0.0) == [Fetch({"a": 1}, 2)]
    filled = machine.page([message(2), message(3)], upto={"a": 3}, more=False, request_no=2, now=0.0)
    assert texts(filled) == ["a2", "a3", "a4"]
    assert machine.phase == "live"


def test_gap_closed_by_a_late_publication_needs_no_page() -> None:
    """Reordered publications are shown in order when the missing one arrives after all."""
    machine = live()
    machine.published(message(2), now=0.0)
    assert texts(machine.published(message(1), now=0.0)) == ["a1", "a2"]


def test_lost_copy_does_not_keep_what_follows_back() -> None:
    """A copy that shows nothing still closes the gap before the next message of its origin."""
    machine = live()
    machine.published(message(1, id=b"x", message="oi"), now=0.0)
    machine.published(message(2, origin="b", message="after", clock=21), now=0.0)
    effects = machine.published(message(1, origin="b", id=b"x", message="oi", clock=20), now=0.0)
    assert texts(effects) == ["after"]


def test_beacon_finds_the_last_message_before_a_silence() -> None:
    """A head beyond what was seen leads to a fetch, one at or below it does not (E3)."""
    machine = live({"a": 5})
    assert machine.beacon({"a": 5, "b": 0}, now=0.0) == []
    assert fetches(machine.beacon({"a": 6}, now=0.0)) == [Fetch({"a": 5}, 2)]


def test_publication_can_overtake_the_page_that_a_beacon_wants() -> None:
    """If the wanted message arrives by itself while waiting, nothing more is fetched."""
    machine = live()
    machine.beacon({"a": 1}, now=0.0)
    machine.failed(2, now=0.0)
    machine.published(message(1), now=0.0)
    assert machine.deadline is None


def test_pages_continue_from_what_they_covered() -> None:
    """`more` asks on from the vector reached, not from the full one (A46)."""
    machine = Subscription({"a": 1})
    assert fetches(machine.tick(0.0)) == [Fetch({"a": 1}, 1)]
    first = machine.page([message(2)], upto={"a": 2}, more=True, request_no=1, now=0.0)
    assert fetches(first) == [Fetch({"a": 2}, 2)]
    machine.page([message(3)], upto={"a": 3, "b": 4}, more=False, request_no=2, now=0.0)
    assert machine.cursor == {"a": 3, "b": 4}


def test_publications_meanwhile_do_not_end_the_paging() -> None:
    """`more` is followed also if publications have already shown all that this page covers."""
    machine = live()
    machine.beacon({"b": 3}, now=0.0)
    machine.published(message(1), now=0.0)
    effects = machine.page([message(1)], upto={"a": 1}, more=True, request_no=2, now=0.0)
    assert effects == [Fetch({"a": 1}, 3)]


def test_page_that_promises_more_and_brings_nothing_ends() -> None:
    """A server that always says `more` and never advances can't keep a client asking without pause."""
    machine = Subscription({"a": 1})
    machine.tick(0.0)
    assert fetches(machine.page([], upto={"a": 1}, more=True, request_no=1, now=0.0)) == []
    assert machine.phase == "live"


def test_page_of_another_request_is_not_used() -> None:
    """A page counts only if it answers the request that is out (A40)."""
    machine = live()
    machine.beacon({"a": 2}, now=0.0)
    effects = machine.page([message(1)], upto={"a": 2}, more=False, request_no=1, now=0.0)
    assert texts(effects) == []
    assert machine.phase == "fetching"


def test_copy_of_a_retry_is_shown_once_and_moves_up() -> None:
    """Two entries of one ident: the first to arrive is shown, a smaller place moves it (E5)."""
    machine = live()
    late_copy = message(1, origin="b", clock=20, id=b"x", message="oi")
    early_copy = message(1, origin="a", clock=10, id=b"x", message="oi")
    assert texts(machine.published(late_copy, now=0.0)) == ["oi"]
    assert machine.published(early_copy, now=0.0) == [Moved(b"x", (20, "b", 1), (10, "a", 1))]
    assert machine.published(message(1, origin="c", clock=15, id=b"x", message="oi"), now=0.0) == []
    assert machine.cursor == {"a": 1, "b": 1, "c": 1}


def test_reused_id_with_other_content_is_another_message() -> None:
    """Same author, same id, other text: both are shown (A10)."""
    machine = live()
    machine.published(message(1, id=b"x"), now=0.0)
    assert texts(machine.published(message(2, id=b"x"), now=0.0)) == ["a2"]


def test_late_says_that_the_place_is_further_up() -> None:
    """A message of a cut-off server, ordered before one on display, is marked late."""
    machine = live()
    machine.published(message(1, clock=50), now=0.0)
    effects = machine.published(message(1, origin="b", clock=40), now=0.0)
    assert [e.late for e in effects if isinstance(e, Show)] == [True]


def test_publications_of_other_projects_are_shown_as_they_are() -> None:
    """Without origin and seq there is no gap to see: shown at once, also while opening."""
    body = {"user": "eva", "message": "oi", "channel": "geral", "timestamp": 1, "clock": 2}
    assert Subscription().published(body, now=0.0) == [Show(body, late=False)]
    assert live().published(body, now=0.0) == [Show(body, late=False)]


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": 7},
        {"origin": ""},
        {"origin": None},
        {"seq": "1"},
        {"seq": True},
        {"seq": 0, "prev": 0},
        {"prev": 1},
        {"prev": -1},
        {"clock": 1.5},
        {"clock": None},
    ],
)
def test_junk_places_are_refused(fields: dict[str, Any]) -> None:
    """A body that names a senseless place is noted, shown nowhere and changes nothing."""
    machine = live()
    effects = machine.published(message(1) | fields, now=0.0)
    assert [type(e) for e in effects] == [Note]
    assert machine.cursor == {}
    machine.beacon({"a": 1}, now=0.0)
    paged = machine.page([message(1) | fields], upto={"a": "x", 3: 4}, more=False, request_no=2, now=0.0)
    assert texts(paged) == []
    assert machine.cursor == {}


def test_failed_history_is_asked_again_ever_more_seldom() -> None:
    """After a failure the machine waits 0.25, 0.5, ... 5 s, and prefers another server."""
    machine, now, pauses = live(), 0.0, []
    machine.published(message(2), now=now)
    for request_no in range(2, 9):
        machine.failed(request_no, now=now)
        assert machine.deadline is not None
        pauses.append(machine.deadline - now)
        assert fetches(machine.tick(machine.deadline - 0.01)) == []
        now = machine.deadline
        (fetch,) = fetches(machine.tick(now))
        assert fetch.elsewhere
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_lying_beacons_cost_one_request_in_five_seconds() -> None:
    """A head that no server has is fetched for a few times and then at most every five seconds."""
    machine, requests = live(), 0
    for second in range(600):
        now = second / 10
        effects = machine.beacon({"a": 2**53}, now=now) if second % 5 == 0 else machine.tick(now)
        for fetch in fetches(effects):
            requests += 1
            machine.page([], upto={}, more=False, request_no=fetch.request_no, now=now)
    assert requests <= 5 + 60 / 5


def test_held_publications_are_bounded_and_none_is_lost() -> None:
    """Beyond the buffer publications are not kept; the machine remembers to fetch them."""
    machine = live()
    count = SUBSCRIPTION_BUFFER_MAX + 50
    for seq in range(2, count + 2):
        machine.published(message(seq), now=0.0)
    assert machine._held.messages == SUBSCRIPTION_BUFFER_MAX
    effects = machine.page([message(1)], upto={"a": 1}, more=False, request_no=2, now=0.0)
    assert len(texts(effects)) == 1 + SUBSCRIPTION_BUFFER_MAX
    assert machine.deadline is not None
    (fetch,) = fetches(machine.tick(machine.deadline))
    rest = [message(seq) for seq in range(SUBSCRIPTION_BUFFER_MAX + 2, count + 2)]
    effects = machine.page(rest, upto={"a": count + 1}, more=False, request_no=fetch.request_no, now=1.0)
    assert len(texts(effects)) == 50
    assert machine.phase == "live"


def test_remembered_idents_are_bounded() -> None:
    """The memory that recognises copies forgets the oldest."""
    machine = live()
    for seq in range(1, SUBSCRIPTION_IDENTS_MAX + 100):
        machine.published(message(seq), now=0.0)
    assert len(machine._copies) == SUBSCRIPTION_IDENTS_MAX


def test_cursor_continues_where_the_last_one_ended() -> None:
    """A new machine with the old one's cursor shows only what came after it."""
    old = live()
    old.published(message(1), now=0.0)
    new = Subscription(old.cursor)
    (fetch,) = fetches(new.tick(0.0))
    assert fetch.since == {"a": 1}
    effects = new.page([message(2)], upto={"a": 2}, more=False, request_no=1, now=0.0)
    assert texts(effects) == ["a2"]
    assert Subscription().cursor is None


def test_nothing_published_before_the_first_page_is_skipped() -> None:
    """Far more publications than can be held, before the first page: all of them are shown, once (E1)."""
    machine = Subscription(backlog=1)
    machine.tick(0.0)
    for seq in range(5, 3005):
        assert machine.published(message(seq), now=0.0) == []
    last = [message(seq) for seq in range(2905, 3005)]
    shown = texts(machine.page([*last], upto={"a": 3004}, more=False, request_no=1, now=0.0))
    while machine.phase != "live":
        assert machine.deadline is not None
        (fetch,) = fetches(machine.tick(machine.deadline))
        assert fetch.since is not None
        page = [message(seq) for seq in range(fetch.since["a"] + 1, min(3005, fetch.since["a"] + 1001))]
        effects = machine.page(
            page, upto={"a": page[-1]["seq"]}, more=False, request_no=fetch.request_no, now=1.0
        )
        shown += texts(effects)
    assert shown == [f"a{seq}" for seq in range(5, 3005)]


def test_backlog_is_from_before_the_subscription() -> None:
    """`backlog` counts what came before; what was published meanwhile comes in any case."""
    machine = Subscription(backlog=2)
    machine.tick(0.0)
    machine.published(message(6), now=0.0)
    page = [message(seq) for seq in range(1, 7)]
    effects = machine.page(page, upto={"a": 6}, more=True, request_no=1, now=0.0)
    assert texts(effects) == ["a4", "a5", "a6"]


def test_what_was_seen_is_left_out_of_the_last_messages() -> None:
    """With `seen` the last messages are those that the vector does not cover."""
    machine = Subscription(backlog=3, seen={"a": 4})
    machine.tick(0.0)
    page = [message(seq) for seq in range(1, 7)]
    assert texts(machine.page(page, upto={"a": 6}, more=True, request_no=1, now=0.0)) == ["a5", "a6"]


def test_known_idents_are_not_shown_again() -> None:
    """A copy of a message that an earlier subscription showed is recognised by its digest (E5)."""
    first = message(1, id=b"x", message="oi")
    ident = ident_of(first)
    assert ident is not None
    machine = Subscription({"a": 1}, known=[ident_digest(ident)])
    machine.tick(0.0)
    machine.page([], upto={"a": 1}, more=False, request_no=1, now=0.0)
    assert machine.published(message(1, origin="b", clock=5, id=b"x", message="oi"), now=0.0) == []
    assert machine.cursor == {"a": 1, "b": 1}
