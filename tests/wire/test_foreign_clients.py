"""Other people's ZeroMQ sockets at our ends: plain pyzmq, in a thread, knowing nothing of Recado."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import pytest
import zmq
from wire_worlds import QUICK, World, echo, echoing, over_tcp, over_zeromq, until_delivered

from recado.protocol.limits import (
    FRAMES_SKIPPED_PER_TURN,
    LARGE_REPLIES_BYTES_QUEUED_MAX,
    LARGE_REPLY_BYTES,
    MESSAGE_FRAMES_MAX,
    PEER_FRAME_BYTES_MAX,
    PUBLICATIONS_QUEUED_MAX,
)
from recado.wire.ports import Incoming, Outgoing, Publication
from recado.wire.router import parse
from recado.wire.zeromq import ZeroMQNetwork

PATIENCE_MS = 5000


@contextmanager
def plain(kind: int, address: str, **options: int) -> Iterator["zmq.Socket[bytes]"]:
    """A connected socket of a context of its own, as another program has it."""
    with zmq.Context() as context, context.socket(kind) as client:
        client.linger = 0
        client.rcvtimeo = client.sndtimeo = PATIENCE_MS
        for name, value in options.items():
            client.setsockopt(getattr(zmq, name), value)
        client.connect(address)
        yield client


@over_zeromq
async def test_req_clients_are_served(world: World) -> None:
    """A plain REQ gets its replies, and so does one with RELAXED and CORRELATE."""

    def client(address: str) -> None:
        for options in ({}, {"REQ_RELAXED": 1, "REQ_CORRELATE": 1}):
            with plain(zmq.REQ, address, **options) as req:
                for body in (b"um", b"", b"tres"):
                    req.send(body)
                    assert req.recv_multipart() == [body]

    async with echoing(world.network, world.address()) as listener:
        await anyio.to_thread.run_sync(client, listener.address)


@over_zeromq
async def test_dealer_clients_are_served(world: World) -> None:
    """A DEALER gets the frames it put before the body back: none, a delimiter, several and one."""

    def client(address: str) -> None:
        with plain(zmq.DEALER, address) as dealer:
            for head in ([], [b""], [b"corr", b""], [b"hop", b"hop2", b"corr", b""]):
                dealer.send_multipart([*head, b"oi"])
                assert dealer.recv_multipart() == [*head, b"oi"]

    async with echoing(world.network, world.address()) as listener:
        await anyio.to_thread.run_sync(client, listener.address)


@over_tcp
async def test_requests_through_a_broker_are_served(world: World) -> None:
    """A REQ behind a ROUTER and DEALER gets its reply: several routing frames travel both ways."""

    def client(address: str) -> None:
        with plain(zmq.DEALER, address) as back, back.context.socket(zmq.ROUTER) as front:
            port = front.bind_to_random_port("tcp://127.0.0.1")
            with plain(zmq.REQ, f"tcp://127.0.0.1:{port}") as req:
                req.send(b"oi")
                back.send_multipart(front.recv_multipart())
                front.send_multipart(back.recv_multipart())
                assert req.recv() == b"oi"

    async with echoing(world.network, world.address()) as listener:
        await anyio.to_thread.run_sync(client, listener.address)


JUNK: list[tuple[list[bytes], list[bytes]]] = [
    ([b"x", b"y"], [b"junk"]),
    ([b"", b"x", b"y"], [b"", b"junk"]),
    ([b"corr", b""], [b"corr", b"", b"junk"]),
    ([b"x"] * MESSAGE_FRAMES_MAX, [b"junk"]),
    ([b"", *[b"x"] * (3 * FRAMES_SKIPPED_PER_TURN)], [b"", b"junk"]),
]


@over_tcp
async def test_junk_is_answered_and_hurts_nobody(world: World) -> None:
    """Messages of the wrong shape come as body None, lead back to the sender, and the next one is whole."""

    def client(address: str) -> None:
        with plain(zmq.DEALER, address) as dealer:
            for frames, answer in JUNK:
                dealer.send_multipart(frames)
                assert dealer.recv_multipart() == answer
                dealer.send(b"sane")
                assert dealer.recv_multipart() == [b"sane"]

    async with echoing(world.network, world.address()) as listener:
        await anyio.to_thread.run_sync(client, listener.address)


def test_the_envelope_is_told_from_the_body() -> None:
    """Every shape of a ROUTER's message is read as the module says, the limits included."""
    full = [b"id", *[b"hop"] * (MESSAGE_FRAMES_MAX - 3), b""]
    table: list[tuple[list[bytes], Incoming]] = [
        ([b"id", b"body"], Incoming((b"id",), b"body")),
        ([b"id", b""], Incoming((b"id",), b"")),
        ([b"id", b"", b"body"], Incoming((b"id", b""), b"body")),
        ([b"id", b"", b""], Incoming((b"id", b""), b"")),
        ([b"id", b"c", b"", b"body"], Incoming((b"id", b"c", b""), b"body")),
        ([b"id"], Incoming((b"id",), None)),
        ([b"id", b"a", b"b"], Incoming((b"id",), None)),
        ([b"id", b"", b"a", b"b"], Incoming((b"id", b""), None)),
        ([b"id", b"a", b""], Incoming((b"id", b"a", b""), None)),
        ([*full, b"body"], Incoming(tuple(full), b"body")),
        ([b"hop", *full, b"body"], Incoming((b"hop", *full), None)),
    ]
    for message, incoming in table:
        assert parse(message) == incoming, message


