"""The library and servers of a secured cluster, in memory: topics that move, rights, rates, stamps."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest
import trio

from daemons.broker.doorkeeper import Doorkeeper
from daemons.shared.logging import ListSink, get_logger
from recado.client import (
    Banned,
    Chat,
    Forbidden,
    KeyUnknown,
    Muted,
    NameRefused,
    NotMember,
    NotYou,
    RateLimited,
    RefusedByServer,
    RegistrationRefused,
    Subscription,
    connect,
)
from recado.keys import make_identity, z85
from recado.protocol.clock_tag import clock_tag
from recado.protocol.lamport import LamportClock
from recado.secured import AddressBook, ClientSecurity
from recado.settings import Limits
from recado.wire.memory import TrafficKind
from recado.wire.ports import Principal
from tests.daemons.server.links import Links
from tests.daemons.server.people import OPERATOR, People, key, key_text, people, whole_roster
from tests.daemons.server.secured_bench import CLUSTER_KEY
from tests.daemons.server.server_bench import BROKER, members

LAST_WORD_BYTES = 90  # at most: beacons and messages are longer
FAR = 1_000_000_000  # a clock
NO_RATES = {field: 0 for field in Limits.__struct_fields__ if field.endswith("_per_second")}


class Town(People):
    """People with the library."""

    def chat(self, name: str, *, device: str | None = None, **more: Any) -> AbstractAsyncContextManager[Chat]:
        """Somebody's connection, perhaps from another device, that is with another key."""
        roster = whole_roster(self.of)
        role = "operator" if name == OPERATOR else "key"
        host = self.network.host(device or name, Principal(role, name, key(device or name)))
        identity = make_identity("user", name, Random(name).randbytes)
        options: dict[str, Any] = {
            "servers": [member.address for member in members(self.of)],
            "brokers": [BROKER.xpub],
            "random": Random(name),
            "security": ClientSecurity(identity=identity, roster=roster, book=AddressBook(roster)),
        }
        return connect(name, network=host, **options | more)

    def broker(self) -> AbstractAsyncContextManager[Any]:
        """A broker that grants as ours does."""
        lamport = LamportClock()
        log = get_logger("broker", lambda: lamport.value, sink=ListSink())
        doors = Doorkeeper(lambda: whole_roster(self.of), lamport=lamport, log=log)
        return self.network.host("broker").forwarder(BROKER.xsub, BROKER.xpub, grant=doors.grant)


@asynccontextmanager
async def town(*, of: int = 2, **more: Any) -> AsyncIterator[Town]:
    """Servers that all run, and a broker."""
    names = [member.name for member in members(of)]
    async with people(*names, of=of, **more) as cluster:
        cluster.__class__ = Town
        assert isinstance(cluster, Town)
        async with cluster.broker():
            yield cluster


async def texts(incoming: Subscription, count: int, *, seconds: float = 70) -> list[str]:
    """The next texts."""
    with trio.fail_after(seconds):
        return [(await anext(incoming)).text for _ in range(count)]


@asynccontextmanager
async def private(cluster: Town) -> AsyncIterator[tuple[Chat, Chat, Chat]]:
    """Ana's private channel d, with bia and caio in it."""
    async with cluster.chat("ana") as ana, cluster.chat("bia") as bia, cluster.chat("caio") as caio:
        for one in (ana, bia, caio):
            await one.login()
        await ana.create_channel("d", private=True)
        for who in ("bia", "caio"):
            await ana.invite("d", who)
        yield ana, bia, caio


async def test_a_subscription_follows_its_topic(autojump_clock: trio.abc.Clock) -> None:
    """Over three kicks, messages in between, those who stay read everything once, soon and in order."""
    async with town() as cluster, private(cluster) as (ana, bia, caio), bia.subscribe("d") as incoming:
        expected = []
        for round_number in range(3):
            for number in range(5):
                expected.append(f"{round_number}.{number}")
                await ana.publish("d", expected[-1])
            await ana.kick("d", "caio")
            await ana.invite("d", "caio")
        began = trio.current_time()
        assert await texts(incoming, len(expected)) == expected
        assert trio.current_time() - began < 5
        del caio


