"""What is peculiar to ZeroMQ: the fast frame calls, the edge-triggered descriptor, leaving in time."""

from collections.abc import Callable

import anyio
import pytest
import zmq
from wire_worlds import QUICK, World, echoing, over_tcp, over_zeromq

from recado.protocol.limits import ASKS_OUT_MAX, MESSAGE_FRAMES_MAX
from recado.wire import frames
from recado.wire.ports import Incoming, Network, Outgoing, WireError
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

STALL_SECONDS = 5.0


def test_the_fast_frame_calls_are_there() -> None:
    """This pyzmq still has the undocumented calls; if not, `frames` has silently become slow."""
    assert frames.FAST
    assert frames.send is frames.send_fast
    assert frames.receive is frames.receive_fast


Send = Callable[[frames.RawSocket, list[bytes], bytes], bool]
Receive = Callable[[frames.RawSocket], tuple[list[bytes], bool]]


@pytest.mark.parametrize("send", [frames.send_fast, frames.send_documented])
@pytest.mark.parametrize("receive", [frames.receive_fast, frames.receive_documented])
def test_fast_and_documented_calls_agree(send: Send, receive: Receive) -> None:
    """Every pair of sender and receiver carries the same frames, refuses alike and knows when it is empty."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        for end in (one, two):
            end.setsockopt(zmq.LINGER, 0)
        one.setsockopt(zmq.SNDHWM, 2)
        two.setsockopt(zmq.RCVHWM, 2)
        one.bind("inproc://frames")
        two.connect("inproc://frames")
        with pytest.raises(zmq.Again):
            receive(two)
        assert not frames.readable_fast(two)
        assert not frames.readable_documented(two)
        for head, body in (([], b""), ([b"a", b""], b"body"), ([b""], bytes(100_000))):
            assert send(one, head, body)
            assert frames.readable_fast(two)
            assert frames.readable_documented(two)
            assert receive(two) == ([*head, body], False)
        while send(one, [b"full"], b""):
            pass
        assert receive(two) == ([b"full", b""], False)


@pytest.mark.parametrize("receive", [frames.receive_fast, frames.receive_documented])
def test_over_long_messages_are_cut_and_skipped(receive: Receive) -> None:
    """A message of too many frames says so, can be skipped in turns, and the next one is whole."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://frames")
        two.connect("inproc://frames")
        one.send_multipart([b"%d" % number for number in range(100)])
        one.send(b"next")
        message, more = receive(two)
        assert message == [b"%d" % number for number in range(MESSAGE_FRAMES_MAX + 1)]
        assert more
        turns = 1
        while not frames.skip(two, 10):
            turns += 1
        assert turns == 9
        assert receive(two) == ([b"next"], False)


@pytest.mark.parametrize("send", [frames.send_fast, frames.send_documented])
def test_sending_to_nobody_is_refused(send: Send) -> None:
    """A ROUTER that knows no such peer refuses; a closed socket raises instead."""
    with zmq.Context() as context:
        with context.socket(zmq.ROUTER) as router:
            router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            assert not send(router, [b"nobody", b""], b"body")
        with pytest.raises(zmq.ZMQError):
            send(router, [b"nobody", b""], b"body")


@pytest.mark.parametrize("send", [frames.send_fast, frames.send_documented, frames.send_tracked])
def test_a_frame_that_is_no_bytes_spoils_only_its_message(send: Send) -> None:
    """The mistake is raised, and the next message is not taken for the rest of the spoilt one."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://frames")
        two.connect("inproc://frames")
        with pytest.raises(TypeError):
            send(one, [b"id", b""], None)  # type: ignore[arg-type]
        assert send(one, [b"id"], b"next")
        assert frames.receive(two) == ([b"id", b"", b""], False)
        assert frames.receive(two) == ([b"id", b"next"], False)


@pytest.mark.slow
@over_zeromq
async def test_no_edge_is_missed(world: World) -> None:
    """Thousands of requests answered by another task than the reader's: none waits for a next edge."""
    held: list[Incoming] = []
    news = anyio.Event()

    async def read() -> None:
        while True:
            held.extend(await listener.receive_batch())
            news.set()

    async def reply() -> None:
        nonlocal news
        while True:
            await news.wait()
            news = anyio.Event()
            answers = [Outgoing(request.envelope, request.body or b"") for request in held]
            held.clear()
            for answer in answers:
                listener.send([answer])
                await anyio.lowlevel.checkpoint()

    async def ask(count: int) -> None:
        for number in range(count):
            with anyio.fail_after(STALL_SECONDS):
                await asker.ask(b"%d" % number)

    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read)
        tasks.start_soon(reply)
        for tasks_asking in (1, 2, 3, 16):
            async with anyio.create_task_group() as asking:
                for _ in range(tasks_asking):
                    asking.start_soon(ask, 3000 // tasks_asking)
        tasks.cancel_scope.cancel()


@over_tcp
async def test_a_queue_to_nowhere_is_bounded(world: World) -> None:
    """Requests to a dead peer, given up one after the other, are refused once the queue is full."""
    async with world.network.listener(world.address()) as listener:
        address = listener.address
    async with world.network.asker(address) as asker:
        for _ in range(ASKS_OUT_MAX):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await asker.ask(b"given up")
        with pytest.raises(WireError, match="full"):
            await asker.ask(b"one too many")


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_leaving_never_blocks(backend: str) -> None:
    """With requests queued for a peer that does not exist and open ends, leaving takes about the linger."""

    async def leave() -> float:
        network = await ZeroMQNetwork(WireOptions(linger_seconds=0.2)).__aenter__()
        async with network.listener("tcp://127.0.0.1:*") as listener:
            nowhere = listener.address
        asker = network.asker(nowhere)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await (await asker.__aenter__()).ask(b"never sent")
        forwarder = network.forwarder("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
        await forwarder.__aenter__()
        started = anyio.current_time()
        await network.__aexit__(None, None, None)
        took = anyio.current_time() - started
        for end in (asker, forwarder):
            await end.__aexit__(None, None, None)
        return took

    assert anyio.run(leave, backend=backend) < 2.0


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_network_that_is_not_open_makes_no_ends(backend: str) -> None:
    """Before entering and after leaving, every end is refused with `WireError`."""

    async def refused(network: Network) -> None:
        for end in (
            network.listener("tcp://127.0.0.1:*"),
            network.asker("tcp://127.0.0.1:1"),
            network.publisher([]),
            network.subscriber([]),
            network.forwarder("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ):
            with pytest.raises(WireError, match="not open"):
                await end.__aenter__()

    async def scenario() -> None:
        network = ZeroMQNetwork(QUICK)
        await refused(network)
        async with network:
            pass
        await refused(network)

    anyio.run(scenario, backend=backend)


@over_tcp
async def test_replies_cross_the_cancelled(world: World) -> None:
    """Under a storm of requests cancelled at random moments every surviving one gets its own reply."""

    async def ask(number: int) -> None:
        for turn in range(40):
            body = b"%d:%d" % (number, turn)
            with anyio.CancelScope() as scope:
                if (number + turn) % 3 == 0:
                    tasks.start_soon(_cancel_after, scope, turn % 7)
                assert await asker.ask(body) == body

    async def _cancel_after(scope: anyio.CancelScope, checkpoints: int) -> None:
        for _ in range(checkpoints):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for number in range(24):
            tasks.start_soon(ask, number)
