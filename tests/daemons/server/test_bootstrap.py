"""An empty or far-behind server takes a peer's snapshot, keeps what only it has, and goes on in pages."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from recado.protocol.entry import EMPTY
from recado.protocol.limits import STRANGER_SECONDS
from recado.protocol.messages import Entry
from recado.settings import Disk
from storage.replica import Batch, Replica
from storage.verification import verify_images
from tests.daemons.server.peer_frames import ORIGIN, OTHER, log_of, stored, who
from tests.daemons.server.server_bench import Running, bench, until

FAR = Disk(snapshot_entries=100)
COUNT = 500
INSTALLED, TAKING = "snapshot installed", "taking a snapshot"


async def equal(*servers: Running) -> None:
    """Wait until all hold the same, and hold them to it."""
    await until(
        lambda: len({str(sorted(one.store.heads().items())) for one in servers}) == 1, within_seconds=60
    )
    report = verify_images({one.name: one.store.image() for one in servers}, settled=True)
    assert report.equal, report.differences


async def test_an_empty_server_takes_a_snapshot(autojump_clock: trio.abc.Clock) -> None:
    """It ends with everything, its progress is told, and it writes and replicates afterwards."""
    async with bench(of=2, disk=FAR) as cluster:
        full = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        empty = await cluster.start("server-2")
        await until(lambda: bool(empty.sink.named(INSTALLED)))
        assert empty.sink.named(INSTALLED)[0]["entries"] == COUNT
        assert {line["phase"] for line in empty.sink.named(TAKING)} >= {"receiving", "examining"}
        assert (await empty.ask("login", user="ana"))["status"] == "sucesso"
        await empty.say("depois", level="all")
        await full.say("também", level="all")
        await equal(full, empty)
        assert (await empty.ask("status"))["bootstrap"] is None
        assert not empty.faults()


async def test_a_few_entries_come_in_pages(autojump_clock: trio.abc.Clock) -> None:
    """Below the setting no snapshot is made."""
    async with bench(of=2, disk=Disk(snapshot_entries=COUNT)) as cluster:
        full = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        empty = await cluster.start("server-2")
        await equal(full, empty)
        assert not empty.sink.named(TAKING)
        assert not full.sink.named("making a snapshot for peers")


async def test_own_entries_outlive_the_exchange(autojump_clock: trio.abc.Clock) -> None:
    """What was written here alone, before and while the snapshot came, is in both replicas afterwards."""
    async with bench(of=2, disk=FAR) as cluster:
        behind = await cluster.start(
            "server-2", store=stored("server-2", log_of(OTHER, 50, text="só aqui {}"))
        )
        assert (await behind.ask("login", user="ana"))["status"] == "sucesso"
        await behind.say("sozinha", id=b"1")
        full = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        said = 0
        while not behind.sink.named(INSTALLED):
            said += (await behind.ask("publish", user="ana", channel="geral", message="meanwhile"))[
                "status"
            ] == "OK"
            await trio.sleep(0.01)
        assert said > 0
        assert (await behind.ask("publish", user="ana", channel="geral", message="sozinha", id=b"1"))[
            "status"
        ] == "OK"
        await equal(full, behind)
        texts = await full.texts()
        assert texts.count("sozinha") == 1
        assert texts.count("meanwhile") == said


async def test_two_empty_servers_share_one_snapshot(autojump_clock: trio.abc.Clock) -> None:
    """Both are served from one file; it is gone a minute after nobody asks."""
    async with bench(of=3, disk=FAR) as cluster:
        full = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        others = [await cluster.start("server-2"), await cluster.start("server-3")]
        await equal(full, *others)
        assert len(full.sink.named("snapshot made")) == 1
        await trio.sleep(70)
        reply = await full.ask("snapshot", **who(), token="x", offset=0)
        assert reply["code"] == "snapshot_gone"


class Breaks:
    """A store whose snapshot can't be used, in one way or another."""

    @staticmethod
    def damaged(store: Replica) -> None:
        store._writer.connection.execute("update entry set body = 'x' where seq = 250")

    @staticmethod
    def newer(store: Replica) -> None:
        store._writer.connection.execute("pragma user_version = 99")


