"""Gap-free subscriptions when a server's disk is lost (E8)."""

from test_subscription import fetches, live, message, texts
from test_subscription_table import _audited, _doubted, _seen_one

from recado.protocol.subscription import Audit, Lost, Moved


def test_a_lagging_server_is_no_lost_disk() -> None:
    """Less of another server's origin leads to no audit if somebody has it within ten seconds (A45)."""
    machine = _doubted()
    assert machine.deadline == 10.0
    assert machine.tick(9.9) == []
    machine.beacon({}, now=9.9, server="y", boot="1", vector={"a": 2})
    assert machine.deadline is None


def test_lost_disk_rolls_back() -> None:
    """What no member has any more is told, its copies may be shown again, history is asked anew (E8)."""
    machine = _audited()
    effects = machine.audited({"a": 1}, now=11.0)
    assert Lost(b"a2", (20, "a", 2)) in effects
    (last,) = fetches(effects)
    assert (last.since, last.request_no) == (None, 2)
    (after,) = fetches(machine.page([message(1)], upto={"a": 1}, more=False, request_no=2, now=11.0))
    assert after.since == {"a": 1}
    again = message(1, origin="b", clock=50, id=b"a2", message="a2")
    effects = machine.page([again], upto={"a": 1, "b": 1}, more=False, request_no=3, now=11.0)
    assert texts(effects) == ["a2"]
    assert machine.phase == "live"


def test_lost_copy_moves_the_message_to_the_next_one() -> None:
    """A message whose first copy is lost stands where its second one does."""
    machine = _seen_one()
    machine.published(message(1, origin="b", clock=99, id=b"a1", message="a1"), now=0.0)
    machine.beacon({}, now=0.0, server="", boot="1", vector={"a": 0})
    effects = machine.audited({"b": 1}, now=0.0)
    assert Moved(b"a1", (10, "a", 1), (99, "b", 1)) in effects
    assert not any(isinstance(effect, Lost) for effect in effects)


def test_lost_message_with_a_hidden_copy_is_found_again() -> None:
    """A copy that pages left out, since the lost one stood before it, is shown in its stead."""
    machine = live({"b": 4})
    machine.published(message(1), now=0.0)
    machine.beacon({}, now=0.0, server="", boot="1", vector={"a": 0})
    effects = machine.audited({}, now=0.0)
    assert Lost(b"a1", (10, "a", 1)) in effects
    hidden = message(3, origin="b", clock=12, id=b"a1", message="a1")
    found = machine.page([hidden], upto={"b": 4}, more=False, request_no=2, now=0.0)
    assert texts(found) == ["a1"]


def test_page_of_before_a_rollback_is_forgotten() -> None:
    """A page that was asked for with the old cursor covers nothing after the rollback."""
    machine = _audited()
    (fetch,) = fetches(machine.published(message(9, origin="b"), now=10.0))
    machine.audited({"a": 1}, now=11.0)
    effects = machine.page([message(8)], upto={"a": 9}, more=False, request_no=fetch.request_no, now=11.0)
    assert texts(effects) == []
    assert machine.cursor == {"a": 1}


def test_unanswered_audits_are_repeated_ever_more_seldom() -> None:
    """While a member does not answer nothing is rolled back, and the pauses grow to five minutes."""
    machine, now, pauses = _audited(), 10.0, []
    for _ in range(8):
        assert machine.audited(None, now=now) == []
        assert machine.deadline is not None
        pauses.append(machine.deadline - now)
        now = machine.deadline
        assert machine.tick(now) == [Audit({"a": 2})]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]
    assert machine.cursor == {"a": 2}


def test_a_server_that_starts_is_asked_soon() -> None:
    """However long the pause has grown: the member that did not answer may be back (A44)."""
    machine, now = _audited(), 10.0
    for _ in range(8):
        machine.audited(None, now=now)
        assert machine.deadline is not None
        now = machine.deadline
        machine.tick(now)
    machine.audited(None, now=now)
    machine.beacon({}, now=now + 1.0, server="z", boot="another", vector={})
    assert machine.deadline == now + 6.0
    assert [type(effect) for effect in machine.tick(now + 6.0)] == [Audit]