@over_tcp
async def test_an_oversize_frame_ends_its_own_connection_only(world: World) -> None:
    """One byte over the limit never arrives and costs its sender the connection; others notice nothing."""

    def client(address: str) -> None:
        with plain(zmq.DEALER, address) as steady, plain(zmq.DEALER, address) as fat:
            monitor = fat.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            for dealer in (steady, fat):
                dealer.send(b"before")
                assert dealer.recv() == b"before"
            fat.send(bytes(PEER_FRAME_BYTES_MAX + 1))
            assert monitor.poll(PATIENCE_MS), "the connection of the sender stays"
            steady.send(bytes(PEER_FRAME_BYTES_MAX))
            assert len(steady.recv()) == PEER_FRAME_BYTES_MAX
            fat.disable_monitor()
            monitor.close()

    async with echoing(world.network, world.address()) as listener:
        await anyio.to_thread.run_sync(client, listener.address)


@over_tcp
async def test_clients_that_vanish_or_babble_hurt_nobody(world: World) -> None:
    """Connections that send half a greeting or noise and vanish leave the listener serving."""

    def vandals(address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        for noise in (b"", b"\xff\0\0", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 8):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(noise)
        for body in (b"mid-request", bytes(1 << 20)):
            with plain(zmq.REQ, address) as req:
                req.send(body)

    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
    ):
        for _ in range(3):
            await anyio.to_thread.run_sync(vandals, listener.address)
            assert await asker.ask(b"still") == b"still"


@over_tcp
async def test_a_client_that_never_reads_is_dropped_for(world: World) -> None:
    """Replies to a client that does not read are refused after a bounded number; others get theirs."""
    body = bytes(LARGE_REPLY_BYTES - 1)
    async with world.network.listener(world.address()) as listener:
        with plain(zmq.DEALER, listener.address, RCVHWM=1, RCVBUF=4096) as mute:
            mute.send(b"talk to me")
            (request,) = await listener.receive_batch()
            sent = 0
            while listener.send([Outgoing(request.envelope, body)]):
                sent += 1
                assert sent < 2000
        async with anyio.create_task_group() as tasks, world.network.asker(listener.address) as asker:
            tasks.start_soon(echo, listener)
            assert await asker.ask(b"oi") == b"oi"
            tasks.cancel_scope.cancel()


