"""The ceiling of stamps (A13): who stamps at the end of numbers keeps nobody from writing."""

from typing import Any

import pytest
import trio

from daemons.server.put_off import RETRY_SECONDS
from recado.protocol import names
from recado.protocol.clock_tag import clock_tag
from recado.protocol.entry import EMPTY, Head, seal
from recado.protocol.lamport import CEILING_PER_SECOND, ceiling
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.messages import Entry, Kind
from recado.settings import Disk, Timings
from storage.replica import Batch, Replica
from tests.daemons.server.peer_frames import ORIGIN, OTHER, log_of, run, stored, who
from tests.daemons.server.secured_bench import CLUSTER_KEY, furnish, secured, signed_run, vouched
from tests.daemons.server.server_bench import BIRTH, Running, bench, lone, until

PUT_OFF = "run stamped too far ahead"  # a log line
INSTALLED = "snapshot installed"  # another
LAST = LAMPORT_LIMIT - 1
THIRD = "server-3.00000000000000cc"


def after(entries: list[Entry], stamp: int, *, origin: str = ORIGIN, count: int = 1) -> list[Entry]:
    """The log with `count` more entries, stamped from `stamp` on."""
    made, head = list(entries), EMPTY
    if entries:
        head = Head(entries[-1].seq, entries[-1].lamport, entries[-1].hash)
    for n in range(count):
        entry = seal(
            head, origin=origin, lamport=stamp + n, wall_ms=0, kind=Kind.CHANNEL_MESSAGE,
            author=names.uid("ana"), id=None, target="geral", prev=0, body=b"fim",
        )  # fmt: skip
        head = Head(entry.seq, entry.lamport, entry.hash)
        made.append(entry)
    return made


def now_at_most() -> int:
    """The ceiling at this moment of a test."""
    return ceiling(BIRTH + trio.current_time())


async def writes_go_on(server: Running, *, below: int = 10**6, text: str = "e segue") -> None:
    """A message is taken, with a stamp that leaves room, and nothing was wrong."""
    assert (await server.say(text))["key"][0] < below
    assert not server.faults()


async def test_a_member_s_last_stamp_is_not_taken(autojump_clock: trio.abc.Clock) -> None:
    """Signed by a member, it is put off at the others; all go on writing."""
    async with secured("server-1", "server-3", of=3) as cluster:
        one, three = cluster.running.values()
        await furnish(one)
        await cluster.level()
        for server in (one, three):
            told = await cluster.push(
                server, signed_run(after([], LAST)), signed_run(log_of(OTHER, 3)), by="server-2"
            )
            assert told["have"] == {ORIGIN: 0, OTHER: 3}
            assert [line["stamp"] for line in server.sink.named(PUT_OFF)] == [LAST]
            assert ORIGIN not in server.node.entries.stopped
            await writes_go_on(server)
        await cluster.level()
        assert (await one.texts())[-1] == "e segue"


async def test_a_run_waits_as_a_whole_where_it_is_signed(autojump_clock: trio.abc.Clock) -> None:
    """In a secured cluster what is in front of the stamp waits with it; in open mode it is taken."""
    log = after(log_of(ORIGIN, 5), LAST)
    async with secured("server-1", of=2) as cluster:
        assert (await cluster.push(cluster.running["server-1"], signed_run(log)))["have"] == {ORIGIN: 0}
        assert (await cluster.push(cluster.running["server-1"], signed_run(log[:5])))["have"] == {ORIGIN: 5}
    async with bench("server-1", of=2) as open_cluster:
        server = open_cluster.running["server-1"]
        assert (await server.ask("replicate", **who(), runs=[run(log)]))["have"] == {ORIGIN: 5}
        await server.ask("login", user="ana")
        await writes_go_on(server)


async def test_a_stamp_at_the_ceiling_is_taken(autojump_clock: trio.abc.Clock) -> None:
    """The clock goes there and no further: everybody writes above it, and all take what the others write."""
    async with secured("server-1", "server-3", of=3) as cluster:
        one, three = cluster.running.values()
        await furnish(one)
        most = now_at_most()
        assert (await cluster.push(one, signed_run(after([], most))))["have"] == {ORIGIN: 1}
        assert (await one.say("acima"))["key"][0] > most
        await cluster.level()
        assert (await three.say("também"))["key"][0] > most
        await cluster.level()
        assert await one.texts() == await three.texts() == ["fim", "acima", "também"]


