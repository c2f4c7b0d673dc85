"""Publishes of concurrent tasks share requests, and nothing else, under trio and asyncio."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
import sniffio
from both_loops import on_both_loops
from fake_cluster import Cluster, FakeServer, fake_cluster

from recado.bundles import ALONE_SECONDS
from recado.client import ChannelMissing, Chat, Closed, Indeterminate, NotYou, Receipt, connect
from recado.protocol.limits import PUBLISHES_OF_REQUEST_MAX, REQUEST_FRAME_BYTES_MAX, TEXT_BYTES_MAX
from recado.wire.memory import MemoryNetwork

MANY, ONE = "publish_many", "publish"


class Road:
    """Remembers the sizes of requests; replies take `reply_seconds`."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.reply_seconds = 0.001

    def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
        if kind == "request":
            self.sizes.append(size)
        return [self.reply_seconds if kind == "reply" else 0.001]


async def together(chat: Chat, texts: Sequence[str], **how: Any) -> dict[str, Receipt | Exception]:
    """Publish each text in a task of its own, all at once; what became of each."""
    found: dict[str, Receipt | Exception] = {}

    async def say(text: str) -> None:
        try:
            found[text] = await chat.publish("geral", text, **how)
        except Exception as error:  # noqa: BLE001 (it is what is asked for)
            found[text] = error

    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(say, text)
    return found


def carried(server: FakeServer) -> list[int | str]:
    """Of each request that published: how many publishes, or `publish` for a plain one."""
    asked = [request for request in server.asked if request.service in (MANY, ONE)]
    return [len(r.data.items) if r.service == MANY else ONE for r in asked]  # type: ignore[attr-defined]


def kept(cluster: Cluster) -> list[str]:
    """The texts in the log, in its order."""
    return [message["message"] for message in cluster.shared.messages]


def numbered(count: int) -> list[str]:
    return [f"{n}" for n in range(count)]


@on_both_loops
async def test_publishes_of_one_moment_share_a_request() -> None:
    """Sixty-four at once are one request; each has the receipt of its own message."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        found = await together(chat, numbered(64))
        assert carried(cluster.servers[0]) == [64]
        for message in cluster.shared.messages:
            receipt = found[message["message"]]
            assert isinstance(receipt, Receipt)
            assert (receipt.id, receipt.server, receipt.acks) == (message["id"], "server-1", 2)
            assert receipt.key is not None
            assert receipt.key.seq == message["seq"]
        assert sorted(kept(cluster)) == sorted(numbered(64))


@on_both_loops
async def test_who_is_alone_sends_a_plain_publish() -> None:
    """One task's publishes, one after the other, are requests as they always were."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        for text in numbered(3):
            await chat.publish("geral", text)
        assert carried(cluster.servers[0]) == [ONE] * 3
        assert kept(cluster) == numbered(3)


@on_both_loops
async def test_answers_that_come_together_are_followed_by_publishes_that_go_together() -> None:
    """Eight tasks that each say five things need five requests, and each keeps its own order."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")

        async def talk(name: str) -> None:
            for text in numbered(5):
                await chat.publish("geral", f"{name} {text}")

        async with anyio.create_task_group() as tasks:
            for name in "abcdefgh":
                tasks.start_soon(talk, name)
        assert carried(cluster.servers[0]) == [8] * 5
        for name in "abcdefgh":
            assert [t for t in kept(cluster) if t[0] == name] == [f"{name} {n}" for n in range(5)]


@on_both_loops
async def test_a_request_carries_no_more_than_it_may() -> None:
    """The publish after the last that a request may carry begins another."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        await together(chat, numbered(PUBLISHES_OF_REQUEST_MAX + 2))
        assert sorted(map(str, carried(cluster.servers[0]))) == ["2", f"{PUBLISHES_OF_REQUEST_MAX}"]
        assert len(kept(cluster)) == PUBLISHES_OF_REQUEST_MAX + 2


