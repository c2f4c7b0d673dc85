"""Five thousand users and channels: more than a list may hold that a client sends."""

from pathlib import Path

import anyio

from clients.chatting.interpreter import Channels
from clients.chatting.room import Room
from clients.options import Where
from clients.words import WORDS
from recado.client import connect
from recado.texts import Texts
from tests.client.both_loops import on_both_loops
from tests.client.fake_cluster import fake_cluster
from tests.clients.conftest import OnSockets

NAMES = [f"nome-{number:04}" for number in range(5000)]


@on_both_loops
async def test_the_library_reads_long_lists() -> None:
    """Users, channels and a page of `sync` come whole, however long."""
    async with fake_cluster(1) as cluster, connect("ana", **cluster.reaching()) as chat:
        cluster.shared.users |= dict.fromkeys(NAMES)
        cluster.shared.channels |= dict.fromkeys(NAMES)
        assert await chat.users() == NAMES
        assert await chat.channels() == NAMES
        assert list((await chat.sync()).channels) == NAMES


@on_both_loops
async def test_the_library_follows_pages_of_names() -> None:
    """Names that come in pages are asked for to the end; a server that repeats itself ends it too."""
    async with fake_cluster(1) as cluster, connect(None, **cluster.reaching()) as chat:
        server = cluster.servers[0]
        server.names_page = 1999
        cluster.shared.users |= dict.fromkeys(NAMES)
        assert await chat.users() == NAMES
        assert len(server.asked) == 3
        server.refuse = {"users": ["a", "b"], "more": True}
        with anyio.fail_after(60):
            assert await chat.users() == ["a", "b"]


class Shown:
    """A face that keeps what it was to show."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.notices: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_commands_list_them_all(sockets: OnSockets, tmp_path: Path) -> None:
    """`users`, `channels` and `sync` show every name; the chat at its start names 20 and how many more."""
    sockets.server.shared.users |= dict.fromkeys(NAMES)
    sockets.server.shared.channels |= dict.fromkeys(NAMES)
    assert sockets.run("users").stdout.splitlines() == NAMES
    assert sockets.run("channels").stdout.splitlines() == NAMES
    assert "channels 5000" in sockets.run("sync").stdout
    face = Shown()

    async def look() -> None:
        where = Where(
            servers=(sockets.address,),
            brokers=(sockets.broker,),
            reference=None,
            timeout_seconds=5,
            state=tmp_path,
        )
        room = Room(where, face=face, say=Texts("en", WORDS), level=None)
        async with anyio.create_task_group() as duties:
            await room.open(None, duties)
            await room.do(Channels(most=20), duties)
            await room.close()
            duties.cancel_scope.cancel()

    anyio.run(look)
    assert face.messages == ["  ".join([*(f"#{name}" for name in NAMES[:20]), "… and 4980 more, /channels"])]
    assert face.notices == []