class Deaf:
    """A `Transit` on which everything passes but the last words on topics, told by their size."""

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        return () if kind == "publication" and size < LAST_WORD_BYTES else (0.001,)


async def test_a_last_word_that_is_lost(autojump_clock: trio.abc.Clock) -> None:
    """Without the last word on the old topic the new one is found within a minute, and nothing is missing."""
    async with town() as cluster, private(cluster) as (ana, bia, _), bia.subscribe("d") as incoming:
        await ana.publish("d", "um")
        assert await texts(incoming, 1) == ["um"]
        cluster.network.transit = Deaf()
        await ana.kick("d", "caio")
        began = trio.current_time()
        await ana.publish("d", "dois")
        assert await texts(incoming, 1) == ["dois"]
        assert trio.current_time() - began > 20, "it was told after all"
        await trio.sleep(5)
        began = trio.current_time()
        await ana.publish("d", "três")
        assert await texts(incoming, 1) == ["três"]
        assert trio.current_time() - began < 1


async def test_a_right_that_is_lost_and_comes_back(autojump_clock: trio.abc.Clock) -> None:
    """Who is kicked is told so and hears nothing; invited again, reading goes on by itself without a gap."""
    denied: list[tuple[str | None, RefusedByServer]] = []
    async with town() as cluster, private(cluster) as (ana, _, caio):

        def tell(channel: str | None, why: RefusedByServer) -> None:
            denied.append((channel, why))

        async with caio.subscribe("d", on_denied=tell) as incoming:
            await ana.publish("d", "um")
            assert await texts(incoming, 1) == ["um"]
            await ana.kick("d", "caio")
            await ana.publish("d", "dois")
            with trio.move_on_after(30):
                pytest.fail(f"{await anext(incoming)} arrived")
            assert [channel for channel, _ in denied] == ["d"]
            assert isinstance(incoming.denied["d"], NotMember)
            await ana.invite("d", "caio")
            assert await texts(incoming, 1) == ["dois"]
            assert incoming.denied == {}


async def test_what_is_forbidden_is_raised(autojump_clock: trio.abc.Clock) -> None:
    """Each refusal has its kind: entering, joining, saying, reading, ruling, speaking for another."""
    async with town() as cluster, private(cluster) as (ana, bia, _), cluster.chat("zé") as stranger:
        with pytest.raises(KeyUnknown):
            await stranger.users()
        await stranger.login()
        with pytest.raises(NotMember):
            async with stranger.subscribe("d"):
                pytest.fail("not entered")
        await ana.create_channel("c")
        async with stranger.subscribe("c") as incoming:
            with pytest.raises(NotMember):
                await incoming.join("d")
            assert incoming.channels == ("c",)
        for attempt in (stranger.history("d"), stranger.publish("d", "x"), stranger.channel_info("d")):
            with pytest.raises(NotMember):
                await attempt
        await ana.mute("c", "zé", reason="x")
        with pytest.raises(Muted):
            await stranger.publish("c", "x")
        await ana.ban("c", "zé")
        with pytest.raises(Banned):
            await stranger.publish("c", "x")
        with pytest.raises(Forbidden) as caught:
            await bia.kick("d", "caio")
        assert caught.value.code == "not_channel_operator"
        with pytest.raises(Forbidden):
            await bia.audit_log()
        async with cluster.chat("ana", device="zé") as liar:
            with pytest.raises(NotYou):
                await liar.publish("c", "x")
        with pytest.raises(NameRefused):
            async with cluster.chat("аna", device="novo") as confusable:
                await confusable.login()


async def test_registration(autojump_clock: trio.abc.Clock) -> None:
    """Where an invitation is needed one gets in with it, once; and it is an operator's to give."""
    async with (
        town(settings={"registration": "invite"}) as cluster,
        cluster.chat(OPERATOR) as operator,
        cluster.chat("ana") as ana,
        cluster.chat("bia") as bia,
    ):
        with pytest.raises(RegistrationRefused):
            await ana.login()
        token = await operator.invitation(reason="para ana")
        await ana.login(invite=token)
        await ana.login()
        with pytest.raises(RegistrationRefused):
            await bia.login(invite=token)
        with pytest.raises(Forbidden):
            await ana.invitation()
        deeds = (await operator.audit_log()).deeds
        assert [(deed.do, deed.reason, deed.operator) for deed in deeds] == [("invite", "para ana", True)]


