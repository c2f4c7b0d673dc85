"""Gap-free subscriptions when a server lacks the names of who speaks."""

from typing import Any

import pytest
from test_subscription import fetches, live, message, texts

from recado.protocol.nameless import PAGES_PUT_OFF_MAX
from recado.protocol.publications import is_nameless
from recado.protocol.subscription import Lost, Subscription

UNKNOWN = {"user": "?"}


def _tries(machine: Subscription, *entries: dict[str, Any], upto: dict[str, int]) -> list[str]:
    """The same page over and over, until something of it is shown."""
    shown, now = list[str](), 0.0
    for _ in range(PAGES_PUT_OFF_MAX + 1):
        assert not shown
        (fetch,) = fetches(machine.tick(now)) or [None]
        request_no = machine._request if fetch is None else fetch.request_no
        assert request_no is not None
        shown = texts(machine.page(entries, upto=upto, more=False, request_no=request_no, now=now))
        now = now if machine.deadline is None else machine.deadline
    assert now < 5.0
    return shown


def test_page_that_lacks_a_name_is_asked_for_elsewhere() -> None:
    """Nothing is shown as `?` while another server may know who it was, and then it is shown once (E4)."""
    machine = live()
    machine.beacon({"a": 2}, now=0.0)
    page = [message(1), message(2, **UNKNOWN)]
    assert texts(machine.page(page, upto={"a": 2}, more=False, request_no=2, now=0.0)) == []
    assert machine.cursor == {}
    assert machine.deadline == 0.25
    (again,) = fetches(machine.tick(0.25))
    assert (again.since, again.elsewhere) == ({}, 1)
    page = [message(1), message(2)]
    assert texts(machine.page(page, upto={"a": 2}, more=False, request_no=3, now=0.3)) == ["a1", "a2"]
    assert machine.phase == "live"


def test_first_page_waits_for_names_too() -> None:
    """The last messages before the subscription are shown when their authors are known."""
    machine = Subscription()
    machine.tick(0.0)
    assert (
        texts(machine.page([message(1, **UNKNOWN)], upto={"a": 1}, more=False, request_no=1, now=0.0)) == []
    )
    assert machine.phase == "opening"
    machine.tick(0.25)
    assert texts(machine.page([message(1)], upto={"a": 1}, more=False, request_no=2, now=0.3)) == ["a1"]


@pytest.mark.parametrize("machine", [Subscription(), Subscription({"b": 1})], ids=["anew", "resumed"])
def test_name_that_nobody_knows_is_not_waited_for_for_ever(machine: Subscription) -> None:
    """After five pages, within five seconds, `?` is what there is; the next gap is waited at again."""
    assert _tries(machine, message(1, **UNKNOWN), upto={"a": 1}) == ["a1"]
    machine.beacon({"a": 2}, now=9.0)
    assert _tries(machine, message(2, **UNKNOWN), upto={"a": 2}) == ["a2"]


def test_what_was_seen_without_a_name_delays_nothing() -> None:
    """Of a page only what is new needs names; what no place tells apart is not judged by its names."""
    machine = live({"a": 1})
    machine.beacon({"a": 2}, now=0.0)
    page = [
        message(1, **UNKNOWN),
        message(2),
        {"user": "?", "message": "x"},
        message(3, **UNKNOWN, clock="x"),
    ]
    shown = texts(machine.page(page, upto={"a": 2}, more=False, request_no=2, now=0.0))
    assert sorted(shown) == ["a2", "x"]


def test_publication_without_a_name_is_a_hint() -> None:
    """What comes without a name, from whatever source, is fetched with one; its copy is not shown twice."""
    machine = live()
    effects = machine.published(message(1, **UNKNOWN), now=0.0)
    assert texts(effects) == []
    assert fetches(effects)
    assert texts(machine.page([message(1)], upto={"a": 1}, more=False, request_no=2, now=0.0)) == ["a1"]
    assert machine.published(message(1, origin="b", clock=99, id=b"a1", message="a1"), now=0.0) == []


def test_publication_without_a_name_waits_for_the_first_page() -> None:
    """It counts as new, and is not shown from memory when the page has come."""
    machine = Subscription()
    machine.tick(0.0)
    machine.published(message(1, **UNKNOWN), now=0.0)
    assert texts(machine.page([message(1)], upto={"a": 1}, more=False, request_no=1, now=0.0)) == []
    (after,) = fetches(machine.tick(1.0))
    assert after.since == {}
    assert texts(machine.page([message(1)], upto={"a": 1}, more=False, request_no=2, now=1.0)) == ["a1"]


def test_copy_of_a_lost_message_is_looked_for_until_its_author_has_a_name() -> None:
    """After a lost disk the page with the other copies is put off likewise, also if it was seen before."""
    machine = live({"b": 4})
    machine.published(message(1), now=0.0)
    machine.beacon({}, now=0.0, server="", boot="1", vector={"a": 0})
    assert any(isinstance(effect, Lost) for effect in machine.audited({}, now=0.0))
    hidden = message(3, origin="b", clock=12, id=b"a1", message="a1")
    machine.page([hidden | UNKNOWN], upto={"b": 4}, more=False, request_no=2, now=0.0)
    (again,) = fetches(machine.tick(0.25))
    assert again.since is None
    assert texts(machine.page([hidden], upto={"b": 4}, more=False, request_no=3, now=0.3)) == ["a1"]


@pytest.mark.parametrize(
    ("fields", "nameless"),
    [
        ({"user": "?", "channel": "c"}, True),
        ({"user": "ana", "channel": "?"}, False),
        ({"src": "?", "from": "?", "dst": "ana"}, True),
        ({"from": "?", "dst": "ana"}, True),
        ({"src": "ana", "from": "ana", "dst": "?"}, True),
        ({"src": "ana", "from": "ana", "dst": "bia"}, False),
        ({"message": "?"}, False),
    ],
)
def test_which_names_are_missing(fields: dict[str, Any], nameless: bool) -> None:
    """Authors and receivers can be unknown; a channel may be called `?`."""
    assert is_nameless(fields) is nameless
