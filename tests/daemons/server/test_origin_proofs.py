"""Origin proofs: what servers sign, what they take of each other, and what a forger gets out of it."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio

from recado.protocol import proof
from recado.protocol.entry import Head, origin_node, seal
from recado.protocol.limits import COMMIT_ENTRIES_MAX, PAGE_BYTES_MAX, TEXT_BYTES_MAX
from recado.wire.ports import OPEN, Principal
from storage.replica import Replica
from tests.daemons.server.peer_frames import ORIGIN, log_of, stored, who
from tests.daemons.server.secured_bench import (
    CLUSTER,
    FOREIGN,
    LEFT,
    furnish,
    identity,
    secured,
    signature,
    signed_run,
)
from tests.daemons.server.server_bench import together, until

REFUSED = "run refused"  # a log line
STOPPED = "invalid entry, nothing more of its origin is taken"


def signed_heads(store: Replica) -> None:
    """Fails unless the last entry of every origin is signed by its node."""
    for origin, head in store.heads().items():
        kept = store.signatures(origin, after=head.seq - 1, upto=head.seq)
        assert head.seq in kept, f"{origin} ends unsigned at {head.seq}"
        keys = [identity(origin_node(origin)).signing_public]
        assert proof.verify(keys, CLUSTER, origin, seq=head.seq, hash=head.hash, signature=kept[head.seq])


# What is signed -------------------------------------------------------------------------------------


async def test_a_commit_holds_its_signature(autojump_clock: trio.abc.Clock) -> None:
    """As soon as a write is acknowledged, its log is signed to its end, here and at every member."""
    async with secured("server-1", "server-2", "server-3", of=3) as cluster:
        one = cluster.running["server-1"]
        await furnish(one)
        for n in range(5):
            await one.say(f"m{n}")
            signed_heads(one.store)
        await one.say("por fim", level="all")
        for server in cluster.running.values():
            signed_heads(server.store)
            assert not server.sink.named(REFUSED)


async def test_a_burst_is_signed_in_pieces_that_fit_into_pages(autojump_clock: trio.abc.Clock) -> None:
    """Between two signatures there is never more than a page holds; the peers get all of it."""
    async with secured("server-1", "server-2", of=2) as cluster:
        one = cluster.running["server-1"]
        await furnish(one)
        await together([one.say(f"{n:0>{TEXT_BYTES_MAX}}") for n in range(60)])
        await cluster.level()
        for server in cluster.running.values():
            signed_heads(server.store)
        (origin,) = [o for o in one.store.heads() if origin_node(o) == "server-1"]
        ends = [0, *one.store.signatures(origin, after=0, upto=10**6)]
        for after, end in pairwise(ends):
            run = one.store.run_after(origin, after, entries_max=end - after, bytes_max=2**30)
            assert run is not None
            assert sum(len(h) + len(b) for h, b in run.entries) <= PAGE_BYTES_MAX or len(run.entries) == 1


async def test_the_signature_goes_from_hand_to_hand(autojump_clock: trio.abc.Clock) -> None:
    """A third server gets a log from one that did not write it, and its writer is gone."""
    async with secured("server-1", "server-2", of=3) as cluster:
        one = cluster.running["server-1"]
        await furnish(one)
        await together([one.say(f"m{n}") for n in range(50)])
        await cluster.level()
        await cluster.stop("server-1")
        third = await cluster.start("server-3")
        await cluster.level()
        signed_heads(third.store)
        assert await third.texts() == await cluster.running["server-2"].texts()


async def test_a_signed_run_is_committed_as_one(autojump_clock: trio.abc.Clock) -> None:
    """Runs that don't fit into one commit together are not cut: no commit ends unsigned."""
    ends: list[bool] = []

    async def committer(commit: Callable[[], None]) -> None:
        await trio.sleep(0.1)
        commit()
        store = cluster.running["server-1"].store
        heads = store.heads().items()
        ends.extend(h.seq in store.signatures(o, after=h.seq - 1, upto=h.seq) for o, h in heads)

    async with secured(of=2) as cluster:
        server = await cluster.start("server-1", committer=committer)
        await trio.sleep(1)
        entries = log_of(ORIGIN, 3 * COMMIT_ENTRIES_MAX)
        cuts = [0, 200, 700, 900, 1400, len(entries)]
        runs = [signed_run(entries, a + 1, b) for a, b in pairwise(cuts)]
        reply = await cluster.push(server, *runs)
        assert reply["have"] == {ORIGIN: len(entries)}
        assert ends
        assert all(ends)


# What is not taken ----------------------------------------------------------------------------------

ENTRIES = log_of(ORIGIN, 10)
NEWER = log_of(ORIGIN, 10, text="outra {}")


def _with(run: list[Any], index: int, value: Any) -> list[Any]:
    return [*run[:index], value, *run[index + 1 :]]


