"""What several tasks publish at once, from the library to real servers on the network in memory."""

from collections.abc import Sequence
from functools import partial

import trio

from recado.client import Banned, Chat, Receipt
from recado.wire.memory import TrafficKind
from tests.daemons.server.links import Links
from tests.daemons.server.test_library_and_servers import talking, three
from tests.daemons.server.test_library_in_secured_clusters import town

TASKS, EACH = 20, 5


class Counted(Links):
    """Counts requests of ana's."""

    requests = 0

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        self.requests += kind == "request" and source == "ana"
        return super().delays(source, destination, kind, size)


async def talk(chat: Chat, name: int, receipts: dict[str, Receipt]) -> None:
    """Say a few things on `geral`, one after the other."""
    for number in range(EACH):
        text = f"{name} {number}"
        receipts[text] = await chat.publish("geral", text, level="quorum")


async def test_many_tasks_publish_while_a_server_is_lost(autojump_clock: trio.abc.Clock) -> None:
    """The server in use goes mute with a request of many out: each appears once, where its receipt says."""
    links, receipts = Links(), dict[str, Receipt]()
    async with three(links) as cluster, talking(cluster, "ana") as chat:
        await chat.login()
        await chat.create_channel("geral")
        await chat.publish("geral", "antes")
        async with trio.open_nursery() as nursery:
            for name in range(TASKS):
                nursery.start_soon(talk, chat, name, receipts)
            await trio.sleep(0.01)
            links.cut("ana", "server-1")
        await cluster.level()
        page = await chat.history("geral", limit=1000)
        said = [message for message in page if message.text != "antes"]
        assert {message.text: message.key for message in said} == {t: r.key for t, r in receipts.items()}
        assert len(said) == len(receipts) == TASKS * EACH
        for name in range(TASKS):
            mine = [m.text for m in said if m.text.split()[0] == str(name)]
            assert mine == [f"{name} {number}" for number in range(EACH)]


async def test_many_tasks_need_few_requests(autojump_clock: trio.abc.Clock) -> None:
    """Tasks that are answered together go on together: a request for each round, not for each message."""
    links, receipts = Counted(), dict[str, Receipt]()
    async with three(links) as cluster, talking(cluster, "ana") as chat:
        await chat.login()
        await chat.create_channel("geral")
        before = links.requests
        async with trio.open_nursery() as nursery:
            for name in range(TASKS):
                nursery.start_soon(talk, chat, name, receipts)
        assert len(receipts) == TASKS * EACH
        assert links.requests - before == EACH


async def test_with_keys_each_of_many_is_judged_by_itself(autojump_clock: trio.abc.Clock) -> None:
    """Who is banned from one channel is told so for what goes there; what goes elsewhere is kept."""
    told: dict[str, Receipt | Banned] = {}

    async def say(chat: Chat, channel: str, number: int) -> None:
        try:
            told[f"{channel} {number}"] = await chat.publish(channel, f"{number}")
        except Banned as banned:
            told[f"{channel} {number}"] = banned

    async with town() as cluster, cluster.chat("ana") as ana, cluster.chat("bia") as bia:
        for one in (ana, bia):
            await one.login()
        for channel in ("aberto", "fechado"):
            await ana.create_channel(channel)
        await ana.ban("fechado", "bia", level="all")
        async with trio.open_nursery() as nursery:
            for number in range(10):
                for channel in ("aberto", "fechado"):
                    nursery.start_soon(partial(say, bia, channel, number))
        kinds = {what: type(end) for what, end in told.items()}
        assert kinds == {
            f"{channel} {number}": kind
            for channel, kind in (("aberto", Receipt), ("fechado", Banned))
            for number in range(10)
        }
        assert len((await bia.history("aberto")).messages) == 10