@pytest.mark.parametrize("spoil", [Breaks.damaged, Breaks.newer])
async def test_what_can_t_be_used_is_not(
    autojump_clock: trio.abc.Clock, spoil: Callable[[Replica], None]
) -> None:
    """A damaged file or one of a newer version is refused, and pages bring what is sound."""
    async with bench(of=2, disk=FAR) as cluster:
        store = stored("server-1", log_of(ORIGIN, COUNT))
        await cluster.start("server-1", store=store)
        spoil(store)
        empty = await cluster.start("server-2")
        await until(lambda: bool(empty.sink.named("no snapshot could be taken, going on in pages")))
        sound = 249 if spoil is Breaks.damaged else COUNT
        await until(lambda: bool(empty.store.heads()) and empty.store.heads()[ORIGIN].seq == sound)
        assert not empty.sink.named(INSTALLED)


async def test_a_donor_that_dies_is_replaced(autojump_clock: trio.abc.Clock) -> None:
    """Killed after its first answer, the donor is given up, and the third server's snapshot is taken."""
    async with bench(of=3, disk=FAR) as cluster:
        entries = log_of(ORIGIN, COUNT)
        await cluster.start("server-1", store=stored("server-1", entries))
        third = await cluster.start("server-3", store=stored("server-3", [*entries, *log_of(OTHER, 300)]))
        empty = await cluster.start("server-2")
        await until(lambda: bool(empty.sink.named(TAKING)))
        await cluster.stop("server-3")
        await until(lambda: bool(empty.sink.named(INSTALLED)), within_seconds=120)
        assert third.sink.named("stopped")
        assert empty.store.heads()[ORIGIN].seq == COUNT


async def test_one_fork_is_not_hidden_by_a_snapshot(autojump_clock: trio.abc.Clock) -> None:
    """If both sides have another log under one origin the snapshot is not taken, and the fork is told."""
    forked: list[Entry] = log_of(OTHER, 60, text="aqui {}")
    async with bench(of=2, disk=FAR) as cluster:
        store = stored("server-1", [*log_of(ORIGIN, COUNT), *log_of(OTHER, 60, text="lá {}")])
        await cluster.start("server-1", store=store)
        behind = await cluster.start("server-2", store=stored("server-2", forked))
        await until(lambda: bool(behind.sink.named("no snapshot could be taken, going on in pages")))
        await until(lambda: behind.store.heads().get(ORIGIN, EMPTY).seq == COUNT)
        assert behind.store.heads()[OTHER].hash == forked[-1].hash


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "x", "offset": 0}, "snapshot_gone"),
        ({"token": "x", "offset": 2**52}, "snapshot_gone"),
        ({"cluster": "outro"}, "cluster_unknown"),
        ({"from": "server-9"}, "member_unknown"),
    ],
)
async def test_wrong_requests(autojump_clock: trio.abc.Clock, fields: dict[str, Any], code: str) -> None:
    """Strangers get no file, unknown files have no parts."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        assert (await server.ask("snapshot", **who(**fields)))["code"] == code
        assert not server.faults()


async def test_a_stranger_is_complained_of_once(autojump_clock: trio.abc.Clock) -> None:
    """A server of another cluster that goes on asking makes one line, with both clusters' names."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        for _ in range(5):
            await server.ask("sync", **who(cluster="outro"))
        (line,) = server.sink.named("a server that is no member is refused")
        assert (line["server"], line["its_cluster"], line["our_cluster"]) == ("server-2", "outro", "recado")


async def test_a_stranger_that_asks_no_more_is_not_told_of(autojump_clock: trio.abc.Clock) -> None:
    """Status names whom it refuses as long as they ask: a configuration that was mended is no finding."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        await server.ask("sync", **who(cluster="outro"))
        assert (await server.ask("status"))["strangers"] == [{"name": "server-2", "cluster": "outro"}]
        await trio.sleep(STRANGER_SECONDS + 1)
        assert (await server.ask("status"))["strangers"] == []


async def test_an_empty_server_stamps_after_its_peers(autojump_clock: trio.abc.Clock) -> None:
    """The first write at a server with a new disk sorts behind all that the peers had said (A3)."""
    async with bench(of=2) as cluster:
        full = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, 300)))
        empty = await cluster.start("server-2")
        reply = await empty.ask("login", user="zeca")
        assert reply["key"][0] > 300
        await equal(full, empty)


async def test_meta_of_the_node_stays(autojump_clock: trio.abc.Clock) -> None:
    """The epoch that a server has promised survives the exchange of its file."""
    async with bench(of=2, disk=FAR) as cluster:
        await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        store = Replica.in_memory("server-2")
        store.stage(Batch(meta={"mine": [1, 2]}))
        store.commit()
        behind = await cluster.start("server-2", store=store)
        await until(lambda: bool(behind.sink.named(INSTALLED)))
        assert store.meta("mine") == [1, 2]
        assert store.meta("node") == "server-2"
