"""`recado tail -f` on a cluster with more channels than one subscription can follow, in virtual time."""

import anyio
import pytest

from clients.look import NEW_CHANNELS_SECONDS, join_new
from recado.client import TooManyTargets, connect
from recado.protocol.limits import SUBSCRIPTIONS_PER_CLIENT_MAX
from tests.client.both_loops import on_both_loops
from tests.client.fake_cluster import Cluster, fake_cluster

NAMES = [f"c{number:05}" for number in range(SUBSCRIPTIONS_PER_CLIENT_MAX)]


def create(cluster: Cluster, *names: str) -> None:
    cluster.shared.channels |= dict.fromkeys(names)


@on_both_loops
async def test_a_running_tail_outlives_channel_1025(capsys: pytest.CaptureFixture[str]) -> None:
    """A channel beyond the bound is left out and said so once; what is followed still arrives."""
    async with (
        fake_cluster(1) as cluster,
        connect(None, **cluster.reaching()) as chat,
        chat.subscribe(*NAMES[1:]) as incoming,
        anyio.create_task_group() as duties,
    ):
        create(cluster, *NAMES[1:], "novo-1", "novo-2")
        left_out: set[str] = set()
        duties.start_soon(join_new, chat, incoming, left_out)
        await anyio.sleep(3 * NEW_CHANNELS_SECONDS)
        assert left_out == {"novo-2"}
        cluster.servers[0].say({"channel": "novo-1", "user": "bob"}, "oi")
        with anyio.fail_after(10):
            assert (await anext(incoming)).text == "oi"
        duties.cancel_scope.cancel()
    assert capsys.readouterr().err.count("1024") == 1


@on_both_loops
async def test_too_many_targets_are_refused_as_an_error_of_the_library() -> None:
    """A subscription beyond the bound raises a `ChatError` of its own, and one that is full goes on."""
    async with fake_cluster(1) as cluster, connect(None, **cluster.reaching()) as chat:
        with pytest.raises(TooManyTargets) as refused:
            async with chat.subscribe(*NAMES, "one-more"):
                pass
        assert refused.value.most == SUBSCRIPTIONS_PER_CLIENT_MAX
