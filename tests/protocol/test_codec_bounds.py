"""The codec's bounds: what anybody may send, what servers may send each other, clocks of any type."""

from typing import Any

import pytest

from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import CLIENT_MAP_ITEMS_MAX, LAMPORT_LIMIT, PEER_MAP_ITEMS_MAX

LONG = {f"server-1.{n:016x}": 1 for n in range(CLIENT_MAP_ITEMS_MAX + 1)}


@pytest.mark.parametrize(
    ("service", "field"), [("sync", "vector"), ("history", "since"), ("users", "session"), ("audit", "have")]
)
def test_a_vector_may_be_longer_than_other_maps(service: str, field: str) -> None:
    """A cluster that has been started 1,025 times still compares vectors, whatever the frame's size."""
    decoded = codec.decode_request(codec.encode(service, {field: LONG}))
    assert getattr(decoded.data, field) == LONG
    assert codec.decode_reply(codec.encode(service, {"upto": LONG})).data["upto"] == LONG


@pytest.mark.parametrize("data", [{"id": LONG, "user": "ana"}, {**LONG, "user": "ana"}])
def test_other_maps_of_clients_stay_short(data: dict[str, Any]) -> None:
    """A map beyond the clients' limit is refused with the service to echo."""
    with pytest.raises(Malformed) as caught:
        codec.decode_request(codec.encode("login", data))
    assert caught.value.service == "login"


def test_no_map_is_longer_than_a_peer_s() -> None:
    """Beyond the limit of servers nothing is decoded."""
    with pytest.raises(Malformed):
        codec.unpack(codec.pack({str(n): None for n in range(PEER_MAP_ITEMS_MAX + 1)}))


@pytest.mark.parametrize(
    "clock", ["7", b"7", True, [], {}, float("nan"), float("inf"), 0.5, -1, LAMPORT_LIMIT]
)
def test_a_clock_that_is_none_is_malformed(clock: Any) -> None:
    """Whatever stands where a clock should be, the one error is `Malformed`: nothing else stops a task."""
    with pytest.raises(Malformed):
        codec.lamport(clock)


@pytest.mark.parametrize(
    ("clock", "value"), [(None, 0), (0, 0), (7, 7), (7.0, 7), (LAMPORT_LIMIT - 1.0, LAMPORT_LIMIT - 1)]
)
def test_a_clock_may_be_missing_or_an_integral_float(clock: Any, value: int) -> None:
    """Some clients send none, others send floats."""
    assert codec.lamport(clock) == value


def test_lists_of_replies_are_bounded_by_the_frame_alone() -> None:
    """A reply with 5,000 names is read; a request with a list as long is malformed."""
    long = [f"canal-{n}" for n in range(5000)]
    assert codec.decode_reply(codec.encode("channels", {"channels": long})).data["channels"] == long
    with pytest.raises(Malformed):
        codec.decode_request(codec.encode("sync", {"v": 2, "stopped": long}))
