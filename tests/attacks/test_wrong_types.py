"""Group 3: every field of every service with a value of every kind that does not belong there.

In open mode and in secured mode, each service asked by whom it answers; the reference too.  Expected: `erro`
with a code, nothing kept, never `internal`, in bounded time of the processor; the next one is served.
"""

from collections.abc import Awaitable, Callable
from time import thread_time
from typing import Any

import pytest
import trio

from recado.protocol.policy import REFERENCE_POLICY, SERVER_POLICY
from recado.protocol.services import REQUESTS
from recado.settings import Timings
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Asker, Principal
from storage.registry import RegistryStore
from tests.attacks.wrong_values import Case, cases_of, valid
from tests.daemons.server.people import OPERATOR, People, people, principal
from tests.daemons.server.server_bench import Running, bench, enveloped
from tests.daemons.test_reference import CONFIG, _town

# A peer that is not there is asked once for what is missing, in virtual time.
TIMINGS = Timings(absence_check_seconds=0.05, peer_deadline_seconds=0.05, ack_wait_seconds=0.1)
MEMBER = {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}
CPU_SECONDS_MAX = 0.02  # of one answer: the best of three, since collections of garbage fall anywhere
CASES_MIN = 2000
PEERS = {name for name, roles in SERVER_POLICY.items() if roles == {"server"}} | {"clock"}
ASKED_BY = {"invite": OPERATOR, "audit_log": OPERATOR, "whois": "broker-1"}


def asked_by(service: str) -> str:
    """Who may ask it in secured mode."""
    return "server-2" if service in PEERS else ASKED_BY.get(service, "ana")


def fields(service: str, me: str) -> dict[str, Any]:
    return {**valid(service, me=me), **(MEMBER if service in PEERS else {})}


def test_there_are_two_thousand_cases() -> None:
    """A change of the messages does not empty this room."""
    wrong = [case for service in REQUESTS for case in cases_of(service) if not case.fits]
    assert len(wrong) > CASES_MIN


async def answered(ask: Callable[[bytes], Awaitable[bytes]], case: Case, frame: bytes) -> dict[str, Any]:
    """The reply's data, given in time; of a wrong value it is `erro` with a code, of none `internal`."""
    took = []
    while len(took) < 3 and (not took or min(took) > CPU_SECONDS_MAX):
        begun = thread_time()
        echoed, data = enveloped(await ask(frame))
        took.append(thread_time() - begun)
    assert min(took) < CPU_SECONDS_MAX, (case, took)
    assert echoed in (case.service, "error"), case
    assert data.get("code") != "internal", case
    if not case.fits:
        assert data.get("status") == "erro", (case, data)
        assert data["code"] != "indeterminate", case
    return data


async def all_of(server: Running, asker: Asker, service: str, *, me: str) -> None:
    """Every case of a service; what is wrong keeps nothing."""
    kept = fields(service, me)
    for case in cases_of(service):
        before = server.store.counts()
        data = await answered(asker.ask, case, case.frame(kept))
        if data.get("status") == "erro" and data["code"] != "indeterminate":
            assert server.store.counts() == before, case
    assert server.faults() == []


@pytest.mark.parametrize("service", sorted(REQUESTS))
async def test_open_servers(autojump_clock: trio.abc.Clock, service: str) -> None:
    """An open server answers all of them, and the next request as ever."""
    async with bench("server-1", of=2, timings=TIMINGS) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        await all_of(server, server.asker, service, me="ana")
        assert (await server.say("ainda"))["status"] == "OK"


async def furnished(cluster: People) -> None:
    await cluster.login("ana", "bia", OPERATOR)
    await cluster.done("ana", "channel", channel="geral", user="ana")


@pytest.mark.parametrize("service", sorted(set(REQUESTS) & set(SERVER_POLICY)))
async def test_secured_servers(autojump_clock: trio.abc.Clock, service: str) -> None:
    """A secured server answers them from whom it would have served, and the next request as ever."""
    async with people(of=2) as cluster:
        await furnished(cluster)
        me = asked_by(service)
        async with cluster.network.host("hostile", principal(me)).asker(cluster.first.asker.address) as asker:
            await all_of(cluster.first, asker, service, me=me)
        assert (await cluster.say("ana", "geral"))["status"] == "OK"


@pytest.mark.parametrize("mode", ["open", "secured"])
@pytest.mark.parametrize("service", sorted(REFERENCE_POLICY))
async def test_references(autojump_clock: trio.abc.Clock, service: str, mode: str) -> None:
    """The reference answers them, keeps no name of them, and lists as ever."""
    network = MemoryNetwork()
    who = Principal("server", "server-1", b"s" * 32) if mode == "secured" else Principal("open")
    async with _town(RegistryStore.in_memory(), network=network) as town:
        await town.ask("rank", user="server-1")
        async with network.host("hostile", who).asker(CONFIG.reference.listen) as asker:
            for case in cases_of(service):
                await answered(asker.ask, case, case.frame(valid(service, me="server-1")))
        assert [one["name"] for one in (await town.ask("list"))["list"]] == ["server-1"]
