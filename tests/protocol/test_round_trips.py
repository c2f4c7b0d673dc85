"""How long a client waits for a server, by the answers it has had."""

import pytest

from recado.protocol.limits import ROUND_TRIPS_MAX
from recado.protocol.round_trips import KNOWN_SECONDS_MAX, RoundTrips


def trips(*seconds: float) -> RoundTrips:
    """After answers that took so long."""
    known = RoundTrips(seconds_min=1.25, seconds_max=3.0)
    for each in seconds:
        known.answered("a", each)
    return known


def test_of_an_unknown_server_the_most_is_expected() -> None:
    """A first attempt gets all the time there is, also after failures."""
    known = trips()
    assert known.timeout("a") == 3.0
    known.silent("a")
    assert known.timeout("a") == 3.0


def test_a_quick_server_gets_the_least() -> None:
    """Who answers in milliseconds is left after the least time, and others are not judged by it."""
    known = trips(0.002, 0.003)
    assert known.timeout("a") == 1.25
    assert known.timeout("b") == 3.0


def test_a_slow_server_gets_what_it_needs() -> None:
    """Answers that take 1.5 s, more or less, are waited for; longer ones after one attempt in vain."""
    assert 1.6 < trips(*[1.4, 1.6] * 20).timeout("a") < KNOWN_SECONDS_MAX
    known = trips(2.9, 0.1, 2.9)
    assert known.timeout("a") == KNOWN_SECONDS_MAX
    known.silent("a")
    assert known.timeout("a") == 3.0


def test_silence_doubles_until_an_answer() -> None:
    """Each attempt in vain doubles the next one's time; an answer ends that."""
    known = trips(0.01)
    known.silent("a")
    assert known.timeout("a") == 2.5
    known.silent("a")
    assert known.timeout("a") == 3.0
    known.answered("a", 0.01)
    assert known.timeout("a") == pytest.approx(1.25)


def test_the_memory_is_bounded() -> None:
    """Whose answer is longest ago is forgotten."""
    known = trips(0.01)
    for number in range(ROUND_TRIPS_MAX):
        known.answered(f"{number}", 0.01)
    assert known.timeout("a") == 3.0
    assert known.timeout("0") == 1.25
