"""Restored backups and servers of different versions, in whole clusters under load."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import trio
from test_lost_disks import Writers, judged
from world import World

from recado.protocol.versions import WIRE_VERSION, understood
from storage.replica import RESTORED_KEY

Simulate = Callable[..., Any]
REFUSED = "a server of another wire version is refused"


def restored(image: bytes) -> bytes:
    """A disk's image with the mark that `recado restore` leaves in it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.deserialize(image)
        told = json.dumps({"at": "now", "made": "then", "from": "server-2"})
        db.execute("insert or replace into meta values(?,?)", (RESTORED_KEY, told))
        return db.serialize()


async def furnish(world: World) -> Writers:
    """A user, a channel, and somebody who writes at every server."""
    await trio.sleep(2)
    await world.ask("server-1", "login", user="ana")
    await world.ask("server-1", "channel", channel="geral", user="ana")
    await trio.sleep(2)
    writers = Writers(world)
    for name in world.servers:
        world.nursery.start_soon(lambda at=name: writers.run(at=at))
    return writers


@pytest.mark.slow
@pytest.mark.parametrize("secured", [False, True])
def test_a_restored_server_gets_its_own_past_back(simulate: Simulate, secured: bool) -> None:
    """With last week's file it begins a new log, and its old one comes back whole from its peers."""

    async def story(world: World) -> None:
        writers = await furnish(world)
        await trio.sleep(5)
        node = world.servers["server-2"]
        backup = node.store.image()
        await trio.sleep(5)
        (mine,) = [origin for origin in node.store.heads() if origin.startswith("server-2.")]
        before = node.store.heads()[mine].seq
        node.kill()
        node.restore(restored(backup))
        node.start()
        held = node.store.heads()[mine].seq
        assert held < before
        await world.until(
            lambda: node.store.heads()[mine].seq >= before, within_seconds=20, what="its own past is back"
        )
        await trio.sleep(10)
        assert len([origin for origin in node.store.heads() if origin.startswith("server-2.")]) == 2
        assert world.journal.named("restored from a backup, peers are asked before the first write")
        await judged(world, writers)
        assert node.store.meta(RESTORED_KEY) is None

    simulate(story, seed=5, secured=secured)


def test_new_words_come_after_those_that_the_backup_lacks(simulate: Simulate) -> None:
    """The first write at a restored server is stamped higher than all that it had written since."""

    async def story(world: World) -> None:
        await trio.sleep(1)
        await world.ask("server-2", "login", user="ana")
        await world.ask("server-2", "channel", channel="geral")
        node = world.servers["server-2"]
        backup = node.store.image()
        for n in range(30):
            await world.ask("server-2", "publish", user="ana", channel="geral", message=f"{n}", level="all")
        node.kill()
        node.restore(restored(backup))
        node.start()
        await trio.sleep(0.001)  # it serves, and has heard nobody yet
        reply = await world.ask(
            "server-2", "publish", user="ana", channel="geral", message="last", level="all"
        )
        assert reply["status"] == "OK"
        await world.until(world.level, within_seconds=20, what="equal replicas")
        for server in world.servers.values():
            rows = server.store.last_messages(channel="geral", user=None, peer=None, before=None, limit=50)
            assert [row.message for row in rows] == [*map(str, range(30)), "last"]

    simulate(story)


@pytest.mark.slow
@pytest.mark.parametrize("apart", [-1, 1])
def test_neighbouring_versions_are_one_cluster(simulate: Simulate, apart: int) -> None:
    """A cluster is upgraded one server at a time under load: each step is one cluster, nothing is lost."""

    async def story(world: World) -> None:
        for node in world.servers.values():
            node.wire_version = WIRE_VERSION - apart
        for node in world.nodes.values():
            node.start()
        writers: Writers = await furnish(world)
        for name in ("server-1", "server-2", "server-3"):
            await trio.sleep(8)
            await world.servers[name].stop()
            world.servers[name].wire_version = WIRE_VERSION
            world.servers[name].start()
        await trio.sleep(20)
        assert not world.journal.named(REFUSED)
        said = await world.statuses()
        assert {status["coordinator"] for status in said.values()} == {"server-3"}
        assert {status["wire"] for status in said.values()} == {WIRE_VERSION}
        assert {peer["wire"] for status in said.values() for peer in status["peers"]} == {WIRE_VERSION}
        await judged(world, writers)

    simulate(story, seed=7, started=False)


@pytest.mark.parametrize("apart", [-2, 2])
def test_two_versions_apart_are_refused(simulate: Simulate, apart: int) -> None:
    """Both sides say so once; the others are a cluster, and the stranger's words come with its upgrade."""

    async def story(world: World) -> None:
        world.servers["server-3"].wire_version = WIRE_VERSION + apart
        for node in world.nodes.values():
            node.start()
        await trio.sleep(12)
        for name in ("server-1", "server-3"):
            await world.ask(name, "login", user=f"ana{name[-1]}")
            await world.ask(name, "channel", channel=f"c{name[-1]}")
        await trio.sleep(5)
        said = await world.statuses()
        assert {said[name]["coordinator"] for name in ("server-1", "server-2")} == {"server-2"}
        lines = world.journal.named(REFUSED, node="server-1")
        assert [line["server"] for line in lines] == ["server-3"]
        assert (lines[0]["its_version"], lines[0]["our_version"]) == (WIRE_VERSION + apart, WIRE_VERSION)
        assert lines[0]["upgrade"] == ("this server" if apart > 0 else "server-3")
        assert len(world.journal.named(REFUSED, node="server-3")) == 2
        assert world.servers["server-1"].store.channels() == ["c1"]
        await world.servers["server-3"].stop()
        world.servers["server-3"].wire_version = WIRE_VERSION
        world.servers["server-3"].start()
        await world.until(world.level, within_seconds=20, what="equal replicas")
        assert sorted(world.servers["server-1"].store.channels()) == ["c1", "c3"]

    simulate(story, started=False)


def test_understanding_is_mutual() -> None:
    """If one version serves another, that one serves it: a link never works in one direction only."""
    for ours in range(1, 6):
        for theirs in range(1, 6):
            assert understood(theirs, ours=ours) == understood(ours, ours=theirs) == (abs(ours - theirs) < 2)
