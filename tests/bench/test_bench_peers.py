"""The generator speaks what the peers speak: each that is installed is started, loaded and stopped."""

from pathlib import Path

import msgspec
import pytest

from bench import failover, fanout, generator, paired
from bench.generator import Shape
from bench.peers import etcd, mosquitto, nats, ngircd, rabbitmq, recado, redis
from bench.peers.base import Contender

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.needs("cc"),
]
PUBLISHING = (
    recado.LONG,
    recado.SHORT,
    recado.MANY,
    redis.STREAMS,
    nats.ONE_COPY,
    rabbitmq.QUEUE,
    mosquitto.QOS1,
)
THREE = (recado.QUORUM, nats.THREE_COPIES, etcd.QUORUM)
SPREADING = (
    recado.BUS,
    recado.SPREAD,
    recado.SPREAD_IN_RUNS,
    nats.CORE,
    redis.PUBSUB,
    ngircd.CHANNEL,
    rabbitmq.FANOUT,
)


def place(tmp_path: Path) -> Path:
    """A directory whose commits cost no disk, where there is one."""
    tmpfs = Path("/dev/shm")
    return tmpfs if tmpfs.is_dir() else tmp_path


def installed(contender: Contender) -> Contender:
    """It, or the test is left out with the reason."""
    if (why := contender.peer.missing()) is not None:
        pytest.skip(why)
    return contender


@pytest.mark.parametrize("contender", [*PUBLISHING, *THREE], ids=lambda one: one.name)
def test_publishes_are_answered(contender: Contender, tmp_path: Path) -> None:
    """Every connection's window is answered again and again, none refused, and its processes cost time."""
    shape = Shape(4, min(8, contender.window_max))
    found = paired.publish(
        "publish",
        place(tmp_path),
        contenders=[installed(contender)],
        shapes=[shape],
        rounds=1,
        seconds=3.0 if contender in THREE else 0.3,  # three members of somebody else's take their time
    )
    (sample,) = found.rounds[0].samples
    assert found.rounds[0].failed == {}
    assert sample.load.answered > 2 * shape.connections * shape.window
    assert 0 < sample.load.p50_us <= sample.load.p99_us <= sample.load.max_us
    assert sample.processor_us > 0
    assert sample.resident_mib > 1
    assert found.versions[contender.name] != "?"


@pytest.mark.parametrize("contender", SPREADING, ids=lambda one: one.name)
def test_every_subscriber_hears_a_burst(contender: Contender, tmp_path: Path) -> None:
    """Five subscribers hear a burst of 300 and a few paced messages; none is lost or counted twice."""
    found = fanout.measure(
        place(tmp_path), bursts={5: 300}, rounds=1, paced_seconds=0.2, contenders=[installed(contender)]
    )
    assert [(one.shape, one.failed) for one in found.rounds] == [("burst to 5", {}), ("paced to 5", {})]
    assert [(one.samples[0].lost, one.samples[0].load.measured) for one in found.rounds] == [
        (0, 1500),
        (0, 40),
    ]
    assert [one.samples[0].load.least_delivered for one in found.rounds] == [300, 8]


def test_a_peer_that_is_not_installed_is_left_out_by_name(tmp_path: Path) -> None:
    """Who is missing is in the result, with what to install, and does not stop the others."""
    absent = msgspec.structs.replace(redis.REDIS, name="Absent", program="no-such-program")
    found = paired.publish(
        "publish",
        place(tmp_path),
        contenders=[recado.SHORT, Contender("Absent", absent, "redis-streams")],
        shapes=[Shape(1, 1)],
        rounds=1,
        seconds=0.2,
    )
    assert found.left_out == ["Absent: not installed (apt-get install redis-server)"]
    assert found.contenders == ["Recado, short form"]


def test_a_killed_server_is_seen_by_its_clients_alone(tmp_path: Path) -> None:
    """All clients of a killed server go to another one and are answered there."""
    kind = msgspec.structs.replace(next(kind for kind in failover.KINDS if kind.own), seconds=8.0)
    load = failover.kill_once(generator.build(), place(tmp_path), kind)
    assert load.redialled >= failover.CONNECTIONS
    # Who is never answered again after the kill has a gap until the end.
    assert load.longest_gap_us < 1e6 * (kind.seconds - failover.BEFORE_SECONDS - 1.0)
