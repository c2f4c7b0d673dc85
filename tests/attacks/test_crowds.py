"""Group 13: crowds at the doors of real processes, over CURVE.

Half-open and dawdling connections, 10,000 of them, 10⁵ subscriptions, storms of them, subscribers that do not
read.  Expected: the others stay served; a message costs server and broker at most a quarter more of the
processor (median of alternated rounds; p99 of the answers is printed, not judged).

`RECADO_CROWD_ROUNDS` makes it longer.  In open mode: `tests/system/test_bad_input`; the caps alone, on
sockets in one process: `tests/wire/test_secured_caps`, `test_granting_forwarder`.
"""

import os
import resource
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from time import monotonic

import pytest
import trio
from processes import until

from recado.protocol.publications import BEACON_TOPIC
from tests.attacks.crowds import (
    GREETING,
    CurvePeer,
    alive,
    connected,
    crowd,
    processor_seconds,
    resident_mib,
    room_for,
)
from tests.attacks.secured_town import Cost, Town, ratio, shown, town

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("11000-open-files")]

ATTEMPTS = 2
ROUNDS = int(os.environ.get("RECADO_CROWD_ROUNDS", "5"))
MESSAGES = 600  # of one measurement
FACTOR = 1.25
CONNECTIONS = 10_000
PROVED = 200  # of them
SUBSCRIBERS = 50
TOPICS_EACH = 2000
STOPPED = 100
FLOOD_TEXTS = 400  # of 16 kB: more than a connection's buffers hold
TOGGLES = 20_000
TOGGLE_US_MAX = 100.0
HANDSHAKE_SECONDS = 5.0
MEMORY_MIB_MAX = 400.0

