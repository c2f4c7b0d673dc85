"""Bad input over real sockets: everybody gets an envelope or a closed connection, nobody else notices."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter

import pytest
import zmq
from hostile import JUNK, MIB, WRONG, decoded, frame_head, handshake, is_closed, pack, raw_attacks
from looking import until_equal
from plain_client import PlainClient, World, check_stamps, plain_world
from processes import until
from running_cluster import QUICK, Cluster, local_cluster

pytestmark = [pytest.mark.system, pytest.mark.slow]

SAMPLES = 100
# A busy machine may take a while; waiting for a dead peer or a mute client would take seconds.
FACTOR = 10
NORMAL_SECONDS = 0.25


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers; who dies stays down until it is started."""
    with local_cluster(tmp_path_factory.mktemp("bad"), "--no-restart", env=QUICK) as cluster:
        cluster.wait_for("coordinator", seconds=30)
        with plain_world() as world:
            client = world.client(cluster.servers[0])
            client.ask("login", user="ana")
            client.ask("channel", channel="geral")
        yield cluster


def _p99_seconds(client: PlainClient) -> float:
    """Of publishing and reading at one server."""
    took = []
    for number in range(SAMPLES):
        begun = perf_counter()
        status = client.ask("publish", user="ana", channel="geral", message=f"n. {number}")["status"]
        client.ask("channels")
        took.append(perf_counter() - begun)
        assert status == "OK"
    return sorted(took)[int(len(took) * 0.99)]


@contextmanager
def _undisturbed(cluster: Cluster, world: World) -> Iterator[None]:
    """Whatever happens inside, others are answered in their normal time, and the replicas are equal."""
    client = world.client(cluster.servers[0])
    _p99_seconds(client)
    normal = max(NORMAL_SECONDS, FACTOR * _p99_seconds(client))
    yield
    assert _p99_seconds(client) < normal


@pytest.mark.parametrize("what", JUNK)
def test_junk_gets_an_envelope(cluster: Cluster, world: World, what: str) -> None:
    """Each node that takes requests answers junk with an error envelope, to a client it goes on serving."""
    summary = cluster.summary
    for address in (cluster.servers[0], summary["request"], summary["reference"]):
        client = world.client(address)
        reply = decoded(client.exchange(JUNK[what]))
        assert reply["service"] == "error"
        assert reply["data"]["status"] == "erro"
        assert reply["data"]["description"] == reply["data"]["message"]
        check_stamps(reply["data"], asked=0)
        assert client.ask("clock")["time"] > 0


@pytest.mark.parametrize("what", WRONG)
def test_wrong_requests_get_an_envelope(cluster: Cluster, world: World, what: str) -> None:
    """A request that can't be carried out is answered `erro` under its own name, directly and spread."""
    service, body = WRONG[what]
    for address in (cluster.servers[0], cluster.summary["request"]):
        client = world.client(address)
        reply = decoded(client.exchange(body))
        assert (reply["service"], reply["data"]["status"]) == (service, "erro")
        assert reply["data"]["description"] == reply["data"]["message"] != ""
        check_stamps(reply["data"], asked=0)
        assert "ana" in client.ask("users")["users"]


def counted(log: str, event: str) -> int:
    """How many requests the lines of an event that is summed speak of."""
    lines = [line for line in log.splitlines() if f" {event} " in line]
    return sum(int(number) for line in lines for number in re.findall(r" requests=(\d+)", line))


def test_junk_is_logged_and_changes_nothing(cluster: Cluster, world: World) -> None:
    """All of it at once: all counted in the log, no entry more, no clock moved, nobody slower."""
    client = world.client(cluster.servers[1])
    with _undisturbed(cluster, world):
        until_equal(cluster.replicas(), seconds=10)  # what the measuring wrote has arrived here
        before, entries = len(cluster.log("server-2")), client.ask("status")["entries"]
        clock = client.ask("clock", clock=1)
        for body in [*JUNK.values(), *(body for _, body in WRONG.values())]:
            client.exchange(body)
        after = client.ask("status")
        assert after["entries"] == entries
        assert after["clock"] - clock["clock"] < 1000

        def logged() -> bool:
            log = cluster.log("server-2")[before:]
            assert "fault" not in log
            junk, wrong = counted(log, "request not understood"), counted(log, "refused")
            return junk + wrong >= len(JUNK) + len(WRONG) - 10  # those that are answered without a refusal

        until(logged, seconds=5, what="every junk frame and every refusal counted in the log")


def test_huge_clocks_do_not_carry_the_server_away(cluster: Cluster, world: World) -> None:
    """Clients with the largest clock allowed are answered above it; the server's own clock stays near."""
    client = world.client(cluster.servers[0])
    before = client.ask("clock", clock=1)["clock"]
    huge = 2**53 - 2**40 - 1
    for _ in range(5):
        assert client.ask("users", clock=huge)["clock"] > huge
    other = world.client(cluster.servers[0])
    assert other.ask("clock", clock=1)["clock"] - before < 10_000


def test_multipart_junk(cluster: Cluster, world: World) -> None:
    """Bodies of several frames, and of thousands, are answered or dropped; the next client is served."""
    with _undisturbed(cluster, world), world.context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(cluster.servers[0])
        dealer.send_multipart([b"", b"a", b"b"])
        assert dealer.poll(5000)
        assert decoded(dealer.recv_multipart()[-1])["data"]["status"] == "erro"
        for frames in ([b""], [b"", b""], [b"x"] * 15, [b""] * 40, [b"x"] * 5000):
            dealer.send_multipart(frames)
        dealer.send_multipart([b"corr", b"", pack("users")])
        until(
            lambda: dealer.poll(100) and dealer.recv_multipart()[0] == b"corr", seconds=10, what="an answer"
        )