@over_tcp
async def test_large_replies_to_the_mute_are_bounded_in_bytes(world: World) -> None:
    """Of pages for a client that does not read few megabytes wait; once it reads it is served again."""
    page = bytes(1 << 20)

    def read_all(mute: "zmq.Socket[bytes]") -> None:
        for _ in range(sent):
            assert mute.recv() == page

    async with world.network.listener(world.address()) as listener:
        with plain(zmq.DEALER, listener.address, RCVHWM=1, RCVBUF=4096) as mute:
            mute.send(b"pages, please")
            (request,) = await listener.receive_batch()
            reply = Outgoing(request.envelope, page)
            sent = 0
            while listener.send([reply]):
                sent += 1
                assert sent < 64
            assert sent * len(page) >= LARGE_REPLIES_BYTES_QUEUED_MAX
            assert listener.send([Outgoing(request.envelope, b"small")]) == 1
            await anyio.to_thread.run_sync(read_all, mute)
            while not listener.send([reply]):
                await anyio.lowlevel.checkpoint()


@over_tcp
async def test_plain_subscribers_hear_two_frames(world: World) -> None:
    """A plain SUB at the broker's XPUB gets exactly topic and body."""
    heard: list[list[bytes]] = []

    def client(address: str, ready: Callable[[], None]) -> None:
        with plain(zmq.SUB, address) as sub:
            sub.subscribe(b"geral")
            ready()
            heard.append(sub.recv_multipart())

    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        anyio.create_task_group() as tasks,
    ):
        started = threading.Event()
        tasks.start_soon(anyio.to_thread.run_sync, client, xpub, started.set)
        while not heard:
            publisher.publish([Publication(b"geral", b"oi"), Publication(b"outro", b"nada")])
            with anyio.move_on_after(0.02):
                await anyio.sleep_forever()
    assert heard == [[b"geral", b"oi"]]


@over_tcp
async def test_a_subscriber_that_never_reads_is_dropped_for(world: World) -> None:
    """A mute subscriber neither stops the broker nor takes anything from the one who reads."""
    count = 2 * PUBLICATIONS_QUEUED_MAX
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as reader,
    ):
        reader.subscribe(b"t")
        with plain(zmq.SUB, xpub, RCVHWM=1, RCVBUF=4096) as mute:
            mute.subscribe(b"t")
            await until_delivered(publisher, reader, b"t")
            taken = 0
            for number in range(count):
                publisher.publish([Publication(b"t", b"%08d" % number + bytes(1024))])
                while taken < number - 200:
                    taken += len(await reader.receive_batch())
            while taken < count:
                taken += len(await reader.receive_batch())


@over_tcp
async def test_frames_that_are_no_publication_are_skipped(world: World) -> None:
    """Messages of one or three frames on a subscribed topic are counted, not received."""

    def vandal(address: str) -> None:
        with plain(zmq.PUB, address) as pub:
            while not stop.is_set():
                pub.send_multipart([b"t"])
                pub.send_multipart([b"t", b"a", b"b"])
                stop.wait(0.01)

    stop = threading.Event()
    async with (
        world.network.forwarder(world.address(), world.address()) as (xsub, xpub),
        world.network.publisher([xsub]) as publisher,
        world.network.subscriber([xpub]) as subscriber,
        anyio.create_task_group() as tasks,
    ):
        subscriber.subscribe(b"t")
        tasks.start_soon(anyio.to_thread.run_sync, vandal, xsub)
        while subscriber.malformed < 2:  # type: ignore[attr-defined]
            publisher.publish([Publication(b"t", b"sane")])
            with anyio.move_on_after(0.02):
                assert {p.body for p in await subscriber.receive_batch()} == {b"sane"}
        stop.set()


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_ipc_paths_of_the_dead_can_be_taken(backend: str, tmp_path: object) -> None:
    """The file that a killed listener leaves behind does not keep its address taken."""
    path = f"{tmp_path}/left-behind"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)

    async def take() -> None:
        async with (
            ZeroMQNetwork(QUICK) as network,
            echoing(network, f"ipc://{path}") as listener,
            network.asker(listener.address) as asker,
        ):
            assert await asker.ask(b"oi") == b"oi"

    anyio.run(take, backend=backend)
