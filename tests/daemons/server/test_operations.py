"""What calls for a clock round: operations of clients that were accepted, nothing else."""

import trio

from tests.daemons.server.server_bench import Running, bench, until

ROUND = "berkeley round as coordinator: collecting clocks"


def rounds(one: Running) -> int:
    """How many rounds the coordinator has begun."""
    return len(one.sink.named(ROUND))


async def test_only_accepted_operations_call_for_a_round(autojump_clock: trio.abc.Clock) -> None:
    """Refusals, also those that wait for an absence check, bring no round forward; as many successes do."""
    async with bench("server-1", "server-2", of=2) as cluster:
        lead = cluster.running["server-2"]
        await lead.furnish()
        await trio.sleep(70)  # the first rounds are over, the next one is due a minute after the last
        begun = rounds(lead)
        await until(lambda: rounds(lead) > begun, within_seconds=70)
        begun = rounds(lead)
        await trio.sleep(11)
        for _ in range(20):
            assert (await lead.ask("publish", user="ana", channel="x", message="oi"))["status"] == "erro"
            assert (await lead.ask("login", user="ana"))["code"] == "user_taken"
        await trio.sleep(1)
        assert rounds(lead) == begun
        for n in range(10):
            await lead.say(f"m{n}")
        await trio.sleep(1)
        assert rounds(lead) == begun + 1
