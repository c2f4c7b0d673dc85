"""Requests between members: who is let in, what a forged or broken one can't do."""

from typing import Any

import pytest
import trio

from recado.protocol.limits import PAGE_ENTRIES_MAX
from storage.replica import Replica
from tests.daemons.server.peer_frames import FORKED, ORIGIN, OTHER, log_of, run, stored, who
from tests.daemons.server.server_bench import Running, bench, until

EPOCH = [1, 2, "server-2", "b"]
SERVICES: dict[str, dict[str, Any]] = {
    "replicate": {"runs": []},
    "sync": {},
    "adjust": {"adjustment": 1.0, "epoch": EPOCH, "round": 1},
    "election": {"epoch": EPOCH},
    "coordinator": {"epoch": EPOCH},
    "release": {"epoch": EPOCH},
}


async def push(server: Running, *runs: Any, **changed: Any) -> dict[str, Any]:
    return await server.ask("replicate", **who(**changed), runs=list(runs))


@pytest.mark.parametrize("service", SERVICES)
async def test_only_members_of_this_cluster_are_heard(autojump_clock: trio.abc.Clock, service: str) -> None:
    """Another cluster's id, no id, an unknown name and the server's own name are each refused."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        for changed, code in (
            ({"cluster": "outro"}, "cluster_unknown"),
            ({"cluster": None}, "cluster_unknown"),
            ({"from": "server-9"}, "member_unknown"),
            ({"from": None}, "member_unknown"),
            ({"from": "server-1"}, "member_unknown"),
        ):
            reply = await server.ask(service, **who(**changed), **SERVICES[service])
            assert (reply["status"], reply["code"]) == ("erro", code), changed
        heard = await server.ask(service, **who(), **SERVICES[service])
        assert heard.get("code") not in ("cluster_unknown", "member_unknown")


async def test_a_push_is_confirmed_when_durable(autojump_clock: trio.abc.Clock) -> None:
    """The reply's `have` covers what was pushed, and the store has it by then."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries = log_of(ORIGIN, 5)
        assert (await push(server, run(entries, 1, 3)))["have"] == {ORIGIN: 3}
        assert server.store.heads()[ORIGIN].seq == 3
        assert (await push(server, run(entries, 2, 5)))["have"] == {ORIGIN: 5}
        assert await server.texts() == [f"m{n}" for n in range(5)]


async def test_a_repeated_push_changes_nothing(autojump_clock: trio.abc.Clock) -> None:
    """The same run twice, late and doubled, is confirmed and kept once."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries = log_of(ORIGIN, 4)
        for _ in range(3):
            assert (await push(server, run(entries), run(entries, 1, 2)))["have"] == {ORIGIN: 4}
        assert server.store.counts().entries == 4


async def test_a_push_beyond_a_gap_is_not_kept(autojump_clock: trio.abc.Clock) -> None:
    """Only contiguous prefixes are kept (A19): `have` stays where it was."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries = log_of(ORIGIN, 5)
        assert (await push(server, run(entries, 3)))["have"] == {ORIGIN: 0}
        assert (await push(server, run(entries, 1, 1), run(entries, 4)))["have"] == {ORIGIN: 1}
        assert server.store.counts().entries == 1


async def test_a_forked_origin_stops_alone(autojump_clock: trio.abc.Clock) -> None:
    """Two histories of one origin: the first stays, nothing more of it is taken, others go on (A2)."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        ours, theirs, other = log_of(ORIGIN, 3), log_of(ORIGIN, 4, text="x{}"), log_of(OTHER, 2)
        await push(server, run(ours))
        reply = await push(server, run(theirs), run(other))
        assert reply["have"] == {ORIGIN: 3, OTHER: 2}
        more = log_of(ORIGIN, 5)
        assert (await push(server, run(more, 4)))["have"] == {ORIGIN: 3}
        assert len(server.sink.named(FORKED)) == 1


async def test_an_invalid_entry_stops_its_origin_alone(autojump_clock: trio.abc.Clock) -> None:
    """What came before the invalid entry is kept, nothing after it, and other origins go on (A15)."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries, other = log_of(ORIGIN, 4), log_of(OTHER, 2)
        broken = run(entries)
        broken[3] = [*broken[3][:2], (broken[3][2][0], b"changed"), broken[3][3]]
        assert (await push(server, broken, run(other)))["have"] == {ORIGIN: 2, OTHER: 2}
        assert (await push(server, run(entries)))["have"] == {ORIGIN: 2}
        assert server.sink.named("invalid entry, nothing more of its origin is taken")


