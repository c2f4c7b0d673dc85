"""Who gets in at a secured broker and what each may hear: the doorkeeper, with servers that are played."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from daemons.broker.app import run_broker
from daemons.broker.doorkeeper import CROWDED_SECONDS, UNKNOWN_SECONDS, Doorkeeper
from daemons.shared.logging import ListSink, get_logger
from recado.config import load
from recado.keys import make_identity
from recado.protocol.codec import decode_request, encode
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import HANDSHAKE_ASK_SECONDS, KEYS_REMEMBERED_MAX, WHOIS_SECONDS
from recado.protocol.publications import BEACON_TOPIC, PUBLIC, direct_topic, private_topic, public_topic
from recado.protocol.rule_messages import Whois
from recado.roster import Roster
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Outgoing, Principal, Publication
from recado.wire.security import NotNow

SERVERS = [f"tcp://server-{number}:5555" for number in range(3)]
SERVER, OPERATOR = make_identity("server", "server-1"), make_identity("user", "olga")
BROKER, REFERENCE = make_identity("broker", "broker-1"), make_identity("reference", "reference")
ROSTER = Roster(cluster="recado").with_part(SERVER.public_part).with_part(BROKER.public_part)
ROSTER = ROSTER.with_part(REFERENCE.public_part).with_part(OPERATOR.public_part, operator=True)
ANA, ANABEL, NOBODY = b"a" * 32, b"b" * 32, b"n" * 32
USERS = {ANA: "ana", ANABEL: "anabel"}


class Town:
    """Played servers that know `users`, and a doorkeeper who asks them.  `answer`: what else they say."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.users = dict(USERS)
        self.roster = ROSTER
        self.silent: set[int] = set()
        self.answer: dict[str, Any] | None = None
        self.asked: list[int] = []
        self.sink = ListSink()
        lamport = LamportClock()
        log = get_logger("broker", lambda: lamport.value, sink=self.sink)
        self.doors = Doorkeeper(lambda: self.roster, lamport=lamport, log=log)

    async def serve(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        async with self.network.listener(SERVERS[number]) as listener:
            task_status.started()
            while True:
                for incoming in await listener.receive_batch():
                    self.asked.append(number)
                    if number not in self.silent:
                        data = self._told(incoming.body or b"")
                        listener.send([Outgoing(incoming.envelope, encode("whois", data))])

    def _told(self, body: bytes) -> dict[str, Any]:
        asked = decode_request(body)
        assert isinstance(asked.data, Whois)
        name = self.users.get(asked.data.key)
        told = {"status": "OK", "name": name, "role": "user"} if name else _refusal("key_unknown")
        return {**(self.answer or told), "clock": asked.clock + 1}

    async def admitted(self, key: bytes, domain: str = "xpub") -> Principal | None:
        verdict = self.doors.authenticate(key, domain, "127.0.0.1")
        return await verdict if isinstance(verdict, Awaitable) else verdict


def _refusal(code: str) -> dict[str, Any]:
    return {"status": "erro", "code": code, "description": "x", "message": "x"}


@asynccontextmanager
async def _town() -> AsyncIterator[Town]:
    network = MemoryNetwork()
    town = Town(network)
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        for number in range(len(SERVERS)):
            await nursery.start(town.serve, number)
        town.doors.askers = [await ends.enter_async_context(network.asker(one)) for one in SERVERS]
        yield town
        nursery.cancel_scope.cancel()


async def test_who_gets_in_where(autojump_clock: trio.abc.Clock) -> None:
    """Publishing is for servers; hearing for servers, operators and keys that a server knows."""
    async with _town() as town:
        keys = {"server": SERVER, "operator": OPERATOR, "broker": BROKER, "reference": REFERENCE}
        inside = {
            (who, domain)
            for who, one in keys.items()
            for domain in ("xsub", "xpub", "requests", "reference")
            if await town.admitted(one.public, domain) is not None
        }
        assert inside == {("server", "xsub"), ("server", "xpub"), ("operator", "xpub")}
        assert await town.admitted(ANA) == Principal("key", "ana", ANA)
        assert await town.admitted(ANA, "xsub") is None
        assert await town.admitted(NOBODY) is None


async def test_for_servers_nobody_waits(autojump_clock: trio.abc.Clock) -> None:
    """What the roster decides is told at once: however many handshakes wait for a word, members get in."""
    async with _town() as town:
        for domain, inside in (("xsub", True), ("xpub", True), ("requests", False)):
            verdict = town.doors.authenticate(SERVER.public, domain, "127.0.0.1")
            assert isinstance(verdict, Principal) is inside
        assert town.doors.authenticate(ANA, "xsub", "127.0.0.1") is None
        assert town.asked == []


async def test_a_yes_is_asked_for_each_time(autojump_clock: trio.abc.Clock) -> None:
    """A revoked key stays outside from the next handshake on, however often it was let in just before."""
    async with _town() as town:
        for _ in range(10):
            assert await town.admitted(ANA) is not None
        assert len(town.asked) == 10
        del town.users[ANA]
        assert await town.admitted(ANA) is None


async def test_a_no_counts_for_a_moment(autojump_clock: trio.abc.Clock) -> None:
    """A stranger who insists is not asked about each time; a key registered a moment later gets in soon."""
    async with _town() as town:
        for _ in range(10):
            assert await town.admitted(NOBODY) is None
        assert len(town.asked) == 1
        town.users[NOBODY] = "zé"
        assert await town.admitted(NOBODY) is None
        await trio.sleep(UNKNOWN_SECONDS + 0.1)
        assert await town.admitted(NOBODY) is not None


async def test_several_servers_in_turn(autojump_clock: trio.abc.Clock) -> None:
    """A silent server costs one handshake its deadline, then it is asked last; with none, not now."""
    async with _town() as town:
        town.silent = {0, 1}
        begun = trio.current_time()
        assert await town.admitted(ANA) is not None
        assert trio.current_time() - begun <= 2 * WHOIS_SECONDS
        assert trio.current_time() - begun < HANDSHAKE_ASK_SECONDS
        begun = trio.current_time()
        assert await town.admitted(ANABEL) is not None
        assert trio.current_time() - begun <= WHOIS_SECONDS
        town.silent = {0, 1, 2}
        with pytest.raises(NotNow):
            await town.admitted(NOBODY)
        town.silent = set()
        assert await town.admitted(NOBODY) is None


@pytest.mark.parametrize(
    "answer",
    [_refusal("busy"), _refusal("members_only"), {"status": "OK"}, {"status": "OK", "name": ""}],
    ids=["busy", "not a broker", "no name", "empty name"],
)
async def test_what_is_no_answer(autojump_clock: trio.abc.Clock, answer: dict[str, Any]) -> None:
    """A server that does not say whose a key is has not said that it is nobody's."""
    async with _town() as town:
        town.answer = answer
        with pytest.raises(NotNow):
            await town.admitted(ANA)


async def test_an_operator_gets_in_without_servers(autojump_clock: trio.abc.Clock) -> None:
    """Operators hear the bus also while no server answers; of a registered one the name is the users'."""
    async with _town() as town:
        town.silent = {0, 1, 2}
        assert await town.admitted(OPERATOR.public) == ROSTER.role_of(OPERATOR.public)
        town.silent = set()
        town.users[OPERATOR.public] = "Olga"
        principal = await town.admitted(OPERATOR.public)
        assert principal is not None
        assert (principal.role, principal.name) == ("operator", "Olga")


async def test_grants(autojump_clock: trio.abc.Clock) -> None:
    """Each exact topic to whom it concerns: no prefixes, nobody else's, nothing to strangers."""
    async with _town() as town:
        ana = Principal("key", "ana", ANA)
        secret = bytes(32)
        mine, hers = (direct_topic(secret, name, generation=0) for name in ("ana", "anabel"))
        granted = [mine, public_topic("geral"), private_topic(secret, "d", generation=0), BEACON_TOPIC]
        refused = [hers, b"", PUBLIC, b"u", b"uana", b"uana\0", mine[:-1], b"geral", public_topic("a") + b"x"]
        assert all(town.doors.grant(ana, topic) for topic in granted)
        assert not any(town.doors.grant(ana, topic) for topic in refused)
        for stranger in (Principal("key"), Principal("broker", "broker-1"), Principal("open")):
            assert not any(town.doors.grant(stranger, topic) for topic in granted)


async def test_who_left_is_put_out(autojump_clock: trio.abc.Clock) -> None:
    """After SIGHUP all connections begin anew if a server left the roster or a key was revoked, else none."""
    async with _town() as town, trio.open_nursery() as nursery:
        nursery.start_soon(town.doors.review)
        renewed = 0

        async def count() -> None:
            nonlocal renewed
            while True:
                await town.doors.anew()
                renewed += 1

        nursery.start_soon(count)
        for key, domain in ((SERVER.public, "xsub"), (ANA, "xpub"), (ANABEL, "xpub")):
            assert await town.admitted(key, domain) is not None
        town.doors.changed()
        await trio.sleep(10)
        assert renewed == 0
        town.silent = {0, 1, 2}  # nobody can be asked: nobody is put out for that
        town.doors.changed()
        await trio.sleep(30)
        assert renewed == 0
        town.silent = set()
        town.users.pop(ANA)
        town.doors.changed()
        await trio.sleep(10)
        assert renewed == 1
        assert await town.admitted(SERVER.public, "xsub") is not None
        town.roster = Roster(cluster="recado").with_part(BROKER.public_part)
        town.doors.changed()
        await trio.sleep(10)
        assert renewed == 2
        nursery.cancel_scope.cancel()


async def test_more_keys_than_can_be_remembered(autojump_clock: trio.abc.Clock) -> None:
    """Nobody is let in and forgotten: beyond the room users wait outside, members don't."""
    async with _town() as town:
        crowd = [number.to_bytes(32) for number in range(1, KEYS_REMEMBERED_MAX + 1)]
        town.users |= dict.fromkeys(crowd, "zé")

        def renewals() -> int:
            return len(town.sink.named("connections begin anew: too many keys were let in"))

        for key in crowd:
            assert await town.admitted(key) is not None
        assert (await town.admitted(ANA), renewals()) == (None, 1)
        assert await town.admitted(ANA) is not None, "there is room again"
        for key in crowd[:-1]:
            assert await town.admitted(key) is not None
        assert (await town.admitted(ANABEL), renewals()) == (None, 1)
        assert await town.admitted(crowd[0]) is not None, "who is remembered comes back"
        assert await town.admitted(SERVER.public, "xsub") is not None
        await trio.sleep(CROWDED_SECONDS)
        assert (await town.admitted(ANABEL), renewals()) == (None, 2)
        assert town.doors.refused_for_room == 3


async def test_the_broker_begins_anew(autojump_clock: trio.abc.Clock) -> None:
    """A secured broker has no request port; what begins anew is served again at the same addresses."""
    async with _town() as town, trio.open_nursery() as nursery:
        config = load(None, overrides={"broker.servers": SERVERS})
        config = msgspec.structs.replace(config, broker=msgspec.structs.replace(config.broker, request=""))
        broker = partial(run_broker, config, town.network, sink=town.sink, doorkeeper=town.doors)
        listen = await nursery.start(broker)
        assert set(listen) == {"xsub", "xpub"}
        server = town.network.host("server", Principal("server", "server-1", SERVER.public))
        ana = town.network.host("ana", Principal("key", "ana", ANA))
        async with server.publisher([listen["xsub"]]) as out, ana.subscriber([listen["xpub"]]) as inward:
            inward.subscribe(public_topic("geral"))
            await trio.sleep(1)
            assert await town.admitted(ANABEL) is not None
            del town.users[ANABEL]
            town.doors.changed()
            await trio.sleep(5)
            assert len(town.sink.named("connections begin anew: not everybody would be let in now")) == 1
            out.publish([Publication(public_topic("geral"), b"\x80")])
            with trio.fail_after(5):
                assert await inward.receive_batch() == [Publication(public_topic("geral"), b"\x80")]
        nursery.cancel_scope.cancel()
