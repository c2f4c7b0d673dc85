"""The fixtures' bytes over real sockets, and every reply read as a strict Go client reads it."""

import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from plain_client import World
from processes import until
from running_cluster import Cluster

# The fixtures have a room of their own; pytest puts only the rooms of collected tests on the path.
sys.path.append(str(Path(__file__).parents[1] / "contract"))

from fixtures import LANGUAGES, Fixture, all_fixtures, read
from strict_go import (
    CHANNEL_PUBLICATION,
    DIRECT_PUBLICATION,
    REPLIES,
    decode,
    decode_error,
    decode_reply,
)

pytestmark = [pytest.mark.system, pytest.mark.slow]
SUCCESS = {"login": "sucesso", "channel": "sucesso", "publish": "OK", "message": "OK", "replicate": "OK"}
SUCCESS |= {"heartbeat": "OK"}
ERRORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("login", {"user": "go-erro"}),
    ("login", {"user": ""}),
    ("channel", {"channel": "go-erro"}),
    ("publish", {"user": "go-erro", "channel": "go-nada", "message": "oi"}),
    ("publish", {"user": "go-erro", "channel": "go-erro", "message": ""}),
    ("publish", {"user": 3, "channel": [], "message": 0.5}),
    ("message", {"src": "go-erro", "dst": "go-nada", "message": "oi"}),
    ("teleporte", {}),
)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_fixture_is_answered_for_a_strict_client(
    plain_cluster: Cluster, world: World, language: Any
) -> None:
    """All requests of a language in their order: carried out, and the replies fit declared structs."""
    plain_cluster.wait_for_log("server-1", "clock adjusted", seconds=30)
    held = read(language.name)
    ends = {
        "server": world.client(plain_cluster.servers[0]),
        "reference": world.client(plain_cluster.summary["reference"]),
    }
    for fixture in (fixture for fixture in all_fixtures() if fixture.language == language):
        _check(fixture, ends[fixture.to].exchange(held[fixture.name]))


def _check(fixture: Fixture, raw: bytes) -> None:
    if fixture.service == "adjust":  # a coordinator of ours is at work: no plain one moves the clock
        data = decode_error(raw, fixture.service)
    else:
        data = decode_reply(raw, fixture.service)
        assert data.get("status") == SUCCESS.get(fixture.service), fixture.name
    assert data["clock"] > fixture.stamp.clock, fixture.name
    for said in data.get("messages", ()):
        assert said["timestamp"] > 0


def test_errors_fit_a_strict_client(plain_cluster: Cluster, world: World) -> None:
    """Every kind of error carries its text under both names, and stamps that fit declared integers."""
    client = world.client(plain_cluster.servers[0])
    client.ask("login", user="go-erro")
    client.ask("channel", channel="go-erro")
    for service, fields in ERRORS:
        body = msgpack.packb({"service": service, "data": {"timestamp": 1, "clock": 5, **fields}})
        data = decode_error(client.exchange(body), service)
        assert data["description"] == data["message"]
        assert data["clock"] > 5


def test_publications_fit_a_strict_subscriber(plain_cluster: Cluster, world: World) -> None:
    """Channel messages and direct messages decode into declared structs."""
    client = world.client(plain_cluster.servers[2])
    for name in ("estrita", "estrito"):
        client.ask("login", user=name)
    client.ask("channel", channel="estritos")
    subscriber = world.context.socket(zmq.SUB)
    with subscriber:
        subscriber.linger = 0
        subscriber.connect(plain_cluster.summary["broker"])
        subscriber.subscribe(b"estrit")

        def heard(service: str, **fields: str) -> list[bytes] | None:
            client.ask(service, **fields)
            return subscriber.recv_multipart() if subscriber.poll(500) else None

        said = until(
            lambda: heard("publish", user="estrita", channel="estritos", message="olá"),
            seconds=10,
            what="the publication",
        )
        assert decode(said[1], CHANNEL_PUBLICATION)["message"] == "olá"
        client.ask("message", src="estrita", dst="estrito", message="só para ti")
        direct = until(
            lambda: (m := subscriber.recv_multipart()) and m[0] == b"estrito" and m,
            seconds=10,
            what="the direct message",
        )
        assert decode(direct[1], DIRECT_PUBLICATION)["src"] == "estrita"


def test_replies_are_declared_for_every_service_of_the_fixtures() -> None:
    """No fixture's reply is left unread."""
    assert {fixture.service for fixture in all_fixtures()} == set(REPLIES)
