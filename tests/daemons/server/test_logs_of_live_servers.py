"""Servers tell their logs and chain hashes, so that anybody can find out where two of them part."""

import pytest
import trio

from clients.ending import Ended
from clients.live_diff import ServerEnd, compare
from recado.protocol import names
from recado.protocol.entry import Head, seal
from recado.protocol.limits import AUDIT_HASHES_MAX
from recado.protocol.messages import Entry, Kind
from tests.daemons.server.peer_frames import ORIGIN, OTHER, log_of, stored
from tests.daemons.server.server_bench import Running, bench


def forked(common: int, count: int) -> list[Entry]:
    """The log of `OTHER` with other words behind its first entries."""
    entries = log_of(OTHER, common)
    head = Head(common, entries[-1].lamport, entries[-1].hash)
    for n in range(common, count):
        entry = seal(
            head, origin=OTHER, lamport=n + 1, wall_ms=0, kind=Kind.CHANNEL_MESSAGE, author=names.uid("ana"),
            id=None, target="geral", prev=0, body=b"another",
        )  # fmt: skip
        head = Head(entry.seq, entry.lamport, entry.hash)
        entries.append(entry)
    return entries


async def end_of(one: Running) -> ServerEnd:
    end = ServerEnd(f"tcp://{one.name}:5555", one.asker, timeout_seconds=5)
    await end.meet()
    return end


async def test_where_two_servers_part_is_found(autojump_clock: trio.abc.Clock) -> None:
    """Of one log that is equal, one that is behind and one that has forked, by asking for a few hashes."""
    left_store = stored("server-1", [*log_of(ORIGIN, 50), *log_of(OTHER, 30)])
    right_store = stored("server-1", [*log_of(ORIGIN, 40), *forked(20, 35)])
    async with bench(of=1) as a, bench(of=1) as b:
        one = await a.start("server-1", store=left_store)
        two = await b.start("server-1", store=right_store)
        found = await compare(await end_of(one), await end_of(two))
        by_origin = {part.origin: part for part in found.parts}
        behind, parted = by_origin[ORIGIN], by_origin[OTHER]
        assert (behind.what, behind.common, behind.a_last, behind.b_last) == ("behind", 40, 50, 40)
        assert (parted.what, parted.common, parted.first) == ("parted", 20, 21)
        assert (found.a.node, found.a.entries) == ("server-1", 80)
        same = await compare(await end_of(one), await end_of(one))
        assert (same.origins, same.equal) == (2, 2)


async def test_an_answer_is_bounded(autojump_clock: trio.abc.Clock) -> None:
    """Of more hashes than one answer holds the first come, and of what is not here none."""
    async with bench(of=1) as cluster:
        one = await cluster.start("server-1", store=stored("server-1", log_of(ORIGIN, 5)))
        asked = {ORIGIN: 3, **{f"server-9.{n:016x}": 1 for n in range(2 * AUDIT_HASHES_MAX)}}
        told = await one.ask("audit", have={}, hashes=asked)
        assert set(told["hashes"]) == {ORIGIN}
        assert "origins" not in told
        late = await one.ask("audit", have={}, hashes=dict(reversed(asked.items())))
        assert late["hashes"] == {}


async def test_a_server_that_tells_nothing_is_said(autojump_clock: trio.abc.Clock) -> None:
    """One of a version that does not know the question ends the comparison with words."""
    async with bench(of=1) as cluster:
        one = await cluster.start("server-1")

        class Older:
            async def ask(self, frame: bytes) -> bytes:
                return await one.asker.ask(frame.replace(b"origins", b"oldings"))

        end = ServerEnd("tcp://server-1:5555", Older(), timeout_seconds=5)  # type: ignore[arg-type]
        with pytest.raises(Ended, match=r"server|servidor"):
            await end.meet()
