"""The Lamport clock, with a budget for clients' values (A13)."""

from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.lamport import LamportClock
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
