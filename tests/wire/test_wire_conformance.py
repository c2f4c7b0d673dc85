"""The promises of `recado.wire.ports` for requests, kept over ZeroMQ and in memory, trio and asyncio."""

import itertools

import anyio
import pytest
from wire_worlds import World, ask_until_served, echo, echoing, everywhere

from recado.protocol.limits import ASKS_OUT_MAX
from recado.wire.ports import Incoming, Listener, Outgoing, WireError


@everywhere
async def test_a_request_gets_its_reply(world: World) -> None:
    """A body arrives unchanged, the empty one too, and so does the reply to it."""
    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
    ):
        assert asker.address == listener.address
        for body in (b"oi", b"", bytes(range(256)) * 1000):
            assert await asker.ask(body) == body


@everywhere
async def test_a_bound_port_is_filled_in(world: World) -> None:
    """The listener's address can be dialled as it is: no star, no port 0."""
    async with world.network.listener(world.address()) as listener:
        assert "*" not in listener.address
        assert not listener.address.endswith(":0")


@everywhere
async def test_replies_find_their_requests_in_any_order(world: World) -> None:
    """Replies sent in reverse order still reach the request they belong to."""
    replies: dict[int, bytes] = {}

    async def ask(number: int) -> None:
        replies[number] = await asker.ask(b"%d" % number)

    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for number in range(50):
            tasks.start_soon(ask, number)
        requests: list[Incoming] = []
        while len(requests) < 50:
            requests += await listener.receive_batch(7)
        answers = [Outgoing(r.envelope, b"re " + (r.body or b"")) for r in reversed(requests)]
        assert listener.send(answers) == 50
    assert replies == {number: b"re %d" % number for number in range(50)}


@everywhere
async def test_a_batch_is_bounded(world: World) -> None:
    """No batch is larger than asked for, and nothing beyond it is lost."""
    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for number in range(20):
            tasks.start_soon(asker.ask, b"%d" % number)
        seen: list[bytes | None] = []
        while len(seen) < 20:
            batch = await listener.receive_batch(3)
            assert 1 <= len(batch) <= 3
            seen += [request.body for request in batch]
        assert sorted(seen, key=lambda body: int(body or b"-1")) == [b"%d" % n for n in range(20)]
        tasks.cancel_scope.cancel()


@everywhere
async def test_a_late_reply_is_not_taken_for_another(world: World) -> None:
    """The reply to a cancelled request is dropped; the next request gets its own."""
    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(asker.ask, b"given up")
        (late,) = await listener.receive_batch()
        tasks.cancel_scope.cancel()
    async with world.network.listener(world.address()) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(echo, other)
        async with world.network.asker(other.address) as asker:
            with anyio.move_on_after(0):
                await asker.ask(b"first")
            assert await asker.ask(b"second") == b"second"
        tasks.cancel_scope.cancel()
    assert late.body == b"given up"


@everywhere
async def test_cancelled_receives_lose_nothing(world: World) -> None:
    """However often receiving is cancelled, every request comes out exactly once."""
    seen: list[bytes | None] = []

    async def receive_with_interruptions(listener: Listener) -> None:
        for checkpoints in itertools.cycle(range(5)):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_after, scope, checkpoints)
                    seen.extend(request.body for request in await listener.receive_batch(1))
            if len(seen) == 200:
                return

    async def cancel_after(scope: anyio.CancelScope, checkpoints: int) -> None:
        for _ in range(checkpoints):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for number in range(200):
            tasks.start_soon(asker.ask, b"%d" % number)
        await receive_with_interruptions(listener)
        tasks.cancel_scope.cancel()
    assert sorted(int(body or b"-1") for body in seen) == list(range(200))


