"""Lamport stamps of entries: each larger than the one before it in its log, whatever came in one batch."""

import trio

from tests.daemons.server.server_bench import bench, lone, together


async def test_requests_of_one_batch_get_rising_stamps(autojump_clock: trio.abc.Clock) -> None:
    """Messages that arrive together have different stamps: peers refuse a log whose stamps do not rise."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running.values()
        await one.furnish()
        said = await together([one.say(f"m{n}") for n in range(5)])
        keys = sorted((data["key"] for data in said), key=lambda key: key[2])
        assert [key[0] for key in keys] == sorted({key[0] for key in keys})
        await cluster.level()
        assert two.sink.named("invalid because") == []


async def test_requests_that_waited_together_get_rising_stamps(autojump_clock: trio.abc.Clock) -> None:
    """Messages parked by one absence check have different stamps as well."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running.values()
        await two.ask("channel", channel="novo")
        said = await together([one.say(f"m{n}", channel="novo") for n in range(4)])
        assert len({data["key"][0] for data in said}) == 4
        await cluster.level()


async def test_the_entry_is_stamped_between_request_and_reply(autojump_clock: trio.abc.Clock) -> None:
    """The mission's example: the client sends n, the server stores n + 1 and replies n + 2."""
    async with lone() as server:
        await trio.sleep(1)  # its own election and announcement are over
        before = (await server.ask("users", clock=0))["clock"]
        said = await server.ask("login", user="ana", clock=before + 1)
        assert (said["key"][0], said["clock"]) == (before + 2, before + 3)
