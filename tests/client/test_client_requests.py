"""Requests of the library against fake servers, in virtual time, under trio and asyncio."""

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import REFERENCE, Cluster, fake_cluster, reference_for

from recado.client import (
    BadReply,
    Busy,
    ChannelExists,
    ChannelMissing,
    Chat,
    Closed,
    Indeterminate,
    NameRefused,
    NameTaken,
    NoAnswer,
    RefusedByServer,
    TextRefused,
    UserMissing,
    connect,
)
from recado.wire.memory import MemoryNetwork


def asked(cluster: Cluster, service: str) -> list[tuple[str, object, int]]:
    """(server, id, clock) of every request for `service`, over all servers."""
    return [
        (server.name, getattr(request.data, "id", None), request.clock)
        for server in cluster.servers
        for request in server.asked
        if request.service == service
    ]


@on_both_loops
async def test_one_screen_of_surface() -> None:
    """Login, lists, channel, publish, direct message, history, status and sync give their values."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        receipt = await chat.login()
        assert (receipt.acks, receipt.of, receipt.server) == (2, 3, "server-1")
        await chat.create_channel("geral")
        said = await chat.publish("geral", "oi", level="all")
        assert said.level == "all"
        assert said.key is not None
        assert said.key.origin == cluster.servers[0].origin
        await chat.message("ana", "psst")
        assert await chat.users() == ["ana"]
        assert await chat.channels() == ["geral"]
        page = await chat.history("geral")
        assert [(m.user, m.text, m.channel, m.key) for m in page] == [("ana", "oi", "geral", said.key)]
        direct = await chat.direct_messages("ana")
        assert [(m.src, m.dst, m.text, m.direct) for m in direct] == [("ana", "ana", "psst", True)]
        assert (await chat.status()).coordinator == "server-3"
        assert (await chat.sync()).logins[0]["username"] == "ana"


@on_both_loops
async def test_a_lost_reply_is_asked_of_the_next_server_with_the_same_id() -> None:
    """A write whose reply is lost goes to the next server soon, once more under its id, kept once.

    From a server that has answered in milliseconds before, an answer is expected within 1.25 s.
    """
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        await chat.create_channel("geral")
        cluster.servers[0].lost_replies = 1
        began = anyio.current_time()
        receipt = await chat.publish("geral", "oi")
        assert 1.25 <= anyio.current_time() - began < 1.5
        attempts = asked(cluster, "publish")
        assert [server for server, _, _ in attempts] == ["server-1", "server-2"]
        assert {ident for _, ident, _ in attempts} == {receipt.id}
        assert len(cluster.shared.messages) == 1
        assert chat.server == cluster.servers[1].address  # the one that answers is asked first from now on


@on_both_loops
async def test_silence_everywhere_ends_in_an_honest_error() -> None:
    """After 15 s without any answer a read is `NoAnswer` and a write `Indeterminate` with its id."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        for server in cluster.servers:
            server.mute = True
        began = anyio.current_time()
        with pytest.raises(NoAnswer) as no_answer:
            await chat.users()
        assert anyio.current_time() - began == pytest.approx(15)
        assert {where for where, _ in no_answer.value.tried} == set(cluster.addresses)
        with pytest.raises(Indeterminate) as unsure:
            await chat.publish("geral", "oi")
        assert {ident for _, ident, _ in asked(cluster, "publish")} == {unsure.value.id}


@on_both_loops
async def test_an_indeterminate_write_sent_again_appears_once() -> None:
    """Repeating a write with the id of `Indeterminate` gives a receipt and keeps one message."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        cluster.servers[0].lost_replies = 99
        with pytest.raises(Indeterminate) as unsure:
            await chat.publish("geral", "oi", deadline_seconds=4)
        cluster.servers[0].lost_replies = 0
        receipt = await chat.publish("geral", "oi", id=unsure.value.id)
        assert receipt.id == unsure.value.id
        assert len(cluster.shared.messages) == 1


class LateReplies:
    """While `late`, replies take 4 s: longer than an attempt."""

    late = False

    def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
        return [4.0 if self.late and kind == "reply" else 0.001]


@on_both_loops
async def test_a_late_reply_is_not_taken_for_a_later_request() -> None:
    """A reply that comes after its attempt was given up answers nothing, not even the next attempt."""
    transit = LateReplies()
    async with (
        fake_cluster(1, network=MemoryNetwork(transit)) as cluster,
        connect(None, **cluster.reaching()) as chat,
    ):
        transit.late = True
        with pytest.raises(NoAnswer):
            await chat.users(deadline_seconds=3)
        transit.late = False
        cluster.shared.users["bob"] = b"x"
        cluster.servers[0].lost_replies = 1
        assert await chat.users() == ["bob"]  # the late one, without bob, came while this one waited
        assert len(cluster.servers[0].asked) == 3


@on_both_loops
async def test_unreadable_replies_are_not_answers() -> None:
    """Garbage from one server sends the request to the next; garbage from all is `BadReply`."""
    async with fake_cluster() as cluster, connect(None, **cluster.reaching()) as chat:
        cluster.servers[0].garbage = True
        assert await chat.users() == []
        for server in cluster.servers:
            server.garbage = True
        with pytest.raises(BadReply, match="unreadable"):
            await chat.users()


@on_both_loops
async def test_refusals_are_typed_by_what_one_can_do() -> None:
    """Each refusal of a server arrives as its class, from codes and from the plain contract's texts."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        cluster.shared.users["ana"] = b"somebody else's"
        cluster.shared.channels["geral"] = b"x"
        for plain in (False, True):
            cluster.servers[0].plain = plain
            with pytest.raises(NameTaken, match="Usuário já existe"):
                await chat.login()
            with pytest.raises(ChannelExists):
                await chat.create_channel("geral")
            with pytest.raises(ChannelMissing):
                await chat.publish("nada", "oi")
            with pytest.raises(UserMissing):
                await chat.message("ninguém", "oi")
        assert len(cluster.servers[1].asked) == 0


