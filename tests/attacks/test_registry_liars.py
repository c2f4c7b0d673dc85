"""Group 17: who wants all ranks, another's rank, another's address, or to be listed for ever.

In a secured cluster servers alone enter themselves (`tests/daemons/test_reference`); here is what that
leaves, and open mode.  Expected: a rank is its name's for ever, the list is bounded, and nobody alive is
pushed off it.
"""

from typing import Any

import pytest
import trio

from recado.protocol.codec import encode, unpack
from recado.protocol.limits import RANK_MAX, REGISTERED_SERVERS_MAX
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Principal
from storage.registry import RegistryStore
from tests.attacks.conduct import cpu_seconds
from tests.daemons.test_reference import CONFIG, Town, _town

SERVER = Principal("server", "server-1", b"s" * 32)
STRANGERS = {
    "a key": Principal("key", "", b"k" * 32),
    "an operator": Principal("operator", "olga", b"o" * 32),
    "a broker": Principal("broker", "broker-1", b"b" * 32),
    "the reference": Principal("reference", "reference-1", b"r" * 32),
    "another server": Principal("server", "server-2", b"t" * 32),
}
NAMES = 10_000
CPU_SECONDS_MAX = 0.05


async def said(town: Town, who: Principal, service: str, **data: Any) -> dict[str, Any]:
    async with town.network.host("any", who).asker(CONFIG.reference.listen) as asker:
        return dict(unpack(await asker.ask(encode(service, data)))["data"])


@pytest.mark.slow
@pytest.mark.parametrize("service", ["rank", "heartbeat"])
async def test_ten_thousand_names(autojump_clock: trio.abc.Clock, service: str) -> None:
    """In open mode 10,000 invented names get no more than the room there is; known servers keep theirs."""
    async with _town(RegistryStore.in_memory()) as town:
        assert (await town.ask("rank", user="server-1", address="tcp://h:1"))["rank"] == 1
        codes = [(await town.ask(service, user=f"x{n}", rank_hint=n + 1)).get("code") for n in range(NAMES)]
        assert codes.count(None) == REGISTERED_SERVERS_MAX - 1
        assert set(codes[REGISTERED_SERVERS_MAX:]) == {"registry_full"}
        assert (await town.ask("heartbeat", user="server-1", address="tcp://h:1"))["rank"] == 1
        assert await cpu_seconds(lambda: town.ask("list")) < CPU_SECONDS_MAX
        assert len((await town.ask("list"))["list"]) == REGISTERED_SERVERS_MAX


HINTS = (0, -1, 2, RANK_MAX, RANK_MAX + 1, 10**9, 2**53, 2**63 - 1)


async def test_ranks_from_nowhere(autojump_clock: trio.abc.Clock) -> None:
    """A hint that is taken or beyond all ranks is passed over; no two names ever share a rank."""
    async with _town(RegistryStore.in_memory()) as town:
        for number in range(1, 4):
            assert (await town.ask("rank", user=f"server-{number}"))["rank"] == number
        given = [
            (await town.ask("rank", user=f"y{n}", rank_hint=hint))["rank"] for n, hint in enumerate(HINTS)
        ]
        assert len(set(given)) == len(given)
        assert not set(given) & {1, 2, 3}
        assert all(1 <= rank <= RANK_MAX for rank in given)
        assert (await town.ask("rank", user="server-2", rank_hint=999))["rank"] == 2


@pytest.mark.parametrize("who", STRANGERS)
async def test_in_secured_mode_names_cost_nothing(autojump_clock: trio.abc.Clock, who: str) -> None:
    """A thousand names from whoever is not that server: none is kept, none gets a rank or an address."""
    network = MemoryNetwork()
    async with _town(RegistryStore.in_memory(), network=network) as town:
        await said(town, SERVER, "rank", user="server-1", address="tcp://h:1")
        for number in range(1000):
            service = ("rank", "heartbeat")[number % 2]
            data = await said(town, STRANGERS[who], service, user=f"x{number}", address="tcp://evil:1")
            assert data["code"] in ("members_only", "not_you")
            data = await said(town, STRANGERS[who], service, user="server-1", address="tcp://evil:1")
            assert data["code"] in ("members_only", "not_you")
        [line] = (await town.ask("list"))["list"]
        assert (line["name"], line["rank"], line["address"]) == ("server-1", 1, "tcp://h:1")


@pytest.mark.slow
async def test_a_beat_for_another_keeps_nobody_alive(autojump_clock: trio.abc.Clock) -> None:
    """Beats of others, for an hour, do not keep a dead server listed; when it returns it has its rank."""
    network = MemoryNetwork()
    async with _town(RegistryStore.in_memory(), network=network) as town:
        await said(town, SERVER, "heartbeat", user="server-1", address="tcp://h:1")
        for _ in range(360):
            await said(town, STRANGERS["another server"], "heartbeat", user="server-1", address="tcp://h:1")
            await said(town, STRANGERS["a key"], "heartbeat", user="server-1", address="tcp://h:1")
            await trio.sleep(10)
        assert (await town.ask("list"))["list"] == []
        assert (await said(town, SERVER, "heartbeat", user="server-1", address="tcp://h:2"))["rank"] == 1
        [line] = (await town.ask("list"))["list"]
        assert line["address"] == "tcp://h:2"


async def test_a_living_server_s_address_is_its_own(autojump_clock: trio.abc.Clock) -> None:
    """In open mode too nobody moves the address of a server that lives, nor keeps it listed by another's."""
    async with _town(RegistryStore.in_memory()) as town:
        await town.ask("heartbeat", user="server-1", address="tcp://h:1")
        for _ in range(20):
            await town.ask("heartbeat", user="server-1", address="tcp://evil:1")
            await trio.sleep(1)
            [line] = (await town.ask("list"))["list"]
            assert line["address"] == "tcp://h:1"
        for _ in range(20):
            await town.ask("heartbeat", user="server-1", address="tcp://evil:1")
            await trio.sleep(3)
        named = [one.get("address") for one in (await town.ask("list"))["list"]]
        assert named in ([], ["tcp://evil:1"]), "expired by silence, then free"
