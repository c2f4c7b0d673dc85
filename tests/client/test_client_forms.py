"""In which form a subscription asks for its topics, as beacons tell it which there are."""

from recado.forms import SETTLED_SECONDS, Forms
from recado.protocol.publications import run_topic, single_topic
from recado.wire.ports import Publication

SINGLE, RUNS = {b"geral"}, {run_topic(b"geral")}


class Asked:
    """A subscriber that notes what it was asked for."""

    def __init__(self) -> None:
        self.topics: set[bytes] = set()

    def subscribe(self, topic: bytes) -> None:
        self.topics.add(topic)

    def unsubscribe(self, topic: bytes) -> None:
        self.topics.discard(topic)

    async def receive_batch(self, most: int = 1) -> list[Publication]:
        raise AssertionError(most)


def following() -> tuple[Asked, Forms]:
    asked = Asked()
    forms = Forms(asked)
    forms.follow(b"geral")
    return asked, forms


def test_no_single_topic_is_the_beginning_of_a_run_s() -> None:
    """A name's topic, and a beginning of one, never takes a run; a run's topic belongs to one name alone."""
    assert not run_topic(b"geral").startswith((b"g", b"geral"))
    assert not run_topic(b"geral").startswith(run_topic(b"ge"))
    assert [single_topic(topic) for topic in (b"geral", run_topic(b"geral"))] == [None, b"geral"]


def test_runs_are_asked_for_once_a_server_publishes_them() -> None:
    """Both forms for a while, then runs alone; what is followed later on is asked for in the same form."""
    asked, forms = following()
    assert asked.topics == SINGLE
    forms.beacon(runs=True, now=100.0)
    assert asked.topics == SINGLE | RUNS
    forms.beacon(runs=True, now=99.9 + SETTLED_SECONDS)
    assert asked.topics == SINGLE | RUNS
    forms.beacon(runs=True, now=100.0 + SETTLED_SECONDS)
    assert asked.topics == RUNS
    forms.follow(b"outro")
    forms.leave(b"geral")
    assert asked.topics == {run_topic(b"outro")}


def test_one_server_without_runs_keeps_the_single_form() -> None:
    """While one of them says no runs, both are asked for, at once and as long as it does."""
    asked, forms = following()
    for second in range(0, 60, 2):
        forms.beacon(runs=True, now=float(second))
        forms.beacon(runs=False, now=second + 1.0)
        assert asked.topics == SINGLE | RUNS
    forms.beacon(runs=True, now=60.0)
    forms.beacon(runs=True, now=60.0 + SETTLED_SECONDS)
    assert asked.topics == RUNS
    forms.beacon(runs=False, now=80.0)
    assert asked.topics == SINGLE | RUNS


def test_servers_of_before_runs_are_asked_as_before() -> None:
    """No beacon speaks of runs: nothing but the single form is ever asked for."""
    asked, forms = following()
    for second in range(60):
        forms.beacon(runs=False, now=float(second))
    assert asked.topics == SINGLE
    forms.leave(b"geral")
    assert asked.topics == set()
