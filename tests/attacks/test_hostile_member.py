"""Groups 7 and 8: who speaks for another, and a member that lies about clocks, epochs, ranks and members.

Impersonation among people: `tests/daemons/server/test_who_may` (every field that names somebody, histories of
direct messages, peers' services for every role).  Forged logs: `test_origin_proofs` and `test_proved_copies`
there.  Clocks that nobody vouches for: `test_clock_tags`.  Here is what is left to a *member* whose key is
good: its own name, its own log, its own epochs.  Expected: refused with a code; the others go on.  It may
stand with the next epoch, lead, and then adjust clocks, by a day at most: members are trusted with that.
"""

from typing import Any

import pytest
import trio

from recado.protocol import names
from recado.protocol.entry import EMPTY, seal
from recado.protocol.limits import EPOCH_LIMIT, LAMPORT_LIMIT, PEER_MAP_ITEMS_MAX
from recado.protocol.messages import Kind
from recado.wire.ports import Principal
from tests.attacks.conduct import cpu_seconds
from tests.daemons.server.peer_frames import ORIGIN, log_of
from tests.daemons.server.people import OPERATOR, People, people, principal
from tests.daemons.server.secured_bench import LEFT, identity, signed_run

WHO: dict[str, Any] = {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}
CPU_SECONDS_MAX = 0.25  # for the largest vector that fits: 30,000 starts of servers

EPOCHS: dict[str, list[Any]] = {
    "the end of numbers": [2**53, 2, "server-2", "b"],
    "the last one": [EPOCH_LIMIT - 1, 2, "server-2", "b"],
    "a huge step": [2**40, 2, "server-2", "b"],
    "below zero": [-1, 2, "server-2", "b"],
    "a rank of a thousand million": [9, 10**9, "server-2", "b"],
    "another's rank": [9, 3, "server-2", "b"],
    "another's name": [9, 3, "server-3", "b"],
    "a name of nobody": [9, 9, "server-9", "b"],
    "a path for a name": [9, 2, "../../server-2", "b"],
    "a boot of a page": [9, 2, "server-2", "b" * 5000],
}


async def told(people_: People, service: str, **fields: Any) -> dict[str, Any]:
    """What the member server-2 is answered."""
    return await people_.ask("server-2", service, **{**WHO, **fields})


async def leads(cluster: People) -> tuple[str, int]:
    status = await cluster.done(OPERATOR, "status")
    return status["coordinator"], status["epoch"]


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize("service", ["coordinator", "election", "release", "abdicate", "adjust"])
async def test_epochs_from_nowhere(autojump_clock: trio.abc.Clock, service: str, epoch: str) -> None:
    """An epoch that no election could have made moves neither leader nor clock, nor uses the numbers up."""
    async with people("server-1", "server-3", of=3) as cluster:
        await cluster.login(OPERATOR)
        await trio.sleep(30)
        before = await leads(cluster)
        assert before[0] == "server-3"
        asked: dict[str, Any] = {"epoch": EPOCHS[epoch]}
        if service == "adjust":
            asked |= {"adjustment": 3600.0, "round": 1}
        data = await told(cluster, service, **asked)
        assert data.get("code") != "internal"
        await trio.sleep(30)
        after = await leads(cluster)
        assert after[0] == "server-3"
        assert after[1] - before[1] < 10
        assert abs((await cluster.done(OPERATOR, "status"))["offset_ms"]) < 50


MEMBERSHIP: dict[str, dict[str, Any]] = {
    "another cluster": {"cluster": "outro"},
    "no cluster": {"cluster": None},
    "another member": {"from": "server-3"},
    "nobody": {"from": None},
    "a name with white space": {"from": " server-2"},
    "a name in other letters": {"from": "Server-2"},
    "a name that looks alike": {"from": "sеrver-2"},
}


