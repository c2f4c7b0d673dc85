"""The Lamport clock, with a budget for clients' values (A13)."""

from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.lamport import CEILING_MAX, CEILING_MIN, LamportClock, ceiling
from recado.protocol.limits import CLIENT_ADVANCE_BURST, CLIENT_ADVANCE_PER_REQUEST, LAMPORT_LIMIT


def test_the_mission_s_login() -> None:
    """Client sends 1, server 2, replies 3, client 4."""
    client, server = LamportClock(), LamportClock()
    sent = client.tick()
    received = server.receive_unsigned(sent, now=0.0)
    replied = server.reply_to(sent)
    assert (sent, received, replied, client.receive(replied)) == (1, 2, 3, 4)


@given(st.lists(st.integers(0, LAMPORT_LIMIT - 1), max_size=50))
def test_no_client_moves_the_clock_beyond_its_budget(values: list[int]) -> None:
    """In one instant all clients together move it by the burst and their number, whatever they say."""
    server = LamportClock()
    for value in values:
        before = server.value
        server.receive_unsigned(value, now=0.0)
        assert before < server.value <= before + CLIENT_ADVANCE_PER_REQUEST + 1
        assert server.reply_to(value) > value
    assert server.value <= CLIENT_ADVANCE_BURST + 2 * len(values)


def test_the_budget_comes_back_with_time() -> None:
    """An honest client ahead of a lagging server is followed step by step."""
    server = LamportClock()
    for second in range(200):
        server.receive_unsigned(10**6, now=float(second))
    assert server.value > CLIENT_ADVANCE_BURST


def test_trusted_values_are_adopted_in_full_but_never_to_the_limit() -> None:
    """A peer's clock is taken as it is; the next stamp is still valid."""
    server = LamportClock()
    assert server.receive(10**12) == 10**12 + 1
    assert server.receive(LAMPORT_LIMIT + 5) < LAMPORT_LIMIT


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=20))
def test_the_ceiling_goes_with_time(times: list[float]) -> None:
    """At any time, however absurd, it is within its bounds, and it never falls while time rises."""
    stamps = [ceiling(now) for now in sorted(times)]
    assert stamps == sorted(stamps)
    assert 2**40 == CEILING_MIN <= stamps[0] <= stamps[-1] <= CEILING_MAX == LAMPORT_LIMIT - 2**40


@given(st.floats(1.7e9, 4e9), st.integers(0, 10**6))
def test_who_was_pushed_to_the_ceiling_is_believed_soon(now: float, counted: int) -> None:
    """A clock there that goes on counting is below it a second later; a day's difference is a day."""
    assert ceiling(now) + counted <= ceiling(now + 1.001)
    assert ceiling(now) <= ceiling(now - 86_400) + 86_400 * 10**6 + 1


def test_the_ceiling_s_end_is_far() -> None:
    """A stamp of the year 2254 is still below it."""
    in_2254 = 284 * 365.25 * 86_400
    assert ceiling(in_2254) < CEILING_MAX
