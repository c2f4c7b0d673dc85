"""Replication in a cluster: pushes, windows, gaps, pulls, dead peers, catching up."""

from typing import Any

import pytest
import trio

from daemons.server.replication import Peer, chunks
from daemons.server.tail import size_of
from recado.protocol.entry import EMPTY, run_of
from recado.protocol.limits import (
    PAGE_BYTES_MAX,
    PUSH_ENTRIES_MAX,
    REQUEST_FRAME_BYTES_MAX,
    TEXT_BYTES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_ENTRIES_MAX,
)
from recado.settings import Member, Timings
from recado.wire.memory import MemoryNetwork
from tests.daemons.server.links import Links
from tests.daemons.server.peer_frames import FORKED, ORIGIN, OTHER, log_of, stored
from tests.daemons.server.server_bench import Running, bench, together, until

NEVER = Timings(vector_exchange_seconds=600, sync_seconds=600)  # only what is pushed, or pulled at once
ONE, TWO, THREE = "server-1", "server-2", "server-3"


async def spoken(server: Running, count: int, **more: Any) -> None:
    """Many messages at once, all accepted."""
    await together([server.say(f"m{n}", **more) for n in range(count)])


# The window of one peer ------------------------------------------------------------------------


async def window() -> Peer:
    async with MemoryNetwork().asker("tcp://server-2:5555") as asker:
        return Peer(Member(name=TWO, rank=2, address=asker.address), asker)


async def test_the_window_forgets_what_finds_no_room() -> None:
    """At most 1,024 entries wait for a push; what comes beyond is forgotten, and noted as such."""
    peer = await window()
    entries = log_of(ORIGIN, 2000)
    for first in range(0, 2000, 100):
        run = run_of(entries[first : first + 100], b"")
        peer.offer(run, size_of(run))
    assert peer.window_entries == WINDOW_ENTRIES_MAX // 100 * 100
    assert peer.forgot
    pushes = []
    while peer.window:
        pushes.append(sum(len(run.entries) for run in peer.take()))
    assert sum(pushes) == 1000
    assert max(pushes) <= PUSH_ENTRIES_MAX
    assert (peer.window_entries, peer.window_bytes) == (0, 0)


@pytest.mark.parametrize("size", [0, 100, TEXT_BYTES_MAX])
async def test_pieces_fit_into_a_window_and_chain(size: int) -> None:
    """One commit is cut so that every piece fits alone, and each piece names the hash before it."""
    entries = log_of(ORIGIN, 512, text="{:>%s}" % size if size else "{}")  # noqa: UP031 - a format of a format
    pieces = list(chunks(EMPTY.hash, entries))
    assert [pair for piece in pieces for pair in piece.entries] == [(e.header, e.body) for e in entries]
    hashes = {entry.seq: entry.hash for entry in entries}
    for piece in pieces:
        assert piece.previous_hash == hashes.get(piece.first - 1, EMPTY.hash)
        assert size_of(piece) <= WINDOW_BYTES_MAX


# Push --------------------------------------------------------------------------------------------


async def test_fresh_messages_are_pushed(autojump_clock: trio.abc.Clock) -> None:
    """Without any exchange of vectors a message is in every replica within milliseconds."""
    async with bench(ONE, TWO, THREE, of=3, timings=NEVER, transit=Links()) as cluster:
        await trio.sleep(1)
        start = trio.current_time()
        await cluster.running[TWO].furnish()
        await spoken(cluster.running[TWO], 50)
        await cluster.level(within_seconds=0.2)
        assert trio.current_time() - start < 0.2


async def test_a_dead_peer_delays_nobody(autojump_clock: trio.abc.Clock) -> None:
    """While one peer takes every request and answers none, the other has each message at once."""
    links = Links()
    async with bench(ONE, TWO, THREE, of=3, transit=links) as cluster:
        server = cluster.running[ONE]
        await server.furnish()
        links.cut(ONE, THREE)
        links.cut(TWO, THREE)
        for n in range(20):
            start = trio.current_time()
            await server.say(f"m{n}", level="quorum")
            assert trio.current_time() - start < 0.1
        assert (await server.ask("status"))["backlog"] == 0
        links.heal()
        await cluster.level(within_seconds=10)


async def test_an_overflow_is_repaired_by_a_pull_at_once(autojump_clock: trio.abc.Clock) -> None:
    """More than a window while the peer was cut off: all of it comes soon after the link is back."""
    links = Links()
    async with bench(ONE, TWO, of=2, timings=NEVER, transit=links) as cluster:
        one, two = cluster.running.values()
        await one.furnish()
        await cluster.level()
        links.cut(ONE, TWO)
        for _ in range(3):
            await spoken(one, 900)
        links.heal()
        await one.say("depois")
        await cluster.level(within_seconds=10)
        assert two.store.message_counts()[0] == 2701


async def test_a_burst_of_long_messages_fits_into_frames(autojump_clock: trio.abc.Clock) -> None:
    """600 texts of 16 KiB in one burst reach `all` without waiting for the next exchange of vectors."""
    links = Links()
    async with bench(ONE, TWO, of=2, timings=NEVER, transit=links) as cluster:
        one = cluster.running[ONE]
        await one.furnish()
        start = trio.current_time()
        text = "x" * TEXT_BYTES_MAX
        said = await together([one.say(text, level="all") for _ in range(600)])
        assert {data["acks"] for data in said} == {2}
        assert trio.current_time() - start < 1
        assert links.largest() < PAGE_BYTES_MAX + REQUEST_FRAME_BYTES_MAX