@on_both_loops
async def test_what_cannot_be_said_is_refused_before_it_is_sent() -> None:
    """Empty and over-long names and texts raise at once and reach no server."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        with pytest.raises(TextRefused):
            await chat.publish("geral", "  ")
        with pytest.raises(TextRefused):
            await chat.message("bob", "x" * 20_000)
        with pytest.raises(NameRefused):
            await chat.create_channel("servers")
        with pytest.raises(NameRefused):
            await connect("\n", **cluster.reaching()).__aenter__()
        assert cluster.servers[0].asked == []
    async with fake_cluster(1) as cluster, connect(None, **cluster.reaching(level="local")) as chat:
        with pytest.raises(NameRefused):
            await chat.publish("geral", "oi")


@on_both_loops
async def test_busy_servers_are_asked_later() -> None:
    """`busy` waits for the time named and tries on; a write that only met busy servers was not kept."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        cluster.servers[0].refuse = {"status": "erro", "code": "busy", "retry_after": 2.0, "message": "cheio"}
        with pytest.raises(Busy) as busy:
            await chat.create_channel("geral")
        assert busy.value.retry_after == 2.0
        assert 5 <= len(cluster.servers[0].asked) <= 9


@on_both_loops
async def test_a_server_that_cannot_confirm_is_not_believed() -> None:
    """`indeterminate` from one server sends the write on; from all, the error tells the copies known."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="quorum")) as chat:
        unsure = {"status": "erro", "code": "indeterminate", "indeterminate": True, "acks": 1, "of": 3}
        cluster.servers[0].refuse = unsure
        assert (await chat.create_channel("geral")).acks == 2
        for server in cluster.servers:
            server.refuse = unsure
        with pytest.raises(Indeterminate) as error:
            await chat.publish("geral", "oi")
        assert (error.value.acks, error.value.of) == (1, 3)


@on_both_loops
async def test_the_level_follows_the_number_of_members() -> None:
    """Without a level a write asks quorum when the servers say three members or more, else local."""
    for count, level in ((1, "local"), (2, "local"), (3, "quorum"), (5, "quorum")):
        async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching()) as chat:
            cluster.shared.of = count
            assert (await chat.login()).level == level
            assert chat.members == count


@on_both_loops
async def test_lamport_stamps_rise_and_merge() -> None:
    """Every request carries a stamp above all before it, and replies pull the clock up."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.users()
        cluster.shared.clock = 500
        await chat.users()
        assert chat.clock > 500
        before = chat.clock
        await chat.users()
        stamps = [request.clock for request in cluster.servers[0].asked]
        assert stamps == sorted(set(stamps))
        assert stamps[-1] == before + 1


@on_both_loops
async def test_plain_servers_are_good_enough() -> None:
    """Servers of other projects, without our fields, give receipts that invent nothing."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching()) as chat:
        cluster.servers[0].plain = True
        receipt = await chat.login()
        assert (receipt.key, receipt.acks, receipt.of, receipt.level) == (None, 1, None, "local")
        with pytest.raises(RefusedByServer):
            await chat.history("geral")


@on_both_loops
async def test_servers_are_found_at_the_reference() -> None:
    """Without server addresses those that the reference lists are asked, and a dead one is passed over."""
    async with fake_cluster() as cluster, anyio.create_task_group() as group:
        group.start_soon(reference_for, cluster, ["tcp://nowhere:1", cluster.addresses[1]])
        await anyio.sleep(0.01)
        async with connect("ana", **cluster.reaching(servers=(), reference=REFERENCE)) as chat:
            assert await chat.users() == []
            assert chat.server == cluster.addresses[1]
        group.cancel_scope.cancel()


@on_both_loops
async def test_a_dead_reference_is_named_in_the_error() -> None:
    """With nobody at the reference's address a request ends in `NoAnswer` that says so."""
    async with (
        fake_cluster(0) as cluster,
        connect(None, **cluster.reaching(servers=(), reference=REFERENCE)) as chat,
    ):
        with pytest.raises(NoAnswer, match="reference: no answer"):
            await chat.users()