@on_both_loops
async def test_no_frame_is_larger_than_allowed() -> None:
    """Long texts are spread over requests none of which exceeds the bound of a frame, and few of them."""
    road = Road()
    async with (
        fake_cluster(network=MemoryNetwork(road)) as cluster,
        connect("ana", **cluster.reaching(level="local")) as chat,
    ):
        await chat.create_channel("geral")
        texts = [f"{n:02}" + "é" * (TEXT_BYTES_MAX // 2 - 1) for n in range(40)]
        await together(chat, texts)
        assert sorted(kept(cluster)) == texts
        assert REQUEST_FRAME_BYTES_MAX - 2 * TEXT_BYTES_MAX < max(road.sizes) <= REQUEST_FRAME_BYTES_MAX
        assert len(carried(cluster.servers[0])) == 3


@on_both_loops
async def test_levels_are_not_mixed() -> None:
    """Publishes that wait for different numbers of copies go in different requests, at their own level."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        async with anyio.create_task_group() as tasks:
            for level in ("local", "all"):
                for n in range(4):
                    tasks.start_soon(
                        lambda level=level, n=n: chat.publish("geral", f"{level} {n}", level=level)
                    )
        asked = [r.data for r in cluster.servers[0].asked if r.service == MANY]
        assert {d.level: [text for _, text, _ in d.items] for d in asked}.keys() == {"local", "all"}  # type: ignore[attr-defined]
        assert all(text.startswith(d.level) for d in asked for _, text, _ in d.items)  # type: ignore[attr-defined]


@on_both_loops
async def test_each_has_its_own_answer() -> None:
    """Of one request some are kept, one is refused, one is told to wait and is kept later on."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        server = cluster.servers[0]
        server.refuse_texts = {
            "b": {"code": "busy", "message": "ocupado", "retry_after": 2},
            "c": {"code": "channel_missing", "message": "Canal não existe"},
        }

        async def clear() -> None:
            await anyio.sleep(1)
            server.refuse_texts = {}

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clear)
            began = anyio.current_time()
            found = await together(chat, list("abcd"))
        assert 2 <= anyio.current_time() - began < 2.5
        assert isinstance(found["c"], ChannelMissing)
        assert found["c"].certain
        assert all(isinstance(found[text], Receipt) for text in "abd")
        assert sorted(kept(cluster)) == list("abd")
        assert carried(server) == [4, ONE]


@on_both_loops
async def test_a_refusal_of_the_whole_is_everybodys() -> None:
    """What is refused before it is looked into, for who asks, is refused to each as it would be alone."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        cluster.servers[0].refuse = {"status": "erro", "code": "not_you", "message": "não é você"}
        found = await together(chat, numbered(3))
        assert all(isinstance(error, NotYou) for error in found.values())
        assert carried(cluster.servers[0]) == [3]


@on_both_loops
async def test_a_lost_reply_is_asked_of_the_next_server_with_the_same_ids() -> None:
    """If the reply to many is lost each goes to the next server with its id, and appears once."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        cluster.servers[0].lost_replies = 1
        found = await together(chat, numbered(16))
        assert {r.id for r in found.values()} == {m["id"] for m in cluster.shared.messages}  # type: ignore[union-attr]
        assert sorted(kept(cluster)) == sorted(numbered(16))
        assert carried(cluster.servers[0]) == [16]
        assert carried(cluster.servers[1])


@on_both_loops
@pytest.mark.parametrize("plain", [False, True])
async def test_an_older_server_is_asked_one_by_one_for_a_minute(plain: bool) -> None:
    """A server that doesn't know the request, with a code or without, is asked so again a minute later."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        server = cluster.servers[0]
        server.many, server.plain = False, plain
        found = await together(chat, numbered(4))
        assert all(isinstance(receipt, Receipt) for receipt in found.values())
        await together(chat, list("abcd"))
        assert carried(server) == [4] + [ONE] * 8
        server.many = True
        await anyio.sleep(ALONE_SECONDS)
        await together(chat, list("efgh"))
        assert carried(server)[9:] == [4]
        assert len(kept(cluster)) == 12


@on_both_loops
async def test_a_server_that_ignores_what_it_does_not_know_is_asked_one_by_one() -> None:
    """Without an answer to many the next attempt, at the same server, is one by one."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        server = cluster.servers[0]
        server.on_request = lambda asked: setattr(server, "mute", asked.service == MANY)
        found = await together(chat, numbered(4))
        assert all(isinstance(receipt, Receipt) for receipt in found.values())
        assert carried(server) == [4] + [ONE] * 4


@on_both_loops
async def test_who_is_cancelled_takes_only_his_own_away() -> None:
    """Whoever leaves while publishes gather, the first to come too, is not sent; the others are, at once.

    Under asyncio a cancellation reaches only the first of them so early.
    """
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")

        async def say(text: str, cancelled: bool) -> None:
            with anyio.CancelScope() as scope:
                if cancelled:
                    scope.cancel()
                await chat.publish("geral", text)

        for turn in range(20):  # who comes first differs from turn to turn
            async with anyio.create_task_group() as tasks:
                for n in range(8):
                    tasks.start_soon(say, f"{turn} {n}", n < 4)
        assert len(carried(cluster.servers[0])) == 20
        assert len(set(kept(cluster))) == len(kept(cluster)) == sum(carried(cluster.servers[0]))  # type: ignore[arg-type]
        assert {f"{turn} {n}" for turn in range(20) for n in range(4, 8)} <= set(kept(cluster))
        assert len(kept(cluster)) <= (80 if sniffio.current_async_library() == "trio" else 140)


@on_both_loops
async def test_each_has_its_own_deadline() -> None:
    """Those whose time is up leave a request that is out, the first to come too; the rest get the answer."""
    road = Road()
    async with (
        fake_cluster(1, network=MemoryNetwork(road)) as cluster,
        connect("ana", **cluster.reaching(level="local")) as chat,
    ):
        await chat.create_channel("geral")
        road.reply_seconds = 1.0
        ended: dict[float, float] = {}

        async def say(seconds: float) -> None:
            began = anyio.current_time()
            try:
                await chat.publish("geral", f"{seconds}", deadline_seconds=seconds)
            except Indeterminate:
                assert seconds < 1
            ended[seconds] = anyio.current_time() - began

        async with anyio.create_task_group() as tasks:
            for seconds in (0.2, 0.4, 0.6, 5, 10):
                tasks.start_soon(say, seconds)
        assert ended == pytest.approx({0.2: 0.2, 0.4: 0.4, 0.6: 0.6, 5: 1.001, 10: 1.001})
        assert carried(cluster.servers[0]) == [5]


@on_both_loops
async def test_a_request_that_nobody_waits_for_is_forgotten() -> None:
    """When all who share a request have left it holds no place among those that are out."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        cluster.servers[0].mute = True
        with anyio.move_on_after(0.5):
            await together(chat, numbered(8))
        asker: Any = await chat._connection.servers.asker(cluster.addresses[0])
        await anyio.sleep(0.001)
        assert not asker._waiting


@on_both_loops
async def test_closing_ends_what_is_gathering_and_what_is_out() -> None:
    """Leaving the connection raises `Closed` for publishes in every state, and hangs for none."""
    found: dict[str, Receipt | Exception] = {}

    async def say(chat: Chat, *texts: str) -> None:
        found.update(await together(chat, texts))

    async with fake_cluster(1) as cluster, anyio.create_task_group() as tasks:  # noqa: SIM117
        async with connect("ana", **cluster.reaching(level="local")) as chat:
            await chat.create_channel("geral")
            cluster.servers[0].mute = True
            for wait_seconds in (0.1, 0.0):
                tasks.start_soon(say, chat, *(f"{wait_seconds} {n}" for n in range(4)))
                await anyio.sleep(wait_seconds)
            await anyio.lowlevel.checkpoint()
    assert len(found) == 8
    assert all(isinstance(error, Closed) for error in found.values())
