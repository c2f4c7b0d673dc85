"""The plain contract over plain REQ and SUB sockets: every service, every variant of its stamps."""

from collections.abc import Callable
from functools import partial
from time import time
from typing import Any

import pytest
from contract_services import (
    VARIANTS,
    Stamps,
    Step,
    check,
    check_kept,
    client_steps,
    peer_steps,
    reference_steps,
)
from plain_client import MISSING, PlainClient, World
from processes import until
from running_cluster import Cluster, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]
by_variant = pytest.mark.parametrize("stamps", VARIANTS, ids=lambda stamps: stamps.name)
NOT_FOR_ANYBODY = ("adjust", "election", "replicate")


def _mark(stamps: Stamps, where: str) -> str:
    return f"{where}-{VARIANTS.index(stamps)}"


@pytest.mark.parametrize("where", ["server", "round-robin"])
@by_variant
def test_client_services(plain_cluster: Cluster, world: World, stamps: Stamps, where: str) -> None:
    """Every client service answers as the contract says, at one server and through the broker."""
    address = plain_cluster.servers[0] if where == "server" else plain_cluster.summary["request"]
    client = world.client(address)
    mark = _mark(stamps, where)
    for step in client_steps(mark):
        check(step, _asking(client, step, stamps))
    if where == "server":
        check_kept(client.ask, mark)
    until(lambda: _kept_everywhere(plain_cluster, world, mark), seconds=10, what="it is everywhere")


def _asking(client: PlainClient, step: Step, stamps: Stamps) -> Callable[[], dict[str, Any]]:
    return lambda: client.ask(step.service, timestamp=stamps.timestamp(), clock=stamps.clock, **step.fields)


def _kept_everywhere(cluster: Cluster, world: World, mark: str) -> bool:
    try:
        for address in cluster.servers:
            check_kept(world.client(address).ask, mark)
    except (AssertionError, ValueError):
        return False
    return True


@by_variant
def test_reference_services(plain_cluster: Cluster, world: World, stamps: Stamps) -> None:
    """The reference gives a rank, the same for the same name, takes heartbeats and lists who lives."""
    client = world.client(plain_cluster.summary["reference"])
    mark = _mark(stamps, "ref")
    for step in reference_steps(mark):
        check(step, _asking(client, step, stamps))
    rank = client.ask("rank", user=f"servidor-{mark}")["rank"]
    assert client.ask("rank", user=f"servidor-{mark}")["rank"] == rank
    listed = client.ask("list")["list"]
    assert {(one["name"], one["rank"]) for one in listed} >= {
        (f"servidor-{mark}", rank),
        ("server-1", 1),
        ("server-2", 2),
        ("server-3", 3),
    }


@by_variant
def test_peer_services(plain_cluster: Cluster, world: World, stamps: Stamps) -> None:
    """A plain server may ask for the time and an election, and replicate; a repetition is stored once."""
    client = world.client(plain_cluster.servers[1])
    mark = _mark(stamps, "peer")
    for step in peer_steps(mark):
        check(step, _asking(client, step, stamps))
    (said,) = client.ask("history_channel", channel=f"sala-{mark}")["messages"]
    assert (said["user"], said["message"]) == (f"ana-{mark}", "de longe")
    (direct,) = client.ask("history_messages", user=f"rui-{mark}")["messages"]
    assert (direct["src"], direct["dst"]) == (f"rui-{mark}", f"ana-{mark}")
    assert client.ask("users")["users"].count(f"ana-{mark}") == 1


def test_a_plain_adjustment_is_taken_where_no_coordinator_of_ours_is_at_work(
    tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    """One server, a plain `adjust` of a fraction of a second: OK, and its clock tells so."""
    never = {"RECADO_TIMINGS__BERKELEY_MIN_SECONDS": "3600", "RECADO_TIMINGS__BERKELEY_MAX_SECONDS": "3600"}
    with local_cluster(tmp_path_factory.mktemp("alone"), servers=1, env=never) as cluster:
        client = world.client(cluster.servers[0])
        assert client.ask("adjust", adjustment=-0.25)["status"] == "OK"
        assert client.ask("status")["offset_ms"] == pytest.approx(-250, abs=1)


def test_what_is_meant_for_one_server_is_not_spread(plain_cluster: Cluster, world: World) -> None:
    """Through the round-robin port `adjust`, `election` and `replicate` are refused in an envelope."""
    client = world.client(plain_cluster.summary["request"])
    for service in NOT_FOR_ANYBODY:
        assert client.ask(service, adjustment=0.1)["status"] == "erro"


def test_an_unknown_service_is_named_in_the_error(plain_cluster: Cluster, world: World) -> None:
    """Servers, broker and reference echo the name of a service that they do not know."""
    summary = plain_cluster.summary
    for address in (*plain_cluster.servers, summary["request"], summary["reference"]):
        data = world.client(address).ask("teleporte", para="lua")
        assert data["status"] == "erro"
        assert data["description"] == data["message"]


def test_publications_are_two_frames_for_plain_subscribers(plain_cluster: Cluster, world: World) -> None:
    """What is published at any server reaches a SUB socket: topic, then a flat map with whole seconds."""
    first, *others = (world.client(address) for address in plain_cluster.servers)
    for name in ("sub-ana", "sub-rui"):
        assert first.ask("login", user=name)["status"] == "sucesso"
    assert first.ask("channel", channel="sub-sala")["status"] == "sucesso"
    hears = world.subscriber(plain_cluster.summary["broker"], "sub-sala", "sub-rui")

    def heard(wanted: str, say: Callable[[], object], *, again: bool) -> tuple[str, dict[str, Any]]:
        """What the subscriber hears of this text; said `again` until the subscription has arrived."""
        if not again:
            say()

        def found() -> tuple[str, dict[str, Any]] | None:
            if again:
                say()
            one = hears.receive(seconds=0.5)
            return one if one is not None and one[1]["message"] == wanted else None

        return until(found, seconds=10, what=wanted)

    for client in (first, *others):
        said = {"user": "sub-ana", "channel": "sub-sala", "message": f"a todos por {client.address}"}
        topic, body = heard(said["message"], partial(client.ask, "publish", **said), again=True)
        assert topic == "sub-sala"
        assert {key: body[key] for key in said} == said
        assert type(body["timestamp"]) is type(body["clock"]) is int
        direct = {"src": "sub-ana", "dst": "sub-rui", "message": f"a ti por {client.address}"}
        topic, body = heard(direct["message"], partial(client.ask, "message", **direct), again=False)
        assert topic == "sub-rui"
        assert {key: body[key] for key in direct} == direct
        assert body["from"] == "sub-ana"


def test_saying_the_same_twice_is_two_messages_and_a_resend_is_one(
    plain_cluster: Cluster, world: World
) -> None:
    """Equal requests without a clock are two messages; a byte-identical one with both stamps is a resend."""
    client = world.client(plain_cluster.servers[0])
    now = int(time())
    client.ask("login", user="repete")
    client.ask("channel", channel="repete-sala")
    said = {"user": "repete", "channel": "repete-sala"}
    for clock, text in ((MISSING, "oi"), (MISSING, "oi"), (5000, "tchau"), (5000, "tchau")):
        reply = client.ask("publish", timestamp=now, clock=clock, **said, message=text)
        assert reply["status"] == "OK"
    messages = client.ask("history", channel="repete-sala")["messages"]
    assert [one["message"] for one in messages] == ["oi", "oi", "tchau"]