@on_both_loops
async def test_cancelled_requests_leave_the_connection_usable() -> None:
    """Cancelling a request at any moment, also the very first, harms no other request."""
    network = MemoryNetwork(Slow())
    async with (
        fake_cluster(network=network) as cluster,
        connect("ana", **cluster.reaching()) as chat,
    ):
        for moment in range(12):
            with anyio.move_on_after(moment * 0.02):
                await chat.create_channel(f"canal-{moment}")
        assert "canal-11" in await chat.channels()


class Slow:
    """Everything takes 50 ms on its way."""

    def delays(self, source: str, destination: str, kind: str, size: int) -> list[float]:
        return [0.05]


@on_both_loops
async def test_errors_leave_the_block_bare() -> None:
    """An exception of the body of `connect` leaves it as itself, not in a group."""
    async with fake_cluster() as cluster:
        with pytest.raises(ChannelMissing):
            async with connect("ana", **cluster.reaching()) as chat:
                await chat.publish("nada", "oi")
        with pytest.raises(KeyError):
            async with connect("ana", **cluster.reaching()):
                raise KeyError("mine")


@on_both_loops
async def test_many_tasks_share_a_connection() -> None:
    """Fifty tasks publish at once through one connection and all messages are kept."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(chat.publish, "geral", f"{number}")
        assert {m["message"] for m in cluster.shared.messages} == {str(n) for n in range(50)}


@on_both_loops
async def test_reads_see_the_own_writes() -> None:
    """A server that has not got an acknowledged write yet is passed over, unless none has it."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        await chat.create_channel("geral")
        await chat.publish("geral", "oi")
        await cluster.kill(cluster.servers[0])
        cluster.servers[1].behind = True
        assert [m.text for m in await chat.history("geral")] == ["oi"]
        assert chat.server == cluster.servers[2].address
        cluster.servers[2].behind = True
        assert len(await chat.history("geral")) == 1  # in vain: what there is


@on_both_loops
async def test_a_refusal_after_silence_is_not_certain() -> None:
    """A write refused by the second server may have been kept by the first, which never answered."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        with pytest.raises(ChannelMissing) as refused:
            await chat.publish("nada", "oi")
        assert refused.value.certain
        cluster.servers[0].mute = True
        with pytest.raises(ChannelMissing) as refused:
            await chat.publish("nada", "oi")
        assert not refused.value.certain


@on_both_loops
async def test_closing_ends_requests_of_other_tasks() -> None:
    """A request under way in another task raises `Closed` when the connection is closed."""
    ended = anyio.Event()
    async with fake_cluster() as cluster, anyio.create_task_group() as group:
        for server in cluster.servers:
            server.mute = True

        async def ask(chat: Chat) -> None:
            with pytest.raises(Closed):
                await chat.users()
            ended.set()

        async with connect("ana", **cluster.reaching()) as chat:
            group.start_soon(ask, chat)
            await anyio.sleep(1)
        with anyio.fail_after(0.1):
            await ended.wait()
        with pytest.raises(Closed):
            await chat.users()


@on_both_loops
async def test_what_nobody_kept_is_not_indeterminate() -> None:
    """A write that no server was found for, or that all turned away, says so: it need not be looked for."""
    async with connect("ana", level="local", network=MemoryNetwork().host("me")) as chat:
        with pytest.raises(NoAnswer, match="no server known"):
            await chat.create_channel("geral")
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching(level="local")) as chat:
        for server in cluster.servers:
            server.refuse = {"status": "erro", "code": "draining", "message": "encerrando"}
        with pytest.raises(RefusedByServer) as refused:
            await chat.create_channel("geral")
        assert (refused.value.code, refused.value.certain) == ("draining", True)
        cluster.servers[2].refuse = None
        await chat.create_channel("geral")


@on_both_loops
async def test_a_new_list_of_servers_is_taken_up_during_a_request() -> None:
    """When all listed servers are silent the reference is asked again, and the new one answers in time."""
    async with fake_cluster() as cluster, anyio.create_task_group() as group:
        listed = ["tcp://gone:1"]
        group.start_soon(reference_for, cluster, listed)
        await anyio.sleep(0.01)
        async with connect("ana", **cluster.reaching(servers=(), reference=REFERENCE)) as chat:
            group.start_soon(change_later, listed, cluster.addresses[2])
            assert await chat.users() == []
            assert chat.server == cluster.addresses[2]
        group.cancel_scope.cancel()


async def change_later(listed: list[str], address: str) -> None:
    """After a second the reference lists this address only."""
    await anyio.sleep(1)
    listed[:] = [address]
