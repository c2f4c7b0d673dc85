"""What servers of a secured cluster publish, and under which topics; what outsiders learn of it."""

from typing import Any

import trio

from recado.protocol.clock_tag import is_tagged
from recado.protocol.publications import (
    BEACON_TOPIC,
    COORDINATOR_TOPIC,
    SECURED_COORDINATOR_TOPIC,
    private_key,
    public_topic,
)
from tests.daemons.server.peer_frames import ORIGIN, log_of
from tests.daemons.server.people import People, key_text, people
from tests.daemons.server.secured_bench import CLUSTER_KEY, signed_run
from tests.daemons.server.test_announcements import listening


async def topic_of(cluster: People, name: str, *, at: str = "server-1", **whose: str) -> bytes:
    """The topic that somebody is told with a history."""
    told = await cluster.done(name, "history", at=at, **whose)
    topic: bytes = told["topic"]
    return topic


async def test_each_message_goes_to_its_own_topic(autojump_clock: trio.abc.Clock) -> None:
    """Public, private and direct messages: exactly the topics that servers tell, and tagged stamps."""
    async with people() as cluster, listening(cluster) as ear:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="c", user="ana")
        await cluster.done("ana", "channel", channel="d", user="ana", private=True)
        await cluster.say("ana", "c")
        await cluster.say("ana", "d")
        await cluster.done("ana", "message", src="ana", dst="bia", message="psiu")
        await trio.sleep(3)
        topics = [
            public_topic("c"),
            await topic_of(cluster, "ana", channel="d"),
            await topic_of(cluster, "bia", user="bia"),
        ]
        spoken = [(topic, body) for topic, body in ear.heard if not topic.startswith(b"\0")]
        assert [topic for topic, _ in spoken] == topics
        assert all(is_tagged(CLUSTER_KEY, body["clock"], body["ctag"]) for _, body in spoken)
        assert ear.named(COORDINATOR_TOPIC) == []
        assert ear.named(SECURED_COORDINATOR_TOPIC) != []


async def test_a_beacon_names_nothing_private(autojump_clock: trio.abc.Clock) -> None:
    """Its heads name public channels; who knows the topic of what is private finds that, and nobody else."""
    async with people() as cluster, listening(cluster) as ear:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="c", user="ana")
        await cluster.done("ana", "channel", channel="d", user="ana", private=True)
        await cluster.say("ana", "c")
        await cluster.say("ana", "d")
        await cluster.done("ana", "message", src="ana", dst="bia", message="psiu")
        await trio.sleep(5)
        heads: dict[str, Any] = ear.named(BEACON_TOPIC)[-1]["heads"]
        secret = await topic_of(cluster, "ana", channel="d")
        mine = await topic_of(cluster, "bia", user="bia")
        assert set(heads) == {"#c", private_key(secret), private_key(mine)}


async def test_a_channel_that_only_messages_speak_of_is_not_named(autojump_clock: trio.abc.Clock) -> None:
    """While its creation is under way it may be private: neither beacons nor lists tell of it."""
    async with people("server-1", of=2) as cluster, listening(cluster) as ear:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="c", user="ana")
        await cluster.push(cluster.first, signed_run(log_of(ORIGIN, 3, targets=("segredo",))))
        await trio.sleep(5)
        assert not [body for topic, body in ear.heard if "segredo" in repr((topic, body))]
        assert (await cluster.done("ana", "channels"))["channels"] == ["c"]


async def test_the_last_word_on_an_old_topic(autojump_clock: trio.abc.Clock) -> None:
    """After a kick every server says on the old topic that it moved; messages go to the new one only."""
    async with people("server-1", "server-2", of=2) as cluster, listening(cluster) as ear:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="d", user="ana", private=True)
        await cluster.rule("ana", "d", "invite", who="bia")
        old = await topic_of(cluster, "bia", channel="d")
        await cluster.rule("ana", "d", "kick", who="bia", reason="x")
        await trio.sleep(3)
        said = ear.named(old)
        assert {body["server"] for body in said if body.get("moved")} == {"server-1", "server-2"}
        await cluster.say("ana", "d", at="server-2")
        await trio.sleep(1)
        assert not [body for body in ear.named(old) if "message" in body]
        assert [b["message"] for b in ear.named(await topic_of(cluster, "ana", channel="d"))] == ["de ana"]
        before = len(ear.named(old))
        await trio.sleep(60)
        assert 0 < len(ear.named(old)) - before < 40
        settled = len(ear.named(old))
        await trio.sleep(60)
        assert len(ear.named(old)) == settled


async def test_a_revoked_key_moves_direct_messages(autojump_clock: trio.abc.Clock) -> None:
    """The topic that the lost device knows is told to have moved, and carries nothing from then on."""
    async with people() as cluster, listening(cluster) as ear:
        await cluster.login("ana", "bia")
        device = {"user": "ana", "key": key_text("ana-2")}
        await cluster.done("ana", "user_rule", do="add_key", **device)
        old = await topic_of(cluster, "ana-2", user="ana")
        await cluster.done("ana", "user_rule", do="revoke_key", **device)
        await cluster.done("bia", "message", src="bia", dst="ana", message="psiu")
        await trio.sleep(2)
        assert any(body.get("moved") for body in ear.named(old))
        assert not [body for body in ear.named(old) if "message" in body]
        now = await topic_of(cluster, "ana", user="ana")
        assert [body["message"] for body in ear.named(now)] == ["psiu"]
