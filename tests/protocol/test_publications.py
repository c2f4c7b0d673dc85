"""Publications as the contract has them, through the codec."""

from typing import Any

import pytest

from recado.protocol import codec, names
from recado.protocol.entry import EMPTY, seal
from recado.protocol.errors import Malformed
from recado.protocol.messages import Entry, Epoch, Kind
from recado.protocol.publications import (
    BEACON_TOPIC,
    COORDINATOR_TOPIC,
    beacon,
    beacon_heads,
    channel_message,
    concerns,
    coordinator_announcement,
    ident_of,
    in_run,
    out_of_run,
    place_of,
    run_head,
    seqs,
    target_key,
    topic,
    user_message,
)

ORIGIN = "server-1.0123456789abcdef"


def entry(kind: Kind, target: str | bytes, *, wall_ms: int = 1_700_000_000_999) -> Entry:
    return seal(
        EMPTY,
        origin=ORIGIN,
        lamport=7,
        wall_ms=wall_ms,
        kind=kind,
        author=names.uid("ana"),
        id=b"id-1",
        target=target,
        prev=0,
        body="olá".encode(),
    )


def over_the_wire(body: dict[str, Any]) -> dict[str, Any]:
    return codec.decode_publication(codec.pack(body))


COMMON = {
    "message": "olá",
    "timestamp": 1_700_000_000,
    "clock": 7,
    "origin": ORIGIN,
    "seq": 1,
    "prev": 0,
    "id": b"id-1",
}


def test_channel_message_is_the_contracts_map() -> None:
    """Flat, with whole seconds and the entry's own stamp; our fields come after the contract's."""
    body = over_the_wire(channel_message(entry(Kind.CHANNEL_MESSAGE, "geral"), user="ana"))
    assert body == {"channel": "geral", "user": "ana", **COMMON}
    assert type(body["timestamp"]) is int
    assert list(body)[:5] == ["channel", "user", "message", "timestamp", "clock"]


@pytest.mark.parametrize("kind", [Kind.CHANNEL_MESSAGE, Kind.USER_MESSAGE])
def test_a_run_s_messages_are_the_single_ones(kind: Kind) -> None:
    """What stands in the head and what in each message make the same map, another second's too."""
    target = "geral" if kind is Kind.CHANNEL_MESSAGE else names.uid("bia")
    first, later = entry(kind, target), entry(kind, target, wall_ms=1_700_000_001_999)
    head = run_head(first, dst="bia")
    single = [
        channel_message(one, user="ana")
        if kind is Kind.CHANNEL_MESSAGE
        else user_message(one, src="ana", dst="bia")
        for one in (first, later)
    ]
    assert out_of_run([head, *(in_run(one, head, author="ana") for one in (first, later))]) == single
    assert "timestamp" not in in_run(first, head, author="ana")
    assert out_of_run([]) == out_of_run([head]) == []


def test_direct_message_names_its_author_twice() -> None:
    """`from` and `src` both, since clients ask for either."""
    body = over_the_wire(user_message(entry(Kind.USER_MESSAGE, names.uid("bia")), src="ana", dst="bia"))
    assert body == {"from": "ana", "src": "ana", "dst": "bia", **COMMON}


def test_coordinator_announcement_is_an_envelope() -> None:
    """On `servers`, as other projects read it; the epoch is added, as the array that requests carry."""
    plain = coordinator_announcement("server-3", timestamp=1, clock=2)
    assert plain == {"service": "election", "data": {"coordinator": "server-3", "timestamp": 1, "clock": 2}}
    ours = coordinator_announcement("server-3", timestamp=1, clock=2, epoch=Epoch(4, 3, "server-3", "b"))
    assert over_the_wire(ours)["data"]["epoch"] == [4, 3, "server-3", "b"]
    assert COORDINATOR_TOPIC.decode() in names.RESERVED_TOPICS


def test_beacon_tells_heads_by_target() -> None:
    """A channel and a user of one name have different keys; a reader finds its own."""
    heads = {target_key("ana"): {ORIGIN: 3}, target_key(names.uid("ana")): {ORIGIN: 5}}
    body = over_the_wire(
        beacon(server="server-1", boot="b", heads=heads, vector={ORIGIN: 9}, timestamp=1, clock=2)
    )
    assert set(body) == {"server", "boot", "heads", "vector", "majority", "all", "timestamp", "clock"}
    assert beacon_heads(body, "#ana") == {ORIGIN: 3}
    assert beacon_heads(body, "@" + names.uid("ana").hex()) == {ORIGIN: 5}
    assert beacon_heads(body, "#bia") == {}


def test_no_name_can_take_the_beacons_topic() -> None:
    """No channel's topic is a prefix of the beacons', nor the beacons' of a channel's."""
    assert BEACON_TOPIC.startswith(b"\0")
    assert not topic("geral").startswith(b"\0")


@pytest.mark.parametrize("junk", [{}, {"heads": 3}, {"heads": {"#a": 3}}, {"heads": [1]}])
def test_junk_beacons_have_no_heads(junk: Any) -> None:
    """A beacon of any shape is read without raising, and says nothing."""
    assert beacon_heads(junk, "#a") == {}


def test_senseless_seqs_are_left_out() -> None:
    """Only origin → positive whole number is taken from the wire."""
    assert seqs(None) == seqs([("a", 1)]) == {}
    assert seqs({"a": 1, "b": 0, "c": -1, "d": "2", "e": True, b"f": 3, "g": 1.0}) == {"a": 1}


def test_topics_are_shared_and_bodies_are_not() -> None:
    """User `ana`, channel `ana` and user `anabel` are told apart by the body."""
    direct = {"src": "bia", "dst": "ana"}
    assert concerns(direct, user="ana")
    assert concerns({"from": "ana", "dst": "eva"}, user="ana")
    assert not concerns({"src": "bia", "dst": "anabel"}, user="ana")
    assert not concerns(direct, channel="ana")
    assert concerns({"channel": "ana", "user": "bia"}, channel="ana")
    assert concerns({"user": "bia", "message": "of another project"}, channel="ana")
    assert not concerns({"channel": "anabel", "user": "bia"}, channel="ana")
    assert not concerns({"channel": "ana", "user": "ana"}, user="ana")


def test_place_and_ident_survive_the_wire() -> None:
    """What a reader orders and recognises copies by is what the entry says."""
    sealed = entry(Kind.CHANNEL_MESSAGE, "geral")
    body = over_the_wire(channel_message(sealed, user="ana"))
    place = place_of(body)
    assert place is not None
    assert place.key == sealed.key
    assert ident_of(body) == ident_of(body | {"seq": 9, "clock": 99, "timestamp": 5})
    assert ident_of(body) != ident_of(body | {"message": "tchau"})
    assert ident_of(body | {"id": None}) is None
    assert place_of({"message": "of another project"}) is None
    with pytest.raises(Malformed):
        place_of(body | {"seq": "1"})