Attack = Callable[[], AbstractContextManager[object]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A secured town; the caps of connections and handshakes are as people get them."""
    assert room_for(CONNECTIONS + 1000)
    with town(tmp_path_factory.mktemp("crowds")) as made:
        yield made


def alternated(place: Town, what: str, *, against: Attack, usual: Attack = nullcontext) -> None:
    """A message costs about the same in peace and under attack: the median of what each round says.

    Neighbours may spoil all rounds of one measurement, so one of two is enough.
    """
    for attempt in range(ATTEMPTS):
        costs: dict[str, list[Cost]] = {"peace": [], "attack": []}
        trio.run(place.cost, MESSAGES)  # warm
        for _ in range(ROUNDS):
            for name, state in (("peace", usual), ("attack", against)):
                with state():
                    costs[name].append(trio.run(place.cost, MESSAGES))
        shown(what, costs)
        more = {field: ratio(costs["attack"], costs["peace"], field) for field in ("server_us", "broker_us")}
        if max(more.values()) < FACTOR:
            return
        assert attempt < ATTEMPTS - 1, (what, more, costs)


# Handshakes ----------------------------------------------------------------------------------------

DAWDLERS = {
    "not a word": b"",
    "half a greeting": GREETING[:20],
    "a greeting and no more": GREETING,
    "the beginning of a HELLO": GREETING + b"\x04\xc8\x05HELLO\x01\x00",
}


@pytest.mark.parametrize("where", ["server", "broker"])
def test_who_dawdles_is_cut_off(place: Town, where: str) -> None:
    """Half a handshake, of whatever length, is ended after five seconds."""
    address = place.address if where == "server" else place.xpub
    with ExitStack() as crowds:
        dawdling = {
            said: crowds.enter_context(crowd(address, 20, says=words)) for said, words in DAWDLERS.items()
        }
        for said, ends in dawdling.items():
            assert alive(ends) == 20, said
        for said, ends in dawdling.items():
            until(lambda e=ends: alive(e) == 0, seconds=3 * HANDSHAKE_SECONDS, what=f"{said}: cut off")


def test_a_byte_a_second(place: Town) -> None:
    """A handshake that drips is ended as one that stands still, and holds up nobody."""
    pause, begun = threading.Event(), monotonic()
    with crowd(place.address, 20) as ends:
        for byte in GREETING + b"\x04\xc8\x05HELLO":
            for end in ends:
                with suppress(OSError):
                    end.send(bytes([byte]))
            if alive(ends) == 0:
                break
            pause.wait(0.25)
        assert monotonic() - begun < 3 * HANDSHAKE_SECONDS
        assert alive(ends) == 0


@contextmanager
def half_open(place: Town) -> Iterator[None]:
    """10,000 connections at the server, some of them with a key that is proved."""
    with crowd(place.address, CONNECTIONS - PROVED, says=GREETING) as ends, ExitStack() as proved:
        for number in range(PROVED):
            end = proved.enter_context(connected(place.address, number))
            assert CurvePeer(end, place.key_at(place.address)).shake_hands(kind=b"DEALER")
        assert len(ends) == CONNECTIONS - PROVED
        yield


def test_ten_thousand_connections(place: Town) -> None:
    """Whoever has a key gets in beside them and is served as ever; they cost memory, and a bounded one."""
    alternated(place, "10,000 connections", against=lambda: half_open(place))
    assert resident_mib(place.server) < MEMORY_MIB_MAX
    assert place.told()["refused"]["malformed"] == 0


# Subscriptions -------------------------------------------------------------------------------------


@contextmanager
def subscribers(place: Town, count: int, *topics: bytes, reading: bool) -> Iterator[list[CurvePeer]]:
    """So many who subscribe to these topics (as of ZMTP 3.0), and then read everything or nothing."""
    people = place.people(count, again=2 if len(topics) > 1 else 20)
    with ExitStack() as ends:
        found = []
        for number, who in enumerate(people):
            end = ends.enter_context(connected(place.xpub, number))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            peer = CurvePeer(end, place.key_at(place.xpub), who)
            assert peer.shake_hands(kind=b"SUB")
            for topic in topics:
                peer.send(b"\x01" + topic)
            found.append(peer)
        with _reading(found) if reading else nullcontext():
            yield found


@contextmanager
def _reading(peers: list[CurvePeer]) -> Iterator[None]:
    """A thread that takes whatever arrives."""
    stop = threading.Event()

    def take() -> None:
        with selectors.DefaultSelector() as selector:
            for peer in peers:
                peer.end.setblocking(False)
                selector.register(peer.end, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in selector.select(0.1):
                    try:
                        if not key.fileobj.recv(2**20):  # type: ignore[union-attr]
                            selector.unregister(key.fileobj)
                    except OSError:
                        selector.unregister(key.fileobj)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def settled(place: Town) -> None:
    """Wait until the broker has dealt with what it was sent."""
    used = [processor_seconds(place.broker)]

    def idle() -> bool:
        threading.Event().wait(0.1)
        used.append(processor_seconds(place.broker))
        return used[-1] - used[-2] < 0.005

    until(idle, seconds=30, what="the broker has nothing to do")


@contextmanager
def many_topics(place: Town) -> Iterator[None]:
    """50 subscribers with 2,000 channels each, whether there are such or not."""
    topics = [b"c" + f"canal {number}".encode() + b"\0" for number in range(TOPICS_EACH)]
    with subscribers(place, SUBSCRIBERS, *topics, reading=True):
        settled(place)
        yield


def test_a_hundred_thousand_subscriptions(place: Town) -> None:
    """They cost what it takes to enter them, and nothing of any message on another topic."""
    alternated(place, "100,000 subscriptions", against=lambda: many_topics(place))
    assert resident_mib(place.broker) < MEMORY_MIB_MAX


@contextmanager
def stopped(place: Town, topic: bytes) -> Iterator[None]:
    """A hundred who do not read, so far behind that nothing more goes into their connections."""
    with subscribers(place, STOPPED, topic, reading=False):
        trio.run(lambda: place.cost(FLOOD_TEXTS, text="x" * 16_000))
        settled(place)
        yield


def test_stopped_subscribers(place: Town) -> None:
    """A hundred who do not read cost no more than a hundred who do; who reads hears everything."""
    topic = trio.run(place.topic)
    alternated(
        place,
        "100 stopped subscribers",
        against=lambda: stopped(place, topic),
        usual=lambda: subscribers(place, STOPPED, topic, reading=True),
    )
    assert resident_mib(place.broker) < MEMORY_MIB_MAX


def _toggle(peers: list[CurvePeer]) -> None:
    for number in range(TOGGLES):
        peer = peers[number % len(peers)]
        with suppress(OSError):
            peer.send(bytes([1 - number // len(peers) % 2]) + BEACON_TOPIC)


def test_a_storm_of_subscriptions(place: Town) -> None:
    """20,000 times on and off: messages are answered and heard meanwhile, each change costs microseconds."""
    with subscribers(place, 5, reading=True) as peers:
        before = processor_seconds(place.broker)
        storm = threading.Thread(target=_toggle, args=(peers,), daemon=True)
        storm.start()
        cost = trio.run(place.cost, MESSAGES)
        storm.join()
        settled(place)
        used = processor_seconds(place.broker) - before - cost.broker_us * MESSAGES / 1e6
    shown("a storm of subscriptions", {"attack": [cost]})
    assert used / TOGGLES * 1e6 < TOGGLE_US_MAX
    trio.run(place.cost, MESSAGES)


# What is said once inside --------------------------------------------------------------------------

JUNK = {
    "frames of nothing": [b""] * 20,
    "forty frames": [b"x"] * 40,
    "five thousand frames": [b"x"] * 5000,
    "a frame too large": [b"x" * (5 * 2**20)],
}


@pytest.mark.parametrize("what", JUNK)
def test_junk_from_a_good_key(place: Town, what: str) -> None:
    """Several frames, none and too large ones from who has a key: answered or cut off; others are served."""
    end = connected(place.address, 1)
    with end:
        peer = CurvePeer(end, place.key_at(place.address))
        assert peer.shake_hands(kind=b"DEALER")
        with suppress(OSError):
            for number, frame in enumerate(JUNK[what], start=1):
                peer.send(frame, more=number < len(JUNK[what]))
        trio.run(place.cost, 50)


def test_a_gibibyte_announced(place: Town) -> None:
    """A frame that announces more than any may have closes its connection before it comes."""
    with connected(place.address, 2) as end:
        peer = CurvePeer(end, place.key_at(place.address))
        assert peer.shake_hands(kind=b"DEALER")
        end.sendall(bytes([2]) + (2**30).to_bytes(8, "big") + b"\x07MESSAGE" + bytes(65_536))
        until(lambda: alive([end]) == 0, seconds=10, what="closed")
    trio.run(place.cost, 50)


def test_few_descriptors(tmp_path: Path) -> None:
    """A node that is started with a low limit takes what the system allows, and serves beside a crowd."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        ends = ExitStack()
        made = ends.enter_context(town(tmp_path / "few"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with ends, crowd(made.address, 600, says=GREETING):
        assert trio.run(made.cost, 50).p99_ms < 5000