@pytest.mark.parametrize("secret", [True, False])
async def test_no_clock_beyond_the_ceiling_is_believed(autojump_clock: trio.abc.Clock, secret: bool) -> None:
    """Neither with the tag of a leaked cluster key, nor from a member of an open cluster."""
    if secret:
        async with secured("server-1") as cluster:
            server = cluster.running["server-1"]
            await furnish(server)
            for clock in (LAST, now_at_most() + 10**9):
                told = await server.ask("users", clock=clock, ctag=clock_tag(CLUSTER_KEY, clock))
                assert "ctag" not in told
            await writes_go_on(server)
            most = now_at_most()
            await server.ask("users", clock=most, ctag=clock_tag(CLUSTER_KEY, most))
            assert (await server.say("acima"))["key"][0] > most
        return
    async with bench("server-1", of=2) as open_cluster:
        server = open_cluster.running["server-1"]
        await server.furnish()
        for service in ("sync", "replicate", "clock"):
            await server.ask(service, **who(), clock=LAST)
        await writes_go_on(server)


async def test_what_waits_is_pulled_when_its_time_comes(autojump_clock: trio.abc.Clock) -> None:
    """Meanwhile a page full of it holds up no other origin, and it is said once a minute at most."""
    late = now_at_most() + 30 * CEILING_PER_SECOND
    store = stored("server-2", [*after([], late, count=2500), *log_of(THIRD, 3)])
    async with bench(of=2) as cluster:
        await cluster.start("server-2", store=store)
        one = await cluster.start("server-1")
        await until(lambda: one.node.entries.durable.get(THIRD) == 3)
        await trio.sleep(15)
        assert ORIGIN not in one.store.heads()
        assert len(one.sink.named(PUT_OFF)) == 1
        await until(lambda: one.node.entries.durable.get(ORIGIN) == 2500, within_seconds=30)
        assert trio.current_time() < RETRY_SECONDS
        await cluster.level()


@pytest.mark.parametrize("origin", [ORIGIN, "server-1.00000000000000aa"])
async def test_a_log_that_holds_such_an_entry_still_serves(
    autojump_clock: trio.abc.Clock, origin: str
) -> None:
    """Kept by an earlier version, its own or another's: the clock begins above what is below the ceiling."""
    log = [*after(log_of(origin, 40), LAST, origin=origin), *log_of(OTHER, 30)]
    async with bench("server-2", of=2) as cluster:
        one = await cluster.start("server-1", store=stored("server-1", log))
        await one.ask("login", user="ana")
        assert (await one.say("de novo"))["key"][0] > 40
        await writes_go_on(one, text="e de novo")
        await trio.sleep(10)
        two = cluster.running["server-2"]
        assert two.node.entries.durable[origin] == 40
        assert two.node.entries.durable[OTHER] == 30
        await writes_go_on(two)
        assert (await two.texts())[-3:] == ["de novo", "e de novo", "e segue"]


async def test_a_snapshot_brings_none_either(autojump_clock: trio.abc.Clock) -> None:
    """What a peer's file holds above it is cut off; the new server writes, and takes no second file."""
    for_snapshot = Disk(snapshot_entries=100)
    entries = after(log_of(ORIGIN, 300), LAST)
    donor = Replica.in_memory("server-1")
    donor.stage(Batch(entries=entries, signatures=vouched(entries, every=10)))
    donor.commit()
    async with secured(of=2, disk=for_snapshot) as cluster:
        await cluster.start("server-1", store=donor)
        two = await cluster.start("server-2")
        await until(lambda: bool(two.sink.named(INSTALLED)), within_seconds=60)
        await trio.sleep(30)
        assert two.node.entries.durable[ORIGIN] == 300
        assert len(two.sink.named(INSTALLED)) == 1
        await furnish(two)
        await writes_go_on(two)


async def test_a_repair_brings_none_either(autojump_clock: trio.abc.Clock) -> None:
    """A last entry that was damaged is not replaced by one from the end of numbers."""
    hurt = stored("server-1", log_of(ORIGIN, 40))
    hurt._writer.connection.execute("update entry set hash = zeroblob(16) where seq = 40")
    quiet = Timings(vector_exchange_seconds=600, sync_seconds=600)
    async with bench(of=2, timings=quiet) as cluster:
        await cluster.start("server-2", store=stored("server-2", after(log_of(ORIGIN, 39), LAST)))
        one = await cluster.start("server-1", store=hurt)
        await until(lambda: bool(one.sink.named(PUT_OFF)), within_seconds=90)
        assert not one.sink.named("entries repaired")
        await one.ask("login", user="ana")
        await writes_go_on(one)


async def test_a_clock_at_the_limit_is_a_refusal(autojump_clock: trio.abc.Clock) -> None:
    """However it came there: writes are refused by name, reads go on, nothing is a fault."""
    async with lone() as server:
        await server.furnish()
        server.node.clock.value = LAMPORT_LIMIT
        for service, fields in WRITES.items():
            assert (await server.ask(service, **fields))["code"] == "clock_exhausted"
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        assert not server.faults()


WRITES: dict[str, dict[str, Any]] = {
    "login": {"user": "caio"},
    "channel": {"channel": "outro"},
    "publish": {"user": "ana", "channel": "geral", "message": "oi"},
    "message": {"src": "ana", "dst": "bia", "message": "oi"},
}
