"""What the simulation's tests share: histories from seeds."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from deterministic import run_history
from world import World, cluster

Story = Callable[[World], Awaitable[Any]]


@pytest.fixture
def simulate() -> Callable[..., Any]:
    """``simulate(story, seed=1, **world)``: run ``story(world)`` in a started cluster; gives its result."""

    def run(story: Story, *, seed: int = 1, virtual_seconds_max: float = 600.0, **options: Any) -> Any:
        async def told() -> Any:
            async with cluster(seed=seed, **options) as world:
                return await story(world)

        return run_history(told, seed=seed, virtual_seconds_max=virtual_seconds_max)

    return run
