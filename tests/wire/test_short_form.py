"""Requests in one frame: agreed upon in passing, with every other program spoken to as before."""

import anyio
import pytest
import zmq
from wire_worlds import World, echoing, over_tcp

from recado.wire import short_form
from recado.wire.ports import Incoming
from recado.wire.router import parse

NUMBER = short_form.numbered(7)
SHORT = short_form.MARK + NUMBER


@pytest.mark.parametrize(
    ("message", "incoming"),
    [
        ([b"id", SHORT + b"body"], Incoming((b"id", SHORT), b"body")),
        ([b"id", SHORT], Incoming((b"id", SHORT), b"")),
        ([b"id", SHORT[:-1]], Incoming((b"id",), SHORT[:-1])),
        ([b"id", b"", SHORT + b"body"], Incoming((b"id", b""), SHORT + b"body")),
        (
            [b"id", short_form.OFFER + NUMBER, b"", b"body"],
            Incoming((b"id", short_form.TAKEN + NUMBER, b""), b"body"),
        ),
        ([b"id", b"hop", NUMBER, b"", b"body"], Incoming((b"id", b"hop", NUMBER, b""), b"body")),
    ],
)
def test_how_a_listener_reads_it(message: list[bytes], incoming: Incoming) -> None:
    """The head of a short request, or the answer to an offer, is the envelope; all else is as it was."""
    assert parse(message) == incoming


class Bystander:
    """A ROUTER that answers by hand, in a thread, and remembers what it was sent."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers  # "verbatim", "taken" or "bare", one for each request
        self.seen: list[list[bytes]] = []
        self.address = ""

    def serve(self, *, started: anyio.Event) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.setsockopt(zmq.LINGER, 1000)
            router.setsockopt(zmq.RCVTIMEO, 10_000)
            self.address = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
            anyio.from_thread.run_sync(started.set)
            for answer in self.answers:
                message = router.recv_multipart()
                self.seen.append(message[1:])
                if answer == "taken":
                    message[1] = short_form.answering(message[1])
                if answer == "bare":
                    message[1:] = [b"\x80"]
                router.send_multipart(message)


async def asked(world: World, bystander: Bystander, *, patience: float = 5.0) -> list[bytes | None]:
    """The replies to as many requests, one after the other; None where none was understood in time."""
    started = anyio.Event()
    replies: list[bytes | None] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lambda: bystander.serve(started=started))
        await started.wait()
        async with world.network.asker(bystander.address) as asker:
            for number, answer in enumerate(bystander.answers):
                replies.append(None)
                with anyio.move_on_after(0.3 if answer == "bare" else patience):
                    replies[-1] = await asker.ask(b"%d" % number)
    return replies


@over_tcp
async def test_after_an_offer_was_taken_requests_are_one_frame(world: World) -> None:
    """The first request and reply are the long form with the offer, all others are one frame each way."""
    bystander = Bystander(["taken", "verbatim", "verbatim"])
    assert await asked(world, bystander) == [b"0", b"1", b"2"]
    assert [len(message) for message in bystander.seen] == [3, 1, 1]
    assert bystander.seen[0][0].startswith(short_form.OFFER)


@over_tcp
async def test_a_listener_that_knows_nothing_of_it_is_served_as_ever(world: World) -> None:
    """Its verbatim correlation is understood, and every request stays long."""
    bystander = Bystander(["verbatim"] * 3)
    assert await asked(world, bystander) == [b"0", b"1", b"2"]
    assert [len(message) for message in bystander.seen] == [3, 3, 3]


@over_tcp
async def test_an_older_program_in_the_place_of_a_newer_one(world: World) -> None:
    """What it answers to a short request ends the short form; the next request is long and understood."""
    bystander = Bystander(["taken", "bare", "verbatim", "verbatim"])
    assert await asked(world, bystander) == [b"0", None, b"2", b"3"]
    assert [len(message) for message in bystander.seen] == [3, 1, 3, 3]


@over_tcp
async def test_many_at_once_over_both_forms(world: World) -> None:
    """A hundred requests that are out while the form changes all find their own replies."""
    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
    ):
        replies: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            replies[number] = await asker.ask(b"%d" % number)

        for first in (0, 50):
            async with anyio.create_task_group() as tasks:
                for number in range(first, first + 50):
                    tasks.start_soon(ask, number)
        assert replies == {number: b"%d" % number for number in range(100)}


@over_tcp
async def test_a_short_request_with_a_large_reply(world: World) -> None:
    """Bodies that go out without being copied keep their head."""
    async with (
        echoing(world.network, world.address()) as listener,
        world.network.asker(listener.address) as asker,
    ):
        for body in (b"first", bytes(300_000), b"", bytes(1_000_000)):
            assert await asker.ask(body) == body
