"""What a server tells the service manager: when its start is over, how it is, when its disk hangs."""

from typing import Any

import trio

from daemons.server.told import FIRST_SYNC_SECONDS, PEERS_TOLD_MAX, Told
from daemons.shared.process import Life
from recado.settings import Disk as DiskSettings
from recado.settings import Timings
from tests.daemons.server.disks import Brake
from tests.daemons.server.server_bench import DEFAULT_TIMINGS, Running, bench, lone, until


class Listener(Life):
    """A life that keeps when it was announced."""

    def __init__(self) -> None:
        super().__init__("n", env={})
        self.announced_at: float | None = None

    def announce(self) -> None:
        self.announced_at = trio.current_time()


def _told(server: Running) -> Told:
    return Told(server.node, Listener())


async def _announced(server: Running) -> float:
    """How long after now the start of that server is said to be over."""
    life = Listener()
    life.served.set()
    start = trio.current_time()
    with trio.fail_after(60):
        await Told(server.node, life).announce()
    assert life.announced_at is not None
    return life.announced_at - start


async def test_alone_it_is_ready_at_once(autojump_clock: trio.abc.Clock) -> None:
    """Who has no peers has nobody to ask."""
    async with lone() as server:
        assert await _announced(server) == 0


async def test_peers_that_are_away_are_not_waited_for(autojump_clock: trio.abc.Clock) -> None:
    """With two of three down the start is over when their deadline has passed, and not before."""
    async with bench("server-1", of=3) as cluster:
        seconds = await _announced(cluster.running["server-1"])
    assert DEFAULT_TIMINGS.peer_deadline_seconds * 0.9 <= seconds <= DEFAULT_TIMINGS.peer_deadline_seconds + 1


async def test_a_peer_that_answers_is_asked_first(autojump_clock: trio.abc.Clock) -> None:
    """What the other one had is here when the start is said to be over."""
    async with bench("server-1", of=2) as cluster:
        before = cluster.running["server-1"]
        await before.furnish()
        await before.say("oi")
        after = await cluster.start("server-2")
        await _announced(after)
        assert after.node.entries.durable == before.node.entries.durable


async def test_no_start_lasts_for_ever(autojump_clock: trio.abc.Clock) -> None:
    """However long a peer may take to answer, the start is over after ten seconds."""
    timings = Timings(peer_deadline_seconds=3600)
    async with bench("server-1", of=2, timings=timings) as cluster:
        assert await _announced(cluster.running["server-1"]) == FIRST_SYNC_SECONDS


async def test_the_words_name_role_and_peers(autojump_clock: trio.abc.Clock) -> None:
    """Who leads, in which epoch, how far each peer is, how much there is: one sentence."""
    async with bench("server-1", "server-2", of=3) as cluster:
        await until(lambda: _told(cluster.running["server-2"]).words().startswith("leads"), within_seconds=60)
        await cluster.running["server-1"].furnish()
        await cluster.level()
        await trio.sleep(10)
        leader, follower = (_told(cluster.running[f"server-{n}"]) for n in (2, 1))
        epoch = cluster.running["server-2"].node.epoch_number
        assert leader.words() == f"leads in epoch {epoch}; server-1 in step, server-3 silent; 3 entries"
        assert follower.words().startswith(f"follows server-2 in epoch {epoch}; server-2 in step")
        assert leader.fields() == {"epoch": epoch}


async def test_many_peers_are_counted(autojump_clock: trio.abc.Clock) -> None:
    """A large cluster does not make a long sentence."""
    async with bench("server-1", of=PEERS_TOLD_MAX + 4) as cluster:
        words = _told(cluster.running["server-1"]).words()
        assert words.count("not asked yet") + words.count("silent") == PEERS_TOLD_MAX
        assert "3 more" in words


async def test_a_commit_that_does_not_end_hangs(autojump_clock: trio.abc.Clock) -> None:
    """After `hung_seconds` the disk is said to hang; when it answers all is well again."""
    brake = Brake()
    disk = DiskSettings(hung_seconds=30)
    async with bench(of=1, disk=disk) as cluster, trio.open_nursery() as nursery:
        server = await cluster.start("server-1", committer=brake)
        told = _told(server)
        await server.furnish()
        brake.hold()
        fields: dict[str, Any] = {"user": "ana", "channel": "geral", "message": "oi"}
        await server.later(nursery, "publish", **fields)
        await trio.sleep(29)
        assert told.hangs() == ""
        await trio.sleep(2)
        assert told.hangs() == "the disk has not answered a commit for 31 s"
        brake.released.set()
        await trio.sleep(1)
        assert told.hangs() == ""
