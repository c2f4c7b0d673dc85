"""The time given to a write is all the time it takes, with what has to be asked before it."""

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import fake_cluster

from recado.client import Indeterminate, connect


@on_both_loops
async def test_asking_for_the_usual_level_is_within_the_deadline() -> None:
    """A write to servers that don't answer ends when its time is up, and was really sent in that time."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        for server in cluster.servers:
            server.mute = True
        began = anyio.current_time()
        with pytest.raises(Indeterminate) as unsure:
            await chat.login(deadline_seconds=2.0)
        assert anyio.current_time() - began == pytest.approx(2.0, abs=0.01)
        assert unsure.value.seconds == 2.0
        assert any(asked.service == "login" for server in cluster.servers for asked in server.asked)
