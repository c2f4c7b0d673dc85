"""Rates: who sends too much is refused with the time to wait, and the others are served."""

from typing import Any

import msgspec
import trio

from daemons.server.rationing import REGISTRATIONS_BURST
from recado.protocol import codec
from recado.settings import Limits
from recado.wire.ports import Principal
from tests.daemons.server.people import OPERATOR, People, key, people, principal
from tests.daemons.server.server_bench import bench

NONE = {field: 0 for field in Limits.__struct_fields__ if field.endswith("_per_second")}


def limits(**given: Any) -> Limits:
    """Only these."""
    return msgspec.structs.replace(Limits(), **{**NONE, **given})


async def furnished(cluster: People) -> None:
    await cluster.login("ana", "bia")
    await cluster.done("robô", "login", user="robô", bot=True)
    await cluster.done(OPERATOR, "user_rule", user=OPERATOR, do="role", who="robô", role="bot")
    await cluster.done("ana", "channel", channel="c", user="ana")


async def many(cluster: People, name: str, channel: str = "c", *, count: int = 100) -> list[dict[str, Any]]:
    """The refusals among so many messages, one after the other."""
    replies = [await cluster.say(name, channel) for _ in range(count)]
    assert {reply.get("code") for reply in replies} <= {None, "rate_limited"}
    return [reply for reply in replies if reply.get("code")]


async def test_a_user_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """A burst goes through, the rest is told when to come back, and then is taken; others don't pay."""
    async with people(limits=limits(user_messages_per_second=2.0, user_messages_burst=10)) as cluster:
        await furnished(cluster)
        refused = await many(cluster, "ana", count=20)
        assert 20 - len(refused) == 9, "of the burst one went to the channel"
        wait = refused[0]["retry_after"]
        assert 0 < wait <= 0.501
        await trio.sleep(wait)
        assert (await cluster.say("ana", "c"))["status"] == "OK"
        assert len(await many(cluster, "bia", count=10)) == 0
        assert len(await many(cluster, "robô", count=50)) == 0, "bots are a class of their own"
        assert (await cluster.done("ana", "status"))["security"]["rate_limited"] == len(refused)


async def test_a_bot_s_and_a_channel_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """Bots have rates of their own; a channel's is shared by all who write there, and is no other's."""
    given = limits(
        bot_messages_per_second=1.0,
        bot_messages_burst=5,
        channel_messages_per_second=1.0,
        channel_messages_burst=20,
    )
    async with people(limits=given) as cluster:
        await furnished(cluster)
        await cluster.done("ana", "channel", channel="d", user="ana")
        assert len(await many(cluster, "robô", count=10)) == 5
        assert len(await many(cluster, "ana", count=20)) == 5
        assert len(await many(cluster, "bia", count=5)) == 5
        assert len(await many(cluster, "bia", "d", count=20)) == 0


async def test_a_bot_by_its_own_word_has_a_user_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """Who logs in as a program is one to see; the larger rates an operator gives, and takes."""
    given = limits(user_messages_per_second=0.001, user_messages_burst=5)
    async with people(limits=given) as cluster:
        await cluster.login("ana", OPERATOR)
        await cluster.done("robô", "login", user="robô", bot=True)
        await cluster.done("ana", "channel", channel="c", user="ana")
        assert (await cluster.done("broker-1", "whois", key=key("robô")))["role"] == "bot"
        assert len(await many(cluster, "robô", count=10)) == 5
        rule = {"user": OPERATOR, "do": "role", "who": "robô"}
        await cluster.done(OPERATOR, "user_rule", **rule, role="bot")
        assert len(await many(cluster, "robô", count=10)) == 0
        await cluster.done(OPERATOR, "user_rule", **rule, role="user")
        assert len(await many(cluster, "robô", count=10)) == 10


async def test_a_repetition_is_free(autojump_clock: trio.abc.Clock) -> None:
    """The same request again costs its user nothing: it was paid for."""
    async with people(limits=limits(user_messages_per_second=0.1, user_messages_burst=2)) as cluster:
        await furnished(cluster)
        asked = {"user": "ana", "channel": "c", "message": "oi", "id": b"1"}
        keys = [(await cluster.done("ana", "publish", **asked))["key"] for _ in range(10)]
        assert keys == keys[:1] * 10


async def test_junk_and_large_frames_count(autojump_clock: trio.abc.Clock) -> None:
    """Frames that are no request cost their address as much, large ones more; too large ones are not read."""
    given = limits(address_requests_per_second=1.0, address_requests_burst=20)
    async with people(limits=given) as cluster:
        for address, frame, served in (
            ("10.0.0.1", b"\xc1", 20),
            ("10.0.0.2", b"\xc1" * 8192, 4),
            ("10.0.0.3", b"\xc1" * (2 << 20), 0),
        ):
            who = principal("zé", address=address)
            async with cluster.network.host("any", who).asker(cluster.first.asker.address) as asker:
                replies = [codec.decode_reply(await asker.ask(frame)) for _ in range(served + 3)]
            codes = [reply.data["code"] for reply in replies]
            assert codes == ["malformed"] * served + ["rate_limited"] * 3
            assert replies[-1].data["retry_after"] > 0
        await cluster.login("ana")