@pytest.mark.parametrize(
    "junk",
    [7, [], [[]], [["x", 1, b"", []]], [[ORIGIN, 0, b"", []]], [[ORIGIN, 1, b"", [(b"", b"")]]],
     [[ORIGIN, 1, b"\xc1" * 16, [(b"\xc1", b"")]]], [[ORIGIN, 2**63, b"", []]], [[ORIGIN, -(2**63), b"", []]],
     [[ORIGIN, 1, "x", []]], [[ORIGIN, 1, b"", [("h", "b")]]], [[7, 1, b"", []]]],
)  # fmt: skip
async def test_junk_runs_keep_nothing(autojump_clock: trio.abc.Clock, junk: Any) -> None:
    """Runs of wrong shape are answered, keep nothing and cause no fault."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        await server.ask("replicate", **who(), runs=junk)
        assert server.store.counts().entries == 0
        assert server.faults() == []


async def test_a_page_is_bounded_and_says_that_there_is_more(autojump_clock: trio.abc.Clock) -> None:
    """A pull gives at most 2,000 entries; the next, from there, the rest; the last says so."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries = log_of(ORIGIN, PAGE_ENTRIES_MAX + 100)
        for first in range(1, len(entries), 500):
            await push(server, run(entries, first, first + 499))
        have = 0
        for expected, more in ((PAGE_ENTRIES_MAX, True), (100, False)):
            page = await server.ask("sync", **who(), vector={ORIGIN: have} if have else {})
            (got,) = page["runs"]
            assert (got[1], len(got[3]), page["more"]) == (have + 1, expected, more)
            have += len(got[3])


async def test_stopped_origins_are_not_sent(autojump_clock: trio.abc.Clock) -> None:
    """A page leaves out the origins of which the asker takes nothing more."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        await push(server, run(log_of(ORIGIN, 2)), run(log_of(OTHER, 2)))
        page = await server.ask("sync", **who(), vector={}, stopped=[ORIGIN])
        assert [got[0] for got in page["runs"]] == [OTHER]
        assert (await server.ask("sync", **who(), vector={}, pull=False))["runs"] == []


async def test_a_forged_vector_ends_no_server(autojump_clock: trio.abc.Clock) -> None:
    """Huge and absurd components are refused or harmless, also for the table of peers that people read."""
    async with bench("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        for vector in ({"a": 2**64 - 1}, {"a": -1}, {"a": 1.5}, {"a": "1"}, {b"a": 1}):
            assert (await server.ask("sync", **who(), vector=vector))["code"] == "malformed"
        many = {f"server-2.{n:016x}": 2**53 - 1 for n in range(1025)}
        assert (await server.ask("sync", **who(), vector=many))["status"] == "OK"
        await trio.sleep(12)  # the table of peers is written meanwhile
        assert (await server.ask("users"))["users"] == []


async def test_a_cluster_started_a_thousand_times_still_compares(autojump_clock: trio.abc.Clock) -> None:
    """With 1,100 origins, more than a client's map may have, a missed message still reaches the peer."""
    async with bench("server-1", of=2) as cluster:
        one = cluster.running["server-1"]
        first = [run(log_of(f"server-2.{n:016x}", 1)) for n in range(1100)]
        for start in range(0, len(first), 100):
            await push(one, *first[start : start + 100])
        two = await cluster.start("server-2")
        await cluster.level()
        await cluster.stop("server-2")
        await one.ask("login", user="ana")
        await cluster.start("server-2", store=Replica.in_memory("server-2", two.store.image()))
        await cluster.level()


async def test_stopped_origins_do_not_make_two_servers_talk(autojump_clock: trio.abc.Clock) -> None:
    """Each has stopped an origin that the other has more of: they exchange at the usual pace, no faster."""
    async with bench(of=2) as cluster:
        sides = []
        for name, whole, forked in (("server-1", ORIGIN, OTHER), ("server-2", OTHER, ORIGIN)):
            store = stored(name, [*log_of(whole, 3), *log_of(forked, 1, text="x{}")])
            sides.append(await cluster.start(name, store=store))
        await until(lambda: all(one.sink.named(FORKED) for one in sides))
        await trio.sleep(20)
        before = (await sides[0].ask("users"))["clock"]
        await trio.sleep(20)
        assert (await sides[0].ask("users"))["clock"] - before < 400
