"""Snapshots and repairs in a secured cluster: what comes by these ways is proved as well."""

import pytest
import trio

from recado.protocol.messages import Entry
from recado.settings import Disk, Timings
from storage.replica import Batch, Replica
from tests.daemons.server.peer_frames import ORIGIN, log_of
from tests.daemons.server.secured_bench import furnish, secured, signature, vouched
from tests.daemons.server.server_bench import until
from tests.daemons.server.test_origin_proofs import signed_heads

FAR = Disk(snapshot_entries=100)
COUNT = 500
INSTALLED = "snapshot installed"
QUIET = Timings(vector_exchange_seconds=600, sync_seconds=600)


def replica(name: str, entries: list[Entry], *, by: str = "server-2", every: int = 16) -> Replica:
    """A member's store with a log that the server `by` has signed."""
    made = Replica.in_memory(name)
    made.stage(Batch(entries=entries, signatures=vouched(entries, by=by, every=every)))
    made.commit()
    return made


# Snapshots ------------------------------------------------------------------------------------------


async def test_a_snapshot_brings_its_signatures(autojump_clock: trio.abc.Clock) -> None:
    """Who took one has proved logs and passes them on in pages."""
    async with secured(of=3, disk=FAR) as cluster:
        await cluster.start("server-1", store=replica("server-1", log_of(ORIGIN, COUNT)))
        empty = await cluster.start("server-3")
        await until(lambda: bool(empty.sink.named(INSTALLED)), within_seconds=30)
        await cluster.level()
        signed_heads(empty.store)
        assert len(empty.store.signatures(ORIGIN, after=0, upto=COUNT)) > COUNT // 16


async def test_of_a_forged_snapshot_nothing_is_taken_and_it_is_not_asked_for_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A member that made up another's log gives a copy of nothing; afterwards others are heard as before."""
    async with secured(of=3, disk=FAR) as cluster:
        await cluster.start("server-1", store=replica("server-1", log_of(ORIGIN, COUNT), by="server-1"))
        empty = await cluster.start("server-3")
        await trio.sleep(120)
        assert ORIGIN not in empty.store.heads()
        assert len(empty.sink.named(INSTALLED)) <= 1
        await cluster.stop("server-1")
        honest = await cluster.start("server-2")
        await furnish(honest)
        assert (await honest.say("boa tarde", level="quorum"))["acks"] == 2
        await cluster.level()


async def test_a_snapshot_s_unsigned_end_is_cut_off(autojump_clock: trio.abc.Clock) -> None:
    """What follows the last good signature stays out; what is before it comes in."""
    log = log_of(ORIGIN, COUNT)
    made = Replica.in_memory("server-1")
    made.stage(Batch(entries=log, signatures=vouched(log[:400])))
    made.commit()
    async with secured(of=3, disk=FAR) as cluster:
        await cluster.start("server-1", store=made)
        empty = await cluster.start("server-3")
        await until(lambda: bool(empty.sink.named(INSTALLED)), within_seconds=30)
        await trio.sleep(30)
        assert empty.store.heads()[ORIGIN].seq == 400


# Repairs --------------------------------------------------------------------------------------------

DAMAGES = {
    "the end": "update entry set body = 'outra coisa' where seq = 40",
    "the last ten": "delete from entry where seq > 30 and seq < 40",
    "in the middle": "update entry set body = 'x' where seq = 17",
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_a_repair_is_proved(autojump_clock: trio.abc.Clock, what: str) -> None:
    """Damage is repaired from an honest peer, and the signatures are as they were."""
    hurt_store = replica("server-1", log_of(ORIGIN, 40))
    hurt_store._writer.connection.execute(DAMAGES[what])
    async with secured(of=3, timings=QUIET) as cluster:
        sound = await cluster.start("server-3", store=replica("server-3", log_of(ORIGIN, 40)))
        hurt = await cluster.start("server-1", store=hurt_store)
        await until(lambda: bool(hurt.sink.named("entries repaired")), within_seconds=60)
        await trio.sleep(1)
        for one in (hurt, sound):
            signed_heads(one.store)
        assert hurt.store.heads() == sound.store.heads()
        assert (await hurt.ask("login", user="ana"))["status"] == "sucesso"


async def test_the_open_end_of_a_log_is_not_repaired_with_a_forgery(autojump_clock: trio.abc.Clock) -> None:
    """Another last entry, which only its bringer has signed, does not take the damaged one's place."""
    hurt_store = replica("server-1", log_of(ORIGIN, 40))
    hurt_store._writer.connection.execute(DAMAGES["the end"])
    other = Replica.in_memory("server-3")
    made = log_of(ORIGIN, 40, targets=["geral"] * 39 + ["outro"])
    other.stage(Batch(entries=made, signatures=vouched(made, by="server-3")))
    other.commit()
    async with secured(of=3, timings=QUIET) as cluster:
        await cluster.start("server-3", store=other)
        hurt = await cluster.start("server-1", store=hurt_store)
        await until(lambda: bool(hurt.sink.named("a peer's entries are not proved")), within_seconds=60)
        await trio.sleep(100)
        assert not hurt.sink.named("entries repaired")


@pytest.mark.parametrize("whose", ["server-1", "server-2"])
async def test_a_damaged_signature_is_made_anew_or_fetched(
    autojump_clock: trio.abc.Clock, whose: str
) -> None:
    """Our own is made again, another's comes from a peer: nobody takes this server for a forger."""
    log = log_of(f"{whose}.00000000000000aa", 40)
    hurt_store = replica("server-1", log, by=whose, every=100)
    hurt_store._writer.connection.execute("update signature set signature = zeroblob(64)")
    async with secured(of=3, timings=QUIET) as cluster:
        await cluster.start("server-3", store=replica("server-3", log, by=whose, every=100))
        hurt = await cluster.start("server-1", store=hurt_store)
        await until(lambda: bool(hurt.sink.named("log checked")), within_seconds=60)
        await trio.sleep(1)
        assert hurt.store.signatures(log[0].origin, after=0, upto=40) == {40: signature(log[-1], by=whose)}
        assert hurt.sink.named("a damaged signature")[0]["replaced"]
