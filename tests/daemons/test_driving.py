"""Driving a pure machine: at its deadline, at the bell, and never for nothing."""

import pytest
import trio
import trio.testing

from daemons.server.driving import Bell, drive


async def test_a_tick_that_rings_its_own_bell_does_not_spin(autojump_clock: trio.testing.MockClock) -> None:
    """An idle machine is ticked once per deadline, however often its ticks ring."""
    bell, ticks = Bell(), []

    def tick() -> None:
        ticks.append(trio.current_time())
        bell.ring()

    with trio.move_on_after(10.5):
        await drive(bell, deadline=lambda: len(ticks) + 1.0, tick=tick)
    assert ticks == pytest.approx([n + 1.0 for n in range(10)], abs=0.01)


async def test_the_bell_brings_the_tick_forward(autojump_clock: trio.testing.MockClock) -> None:
    """A machine without a deadline is ticked when something changed, once per ring."""
    bell, ticks = Bell(), []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await drive(bell, deadline=lambda: None, tick=lambda: ticks.append(trio.current_time()))

        nursery.start_soon(run)
        for _ in range(3):
            await trio.sleep(1)
            bell.ring()
            bell.ring()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(ticks) == 3