async def test_devices(autojump_clock: trio.abc.Clock) -> None:
    """A second key hears the direct messages; revoked it is nobody's, and the first goes on without a gap."""
    async with (
        town() as cluster,
        cluster.chat("ana") as ana,
        cluster.chat("ana", device="ana-2") as second,
        cluster.chat("bia") as bia,
    ):
        await ana.login()
        await bia.login()
        await ana.add_key(key_text("ana-2"))
        await second.login()
        async with ana.subscribe(direct=True) as mine, second.subscribe(direct=True) as lost:
            await bia.message("ana", "um")
            assert await texts(mine, 1) == await texts(lost, 1) == ["um"]
            await ana.revoke_key(key_text("ana-2"), reason="perdido")
            await bia.message("ana", "dois")
            assert await texts(mine, 1) == ["dois"]
            with trio.move_on_after(100):
                pytest.fail(f"{await anext(lost)} arrived")
            assert isinstance(lost.denied[None], KeyUnknown)
        assert {held.key: held.reason for held in await ana.keys()} == {
            z85(key("ana")): None,
            key_text("ana-2"): "perdido",
        }


async def test_a_rate_is_kept_within_the_deadline(autojump_clock: trio.abc.Clock) -> None:
    """The pauses that a server asks for are made; a deadline too short for one ends with what it asks."""
    limits = msgspec.structs.replace(Limits(), **{**NO_RATES, "user_messages_per_second": 1.0})
    limits = msgspec.structs.replace(limits, user_messages_burst=3)
    async with town(of=1, limits=limits) as cluster, cluster.chat("ana") as ana:
        await ana.login()
        await ana.create_channel("c")
        began = trio.current_time()
        for number in range(8):
            await ana.publish("c", str(number), deadline_seconds=15)
        assert 5 <= trio.current_time() - began < 20
        with pytest.raises(RateLimited) as caught:
            await ana.publish("c", "mais", deadline_seconds=0.4)
        assert 0.0 < caught.value.retry_after <= 1.001
        assert caught.value.certain


async def test_order_holds_at_a_server_that_is_far_behind(autojump_clock: trio.abc.Clock) -> None:
    """A server whose clock is far ahead, then one that is not: one's own messages stay in order."""
    async with town(of=2) as cluster, cluster.chat("ana") as ana:
        await ana.login()
        await ana.create_channel("c")
        await trio.sleep(5)  # both know ana and the channel
        links = Links()
        cluster.network.transit = links
        links.cut("server-1", "server-2")
        await cluster.done("ana", "users", clock=FAR, ctag=clock_tag(CLUSTER_KEY, FAR))
        first = await ana.publish("c", "um", level="local")
        cluster.network.crash("server-1")
        second = await ana.publish("c", "dois", level="local")
        assert first.key is not None
        assert second.key is not None
        assert first.server != second.server
        assert first.key.lamport > FAR
        assert second.key > first.key


async def test_what_is_read_of_channels(autojump_clock: trio.abc.Clock) -> None:
    """The facts of a channel, and page by page who did what."""
    async with town() as cluster, private(cluster) as (ana, bia, _), cluster.chat(OPERATOR) as operator:
        await ana.set_topic("d", "recados", reason="ordem")
        await ana.set_moderated("d", True)
        await ana.op("d", "bia")
        await bia.voice("d", "caio")
        info = await bia.channel_info("d")
        assert (info.topic, info.topic_by, info.founder, info.private) == ("recados", "ana", "ana", True)
        assert (info.moderated, info.operators, info.voices) == (True, ("bia",), ("caio",))
        await ana.set_private("d", False)
        assert not (await ana.channel_info("d")).private
        last = await operator.audit_log(channel="d", limit=2)
        earlier = await operator.audit_log(channel="d", before=last.earlier, limit=100)
        assert [deed.do for deed in [*earlier, *last]] == [
            *["invite", "invite", "topic", "moderated", "op", "voice", "public"]
        ]  # fmt: skip
        assert (last.more, earlier.more) == (True, False)
