"""Bad input at the door of a real server: one reply to each frame, nothing lost, the next request served.

RECADO_FUZZ_EXAMPLES sets how many conversations are tried, each of up to 25 frames.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemons.server.commit import commit_inline
from recado.protocol.services import REQUESTS
from recado.settings import Timings
from tests.daemons.server.server_bench import Running, bench, enveloped
from tests.fuzz.frames import EXAMPLES, FRAMES, ODD, VALID, framed, frames, hostile

# A peer that does not answer is waited for once, not for each frame.
TIMINGS = Timings(absence_check_seconds=0.05, peer_deadline_seconds=0.05, ack_wait_seconds=0.1)
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
WRITES = {"login", "channel", "publish", "publish_many", "message", "replicate", "user_rule", "channel_rule",
          "invite", "session_key"}  # fmt: skip


def state(server: Running) -> tuple[Any, ...]:
    """What is kept: entries with their hashes, and what people read of them."""
    store = server.store
    return (sorted(store.heads().items()), store.users(), store.channels(), store.counts())


async def converse(server: Running, sent: Sequence[bytes]) -> None:
    """Send each frame and hold its reply to the promises; then ask for what always works."""
    for frame in sent:
        before = state(server)
        service, data = enveloped(await server.asker.ask(frame))
        refused = data.get("status") == "erro" and data.get("code") != "indeterminate"
        if refused or service not in WRITES:
            assert state(server) == before, (service, data)
        assert data.get("code") != "internal", (frame, server.faults())
        assert service == "error" or len(service) <= 64
    assert "ana" in (await server.ask("users"))["users"]
    assert (await server.ask("publish", user="ana", channel="geral", message="ainda"))["status"] == "OK"
    assert server.asker.late == 0, "a request got more than one reply"  # type: ignore[attr-defined]
    assert server.faults() == []


def play(sent: Sequence[bytes], *, members: int) -> None:
    """A conversation with a fresh server, in virtual time; then a while in which its tasks go on."""

    async def main() -> None:
        async with bench(of=members, timings=TIMINGS) as cluster:
            server = await cluster.start("server-1", committer=commit_inline)
            await server.furnish()
            await converse(server, sent)
            await trio.sleep(7)  # the table of peers is written, beats and exchanges go on
            assert (await server.ask("status"))["status"] == "OK"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_every_service_is_tried() -> None:
    """A service that was added is fuzzed too."""
    assert set(REQUESTS) <= set(VALID)


@fuzzed
@given(st.lists(frames, min_size=5, max_size=FRAMES), st.sampled_from([1, 3]))
@example(hostile(), 1)
@example(hostile(), 3)
def test_any_bytes_are_answered(sent: list[bytes], members: int) -> None:
    """Whatever bytes arrive: exactly one envelope each, no fault, no change unless it succeeded."""
    play(sent, members=members)


@pytest.mark.parametrize("service", sorted(VALID))
def test_any_value_in_any_field_is_answered(service: str) -> None:
    """Every field of every service with every odd value, from anybody and from a member."""
    fields = VALID[service]
    sent = []
    for said in ({}, {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b"}):
        for field in [*fields, "clock", "timestamp", *said]:
            for value in ODD:
                sent.append(framed(service, {**fields, **said, field: value}))
    play(sent, members=3)
