"""Pages of the log for peers: what was read ahead is what would have been read, and is read once."""

from typing import Any

import trio

from daemons.server.pages import Pages
from recado.protocol.entry import EMPTY, Head, parse
from recado.protocol.limits import PAGE_ENTRIES_MAX
from recado.protocol.messages import Run
from storage.replica import Batch, Replica
from tests.daemons.server.peer_frames import ORIGIN, OTHER, log_of
from tests.daemons.server.server_bench import Bench, Running, bench

ONE, ASKER = "server-1", "server-2"
COUNT = 2 * PAGE_ENTRIES_MAX + 500


class Counted(Replica):
    """A replica that tells where it was read from."""

    def run_after(self, origin: str, seq: int, **bounds: Any) -> Run | None:
        self.reads = [*getattr(self, "reads", []), (origin, seq)]
        return super().run_after(origin, seq, **bounds)


async def donor(cluster: Bench) -> Running:
    """A server with two pages and a half of one origin, and three entries of another."""
    store = Counted.in_memory(ONE)
    store.stage(Batch(entries=[*log_of(ORIGIN, COUNT), *log_of(OTHER, 3)]))
    store.commit()
    return await cluster.start(ONE, store=store)


def reads_of(server: Running) -> list[tuple[str, int]]:
    """Where it was read from, and begin to count anew."""
    assert isinstance(server.store, Counted)
    found = list(getattr(server.store, "reads", []))
    server.store.reads = []
    return found


def headed(runs: list[Run], head: Head) -> Head:
    """The head after these runs of one origin.  Raises `InvalidEntry` if they do not follow."""
    for run in runs:
        for header, body in run.entries:
            entry = parse(header, body, head)
            head = Head(entry.seq, entry.lamport, entry.hash)
    return head


async def test_pages_that_were_read_ahead_chain_to_the_end(autojump_clock: trio.abc.Clock) -> None:
    """Each page is read once, all but the first before it is asked for; together they are the log."""
    async with bench(of=2) as cluster, trio.open_nursery() as nursery:
        server = await donor(cluster)
        pages = Pages(server.node)
        nursery.start_soon(pages.run)
        reads_of(server)
        head, more = EMPTY, True
        while more:
            runs, more = pages.page(ASKER, {ORIGIN: head.seq})
            asked_for = reads_of(server)
            assert asked_for == ([(ORIGIN, 0)] if head is EMPTY else [])
            head = headed(runs, head)
            await trio.sleep(1)
            assert reads_of(server) == ([(ORIGIN, head.seq)] if more else [])
        assert head.seq == COUNT
        nursery.cancel_scope.cancel()


async def test_an_asker_that_goes_on_elsewhere_gets_what_it_asks_for(autojump_clock: trio.abc.Clock) -> None:
    """What was read ahead for it is forgotten, and another asker never gets it."""
    async with bench(of=2) as cluster, trio.open_nursery() as nursery:
        server = await donor(cluster)
        pages = Pages(server.node)
        nursery.start_soon(pages.run)
        pages.page(ASKER, {ORIGIN: 0})
        await trio.sleep(1)
        (elsewhere,), _ = pages.page(ASKER, {ORIGIN: 7})
        assert elsewhere.first == 8
        await trio.sleep(1)
        (other,), more = pages.page("server-3", {OTHER: 0})
        assert (other.origin, len(other.entries), more) == (OTHER, 3, False)
        nursery.cancel_scope.cancel()


async def test_a_page_goes_on_with_the_next_origin(autojump_clock: trio.abc.Clock) -> None:
    """The rest of one log, read ahead, and the beginning of the next are one page."""
    async with bench(of=2) as cluster, trio.open_nursery() as nursery:
        server = await donor(cluster)
        pages = Pages(server.node)
        nursery.start_soon(pages.run)
        pages.page(ASKER, {ORIGIN: PAGE_ENTRIES_MAX, OTHER: 0})
        await trio.sleep(1)
        runs, more = pages.page(ASKER, {ORIGIN: 2 * PAGE_ENTRIES_MAX, OTHER: 0})
        assert [(run.origin, len(run.entries)) for run in runs] == [(ORIGIN, 500), (OTHER, 3)]
        assert not more
        nursery.cancel_scope.cancel()