# Pull --------------------------------------------------------------------------------------------


async def test_a_gap_is_pulled_at_once(autojump_clock: trio.abc.Clock) -> None:
    """After a lost push the next one shows the gap, and what is missing comes at once, not in minutes."""
    links = Links()
    async with bench(ONE, TWO, of=2, timings=NEVER, transit=links) as cluster:
        one = cluster.running[ONE]
        await one.furnish()
        await cluster.level()
        links.cut(ONE, TWO)
        await one.say("perdida")
        await trio.sleep(5)
        links.heal()
        await one.say("seguinte")
        assert await until(lambda: cluster.running[TWO].store.message_counts()[0] == 2) < 0.2


async def test_an_exchange_finds_what_no_push_told(autojump_clock: trio.abc.Clock) -> None:
    """A lost push with nothing after it is found by the comparison of vectors, every two seconds."""
    links = Links()
    async with bench(ONE, TWO, of=2, transit=links) as cluster:
        one = cluster.running[ONE]
        await one.furnish()
        await cluster.level()
        links.cut(ONE, TWO)
        await one.say("perdida")
        await trio.sleep(10)
        links.heal()
        await cluster.level(within_seconds=5)


async def test_a_third_member_s_confirmation_is_relayed(autojump_clock: trio.abc.Clock) -> None:
    """With one link cut a write at `all` is still answered OK: the member between tells of the third."""
    links = Links()
    timings = Timings(ack_wait_seconds=10)  # confirmations are relayed by two exchanges of vectors
    async with bench(ONE, TWO, THREE, of=3, timings=timings, transit=links) as cluster:
        one = cluster.running[ONE]
        await one.furnish()
        await trio.sleep(5)
        links.cut(ONE, THREE)
        said = await one.say("oi", level="all")
        assert said["acks"] == 3


async def test_vectors_travel_as_changes(autojump_clock: trio.abc.Clock) -> None:
    """With 500 origins the first exchange tells them all, the later ones next to nothing (A22)."""
    links = Links()
    entries = [log_of(f"server-2.{n:016x}", 1)[0] for n in range(500)]
    async with bench(of=2, transit=links) as cluster:
        for name in (ONE, TWO):
            await cluster.start(name, store=stored(name, entries))
        await trio.sleep(8)
        assert links.largest() > 500 * 25
        links.sizes.clear()
        await trio.sleep(20)
        await cluster.running[ONE].ask("login", user="ana")
        await cluster.level()
        assert 0 < links.largest() < 1000


async def test_a_fork_stops_only_itself(autojump_clock: trio.abc.Clock) -> None:
    """Two replicas with different histories of one origin: it stays as it is, all others go on."""
    async with bench(of=2, transit=Links()) as cluster:
        one = await cluster.start(ONE, store=stored(ONE, [*log_of(ORIGIN, 3), *log_of(OTHER, 2)]))
        two = await cluster.start(TWO, store=stored(TWO, log_of(ORIGIN, 5, text="x{}")))
        await until(lambda: bool(one.sink.named(FORKED)))
        await one.say("a", user="ana")
        await two.say("b", user="ana")
        await until(lambda: two.store.heads().get(OTHER, EMPTY).seq == 2)
        await trio.sleep(10)
        assert (one.store.heads()[ORIGIN].seq, two.store.heads()[ORIGIN].seq) == (3, 5)
        mine = {origin for origin in one.store.heads() if origin != ORIGIN}
        assert mine == {origin for origin in two.store.heads() if origin != ORIGIN}
        assert len(mine) == 3


async def test_an_empty_member_catches_up(autojump_clock: trio.abc.Clock) -> None:
    """20,000 entries come in pages of at most 2,000 and 1 MiB, in seconds of a network with 5 ms delay."""
    links = Links(seconds=0.005)
    async with bench(of=2, transit=links) as cluster:
        await cluster.start(ONE, store=stored(ONE, log_of(ORIGIN, 20_000)))
        two = await cluster.start(TWO)
        seconds = await until(lambda: two.store.counts().entries == 20_000, within_seconds=30)
        assert seconds < 5
        assert links.largest() < PAGE_BYTES_MAX + REQUEST_FRAME_BYTES_MAX
        pages = [size for source, _, size in links.sizes if source == ONE and size > 10_000]
        assert len(pages) <= 15
        assert two.store.heads() == cluster.running[ONE].store.heads()


async def test_the_synchronisation_that_people_look_for(autojump_clock: trio.abc.Clock) -> None:
    """Every minute a member asks the coordinator for everything and logs what came, by kind."""
    links = Links()
    timings = Timings(vector_exchange_seconds=600)
    async with bench(ONE, TWO, of=2, timings=timings, transit=links) as cluster:
        one, two = cluster.running.values()
        await trio.sleep(20)
        links.cut(ONE, TWO)
        await two.furnish()
        await two.say("oi")
        await trio.sleep(3)
        links.heal()
        await until(lambda: bool(one.sink.named("synchronisation received")), within_seconds=70)
        received = one.sink.named("synchronisation received")[0]
        assert received["coordinator"] == TWO
        counts = {key: received[key] for key in ("logins", "channels", "channel_messages", "user_messages")}
        assert counts == {"logins": 2, "channels": 1, "channel_messages": 1, "user_messages": 0}
        await cluster.level()