def test_below_the_messages(cluster: Cluster, world: World) -> None:
    """Bytes that are no ZMTP and frames beyond the limit: that connection is closed, no other."""
    for address in (cluster.servers[0], cluster.summary["request"], cluster.summary["reference"]):
        witness = world.client(address)
        witness.ask("clock")
        for what, attack in raw_attacks(address):
            assert attack(), f"{what} at {address}: still open"
            witness.ask("clock")
    with _undisturbed(cluster, world):
        pass


def test_junk_at_the_publications(cluster: Cluster, world: World) -> None:
    """Anybody may connect to XSUB in open mode: junk there confuses neither servers nor subscribers."""
    client = world.client(cluster.servers[0])
    hears = world.subscriber(cluster.summary["broker"], "geral")
    with _undisturbed(cluster, world), world.context.socket(zmq.PUB) as publisher:
        publisher.linger = 0
        publisher.connect(cluster.summary["xsub"])

        def told() -> bool:
            for body in JUNK.values():
                publisher.send_multipart([b"servers", body])
            publisher.send_multipart([b"servers"])
            publisher.send_multipart([b"servers", b"a", b"b"])
            return "announcement not understood" in cluster.log("server-1")

        until(told, seconds=10, what="server-1 has heard the junk")
        client.ask("publish", user="ana", channel="geral", message="ainda aqui")
        heard = iter(lambda: hears.receive(seconds=5), None)
        assert any(said["message"] == "ainda aqui" for _, said in heard), "publications go on"
    assert client.ask("who_coordinator")["coordinator"] == "server-3"


def test_a_subscription_of_a_megabyte(cluster: Cluster, world: World) -> None:
    """Subscriptions longer than any name close their connection; the other subscribers hear on."""
    hears = world.subscriber(cluster.summary["broker"], "geral")
    client = world.client(cluster.servers[0])
    with handshake(cluster.summary["broker"], kind=b"SUB") as end:
        end.sendall(frame_head(MIB) + b"\x01" * 65_536)
        assert is_closed(end)

    def heard() -> bool:
        client.ask("publish", user="ana", channel="geral", message="curta")
        return hears.receive(seconds=0.5) is not None

    until(heard, seconds=10, what="publications go on")


def test_a_subscriber_that_never_reads(cluster: Cluster, world: World) -> None:
    """A subscriber with a full pipe holds up neither the servers nor the other subscribers."""
    mute = handshake(cluster.summary["broker"], kind=b"SUB")
    with mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mute.sendall(b"\x00\x06\x01geral")
        hears = world.subscriber(cluster.summary["broker"], "geral")
        client = world.client(cluster.servers[0])
        with _undisturbed(cluster, world):
            for number in range(300):
                client.ask("publish", user="ana", channel="geral", message=f"{number} " + "x" * 16_000)
            client.ask("publish", user="ana", channel="geral", message="fim")
            heard = iter(lambda: hears.receive(seconds=5), None)
            assert any(said["message"] == "fim" for _, said in heard)


def test_clients_that_die_in_the_middle(cluster: Cluster, world: World) -> None:
    """A hundred clients leave without their replies; their writes are kept, the others are served."""
    with _undisturbed(cluster, world):
        for number in range(100):
            with world.context.socket(zmq.REQ) as end:
                end.linger = 1000
                end.connect(cluster.servers[0])
                end.send(pack("publish", user="ana", channel="geral", message=f"adeus {number}"))

        def kept() -> bool:
            page = world.client(cluster.servers[1]).ask("history", channel="geral", limit=1000)["messages"]
            return len([one for one in page if one["message"].startswith("adeus ")]) == 100

        until(kept, seconds=10, what="all hundred are kept")


def test_a_client_that_never_reads_its_replies(cluster: Cluster, world: World) -> None:
    """A DEALER that asks for large pages and reads none: its replies are dropped, others are served."""
    with _undisturbed(cluster, world), world.context.socket(zmq.DEALER) as greedy:
        greedy.linger = 0
        greedy.rcvhwm = 1
        greedy.sndtimeo = 0
        greedy.connect(cluster.servers[0])
        with suppress(zmq.Again):
            for _ in range(200):
                greedy.send_multipart([b"", pack("sync", last_sync=0)])
        witness = world.client(cluster.servers[0])
        assert witness.ask("users")["users"]


@pytest.mark.parametrize("dead", ["reference", "broker", "server-3"])
def test_the_rest_goes_on_without(cluster: Cluster, world: World, dead: str) -> None:
    """Without the reference, the broker or a peer, requests are answered in their normal time."""
    with _undisturbed(cluster, world):
        before = cluster.kill(dead)
    cluster.start(dead)
    cluster.wait_for("ready", node=dead, seconds=20, after=before)


@pytest.mark.parametrize("frozen", ["reference", "broker", "server-3"])
def test_the_rest_goes_on_while_one_hangs(cluster: Cluster, world: World, frozen: str) -> None:
    """SIGSTOP is worse than death, since connections stay: still nobody waits for it."""
    pid = cluster.rows()[frozen]["pid"]
    with _undisturbed(cluster, world):
        os.kill(pid, signal.SIGSTOP)
        try:
            assert _p99_seconds(world.client(cluster.servers[1])) < NORMAL_SECONDS * FACTOR
        finally:
            os.kill(pid, signal.SIGCONT)


def test_after_all_this_the_replicas_are_equal(cluster: Cluster) -> None:
    """Nothing of the above has left the replicas different, and no server has restarted or failed."""
    until_equal(cluster.replicas(), seconds=20)
    for name in ("server-1", "server-2"):
        log = cluster.log(name)
        assert "fault while serving" not in log
        assert "Traceback" not in log
        assert log.count(" serving ") == 1
