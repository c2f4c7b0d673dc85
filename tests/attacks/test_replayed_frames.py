"""Group 6: requests of yesterday, sent again by who sent them and by who overheard them.

Expected: no effect.  A write is known by its id, an adjustment by epoch and round, a claim to lead by its
epoch; and CURVE does not let anybody send another's frames in the first place.  That a retry is the same
write is in `tests/daemons/server/test_ids_and_levels`, that no session's clock or vote is taken twice in the
tables of `tests/protocol/test_election_*`.
"""

from typing import Any

import pytest
import trio

from storage.replica import Replica
from tests.attacks.eavesdropper import Heard, Overheard
from tests.daemons.server.people import OPERATOR, people, principal
from tests.daemons.server.server_bench import Running

THREE = ("server-1", "server-2", "server-3")
LIFE_SECONDS = 60.0  # several elections, renewals, clock rounds, exchanges of vectors
STRANGERS = ("zé", OPERATOR, "broker-1")
AT_LEAST = {"sync", "replicate", "clock", "adjust", "coordinator"}


def standing(one: Running, told: dict[str, Any]) -> tuple[Any, ...]:
    """What no replay may change at a server."""
    return (sorted(one.store.heads().items()), one.store.counts(), told["coordinator"], told["epoch"])


async def lived(cluster: Overheard) -> list[Heard]:
    """A minute in the life of the cluster with a change of coordinator in it; what was overheard."""
    await cluster.login("ana")
    await cluster.done("ana", "channel", channel="geral", user="ana")
    await trio.sleep(LIFE_SECONDS / 2)
    stopped = await cluster.stop("server-3")
    await cluster.say("ana", "geral")
    await trio.sleep(LIFE_SECONDS / 2)
    await cluster.start("server-3", store=Replica.in_memory("server-3", stopped.store.image()))
    await cluster.say("ana", "geral", at="server-3")
    await trio.sleep(LIFE_SECONDS)
    heard = list(cluster.heard)
    assert {one.asked.service for one in heard} >= AT_LEAST
    return heard


async def test_what_servers_said_is_not_said_again(autojump_clock: trio.abc.Clock) -> None:
    """Every frame of two minutes, again, from its sender: no entry, no coordinator, epoch or clock moves."""
    async with people(*THREE, of=3, kind=Overheard) as cluster:
        heard = await lived(cluster)
        before = {
            n: standing(one, await cluster.done("ana", "status", at=n)) for n, one in cluster.running.items()
        }
        offsets = [(await cluster.done("ana", "status", at=n))["offset_ms"] for n in THREE]
        for one in heard:
            told = await cluster.again(one, cluster.host(one.by).principal)
            assert told.get("code") != "internal"
        await trio.sleep(LIFE_SECONDS / 2)
        after = {
            n: standing(one, await cluster.done("ana", "status", at=n)) for n, one in cluster.running.items()
        }
        assert after == before
        for name, offset in zip(THREE, offsets, strict=True):
            assert abs((await cluster.done("ana", "status", at=name))["offset_ms"] - offset) < 50


async def test_what_servers_said_is_nothing_in_other_mouths(autojump_clock: trio.abc.Clock) -> None:
    """The same frames from people, an operator, a broker and another member: refused, every one."""
    async with people(*THREE, of=3, kind=Overheard) as cluster:
        heard = {(one.asked.service, one.by): one for one in await lived(cluster)}
        for (service, by), one in heard.items():
            for who in STRANGERS:
                if service != "clock" or who == "zé":  # the time is told to operators and brokers
                    told = await cluster.again(one, principal(who))
                    assert told["code"] == ("key_unknown" if service == "clock" else "members_only"), service
            other = next(name for name in THREE if name not in (by, one.to[6:14]))
            told = await cluster.again(one, principal(other))
            assert told.get("code") == "not_the_sender", (service, by, other)


WRITES: dict[str, dict[str, Any]] = {
    "login": {"user": "ana"},
    "channel": {"user": "ana", "channel": "outro"},
    "publish": {"user": "ana", "channel": "geral", "message": "oi"},
    "message": {"src": "ana", "dst": "bia", "message": "oi"},
    "channel_rule": {"user": "ana", "channel": "geral", "do": "topic", "text": "x"},
}


@pytest.mark.parametrize("stamped", ["with an id", "with clock and timestamp"])
@pytest.mark.parametrize("service", WRITES)
async def test_a_write_overheard(autojump_clock: trio.abc.Clock, service: str, stamped: str) -> None:
    """The same bytes again are the same write; from another key they are a claim to be somebody else."""
    async with people("server-1", "server-2", of=2) as cluster:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        stamp = {"id": b"1" * 16} if stamped == "with an id" else {"clock": 99, "timestamp": 1_750_000_000}
        first = await cluster.ask("ana", service, **WRITES[service], **stamp)
        await cluster.level()
        entries = (await cluster.done("ana", "status"))["entries"]
        for at in ("server-1", "server-2"):
            again = await cluster.ask("ana", service, at=at, **WRITES[service], **stamp)
            assert (again["status"], again.get("id")) == (first["status"], first.get("id"))
            code = await cluster.refused("bia", service, at=at, **WRITES[service], **stamp)
            assert code == "not_you"
            assert (await cluster.done("ana", "status", at=at))["entries"] == entries
