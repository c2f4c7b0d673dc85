"""A history is a function of its seed."""

from collections.abc import Callable
from typing import Any

import trio
from transit import ROUGH
from world import World


async def a_minute_with_faults(world: World) -> str:
    """Registrations, a kill and a return in rough weather; the trace of it."""
    await trio.sleep(5)
    for name in world.servers:
        await world.ask(name, "login", user=f"user-{name}", id=name.encode())
    world.servers["server-3"].kill()
    await trio.sleep(20)
    world.servers["server-3"].start()
    await trio.sleep(35)
    return world.transit.digest


def test_same_seed_same_history(simulate: Callable[..., Any]) -> None:
    """Two runs from one seed exchange the very same messages at the very same times."""
    first = simulate(a_minute_with_faults, seed=7, weather=ROUGH, clock_offset_seconds=1.0)
    assert simulate(a_minute_with_faults, seed=7, weather=ROUGH, clock_offset_seconds=1.0) == first


def test_another_seed_another_history(simulate: Callable[..., Any]) -> None:
    """Another seed gives another history."""
    first = simulate(a_minute_with_faults, seed=7, weather=ROUGH)
    assert simulate(a_minute_with_faults, seed=8, weather=ROUGH) != first