@everywhere
async def test_a_cancelled_ask_leaves_the_others_their_replies(world: World) -> None:
    """Whoever of many waiting tasks is cancelled, each of the others gets its reply."""
    replies: list[bytes] = []

    async def ask(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            replies.append(await asker.ask(b"%d" % number))

    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        scopes = [anyio.CancelScope() for _ in range(30)]
        requests: list[Incoming] = []
        for number, scope in enumerate(scopes):
            tasks.start_soon(ask, number, scope)
        while len(requests) < 30:
            requests += await listener.receive_batch()
        for scope in scopes[::2]:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        listener.send(Outgoing(r.envelope, r.body or b"") for r in requests)
    assert sorted(map(int, replies)) == list(range(1, 30, 2))


@everywhere
async def test_a_taken_address_is_refused(world: World) -> None:
    """The error names the address and says why; once it is free it can be taken."""
    async with world.network.listener(world.address()) as listener:
        taken = listener.address
        with pytest.raises(WireError, match="address already in use") as error:
            async with world.network.listener(taken):
                pass
        assert taken in str(error.value)
        async with (
            echoing(world.network, world.address()) as another,
            world.network.asker(another.address) as asker,
        ):
            assert await asker.ask(b"still") == b"still"
    async with world.network.listener(taken) as again:
        assert again.address == taken


@everywhere
async def test_unusable_addresses_are_refused(world: World) -> None:
    """What can never be an address raises `WireError` at both ends, at once."""
    never = ["5555", "udp://127.0.0.1:5555", "tcp://", "tcp://127.0.0.1", "ipc://", ""]
    never += ["tcp://127.0.0.1:http", "tcp://127.0.0.1:65536", "tcp://:5555", "tcp://127.0.0.1:-1"]
    for address in never:
        for end in (
            world.network.listener(address),
            world.network.asker(address),
            world.network.publisher([address]),
            world.network.subscriber([address]),
            world.network.forwarder(world.address(), address),
        ):
            with pytest.raises(WireError):
                await end.__aenter__()
    for address in ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://*:5555"):
        with pytest.raises(WireError, match="cannot connect"):
            await world.network.asker(address).__aenter__()


@everywhere
async def test_an_asker_survives_its_listener(world: World) -> None:
    """After the listener is gone and another is at its address, the same asker is served again."""
    async with world.network.listener(world.address()) as listener:
        address = listener.address
    async with world.network.asker(address) as asker:
        for _ in range(2):
            async with echoing(world.network, address):
                assert await ask_until_served(asker, b"there?") == b"there?"


@everywhere
async def test_nobody_listening_is_silence(world: World) -> None:
    """Asking where nobody listens is no error: it waits until the caller's deadline."""
    async with world.network.listener(world.address()) as listener:
        address = listener.address
    async with world.network.asker(address) as asker:
        with anyio.move_on_after(0.05) as scope:
            await asker.ask(b"anybody?")
        assert scope.cancelled_caught


@everywhere
async def test_replies_to_the_departed_are_counted_out(world: World) -> None:
    """`send` tells that a client is gone, as soon as the network can know it."""
    async with world.network.listener(world.address()) as listener:
        async with world.network.asker(listener.address) as asker:
            with anyio.move_on_after(0.05):
                await asker.ask(b"bye")
            (request,) = await listener.receive_batch()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.receive_batch)  # departures are noticed by a ROUTER that is read
            while listener.send([Outgoing(request.envelope, b"too late")]):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


@everywhere
async def test_outstanding_requests_are_bounded(world: World) -> None:
    """One request more than `ASKS_OUT_MAX` is refused, not kept."""
    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(ASKS_OUT_MAX):
            tasks.start_soon(asker.ask, b"wait")
        received = 0
        while received < ASKS_OUT_MAX:
            received += len(await listener.receive_batch())
        with pytest.raises(WireError):
            await asker.ask(b"one too many")
        tasks.cancel_scope.cancel()


@everywhere
async def test_a_full_burst_is_answered_completely(world: World) -> None:
    """As many requests as one asker may have out, answered at a stroke, all get their replies."""
    replies: list[bytes] = []

    async def ask(number: int) -> None:
        replies.append(await asker.ask(b"%d" % number))

    async with (
        world.network.listener(world.address()) as listener,
        world.network.asker(listener.address) as asker,
        anyio.create_task_group() as tasks,
    ):
        for number in range(ASKS_OUT_MAX):
            tasks.start_soon(ask, number)
        requests: list[Incoming] = []
        while len(requests) < ASKS_OUT_MAX:
            requests += await listener.receive_batch()
        assert listener.send(Outgoing(r.envelope, r.body or b"") for r in requests) == ASKS_OUT_MAX
    assert sorted(map(int, replies)) == list(range(ASKS_OUT_MAX))


@everywhere
async def test_closing_ends_the_waiting(world: World) -> None:
    """Tasks that wait at an end get `WireError` when it closes, and so does later use."""
    refused: list[int] = []

    async def expect_refusal(number: int) -> None:
        with pytest.raises(WireError):
            await (asker.ask(b"?") if number else listener.receive_batch())
        refused.append(number)

    async with anyio.create_task_group() as tasks, world.network.listener(world.address()) as listener:
        async with world.network.asker(listener.address) as asker:
            for number in (1, 2, 3):
                tasks.start_soon(expect_refusal, number)
            taken = 0
            while taken < 3:
                taken += len(await listener.receive_batch())
        await anyio.wait_all_tasks_blocked()
        assert sorted(refused) == [1, 2, 3]
        tasks.start_soon(expect_refusal, 0)
        await anyio.wait_all_tasks_blocked()
    assert 0 in refused
    with pytest.raises(WireError):
        await asker.ask(b"?")
    with pytest.raises(WireError):
        listener.send([])


@everywhere
async def test_one_receiver_at_a_time(world: World) -> None:
    """A second task that receives at the same listener is told so; the first goes on."""
    async with world.network.listener(world.address()) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(echo, listener)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(WireError, match="another task"):
            await listener.receive_batch()
        async with world.network.asker(listener.address) as asker:
            assert await asker.ask(b"oi") == b"oi"
        tasks.cancel_scope.cancel()


@everywhere
async def test_the_block_raises_bare_exceptions(world: World) -> None:
    """An exception in a block that holds an end comes out as it is, in no group."""

    async def fail_inside() -> None:
        async with (
            world.network.listener(world.address()) as listener,
            world.network.asker(listener.address),
            world.network.publisher([]),
        ):
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await fail_inside()
