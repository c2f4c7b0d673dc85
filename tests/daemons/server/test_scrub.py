"""Damage in one replica: found by the check or by a reader, repaired from the peers, never spread."""

from typing import Any

import pytest
import trio

from recado.settings import Disk, Timings
from storage.replica import Replica
from storage.verification import verify_images
from tests.daemons.server.peer_frames import ORIGIN, log_of, stored
from tests.daemons.server.server_bench import bench, until

COUNT = 40
DAMAGES = {
    "a body": ("update entry set body = 'outra coisa' where seq = ?", 17),
    "an author": ("update entry set author = zeroblob(16) where seq = ?", 17),
    "a stamp": ("update entry set lamport = lamport + 1 where seq = ?", 17),
    "a hash": ("update entry set hash = zeroblob(16) where seq = ?", 17),
    "a type": ("update entry set body = 17 where seq = ?", 17),
    "the first row": ("update entry set body = 'outra coisa' where seq = ?", 1),
    "the last row": ("update entry set body = 'outra coisa' where seq = ?", COUNT),
    "the last hash": ("update entry set hash = zeroblob(16) where seq = ?", COUNT),
    "a row gone": ("delete from entry where seq = ?", 17),
    "thirty rows": ("update entry set body = 'x' where seq >= ? and seq < 35", 5),
    "thirty rows gone": ("delete from entry where seq >= ? and seq < 35", 5),
    "every second hash": ("update entry set hash = zeroblob(16) where seq % 2 and seq > ?", 0),
}
QUIET = Timings(vector_exchange_seconds=600, sync_seconds=600)


def damaged(name: str, statement: str, seq: int) -> Replica:
    """A replica of `COUNT` entries in which something was changed behind the program's back."""
    replica = stored(name, log_of(ORIGIN, COUNT))
    replica._writer.connection.execute(statement, (seq,))
    return replica


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_found_and_repaired(autojump_clock: trio.abc.Clock, what: str) -> None:
    """Within a minute of a start both replicas hold the same entries and views again, hash by hash."""
    async with bench(of=2, timings=QUIET) as cluster:
        sound = await cluster.start("server-2", store=stored("server-2", log_of(ORIGIN, COUNT)))
        hurt = await cluster.start("server-1", store=damaged("server-1", *DAMAGES[what]))
        await until(lambda: bool(hurt.sink.named("log checked")), within_seconds=60)
        await until(lambda: bool(hurt.sink.named("entries repaired")), within_seconds=60)
        await trio.sleep(1)
        report = verify_images({"sound": sound.store.image(), "hurt": hurt.store.image()}, settled=True)
        assert report.equal, report.differences
        assert (await hurt.ask("status"))["damaged"] == 0
        assert not hurt.sink.named("origin forked, nothing more of it is taken")
        assert not sound.sink.named("origin forked, nothing more of it is taken")


async def test_a_damaged_entry_is_never_served(autojump_clock: trio.abc.Clock) -> None:
    """An empty peer gets what is before the damage, nothing of it, and the rest after the repair."""
    async with bench(of=3) as cluster:
        await cluster.start("server-1", store=damaged("server-1", *DAMAGES["a body"]))
        empty = await cluster.start("server-2")
        await trio.sleep(20)
        assert empty.store.heads()[ORIGIN].seq == 16
        await cluster.start("server-3", store=stored("server-3", log_of(ORIGIN, COUNT)))
        await cluster.level(within_seconds=120)
        assert empty.store.heads()[ORIGIN].seq == COUNT


async def test_what_nobody_has_is_said(autojump_clock: trio.abc.Clock) -> None:
    """Without a peer that has the entry the alarm is repeated, and `status` tells how much is wrong."""
    async with bench(of=2) as cluster:
        hurt = await cluster.start("server-1", store=damaged("server-1", *DAMAGES["a row gone"]))
        await trio.sleep(150)
        alarms = hurt.sink.named("damaged entries that no peer can give now")
        assert len(alarms) >= 2
        assert (alarms[0]["origin"], alarms[0]["first"], alarms[0]["last"]) == (ORIGIN, 17, 17)
        assert (await hurt.ask("status"))["damaged"] == 1


async def test_a_peer_s_other_entries_are_not_taken(autojump_clock: trio.abc.Clock) -> None:
    """Entries of a forked log do not fit between our sound ones: nothing is replaced."""
    other = log_of(ORIGIN, COUNT, text="outra {}")
    async with bench(of=2, timings=QUIET) as cluster:
        await cluster.start("server-2", store=stored("server-2", other))
        hurt = await cluster.start("server-1", store=damaged("server-1", *DAMAGES["a body"]))
        await trio.sleep(100)
        assert hurt.sink.named("a peer's entries do not fit into our log")
        assert not hurt.sink.named("entries repaired")


async def test_a_sound_log_is_checked_when_it_is_due(autojump_clock: trio.abc.Clock) -> None:
    """Once in the time set for it, and not earlier after a restart; nothing is accused."""
    store = stored("server-1", log_of(ORIGIN, COUNT))
    async with bench(of=1, disk=Disk(scrub_seconds=1000)) as cluster:
        server = await cluster.start("server-1", store=store)
        await trio.sleep(2500)
        assert len(server.sink.named("log checked")) == 3
        assert not server.sink.named("damaged entry")
    again = Replica.in_memory("server-1", store.image())
    async with bench(of=1, disk=Disk(scrub_seconds=4000)) as cluster:
        server = await cluster.start("server-1", store=again)
        await trio.sleep(3000)
        assert not server.sink.named("log checked")


@pytest.mark.parametrize("first", [0, -1, 41, 2**60])
async def test_fetch_of_what_is_not_there(autojump_clock: trio.abc.Clock, first: Any) -> None:
    """Places outside the log are refused or answered with nothing."""
    from tests.daemons.server.peer_frames import who

    async with bench(of=2) as cluster:
        server = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, COUNT)))
        reply = await server.ask("fetch", **who(), origin=ORIGIN, first=first, last=first)
        assert reply.get("runs", []) == []
        assert not server.faults()
