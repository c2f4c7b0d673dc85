"""Who hears what on the bus of a secured cluster: real processes, CURVE sockets, both event loops."""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from uuid import uuid4

import anyio
import pytest
import zmq
from running_cluster import Cluster, local_cluster

from recado.client import Chat, Forbidden, KeyUnknown, NotMember, RefusedByServer, Subscription, connect
from recado.keys import Identity, make_identity, read_identity, z85
from recado.protocol import codec
from recado.protocol.publications import BEACON_TOPIC, public_topic
from recado.roster import Roster
from recado.secured import AddressBook, ClientSecurity

pytestmark = [pytest.mark.system, pytest.mark.slow]
PATIENCE_SECONDS = 20.0
SILENCE_MS = 300  # after a marker that came later has arrived elsewhere
LOOPS = pytest.mark.parametrize("loop", ["trio", "asyncio"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two servers, a broker and a reference, all with keys."""
    with local_cluster(tmp_path_factory.mktemp("secured"), "--secure", servers=2) as running:
        yield running


class Town:
    """A cluster, and how people reach it; each has a key of their own and a name that no other test has."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.roster = Roster.read(cluster.data / "keys" / "roster.toml")
        self.mark = uuid4().hex[:8]

    def name(self, name: str) -> str:
        return f"{name}-{self.mark}"

    def security(self, identity: Identity) -> ClientSecurity:
        return ClientSecurity(identity=identity, roster=self.roster, book=AddressBook(self.roster))

    def chat(self, identity: Identity) -> AbstractAsyncContextManager[Chat]:
        """Somebody's connection; the broker is found through the servers."""
        return connect(identity.name, servers=self.cluster.servers, security=self.security(identity))

    def person(self, name: str) -> Identity:
        return make_identity("user", self.name(name))

    @property
    def operator(self) -> Identity:
        return read_identity(self.cluster.data / "keys" / "operator.key")


class Spy:
    """A SUB socket with a key that is known, which asks for whatever it likes."""

    def __init__(self, town: Town, identity: Identity) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        broker = town.roster.of("broker")[0]
        self.socket.setsockopt(zmq.CURVE_PUBLICKEY, identity.public)
        self.socket.setsockopt(zmq.CURVE_SECRETKEY, identity.secret)
        self.socket.setsockopt(zmq.CURVE_SERVERKEY, broker.keys[0])
        self.socket.connect(town.cluster.summary["broker"])

    def wait_for(self, topic: bytes) -> None:
        """Until something comes on this topic: then its subscriptions, asked for before, were decided on."""
        self.socket.setsockopt(zmq.SUBSCRIBE, topic)
        for _ in range(100):
            assert self.socket.poll(1000 * PATIENCE_SECONDS)
            if self.socket.recv_multipart()[0] == topic:
                return

    def heard(self) -> list[list[bytes]]:
        """All that has come, beacons left out."""
        found = []
        while self.socket.poll(SILENCE_MS):
            found.append(self.socket.recv_multipart())
        return [frames for frames in found if frames[0] != BEACON_TOPIC]

    def close(self) -> None:
        self._context.destroy(linger=0)


def run(loop: str, test: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """A client's coroutine under this event loop, bounded."""

    async def bounded() -> None:
        with anyio.fail_after(3 * PATIENCE_SECONDS):
            await test(*arguments)

    anyio.run(bounded, backend=loop)


async def texts(incoming: Subscription, last: str) -> list[str]:
    """What is read until `last` comes."""
    found: list[str] = []
    with anyio.fail_after(PATIENCE_SECONDS):
        async for message in incoming:
            found.append(message.text)
            if message.text == last:
                break
    return found


@LOOPS
def test_each_hears_only_its_own(cluster: Cluster, loop: str) -> None:
    """A known key that subscribes to everything, to prefixes and to others' topics hears nothing private."""
    run(loop, _eavesdrop, Town(cluster))


async def _eavesdrop(town: Town) -> None:
    ana, anabel = town.person("ana"), town.person("ana-bel")
    channel, secret = town.name("aberto"), town.name("fechado")
    async with town.chat(ana) as chat, town.chat(anabel) as other:
        await chat.login()
        await other.login()
        await chat.create_channel(secret, private=True)
        await chat.create_channel(channel)
        spy = Spy(town, ana)
        try:
            name = anabel.name.encode()
            private = [b"p" + secret.encode(), b"p" + secret.encode() + b"\0" + bytes(16)]
            theirs = [b"u", b"u" + name, b"u" + name + b"\0", b"u" + name + b"\0" + bytes(16), name]
            for topic in [b"", b"c", b"p", b"\0", *private, *theirs]:
                spy.socket.setsockopt(zmq.SUBSCRIBE, topic)
            await anyio.to_thread.run_sync(spy.wait_for, BEACON_TOPIC)
            async with other.subscribe(direct=True) as direct, other.subscribe(channel) as public:
                await chat.publish(secret, "em segredo")
                await chat.message(anabel.name, "psiu")
                await chat.publish(channel, "aberto a todos")
                assert await texts(direct, "psiu") == ["psiu"]
                assert await texts(public, "aberto a todos") == ["aberto a todos"]
            assert await anyio.to_thread.run_sync(spy.heard) == []
        finally:
            spy.close()


@LOOPS
def test_a_kicked_member_falls_silent(cluster: Cluster, loop: str) -> None:
    """Who is put out hears nothing more and is told why; for the others nothing is missing or doubled."""
    run(loop, _kick, Town(cluster))


async def _kick(town: Town) -> None:
    ana, bia, caio = (town.person(name) for name in ("ana", "bia", "caio"))
    secret = town.name("fechado")
    denied: list[RefusedByServer] = []
    async with town.chat(ana) as chat, town.chat(bia) as hers, town.chat(caio) as his:
        for one in (chat, hers, his):
            await one.login()
        await chat.create_channel(secret, private=True)
        for who in (bia, caio):
            await chat.invite(secret, who.name)
        topic = (await hers._connection.read("history", {"channel": secret})).data["topic"]
        spy = Spy(town, caio)
        gone = anyio.Event()

        def tell(_channel: str | None, why: RefusedByServer) -> None:
            denied.append(why)
            gone.set()

        try:
            async with (
                hers.subscribe(secret) as stays,
                his.subscribe(secret, on_denied=tell) as leaves,
            ):
                spy.socket.setsockopt(zmq.SUBSCRIBE, topic)
                await anyio.to_thread.run_sync(spy.wait_for, BEACON_TOPIC)
                await chat.publish(secret, "antes")
                assert await texts(leaves, "antes") == ["antes"]
                await chat.kick(secret, caio.name, reason="basta")
                for number in range(20):
                    await chat.publish(secret, f"depois {number}")
                expected = ["antes", *(f"depois {number}" for number in range(20))]
                assert await texts(stays, expected[-1]) == expected
                with anyio.fail_after(PATIENCE_SECONDS):
                    await gone.wait()
                assert isinstance(denied[0], NotMember)
                assert set(leaves.denied) == {secret}
                heard = [codec.unpack(body) for _, body in await anyio.to_thread.run_sync(spy.heard)]
                assert [said["message"] for said in heard if "message" in said] == ["antes"]
            with pytest.raises(NotMember):
                await his.history(secret)
            with pytest.raises(NotMember):
                async with his.subscribe(secret):
                    raise AssertionError("not reached")
        finally:
            spy.close()


@LOOPS
def test_a_revoked_device_falls_silent(cluster: Cluster, loop: str) -> None:
    """The lost device is a stranger at once and hears no further direct message; the other hears all."""
    run(loop, _revoke, Town(cluster))


async def _revoke(town: Town) -> None:
    ana, bia = town.person("ana"), town.person("bia")
    device = make_identity("user", ana.name)
    async with town.chat(ana) as chat, town.chat(device) as lost, town.chat(bia) as hers:
        await chat.login()
        await hers.login()
        with pytest.raises(KeyUnknown):
            await lost.users()
        await chat.add_key(z85(device.public))
        await lost.login()
        topic = (await lost._connection.read("history", {"user": ana.name})).data["topic"]
        spy = Spy(town, device)
        try:
            spy.socket.setsockopt(zmq.SUBSCRIBE, topic)
            await anyio.to_thread.run_sync(spy.wait_for, BEACON_TOPIC)
            async with chat.subscribe(direct=True) as incoming:
                await hers.message(ana.name, "um")
                assert await texts(incoming, "um") == ["um"]
                await chat.revoke_key(z85(device.public), reason="perdido")
                await hers.message(ana.name, "dois")
                assert await texts(incoming, "dois") == ["dois"]
            heard = [codec.unpack(body) for _, body in await anyio.to_thread.run_sync(spy.heard)]
            assert [said["message"] for said in heard if "message" in said] == ["um"]
        finally:
            spy.close()
        with pytest.raises(KeyUnknown) as caught:
            await lost.direct_messages()
        assert caught.value.code == "key_revoked"
        assert [key.revoked is None for key in await chat.keys()].count(True) == 1


@LOOPS
def test_the_broker_comes_back(cluster: Cluster, loop: str) -> None:
    """Killed and started again, it knows the keys of everybody by asking; nothing is missing or doubled."""
    town = Town(cluster)
    run(loop, _restart, town)


async def _restart(town: Town) -> None:
    ana = town.person("ana")
    secret = town.name("fechado")
    async with town.chat(ana) as chat:
        await chat.login()
        await chat.create_channel(secret, private=True)
        async with chat.subscribe(secret, direct=True) as incoming:
            await chat.publish(secret, "antes")
            assert await texts(incoming, "antes") == ["antes"]
            before = await anyio.to_thread.run_sync(partial(town.cluster.kill, "broker"))
            await chat.publish(secret, "ohne")
            await anyio.to_thread.run_sync(partial(town.cluster.restarted, "broker", after=before))
            await chat.publish(secret, "depois")
            assert await texts(incoming, "depois") == ["ohne", "depois"]
        spy = Spy(town, ana)
        try:
            await anyio.to_thread.run_sync(spy.wait_for, BEACON_TOPIC)
        finally:
            spy.close()


@LOOPS
def test_sighup_ends_what_a_revoked_key_still_has(cluster: Cluster, loop: str) -> None:
    """The connection of a revoked key hears public channels until SIGHUP at the broker, and no longer."""
    run(loop, _hang_up, Town(cluster))


async def _hang_up(town: Town) -> None:
    ana, lost = town.person("ana"), town.person("lost")
    channel = town.name("aberto")
    async with town.chat(ana) as chat, town.chat(lost) as hers, town.chat(town.operator) as operator:
        await chat.login()
        await hers.login()
        await chat.create_channel(channel)
        spy = Spy(town, lost)
        try:
            spy.socket.setsockopt(zmq.SUBSCRIBE, public_topic(channel))
            await anyio.to_thread.run_sync(spy.wait_for, BEACON_TOPIC)
            async with chat.subscribe(channel) as incoming:
                await operator.revoke_key(z85(lost.public), user=lost.name)
                await chat.publish(channel, "um")
                assert await texts(incoming, "um") == ["um"]
                before = len(town.cluster.log("broker"))
                os.kill(town.cluster.rows()["broker"]["pid"], signal.SIGHUP)
                words = ("broker", "begin anew")
                wait = partial(town.cluster.wait_for_log, *words, seconds=PATIENCE_SECONDS, after=before)
                await anyio.to_thread.run_sync(wait)
                await chat.publish(channel, "dois")
                assert await texts(incoming, "dois") == ["dois"]
            heard = [codec.unpack(body) for _, body in await anyio.to_thread.run_sync(spy.heard)]
            assert [said["message"] for said in heard] == ["um"]
        finally:
            spy.close()


@LOOPS
def test_operators_and_roles(cluster: Cluster, loop: str) -> None:
    """An operator suspends, restores and reads the audit log with reasons; a user may not."""
    run(loop, _operate, Town(cluster))


async def _operate(town: Town) -> None:
    ana = town.person("ana")
    async with town.chat(ana) as chat, town.chat(town.operator) as operator:
        await chat.login()
        with pytest.raises(Forbidden):
            await chat.audit_log()
        await operator.suspend(ana.name, reason="ruído")
        with pytest.raises(Forbidden):
            await chat.users()
        await operator.restore(ana.name)
        assert ana.name in await chat.users()
        page = await operator.audit_log(who=ana.name)
        assert [(deed.do, deed.reason) for deed in page] == [("suspend", "ruído"), ("restore", None)]
        token = await operator.invitation(reason="para caio")
        assert len(token) == 30


def test_without_keys_nobody_is_answered(cluster: Cluster) -> None:
    """A plain socket at each port of each node gets no byte of an answer."""
    context = zmq.Context()
    try:
        ends = [(zmq.DEALER, address) for address in [*cluster.servers, cluster.summary["reference"]]]
        ends += [(zmq.SUB, cluster.summary["broker"]), (zmq.DEALER, cluster.summary["xsub"])]
        sockets = []
        for kind, address in ends:
            socket = context.socket(kind)
            if kind == zmq.SUB:
                socket.setsockopt(zmq.SUBSCRIBE, b"")
            socket.connect(address)
            if kind == zmq.DEALER:
                socket.send_multipart([b"", codec.encode("status", {})], zmq.NOBLOCK)
            sockets.append(socket)
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        assert poller.poll(3000) == []
    finally:
        context.destroy(linger=0)