async def test_a_greedy_reader_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """Pages count by their size, against who reads them: others at that address are served meanwhile."""
    given = limits(address_requests_per_second=100.0, address_requests_burst=200)
    async with people(limits=given) as cluster:
        await furnished(cluster)
        for n in range(16):
            await cluster.done("ana", "publish", user="ana", channel="c", message=f"{n}" * 8000)
        codes = [(await cluster.ask("bia", "history", channel="c")).get("code") for _ in range(6)]
        assert codes == [None] * 3 + ["rate_limited"] * 3, "of some 170 KiB each, for 200 times 2 KiB"
        refused = await cluster.ask("bia", "history", channel="c")
        assert (await cluster.say("ana", "c"))["status"] == "OK"
        await trio.sleep(refused["retry_after"])
        await cluster.done("bia", "history", channel="c")


async def test_registrations_of_an_address(autojump_clock: trio.abc.Clock) -> None:
    """A user is kept for ever: from one address a crowd registers at once, and then one in a second."""
    async with people(limits=Limits()) as cluster:

        async def code(n: int, address: str = "10.0.0.1") -> str | None:
            who = principal(f"zé {n}", address=address)
            return (await cluster.raw(who, "login", user=f"z{n}")).get("code")

        codes = [await code(n) for n in range(REGISTRATIONS_BURST + 5)]
        assert codes.count("rate_limited") >= 4
        assert codes[:REGISTRATIONS_BURST] == [None] * REGISTRATIONS_BURST
        assert await code(0) is None, "who is registered comes as he likes"
        assert await code(-1, "10.0.0.2") is None


async def test_a_unix_user_s_processes_share_a_rate(autojump_clock: trio.abc.Clock) -> None:
    """Another process of one Unix user is no other address."""
    given = limits(address_requests_per_second=1.0, address_requests_burst=5)
    async with people(limits=given) as cluster:
        codes = [
            (await cluster.raw(Principal("local", "", b"", f"localhost:7:7:{pid}"), "users"))["code"]
            for pid in range(8)
        ]
        assert codes == ["key_unknown"] * 5 + ["rate_limited"] * 3


async def test_an_address_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """Strangers at one address are refused together; who comes from elsewhere is served."""
    async with people(limits=limits(address_requests_per_second=1.0, address_requests_burst=10)) as cluster:
        codes = [
            (await cluster.raw(principal(f"zé {n}", address="10.0.0.1"), "users"))["code"] for n in range(20)
        ]
        assert codes == ["key_unknown"] * 10 + ["rate_limited"] * 10
        elsewhere = principal("ana", address="10.0.0.2")
        assert (await cluster.raw(elsewhere, "login", user="ana"))["status"] == "sucesso"


async def test_a_subnet_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """All addresses of IPv6 that one host can have are one address."""
    async with people(limits=limits(address_requests_per_second=1.0, address_requests_burst=5)) as cluster:
        codes = [
            (await cluster.raw(principal("zé", address=f"2001:db8::{n:x}"), "users"))["code"]
            for n in range(1, 9)
        ]
        assert codes == ["key_unknown"] * 5 + ["rate_limited"] * 3
        elsewhere = principal("ana", address="2001:db8:0:1::1")
        assert (await cluster.raw(elsewhere, "login", user="ana"))["status"] == "sucesso"


async def test_a_server_s_rate(autojump_clock: trio.abc.Clock) -> None:
    """A member that asks without end is refused too."""
    async with people(
        limits=limits(server_requests_per_second=1.0, server_requests_burst=3), of=2
    ) as cluster:
        codes = [(await cluster.ask("server-2", "status")).get("code") for _ in range(5)]
        assert codes == [None] * 3 + ["rate_limited"] * 2


async def test_rates_change_while_it_runs(autojump_clock: trio.abc.Clock) -> None:
    """SIGHUP puts other rates in force."""
    async with people(limits=limits()) as cluster:
        await furnished(cluster)
        assert len(await many(cluster, "ana")) == 0
        for given in cluster.given.values():
            tight = limits(user_messages_per_second=1.0, user_messages_burst=1)
            given.change(msgspec.structs.replace(given.config, limits=tight))
        assert len(await many(cluster, "ana", count=10)) == 9
        await cluster.login(OPERATOR)


async def test_open_mode_has_no_rates(autojump_clock: trio.abc.Clock) -> None:
    """Without keys nobody is slowed down, unless the settings say so."""
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        for n in range(300):
            await server.say(f"m{n}")