@pytest.mark.parametrize("claim", MEMBERSHIP)
async def test_members_that_do_not_fit(autojump_clock: trio.abc.Clock, claim: str) -> None:
    """What a member says of itself must be what its key and the roster say, at every peer service."""
    async with people(of=3) as cluster:
        for service in ("sync", "replicate", "prevote", "snapshot", "clock"):
            data = await told(cluster, service, **MEMBERSHIP[claim])
            assert data.get("status") == "erro" or service == "clock", (service, data)
            assert data.get("code") in ("not_the_sender", "cluster_unknown", None), (service, data)


async def test_who_left_is_a_stranger(autojump_clock: trio.abc.Clock) -> None:
    """A former member with its old key, in its own name or another's, gets nothing and changes nothing."""
    old = Principal("key", "", identity(LEFT).public)
    async with people(of=2) as cluster:
        entries = log_of(f"{LEFT}.00000000000000aa", 3)
        for name in (LEFT, "server-2"):
            said = {**WHO, "from": name}
            run = signed_run(entries, by=LEFT)
            for service, more in (("replicate", {"runs": [run]}), ("sync", {}), ("snapshot", {})):
                assert (await cluster.raw(old, service, **said, **more))["code"] == "members_only"
        assert (await cluster.raw(old, "users"))["code"] == "key_unknown"
        assert cluster.first.store.counts().entries == 0


async def test_stamps_at_the_end_of_numbers(autojump_clock: trio.abc.Clock) -> None:
    """A stamp beyond the limit makes an entry invalid: its origin stops, everybody else's writes go on."""
    async with people(of=2) as cluster:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        entry = seal(
            EMPTY, origin=ORIGIN, lamport=LAMPORT_LIMIT, wall_ms=0, kind=Kind.CHANNEL_MESSAGE,
            author=names.uid("ana"), id=None, target="geral", prev=0, body=b"x",
        )  # fmt: skip
        await cluster.push(cluster.first, signed_run([entry]))
        assert ORIGIN not in cluster.first.store.heads()
        assert (await cluster.say("ana", "geral"))["status"] == "OK"
        assert (await cluster.done("ana", "users"))["clock"] < 1000


VECTORS: dict[str, dict[str, Any]] = {
    "heads at the end of numbers": {"server-1.00000000000000aa": 2**53 - 1, ORIGIN: 2**53 - 1},
    "thirty thousand starts": {f"server-2.{n:016x}": 2**53 - 1 for n in range(30_000)},
    "more than a map may have": {f"{n}": 1 for n in range(PEER_MAP_ITEMS_MAX + 1)},
    "names that are none": {"../" * 20: 5, "\x00": 5, "": 5, "x" * 5000: 5},
}


@pytest.mark.parametrize("vector", VECTORS)
async def test_vectors_of_a_liar(autojump_clock: trio.abc.Clock, vector: str) -> None:
    """A member that claims everything, or what cannot be, costs bounded time and stops nobody."""
    async with people(of=2) as cluster:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        fields = {"vector": VECTORS[vector], "confirmed": {"server-1": ["b", VECTORS[vector]]}}
        took = await cpu_seconds(lambda: told(cluster, "sync", **fields))
        assert took < CPU_SECONDS_MAX
        await trio.sleep(20)
        assert (await cluster.say("ana", "geral"))["status"] == "OK"
        assert await cluster.done("ana", "history", channel="geral")


async def test_pages_that_nobody_has(autojump_clock: trio.abc.Clock) -> None:
    """Ranges backwards, beyond the end and of all numbers get an empty or bounded page."""
    async with people(of=2) as cluster:
        await cluster.login("ana")
        origin = next(iter(cluster.first.store.heads()))
        for first, last in ((1, 2**53 - 1), (2**53 - 1, 1), (0, 0), (2**52, 2**53 - 1)):
            for named in (origin, ORIGIN, "../../etc/passwd", ""):
                data = await told(cluster, "fetch", origin=named, first=first, last=last)
                assert data.get("code") != "internal"
                assert len(data.get("runs", [])) <= 1
        for token, offset in (("../../etc/passwd", 0), ("", 2**53 - 1), ("x" * 60_000, 0)):
            assert (await told(cluster, "snapshot", token=token, offset=offset)).get("pieces") in (None, [])
        assert (await cluster.raw(principal("ana"), "users"))["users"] == ["ana"]