def _other_body(run: list[Any]) -> list[Any]:
    *before, (header, body) = run[3]
    return _with(run, 3, [*before, [header, b"x" + body]])


FORGERIES: dict[str, list[Any]] = {
    "no signature": signed_run(ENTRIES)[:4],
    "none at all": _with(signed_run(ENTRIES), 4, None),
    "a short one": _with(signed_run(ENTRIES), 4, signature(ENTRIES[-1], by="server-2")[:63]),
    "a member's own, over another's log": signed_run(ENTRIES, by="server-3"),
    "a former member's": signed_run(ENTRIES, by=LEFT),
    "of another entry": _with(signed_run(ENTRIES), 4, signature(ENTRIES[-2], by="server-2")),
    "of another cluster": _with(
        signed_run(ENTRIES), 4, signature(ENTRIES[-1], by="server-2", cluster="outro")
    ),
    "a page cut off its signature": _with(signed_run(ENTRIES), 3, signed_run(ENTRIES)[3][:9]),
    "entries that were never signed": _with(signed_run(NEWER), 4, signature(ENTRIES[-1], by="server-2")),
    "a node of nobody": signed_run(log_of(f"{FOREIGN}.00000000000000aa", 3), by=FOREIGN),
    "a node that is not in the name": signed_run(log_of(f"{LEFT}.00000000000000aa", 3), by=FOREIGN),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_run_is_refused_and_the_honest_log_goes_on(
    autojump_clock: trio.abc.Clock, forgery: str
) -> None:
    """Nothing of it is kept, who sent it is named, and the true log is taken afterwards."""
    async with secured("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        run = FORGERIES[forgery]
        reply = await cluster.push(server, run, by="server-3")
        assert reply["have"] == {run[0]: 0}
        assert server.store.counts().entries == 0
        assert server.sink.named(REFUSED)[0]["peer"] == "server-3"
        reply = await cluster.push(server, signed_run(ENTRIES), by="server-3")
        assert reply["have"] == {ORIGIN: 10}
        signed_heads(server.store)
        with server.store.reading() as connection:
            kept = connection.execute("select origin, from_node from quarantine").fetchall()
        assert kept == [(run[0], "server-3")]
        assert not server.store.states()


async def test_a_changed_body_stops_nobody_s_log_but_is_not_taken(autojump_clock: trio.abc.Clock) -> None:
    """A run with its true headers and signature, and one body changed on the way."""
    async with secured("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        reply = await cluster.push(server, _other_body(signed_run(ENTRIES)), by="server-3")
        assert reply["have"] == {ORIGIN: 0}
        assert server.store.counts().entries == 0
        assert (await cluster.push(server, signed_run(ENTRIES), by="server-3"))["have"] == {ORIGIN: 10}


async def test_a_forged_head_does_not_look_like_a_fork(autojump_clock: trio.abc.Clock) -> None:
    """Another history of a log that is here, badly signed, does not stop that log (A2 needs a proof)."""
    async with secured("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        await cluster.push(server, signed_run(ENTRIES, 1, 5))
        await cluster.push(server, signed_run(NEWER, by="server-3"), by="server-3")
        assert (await cluster.push(server, signed_run(ENTRIES, 6)))["have"] == {ORIGIN: 10}
        assert not server.store.states()


async def test_two_signed_histories_are_a_fork(autojump_clock: trio.abc.Clock) -> None:
    """A node that signs two histories of one origin is found out, and that origin stops."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        await cluster.push(server, signed_run(ENTRIES, 1, 5))
        await cluster.push(server, signed_run(NEWER))
        assert server.store.heads()[ORIGIN].seq == 5
        await until(lambda: server.store.states() == {ORIGIN: "forked"})


async def test_an_invalid_entry_takes_its_whole_run_with_it(autojump_clock: trio.abc.Clock) -> None:
    """What a node signs although it is invalid stops its origin at a signature, the same everywhere (A15)."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        before = ENTRIES[4]
        bad = seal(
            Head(before.seq, before.lamport, before.hash), origin=ORIGIN, lamport=before.lamport, wall_ms=0,
            kind=3, author=None, id=None, target="geral", prev=0, body=b"",
        )  # fmt: skip
        log = [*ENTRIES[:5], bad]
        await cluster.push(server, signed_run(log, 1, 3), signed_run(log, 4))
        assert server.store.heads()[ORIGIN].seq == 3
        assert server.sink.named(STOPPED)
        signed_heads(server.store)


async def test_the_log_of_one_who_left_is_believed(autojump_clock: trio.abc.Clock) -> None:
    """Signed by a former member, brought by a present one."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        entries = log_of(f"{LEFT}.00000000000000aa", 5)
        reply = await cluster.push(server, signed_run(entries, by=LEFT))
        assert reply["have"] == {entries[0].origin: 5}


# Who asks -------------------------------------------------------------------------------------------

EPOCH = [7, 2, "server-2", "b"]
PEER_SERVICES: dict[str, dict[str, Any]] = {
    "replicate": {"runs": []},
    "sync": {},
    "adjust": {"adjustment": 1.0, "epoch": EPOCH, "round": 1},
    "prevote": {},
    "abdicate": {"epoch": EPOCH},
    "election": {"epoch": EPOCH},
    "coordinator": {"epoch": EPOCH},
    "release": {"epoch": EPOCH},
    "fetch": {"origin": ORIGIN, "first": 1, "last": 2},
    "snapshot": {},
}
REFUSALS = ("members_only", "not_a_member", "not_the_sender")
IMPOSTORS = {
    "an old key of one who left": Principal("key", "", identity(LEFT).public),
    "another member": Principal("server", "server-3", identity("server-3").public),
    "a broker": Principal("broker", "server-2"),
    "a user": Principal("key", "", b"k" * 32),
    "a local account": Principal("local", "server-2"),
    "nobody": OPEN,
}


@pytest.mark.parametrize("service", PEER_SERVICES)
async def test_nobody_speaks_for_a_member(autojump_clock: trio.abc.Clock, service: str) -> None:
    """Each peer service is refused to whoever has not the key of the server it names."""
    async with secured("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        for impostor, principal in IMPOSTORS.items():
            asked = {**who(), **PEER_SERVICES[service]}
            reply = await cluster.ask_as(principal, server, service, **asked)
            assert reply["status"] == "erro", impostor
            assert reply["code"] in REFUSALS, impostor
        heard = await cluster.ask_as(
            cluster.host("server-2").principal, server, service, **who(), **PEER_SERVICES[service]
        )
        assert heard.get("code") not in REFUSALS


async def test_who_leaves_the_roster_is_no_member_from_then_on(autojump_clock: trio.abc.Clock) -> None:
    """A connection that was a member's is nobody's as soon as the roster says so; its log stays."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        assert (await cluster.push(server, signed_run(ENTRIES, 1, 5)))["have"] == {ORIGIN: 5}
        given = cluster.given["server-1"]
        assert given.security is not None
        left = given.security.roster.without("server", "server-2")
        given.change(security=dataclasses.replace(given.security, roster=left))
        reply = await cluster.push(server, signed_run(ENTRIES, 6))
        assert reply["code"] == "members_only"
        assert left.signing_keys("server-2")


@pytest.mark.parametrize("service", ["election", "coordinator", "release"])
async def test_nobody_leads_in_another_s_name(autojump_clock: trio.abc.Clock, service: str) -> None:
    """A member that is who it says can't claim, or give back, another's epoch."""
    async with secured("server-1", of=3) as cluster:
        server = cluster.running["server-1"]
        principal = cluster.host("server-3").principal
        reply = await cluster.ask_as(principal, server, service, **who(**{"from": "server-3"}), epoch=EPOCH)
        assert (reply["status"], reply["code"]) == ("erro", "not_a_member")


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("replicate", {"type": "login", "content": {"username": "eva"}}),
        ("sync", {"last_sync": 0}),
        ("adjust", {"adjustment": 1.0}),
        ("election", {}),
    ],
)
async def test_there_are_no_plain_forms(
    autojump_clock: trio.abc.Clock, service: str, fields: dict[str, Any]
) -> None:
    """What proves nothing is refused, to members too."""
    async with secured("server-1", of=2) as cluster:
        server = cluster.running["server-1"]
        for principal in (OPEN, cluster.host("server-2").principal):
            reply = await cluster.ask_as(principal, server, service, **fields)
            assert reply["status"] == "erro", principal
        assert server.store.counts().entries == 0


# What was there before ------------------------------------------------------------------------------


async def test_what_was_written_in_open_mode_is_signed_at_the_first_secured_start(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A log of 1,500 entries gets its signatures, and an empty member then gets the log."""
    store = stored("server-2", log_of(ORIGIN, 1500))
    async with secured(of=2) as cluster:
        await cluster.start("server-1")
        two = await cluster.start("server-2", store=store)
        await cluster.level(within_seconds=30)
        points = store.signatures(ORIGIN, after=0, upto=1500)
        assert list(points) == [512, 1024, 1500]
        for server in cluster.running.values():
            signed_heads(server.store)
        assert [line["signatures"] for line in two.sink.named("an old log of this server is signed")] == [3]


async def test_what_another_wrote_in_open_mode_waits_for_its_node(autojump_clock: trio.abc.Clock) -> None:
    """A member does not give away what nobody has signed; as soon as its node is back, everybody gets it."""
    log = log_of(ORIGIN, 30)
    async with secured(of=3) as cluster:
        await cluster.start("server-1", store=stored("server-1", log))
        empty = await cluster.start("server-3")
        await trio.sleep(30)
        assert empty.store.counts().entries == 0
        await cluster.start("server-2", store=stored("server-2", log))
        await cluster.level(within_seconds=30)
        signed_heads(empty.store)
